// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/apimachinery/pkg/types"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// gang is a pod group of which all pods start, or enough of them, or none. A machine for some of them only would stand idle.
type gang struct {
	name     types.NamespacedName
	least    int
	there    int // pods that exist
	placed   int // of them on a node, before the plan
	pending  []*corev1.Pod
	priority int32
	discord  string // why kube-scheduler never tries them, however many there are
}

// withGangs makes a plan that leaves out every gang of which not enough pods find a place: the least important first, because without it
// there may be room for the next.
func withGangs(in Input, solve func(Input) (Plan, error)) (Plan, error) {
	gangs, waiting := gangsOf(in)
	in.Pods = without(in.Pods, waiting)
	refused := 0
	for {
		plan, err := solve(in)
		if err != nil {
			return Plan{}, err
		}
		refused += plan.Refused
		broken, why := firstBroken(gangs, plan)
		if broken == nil {
			plan.Refused, plan.Rejections = refused, append(plan.Rejections, waiting...)
			plan.sort()
			return plan, nil
		}
		left := broken.reject(why)
		waiting, in.Pods = append(waiting, left...), without(in.Pods, left)
		gangs = slices.DeleteFunc(gangs, func(g *gang) bool { return g == broken })
	}
}

func (g *gang) reject(why string) []Rejection {
	var all []Rejection
	for _, pod := range g.pending {
		all = append(all, Rejection{Pod: nameOf(pod), Message: why, Reasons: []string{why}})
	}
	return all
}

// gangsOf returns the gangs among the pods, least important first, and rejects those that kube-scheduler does not even try.
func gangsOf(in Input) (gangs []*gang, waiting []Rejection) {
	if !simulate.Gangs() {
		return nil, nil
	}
	least, groups := groupsOf(in)
	byName := map[types.NamespacedName]*gang{}
	of := func(pod *corev1.Pod) *gang {
		name, member := groupOf(pod)
		if !member {
			return nil
		}
		if byName[name] == nil {
			byName[name] = &gang{name: name, least: least[name]}
			gangs = append(gangs, byName[name])
		}
		return byName[name]
	}
	pending := map[types.NamespacedName]bool{}
	for _, pod := range in.Pods {
		if g := of(pod); g != nil && !pending[nameOf(pod)] {
			pending[nameOf(pod)] = true
			g.there++
			g.pending = append(g.pending, pod)
			g.priority = max(g.priority, schedulinghelper.PodPriority(pod))
			g.compare(groups[g.name], pod)
		}
	}
	for _, pod := range in.Cluster.Objects().Pods {
		if name, member := groupOf(pod); member && !pending[nameOf(pod)] && byName[name] != nil {
			byName[name].there++
			byName[name].compare(groups[name], pod)
			if _, placed := in.Cluster.NodeOf(pod); placed {
				byName[name].placed++
			}
		}
	}
	slices.SortFunc(gangs, func(a, b *gang) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), compareNames(b.name, a.name))
	})
	gangs = slices.DeleteFunc(gangs, func(g *gang) bool {
		switch _, known := least[g.name]; {
		case !known:
			waiting = append(waiting, g.reject(fmt.Sprintf("waits for its pod group %q, which does not exist", g.name))...)
			return true
		case g.there < g.least:
			waiting = append(waiting, g.reject(fmt.Sprintf(
				"its pod group %q starts with at least %d pods, of which %d exist", g.name, g.least, g.there))...)
			return true
		case g.discord != "":
			waiting = append(waiting, g.reject(g.discord)...)
			return true
		}
		return false
	})
	return gangs, waiting
}

// groupsOf returns the pod groups, and how many pods each starts with.
func groupsOf(in Input) (least map[types.NamespacedName]int, groups map[types.NamespacedName]*schedulingv1beta1.PodGroup) {
	least, groups = map[types.NamespacedName]int{}, map[types.NamespacedName]*schedulingv1beta1.PodGroup{}
	for _, group := range in.Cluster.Objects().PodGroups {
		name := types.NamespacedName{Namespace: group.Namespace, Name: group.Name}
		groups[name] = group
		if least[name] = 0; group.Spec.SchedulingPolicy.Gang != nil {
			least[name] = int(group.Spec.SchedulingPolicy.Gang.MinCount)
		}
	}
	return least, groups
}

// compare finds out whether kube-scheduler tries the group's pods at all: it insists on one priority, that of the group, which the API server
// works out. A machine for them would stand idle.
func (g *gang) compare(group *schedulingv1beta1.PodGroup, pod *corev1.Pod) {
	if group == nil || group.Spec.Priority == nil || g.discord != "" {
		return
	}
	if want, has := *group.Spec.Priority, schedulinghelper.PodPriority(pod); want != has {
		g.discord = fmt.Sprintf("its pod group %q has priority %d and pod %q has %d: kube-scheduler starts none of them; give both the same priorityClassName",
			g.name, want, pod.Name, has)
	}
}

func groupOf(pod *corev1.Pod) (types.NamespacedName, bool) {
	group := pod.Spec.SchedulingGroup
	if group == nil || group.PodGroupName == nil {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: pod.Namespace, Name: *group.PodGroupName}, true
}

// firstBroken returns the least important gang that the plan places too few pods of, and why.
func firstBroken(gangs []*gang, plan Plan) (*gang, string) {
	placed := make(map[types.NamespacedName]bool, len(plan.Placements))
	for _, p := range plan.Placements {
		placed[p.Pod] = true
	}
	for _, g := range gangs {
		count := g.placed
		for _, pod := range g.pending {
			if placed[nameOf(pod)] {
				count++
			}
		}
		if count >= g.least {
			continue
		}
		missing := ""
		for _, r := range plan.Rejections {
			if slices.ContainsFunc(g.pending, func(pod *corev1.Pod) bool { return nameOf(pod) == r.Pod }) {
				missing = r.Message
				break
			}
		}
		return g, fmt.Sprintf("its pod group %q starts with at least %d pods, and only %d would have a place; the others: %s",
			g.name, g.least, count, missing)
	}
	return nil, ""
}

func without(pods []*corev1.Pod, rejected []Rejection) []*corev1.Pod {
	out := make(map[types.NamespacedName]bool, len(rejected))
	for _, r := range rejected {
		out[r.Pod] = true
	}
	return slices.DeleteFunc(slices.Clone(pods), func(pod *corev1.Pod) bool { return out[nameOf(pod)] })
}
