// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// The resources that are packed. Others (devices, huge pages) no new machine offers: the plugins refuse pods that request them.
const (
	cpu = iota // milli
	memory
	podSlots
	disk
	resources
)

// class is a set of pods that are equal to kube-scheduler: what holds for one holds for its twins.
type class struct {
	pods     []*corev1.Pod // in the order of comparePending
	requests corev1.ResourceList
	vector   pack.Vector
	priority int32
	// relational: a refusal may turn into a yes when another pod is placed, because of a required affinity or a strict spread.
	// For all other classes a node that said no keeps saying no while nothing leaves it.
	relational bool
	// plain: no relation to other pods, no volumes, no devices, no host ports.
	plain bool

	verdicts   []simulate.Verdict // by candidate: on an empty machine, relations to other pods aside
	perMachine int                // how many of them one machine may hold, whatever its size; 0: any number
}

func (c *class) allowed() []bool {
	allowed := make([]bool, len(c.verdicts))
	for i := range c.verdicts {
		allowed[i] = c.verdicts[i].Fits
	}
	return allowed
}

// comparePending orders pods by priority, greatest first, then size, greatest first, then namespace and name.
func comparePending(a, b *corev1.Pod) int {
	return cmp.Or(
		cmp.Compare(schedulinghelper.PodPriority(b), schedulinghelper.PodPriority(a)),
		cmp.Compare(sizeOf(requestsOf(b)), sizeOf(requestsOf(a))),
		snapshot.ComparePods(a, b),
	)
}

// sizeOf weighs 1 cpu like 2 GiB, which is what most sizes of machines offer.
func sizeOf(requests corev1.ResourceList) int64 {
	vector := vectorOf(requests)
	return max(vector[cpu]*2*gibibyte/1000, vector[memory])
}

func requestsOf(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

func vectorOf(requests corev1.ResourceList) pack.Vector {
	return pack.Vector{
		cpu:      requests.Cpu().MilliValue(),
		memory:   requests.Memory().Value(),
		podSlots: 1,
		disk:     requests.StorageEphemeral().Value(),
	}
}

// classify sorts pods into classes, in the order of their first pods.
func classify(pods []*corev1.Pod) ([]*class, error) {
	var classes []*class
	byShape := map[string]*class{}
	for _, pod := range pods {
		shape, err := shapeOf(pod)
		if err != nil {
			return nil, err
		}
		c, known := byShape[shape]
		if !known {
			requests := requestsOf(pod)
			c = &class{
				requests: requests, vector: vectorOf(requests), priority: schedulinghelper.PodPriority(pod),
				relational: relational(pod), plain: plain(pod),
			}
			byShape[shape] = c
			classes = append(classes, c)
		}
		c.pods = append(c.pods, pod)
	}
	return classes, nil
}

// shapeOf writes down everything of a pod that a plugin may read. What differs between twins without meaning anything (the volume of
// the service account's token, the host name) is left out.
func shapeOf(pod *corev1.Pod) (string, error) {
	spec := pod.Spec
	spec.NodeName, spec.Hostname = "", ""
	spec.Volumes = slices.DeleteFunc(slices.Clone(spec.Volumes), func(v corev1.Volume) bool {
		return v.Projected != nil || v.ConfigMap != nil || v.Secret != nil || v.EmptyDir != nil || v.DownwardAPI != nil || v.HostPath != nil
	})
	spec.InitContainers, spec.Containers = bare(spec.InitContainers), bare(spec.Containers)
	shape := struct {
		Namespace, Name string
		Labels          map[string]string
		Spec            corev1.PodSpec
		Claims          []corev1.PodResourceClaimStatus
	}{Namespace: pod.Namespace, Labels: pod.Labels, Spec: spec, Claims: pod.Status.ResourceClaimStatuses}
	if slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil }) {
		shape.Name = pod.Name // its claims are named after it
	}
	text, err := json.Marshal(shape)
	if err != nil {
		return "", fmt.Errorf("classifying pod %q: %w", nameOf(pod), err)
	}
	return string(text), nil
}

