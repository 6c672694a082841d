// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// withPolicies is the scenario with what groups and pods may ask for beside what they need.
func (s scenario) withPolicies(seed uint64) scenario {
	t := trial.Trial{Objects: s.objects, Pods: s.pods, Groups: s.groups, Offerings: s.offerings}
	t.AddPolicies(seed)
	return scenario{objects: t.Objects, pods: t.Pods, groups: t.Groups, offerings: t.Offerings}
}

// unconcerned is the same scenario with pods that prefer nothing, and groups that have nothing to be avoided.
func (s scenario) unconcerned() scenario {
	changed := map[*corev1.Pod]*corev1.Pod{}
	strip := func(pods []*corev1.Pod) (stripped []*corev1.Pod) {
		for _, pod := range pods {
			if changed[pod] == nil {
				changed[pod] = withoutPreferences(pod)
			}
			stripped = append(stripped, changed[pod])
		}
		return stripped
	}
	s.pods, s.objects.Pods, s.groups = strip(s.pods), strip(s.objects.Pods), slices.Clone(s.groups)
	for i := range s.groups {
		s.groups[i].NodeGroup = s.groups[i].NodeGroup.DeepCopy()
		taints := &s.groups[i].NodeGroup.Spec.Template.Taints
		*taints = slices.DeleteFunc(*taints, func(taint v1alpha1.Taint) bool { return taint.Effect == corev1.TaintEffectPreferNoSchedule })
	}
	return s
}

func withoutPreferences(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	if affinity := pod.Spec.Affinity; affinity != nil {
		if affinity.NodeAffinity != nil {
			affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = nil
		}
		if affinity.PodAffinity != nil {
			affinity.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = nil
		}
		if affinity.PodAntiAffinity != nil {
			affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = nil
		}
	}
	var strict []corev1.TopologySpreadConstraint
	for _, constraint := range pod.Spec.TopologySpreadConstraints {
		if constraint.WhenUnsatisfiable == corev1.DoNotSchedule {
			strict = append(strict, constraint)
		}
	}
	pod.Spec.TopologySpreadConstraints = strict
	return pod
}

func TestRandomPlansKeepToWhatGroupsAskFor(t *testing.T) {
	launches, bounded, chosen := 0, 0, 0
	for seed := range uint64(scenarios) {
		s := randomScenario(seed).withPolicies(seed)
		in := s.input(t)
		plan := solve(t, in)
		launches += len(plan.Launches)
		bounded += checkShares(t, seed, in, plan)
		chosen += checkChoice(t, seed, in, plan)
		checkLaunches(t, seed, in, plan)
		checkLimits(t, seed, in, plan)
		if plan.LowerBound > plan.Cost {
			t.Errorf("seed %d: lower bound %s above cost %s", seed, plan.LowerBound, plan.Cost)
		}
		if diff := cmp.Diff(asJSON(t, plan), asJSON(t, solve(t, s.permuted(seed).input(t)))); diff != "" {
			t.Errorf("seed %d: the same input in another order gives another plan (-first +second):\n%s", seed, diff)
		}
	}
	t.Logf("%d launches, %d nodes as full of a workload as they may be, %d launches with a choice", launches, bounded, chosen)
	if launches < scenarios || bounded < scenarios/4 || chosen < scenarios/4 {
		t.Error("the scenarios do not try enough")
	}
}

// checkShares counts the nodes that hold as much of a workload as their group allows.
func checkShares(t *testing.T, seed uint64, in scheduling.Input, plan scheduling.Plan) (bounded int) {
	t.Helper()
	groups, onGroup := map[string]*v1alpha1.NodeGroup{}, map[string]*v1alpha1.NodeGroup{}
	for _, group := range in.Groups {
		groups[group.NodeGroup.Name] = group.NodeGroup
	}
	for _, launch := range plan.Launches {
		onGroup[launch.Name] = groups[launch.Group]
	}
	for _, node := range in.Cluster.Nodes() {
		onGroup[node.Name] = groups[node.Labels[v1alpha1.NodeGroupLabel]]
	}
	placed := map[types.NamespacedName]string{}
	for _, p := range plan.Placements {
		placed[p.Pod] = p.Node
	}
	type key struct{ workload, node string }
	totals, planned, there := map[string]int{}, map[key]int{}, map[key]int{}
	for _, pod := range in.Cluster.Objects().Pods {
		if len(pod.OwnerReferences) == 0 {
			continue
		}
		workload := pod.OwnerReferences[0].Name
		totals[workload]++
		if pod.Spec.NodeName != "" {
			there[key{workload, pod.Spec.NodeName}]++
		} else if node := placed[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]; node != "" {
			planned[key{workload, node}]++
		}
	}
	for at, pods := range planned {
		group := onGroup[at.node]
		if group == nil || group.Spec.MaxWorkloadShare == nil {
			continue
		}
		most := max(totals[at.workload]*int(*group.Spec.MaxWorkloadShare)/100, 1)
		switch pods += there[at]; {
		case pods > most:
			t.Errorf("seed %d: node %s holds %d of %d pods of %s; its group allows %d", seed, at.node, pods, totals[at.workload], at.workload, most)
		case pods == most:
			bounded++
		}
	}
	return bounded
}

// checkChoice counts the launches of groups that ask for a choice.
func checkChoice(t *testing.T, seed uint64, in scheduling.Input, plan scheduling.Plan) (chosen int) {
	t.Helper()
	for _, launch := range plan.Launches {
		for _, group := range in.Groups {
			for _, requirement := range group.NodeGroup.Spec.Template.Requirements {
				if group.NodeGroup.Name != launch.Group || requirement.MinValues == nil {
					continue
				}
				chosen++
				values, ids := map[string]bool{}, map[string]bool{}
				for _, o := range launch.Offerings {
					values[scheduling.OfferingLabels(o)[requirement.Key]] = true
					if ids[o.ID] || o.Datacenter != launch.Offerings[0].Datacenter {
						t.Errorf("seed %d: %s offers %s in %s twice or in another datacenter", seed, launch.Name, o.Name, o.Datacenter)
					}
					ids[o.ID] = true
				}
				if len(values) < int(*requirement.MinValues) {
					t.Errorf("seed %d: %s has %d values of %s, want %d", seed, launch.Name, len(values), requirement.Key, *requirement.MinValues)
				}
			}
		}
	}
	return chosen
}

func TestPreferencesBuyNothingByThemselves(t *testing.T) {
	differ := 0
	for seed := range uint64(scenarios) {
		s := randomScenario(seed).withPolicies(seed)
		for i := range s.groups {
			s.groups[i].NodeGroup.Spec.PreferencePrice = nil
		}
		plan, plain := solve(t, s.input(t)), solve(t, s.unconcerned().input(t))
		if plan.Cost > plain.Cost {
			t.Errorf("seed %d: the plan costs %s, and %s if the pods prefer nothing", seed, plan.Cost.Decimal(), plain.Cost.Decimal())
		}
		if len(plan.Rejections) > len(plain.Rejections) { // a move may make room for others
			t.Errorf("seed %d: %d rejections, and %d if the pods prefer nothing", seed, len(plan.Rejections), len(plain.Rejections))
		}
		if !cmp.Equal(asJSON(t, plan), asJSON(t, plain)) {
			differ++
		}
	}
	if differ < scenarios/8 {
		t.Errorf("of %d plans %d differ; want more that do what pods prefer", scenarios, differ)
	}
}
