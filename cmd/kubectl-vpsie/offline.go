// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/admission"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/catalogue"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/manifest"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/workload"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

func newScheme() (*runtime.Scheme, error) { return objects.NewScheme() }

// fromFiles makes of manifests what an API server and its controllers would.
func fromFiles(ctx context.Context, f *planFlags, env environment) (*scene, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	s := &scene{}
	if s.catalogue, err = loadCatalogue(f.catalogue); err != nil {
		return nil, err
	}
	if f.catalogue == "" {
		s.warnings = append(s.warnings, "sizes and prices are simulated ones, not VPSie's; give your own with --catalogue")
	}
	options := manifest.Options{Scheme: scheme, Kinds: slices.Concat(state.Watched(), state.Optional(), workload.Kinds()), Stdin: env.stdin}
	if f.strict {
		options.Strictness = manifest.Strict
	}
	read, err := manifest.Read(f.files, options)
	if err != nil {
		return nil, err
	}
	set := read.Objects
	admission.Default(set)
	if err := workload.Expand(set); err != nil {
		return nil, err
	}
	maxPods := int64(ptr.Deref(s.catalogue.MaxPods, catalogue.DefaultMaxPods))
	s.warnings = slices.Concat(s.warnings, read.Warnings, admission.Complete(set, admission.Options{MaxPods: maxPods}), manageAll(set))
	if s.picture, err = picture(ctx, set, env); err != nil {
		return nil, fmt.Errorf("putting the manifests together: %w", err)
	}
	if s.groups = s.picture.Groups(); len(s.groups) == 0 {
		s.groups = anyGroup()
	}
	if !slices.ContainsFunc(s.picture.Snapshot.Objects().Pods, func(pod *corev1.Pod) bool { return !settled(pod) }) {
		s.warnings = append(s.warnings, "there is no pod to plan for: none lacks a node, and no workload lacks a pod")
	}
	return s, nil
}

func loadCatalogue(path string) (*catalogue.Catalogue, error) {
	if path == "" {
		return catalogue.Simulated()
	}
	return catalogue.Load(path)
}

// manageAll hands every NodeGroup to the plan: who gives one in a file wants to know what it would buy.
func manageAll(set *objects.Set) (warnings []string) {
	var unmanaged []string
	for _, group := range objects.Of[*v1alpha1.NodeGroup](set) {
		if !group.Managed() {
			unmanaged = append(unmanaged, fmt.Sprintf("%q", group.Name))
			metav1.SetMetaDataLabel(&group.ObjectMeta, v1alpha1.ManagedLabel, v1alpha1.ManagedValue)
		}
	}
	if len(unmanaged) > 0 {
		warnings = append(warnings, fmt.Sprintf("NodeGroups without the label %s=%s, which the autoscaler would leave alone, are planned with: %s",
			v1alpha1.ManagedLabel, v1alpha1.ManagedValue, strings.Join(unmanaged, ", ")))
	}
	return warnings
}

// anyGroup is the NodeGroup that allows everything.
func anyGroup() []scheduling.Group {
	return []scheduling.Group{{NodeGroup: &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "any"}}}}
}

// input is what the autoscaler would plan with.
func (s *scene) input() scheduling.Input {
	groups := slices.Clone(s.groups)
	pods := slices.DeleteFunc(slices.Clone(s.picture.Snapshot.Objects().Pods), settled)
	for i := range groups {
		groups[i].NodeGroup = s.catalogue.Apply(groups[i].NodeGroup)
		pods = append(pods, scheduling.Headroom(groups[i].NodeGroup)...)
	}
	return scheduling.Input{
		Cluster: s.picture.Snapshot, Pods: pods, Groups: groups, Offerings: s.catalogue.Offerings, Promised: s.picture.Promised(),
	}
}

// settled says whether nobody plans for the pod: it has a node, is going, or belongs on the node that its DaemonSet made it for.
func settled(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || owner != nil && owner.Kind == "DaemonSet"
}