// bare keeps of containers what plugins read.
func bare(containers []corev1.Container) []corev1.Container {
	kept := make([]corev1.Container, 0, len(containers))
	for i := range containers {
		c := &containers[i]
		kept = append(kept, corev1.Container{
			Name: c.Name, Ports: c.Ports, Resources: c.Resources, ResizePolicy: c.ResizePolicy,
			RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules, SecurityContext: c.SecurityContext,
		})
	}
	return kept
}

func relational(pod *corev1.Pod) bool {
	affinity := pod.Spec.Affinity
	if affinity != nil && affinity.PodAffinity != nil && len(affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
		return true
	}
	return slices.ContainsFunc(pod.Spec.TopologySpreadConstraints, func(c corev1.TopologySpreadConstraint) bool {
		return c.WhenUnsatisfiable == corev1.DoNotSchedule
	})
}

// aloof returns the pod without the relations that make a class relational. What a plugin refuses it stays refused.
func aloof(pod *corev1.Pod) *corev1.Pod {
	if !relational(pod) {
		return pod
	}
	pod = pod.DeepCopy()
	pod.Spec.TopologySpreadConstraints = nil
	if pod.Spec.Affinity != nil {
		pod.Spec.Affinity.PodAffinity = nil
	}
	return pod
}

// weightless returns the pod without requests, to ask what else speaks against it: the plugin for resources is asked early, and its no
// hides those of others.
func weightless(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	pod.Spec.Overhead, pod.Spec.Resources = nil, nil
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			containers[i].Resources.Requests = nil
		}
	}
	return pod
}

func plain(pod *corev1.Pod) bool {
	if relational(pod) || simulate.Reserves(pod) || (pod.Spec.Affinity != nil && pod.Spec.Affinity.PodAntiAffinity != nil) {
		return false
	}
	hasHostPort := func(c corev1.Container) bool {
		return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort > 0 })
	}
	return !slices.ContainsFunc(pod.Spec.Containers, hasHostPort) && !slices.ContainsFunc(pod.Spec.InitContainers, hasHostPort)
}

// usualTopology says whether all required relations of the pod are within domains that machines of one datacenter share, or within the node.
func usualTopology(pod *corev1.Pod) bool {
	var keys []string
	for _, constraint := range pod.Spec.TopologySpreadConstraints {
		keys = append(keys, constraint.TopologyKey)
	}
	if affinity := pod.Spec.Affinity; affinity != nil {
		var terms []corev1.PodAffinityTerm
		if affinity.PodAffinity != nil {
			terms = append(terms, affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		}
		if affinity.PodAntiAffinity != nil {
			terms = append(terms, affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution...)
		}
		for _, term := range terms {
			keys = append(keys, term.TopologyKey)
		}
	}
	return !slices.ContainsFunc(keys, func(key string) bool {
		return key != corev1.LabelHostname && key != corev1.LabelTopologyZone && key != corev1.LabelTopologyRegion
	})
}

// unplannable returns why nobody may plan for the pod now, or nothing.
func unplannable(pod *corev1.Pod, schedulers []string) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "is being deleted"
	case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		return "has terminated"
	case len(pod.Spec.SchedulingGates) > 0:
		var gates []string
		for _, gate := range pod.Spec.SchedulingGates {
			gates = append(gates, fmt.Sprintf("%q", gate.Name))
		}
		slices.Sort(gates)
		return "waits for its scheduling gates " + strings.Join(gates, ", ")
	case IsHeadroom(nameOf(pod)): // it is nobody's, so whose pods are planned for makes no difference
	case !slices.Contains(schedulers, cmp.Or(pod.Spec.SchedulerName, corev1.DefaultSchedulerName)):
		return fmt.Sprintf("is for scheduler %q; planned for: %s", pod.Spec.SchedulerName, strings.Join(schedulers, ", "))
	}
	return ""
}
