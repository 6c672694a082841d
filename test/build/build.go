// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package build makes the objects that tests need, one readable line each: build.MakePod("web").CPU("1").Obj(). Only
// _test.go files import it.
package build

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Pod is a pod in the making.
type Pod struct{ pod corev1.Pod }

// MakePod makes a pending pod in the namespace "default" that requests nothing.
func MakePod(name string) *Pod {
	return &Pod{corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("pod-" + name)},
		Spec: corev1.PodSpec{
			SchedulerName: corev1.DefaultSchedulerName,
			Containers:    []corev1.Container{{Name: "main", Image: "example.com/app:1"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}}
}

// Obj returns the pod.
func (p *Pod) Obj() *corev1.Pod { return p.pod.DeepCopy() }

// With changes what the other methods do not reach.
func (p *Pod) With(change func(*corev1.Pod)) *Pod { change(&p.pod); return p }

// Namespace sets the namespace.
func (p *Pod) Namespace(namespace string) *Pod {
	p.pod.Namespace = namespace
	p.pod.UID = types.UID("pod-" + namespace + "-" + p.pod.Name)
	return p
}

// Label adds a label.
func (p *Pod) Label(key, value string) *Pod {
	metav1.SetMetaDataLabel(&p.pod.ObjectMeta, key, value)
	return p
}

// Annotation adds an annotation.
func (p *Pod) Annotation(key, value string) *Pod {
	metav1.SetMetaDataAnnotation(&p.pod.ObjectMeta, key, value)
	return p
}

// CPU sets the cpu request.
func (p *Pod) CPU(quantity string) *Pod { return p.Request(corev1.ResourceCPU, quantity) }

// Memory sets the memory request.
func (p *Pod) Memory(quantity string) *Pod { return p.Request(corev1.ResourceMemory, quantity) }

// Request sets a request of the pod's container.
func (p *Pod) Request(name corev1.ResourceName, quantity string) *Pod {
	requests := p.pod.Spec.Containers[0].Resources.Requests
	if requests == nil {
		requests = corev1.ResourceList{}
	}
	requests[name] = resource.MustParse(quantity)
	p.pod.Spec.Containers[0].Resources.Requests = requests
	return p
}

// Priority sets the priority.
func (p *Pod) Priority(priority int32) *Pod { p.pod.Spec.Priority = &priority; return p }

// On binds the pod to a node, where it runs.
func (p *Pod) On(node string) *Pod {
	p.pod.Spec.NodeName = node
	p.pod.Status.Phase = corev1.PodRunning
	return p
}

// NodeSelector adds a required node label.
func (p *Pod) NodeSelector(key, value string) *Pod {
	if p.pod.Spec.NodeSelector == nil {
		p.pod.Spec.NodeSelector = map[string]string{}
	}
	p.pod.Spec.NodeSelector[key] = value
	return p
}

// Tolerate adds a toleration of every taint with that key.
func (p *Pod) Tolerate(key string) *Pod {
	p.pod.Spec.Tolerations = append(p.pod.Spec.Tolerations, corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists})
	return p
}

// HostPort claims a port of the node.
func (p *Pod) HostPort(port int32) *Pod {
	p.pod.Spec.Containers[0].Ports = append(p.pod.Spec.Containers[0].Ports,
		corev1.ContainerPort{ContainerPort: port, HostPort: port, Protocol: corev1.ProtocolTCP})
	return p
}

// Claim mounts a PersistentVolumeClaim.
func (p *Pod) Claim(name string) *Pod {
	p.pod.Spec.Volumes = append(p.pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
	}})
	return p
}

// Spread spreads the pods with label app=app over a topology, strictly, with skew 1.
func (p *Pod) Spread(topologyKey, app string) *Pod {
	p.pod.Spec.TopologySpreadConstraints = append(p.pod.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
		MaxSkew: 1, TopologyKey: topologyKey, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: appSelector(app),
	})
	return p
}

