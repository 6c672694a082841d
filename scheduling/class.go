// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// The resources that every class and every machine has. Others (devices, huge pages) follow where some class requests them.
const (
	cpu      = ledger.CPU // milli
	memory   = ledger.Memory
	podSlots = ledger.PodSlots
	disk     = ledger.Disk
)

// class is a set of pods that are equal to kube-scheduler: what holds for one holds for its twins.
type class struct {
	shape    *snapshot.Shape
	pods     []*corev1.Pod // in the order of comparePending
	requests corev1.ResourceList
	vector   pack.Vector
	priority int32
	// relational: a refusal may turn into a yes when another pod is placed, because of a required affinity or a strict spread.
	// For all other classes a node that said no keeps saying no while nothing leaves it.
	relational bool
	// opaque: it takes volumes or devices, which are not counted. Its pods are placed one by one by the plugins.
	opaque bool
	// alien: its scheduler's plugins are not those that the book foresees. It is opaque too.
	alien bool

	still    *still             // what nodes look like to it, other pods and its requests aside
	verdicts []simulate.Verdict // by candidate: on an empty machine, relations to other pods aside
	allowed  []bool             // by candidate: whether the verdict is yes
	// fits and conceivable are by candidate too: whether an empty machine would hold it, to be bought or to fall back on; and whether some
	// machine of that offering may be bought for it. nil where no group asks for a choice: then both are what is allowed.
	fits, conceivable []bool
	barred            []bool // by candidate: pods that run now keep it away; nil where none do
	perMachine        int    // how many of them one machine may hold, whatever its size; 0: any number
}

// admitted says which candidates may hold the class whatever else is planned.
func (c *class) admitted() []bool {
	admitted := c.allowed
	if c.conceivable != nil {
		admitted = c.conceivable
	}
	if c.barred == nil {
		return admitted
	}
	admitted = slices.Clone(admitted)
	for i := range admitted {
		admitted[i] = admitted[i] && !c.barred[i]
	}
	return admitted
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
	return max(requests.Cpu().MilliValue()*2*gibibyte/1000, requests.Memory().Value())
}

func requestsOf(pod *corev1.Pod) corev1.ResourceList {
	return resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
}

// classify sorts pods into classes, in the order of their first pods.
func classify(shapes *snapshot.Shapes, pods []*corev1.Pod) ([]*class, error) {
	var classes []*class
	byShape := map[*snapshot.Shape]*class{}
	for _, pod := range pods {
		shape, err := shapes.Of(pod)
		if err != nil {
			return nil, fmt.Errorf("classifying: %w", err)
		}
		c, known := byShape[shape]
		if !known {
			c = &class{
				shape: shape, requests: requestsOf(pod), priority: schedulinghelper.PodPriority(pod),
				relational: relational(pod), opaque: simulate.Reserves(pod),
			}
			byShape[shape] = c
			classes = append(classes, c)
		}
		c.pods = append(c.pods, pod)
	}
	size := make(map[*class]int64, len(classes))
	for _, c := range classes {
		size[c] = sizeOf(c.requests)
		slices.SortFunc(c.pods, snapshot.ComparePods)
		c.pods = slices.CompactFunc(c.pods, func(a, b *corev1.Pod) bool { return nameOf(a) == nameOf(b) })
	}
	slices.SortFunc(classes, func(a, b *class) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(size[b], size[a]), snapshot.ComparePods(a.pods[0], b.pods[0]))
	})
	return classes, nil
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
