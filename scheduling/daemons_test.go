// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// A machine that has joined stands in the picture as a virtual node until pods may run on it. Its DaemonSet pods come before that.
func TestDaemonSetPodsOfAVirtualNodeAreCountedOnce(t *testing.T) {
	set := build.MakeDaemonSet("agent", build.MakePod("agent").CPU("500m")).Obj()
	agent := func(node string, change func(*corev1.Pod)) *corev1.Pod {
		return build.MakePod("agent-x7k2p").CPU("500m").With(func(p *corev1.Pod) {
			p.Namespace = set.Namespace
			p.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))}
		}).With(func(p *corev1.Pod) {
			p.Spec.NodeName = node
			if change != nil {
				change(p)
			}
		}).Obj()
	}
	tied := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{"joining"}},
			}}},
		}}}
	}
	other := agent("joining", func(p *corev1.Pod) { p.OwnerReferences[0].Name = "another" })
	cases := map[string]struct {
		agent *corev1.Pod
		fits  string // how much CPU is left
		not   string
	}{
		"to come":                           {nil, "3500m", "3501m"},
		"running":                           {agent("joining", nil), "3500m", "3501m"},
		"not bound yet":                     {agent("", tied), "3500m", "3501m"},
		"running, and one of another set's": {other, "3", "3001m"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for cpu, want := range map[string]int{c.fits: 1, c.not: 0} {
				objects := snapshot.Objects{
					VirtualNodes: []*corev1.Node{build.MakeNode("joining").Allocatable("4", "16Gi", "110").Obj()}, DaemonSets: []*appsv1.DaemonSet{set},
				}
				if c.agent != nil {
					objects.Pods = append(objects.Pods, c.agent)
				}
				plan := solve(t, scenario{objects: objects, pods: []*corev1.Pod{build.MakePod("web").CPU(cpu).Obj()}}.input(t))
				if got := len(plan.Placements); got != want {
					t.Errorf("a pod of %s cpu: %d placed, want %d; %s", cpu, got, want, asJSON(t, plan))
				}
			}
		})
	}
}

// The API server stores the template of a DaemonSet as it was written, and its pods with the requests that follow from their limits.
func TestDaemonSetPodsRequestWhatTheirLimitsSay(t *testing.T) {
	set := build.MakeDaemonSet("agent", build.MakePod("agent").With(func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}
	})).Obj()
	in := scenario{
		objects:   snapshot.Objects{DaemonSets: []*appsv1.DaemonSet{set}},
		pods:      []*corev1.Pod{build.MakePod("web").CPU("1800m").Obj()},
		groups:    []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
		offerings: []scheduling.Offering{build.MakeOffering("Small", 2, 4, 24).Obj(), build.MakeOffering("Large", 4, 8, 48).Obj()},
	}.input(t)
	plan := solve(t, in)
	if len(plan.Launches) != 1 || plan.Launches[0].Offerings[0].Name != "Large" {
		t.Errorf("got %s; want the large machine, as the small one would have no room for the DaemonSet's pod", asJSON(t, plan))
	}
	if requests := set.Spec.Template.Spec.Containers[0].Resources.Requests; len(requests) > 0 {
		t.Errorf("the DaemonSet was changed: it requests %v", requests)
	}
}