// SpreadSoftly spreads like Spread, as a preference.
func (p *Pod) SpreadSoftly(topologyKey, app string) *Pod {
	p.Spread(topologyKey, app)
	p.pod.Spec.TopologySpreadConstraints[len(p.pod.Spec.TopologySpreadConstraints)-1].WhenUnsatisfiable = corev1.ScheduleAnyway
	return p
}

// Near requires a pod with label app=app in the same topology domain.
func (p *Pod) Near(topologyKey, app string) *Pod {
	affinity := p.affinity()
	if affinity.PodAffinity == nil {
		affinity.PodAffinity = &corev1.PodAffinity{}
	}
	terms := &affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	*terms = append(*terms, corev1.PodAffinityTerm{TopologyKey: topologyKey, LabelSelector: appSelector(app)})
	return p
}

// Apart forbids pods with label app=app in the same topology domain.
func (p *Pod) Apart(topologyKey, app string) *Pod {
	affinity := p.affinity()
	if affinity.PodAntiAffinity == nil {
		affinity.PodAntiAffinity = &corev1.PodAntiAffinity{}
	}
	terms := &affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	*terms = append(*terms, corev1.PodAffinityTerm{TopologyKey: topologyKey, LabelSelector: appSelector(app)})
	return p
}

// NodeAffinity requires a node label to be one of the values.
func (p *Pod) NodeAffinity(key string, values ...string) *Pod {
	p.affinity().NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
			{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values},
		}}},
	}}
	return p
}

// Owner makes the pod belong to a controller.
func (p *Pod) Owner(kind, name string) *Pod {
	p.pod.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: "apps/v1", Kind: kind, Name: name, UID: types.UID(kind + "-" + name), Controller: new(true),
	}}
	return p
}

func (p *Pod) affinity() *corev1.Affinity {
	if p.pod.Spec.Affinity == nil {
		p.pod.Spec.Affinity = &corev1.Affinity{}
	}
	return p.pod.Spec.Affinity
}

func appSelector(app string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

// Node is a node in the making.
type Node struct{ node corev1.Node }

// MakeNode makes a ready node with 4 cpu, 8 GiB and room for 110 pods in zone "hel".
func MakeNode(name string) *Node {
	n := &Node{corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("node-" + name), Labels: map[string]string{
			corev1.LabelHostname:   name,
			corev1.LabelArchStable: "amd64",
			corev1.LabelOSStable:   "linux",
		}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}}
	return n.Zone("hel").Allocatable("4", "8Gi", "110")
}

// Obj returns the node.
func (n *Node) Obj() *corev1.Node { return n.node.DeepCopy() }

// With changes what the other methods do not reach.
func (n *Node) With(change func(*corev1.Node)) *Node { change(&n.node); return n }

// Allocatable sets cpu, memory and pods, as capacity too.
func (n *Node) Allocatable(cpu, memory, pods string) *Node {
	n.node.Status.Allocatable = corev1.ResourceList{
		corev1.ResourceCPU:    resource.MustParse(cpu),
		corev1.ResourceMemory: resource.MustParse(memory),
		corev1.ResourcePods:   resource.MustParse(pods),
	}
	n.node.Status.Capacity = n.node.Status.Allocatable.DeepCopy()
	return n
}

// Label adds a label.
func (n *Node) Label(key, value string) *Node {
	metav1.SetMetaDataLabel(&n.node.ObjectMeta, key, value)
	return n
}

// Zone sets the zone.
func (n *Node) Zone(zone string) *Node { return n.Label(corev1.LabelTopologyZone, zone) }

// Group makes the node a machine of a node group.
func (n *Node) Group(group string) *Node {
	return n.Label(v1alpha1.ManagedLabel, v1alpha1.ManagedValue).Label(v1alpha1.NodeGroupLabel, group)
}

// Taint adds a NoSchedule taint.
func (n *Node) Taint(key, value string) *Node {
	n.node.Spec.Taints = append(n.node.Spec.Taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffectNoSchedule})
	return n
}

// Cordon makes the node unschedulable.
func (n *Node) Cordon() *Node {
	n.node.Spec.Unschedulable = true
	n.node.Spec.Taints = append(n.node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	return n
}
