// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/field"
)

// clusterWide says whether objects of that kind are in no namespace.
func clusterWide(object client.Object) bool {
	switch object.(type) {
	case *corev1.Node, *corev1.Namespace, *corev1.PersistentVolume, *schedulingv1.PriorityClass,
		*storagev1.StorageClass, *storagev1.CSINode, *storagev1.CSIDriver, *storagev1.VolumeAttachment,
		*resourceapi.ResourceSlice, *resourceapi.DeviceClass,
		*v1alpha1.NodeGroup, *v1alpha1.VPSieNode, *v1alpha1.Disruption:
		return true
	}
	return false
}

// mistake is a field whose value can be read and cannot be meant.
type mistake struct{ path, text string }

// meaningless lists values that an API server would refuse and that would make a plan wrong without a word. It is no validation: what
// scheduling does not look at may be left out.
func meaningless(object client.Object) []mistake {
	var m mistakes
	if object.GetName() == "" && object.GetGenerateName() == "" {
		m.add("metadata.name", "is missing")
	}
	switch o := object.(type) {
	case *corev1.Pod:
		m.pod("spec", &o.Spec)
	case *appsv1.Deployment:
		m.count("spec.replicas", o.Spec.Replicas)
		m.pod("spec.template.spec", &o.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		m.count("spec.replicas", o.Spec.Replicas)
		m.pod("spec.template.spec", &o.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		m.count("spec.replicas", o.Spec.Replicas)
		m.pod("spec.template.spec", &o.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		m.pod("spec.template.spec", &o.Spec.Template.Spec)
	case *batchv1.Job:
		m.job("spec", &o.Spec)
	case *batchv1.CronJob:
		m.job("spec.jobTemplate.spec", &o.Spec.JobTemplate.Spec)
	case *corev1.ReplicationController:
		m.count("spec.replicas", o.Spec.Replicas)
		if o.Spec.Template != nil {
			m.pod("spec.template.spec", &o.Spec.Template.Spec)
		}
	case *corev1.Node:
		m.node(o)
	case *v1alpha1.NodeGroup:
		m.nodeGroup(o)
	}
	return m
}

type mistakes []mistake

func (m *mistakes) add(path, format string, args ...any) {
	*m = append(*m, mistake{path, fmt.Sprintf(format, args...)})
}

func (m *mistakes) count(path string, n *int32) {
	if n != nil && *n < 0 {
		m.add(path, "is %d, want 0 or more", *n)
	}
}

func (m *mistakes) job(path string, spec *batchv1.JobSpec) {
	m.count(path+".parallelism", spec.Parallelism)
	m.count(path+".completions", spec.Completions)
	m.pod(path+".template.spec", &spec.Template.Spec)
}

func (m *mistakes) pod(path string, spec *corev1.PodSpec) {
	if len(spec.Containers) == 0 {
		m.add(path+".containers", "is missing; want at least one container")
	}
	for i := range spec.InitContainers {
		m.container(fmt.Sprintf("%s.initContainers[%d]", path, i), &spec.InitContainers[i])
	}
	for i := range spec.Containers {
		m.container(fmt.Sprintf("%s.containers[%d]", path, i), &spec.Containers[i])
	}
	m.amounts(path+".overhead", spec.Overhead)
	m.placement(path, spec)
}

func (m *mistakes) container(path string, c *corev1.Container) {
	m.amounts(path+".resources.requests", c.Resources.Requests)
	m.amounts(path+".resources.limits", c.Resources.Limits)
}

func (m *mistakes) amounts(path string, list corev1.ResourceList) {
	for _, name := range slices.Sorted(maps.Keys(list)) {
		if amount := list[name]; amount.Sign() < 0 {
			m.add(field.Within(path, string(name)), "is %s, want 0 or more", amount.String())
		}
	}
}

func (m *mistakes) node(node *corev1.Node) {
	m.amounts("status.capacity", node.Status.Capacity)
	m.amounts("status.allocatable", node.Status.Allocatable)
	if len(node.Status.Capacity) == 0 && len(node.Status.Allocatable) == 0 {
		m.add("status.allocatable", "is missing; want what the node has for pods, at least cpu and memory")
	}
}
