// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// OrNodeAffinity adds an alternative to NodeAffinity.
func (p *Pod) OrNodeAffinity(key string, values ...string) *Pod {
	return p.nodeTerm(corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
		{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values},
	}})
}

// OnlyOn ties the pod to a node by its name.
func (p *Pod) OnlyOn(node string) *Pod {
	return p.nodeTerm(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{
		{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{node}},
	}})
}

// NeverOn keeps the pod away from a node by its name.
func (p *Pod) NeverOn(node string) *Pod {
	return p.nodeTerm(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{
		{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpNotIn, Values: []string{node}},
	}})
}

func (p *Pod) nodeTerm(term corev1.NodeSelectorTerm) *Pod {
	affinity := p.affinity()
	if affinity.NodeAffinity == nil {
		affinity.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{}}
	}
	terms := &affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	*terms = append(*terms, term)
	return p
}

// Constraint changes the last spread constraint.
func (p *Pod) Constraint(change func(*corev1.TopologySpreadConstraint)) *Pod {
	change(&p.pod.Spec.TopologySpreadConstraints[len(p.pod.Spec.TopologySpreadConstraints)-1])
	return p
}

// AffinityTerm changes the last term of Near.
func (p *Pod) AffinityTerm(change func(*corev1.PodAffinityTerm)) *Pod {
	terms := p.affinity().PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	change(&terms[len(terms)-1])
	return p
}

// AntiAffinityTerm changes the last term of Apart.
func (p *Pod) AntiAffinityTerm(change func(*corev1.PodAffinityTerm)) *Pod {
	terms := p.affinity().PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	change(&terms[len(terms)-1])
	return p
}

// Sidecar adds an init container that keeps running, with a port of the node unless that is 0.
func (p *Pod) Sidecar(name, cpu, memory string, hostPort int32) *Pod {
	sidecar := container(name, cpu, memory)
	sidecar.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	if hostPort > 0 {
		sidecar.Ports = []corev1.ContainerPort{{ContainerPort: hostPort, HostPort: hostPort, Protocol: corev1.ProtocolTCP}}
	}
	p.pod.Spec.InitContainers = append(p.pod.Spec.InitContainers, sidecar)
	return p
}

// InitContainer adds a container that runs before the others.
func (p *Pod) InitContainer(name, cpu, memory string) *Pod {
	p.pod.Spec.InitContainers = append(p.pod.Spec.InitContainers, container(name, cpu, memory))
	return p
}

// Overhead is what the pod's runtime needs beside its containers.
func (p *Pod) Overhead(cpu, memory string) *Pod {
	p.pod.Spec.Overhead = amounts(cpu, memory)
	return p
}

// PodLevel requests for the pod as a whole.
func (p *Pod) PodLevel(cpu, memory string) *Pod {
	p.pod.Spec.Resources = &corev1.ResourceRequirements{Requests: amounts(cpu, memory)}
	return p
}

// DeviceClaim uses a ResourceClaim.
func (p *Pod) DeviceClaim(name string) *Pod {
	p.pod.Spec.ResourceClaims = append(p.pod.Spec.ResourceClaims, corev1.PodResourceClaim{Name: name, ResourceClaimName: &name})
	main := &p.pod.Spec.Containers[0]
	main.Resources.Claims = append(main.Resources.Claims, corev1.ResourceClaim{Name: name})
	return p
}

func container(name, cpu, memory string) corev1.Container {
	return corev1.Container{Name: name, Image: "example.com/app:1", Resources: corev1.ResourceRequirements{Requests: amounts(cpu, memory)}}
}

func amounts(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
}
