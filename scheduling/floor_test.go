// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/workload"
)

func TestLowerBound(t *testing.T) {
	small, large := build.MakeOffering("Small", 2, 4, 7.2), build.MakeOffering("Large", 8, 16, 21.6) // 0.01 and 0.03 per hour
	running := func(names ...string) []*corev1.Pod {
		var pods []*corev1.Pod
		for _, name := range names {
			pods = append(pods, build.MakePod(name).CPU("1500m").On("old").Obj())
		}
		return pods
	}
	other := func(name string) []*corev1.Pod {
		return []*corev1.Pod{build.MakePod(name).CPU("1500m").With(func(p *corev1.Pod) { p.Spec.SchedulerName = "other" }).Obj()}
	}
	replicas := func(app string, n int, cpu string, change func(*build.Pod)) (pods []*corev1.Pod) {
		for i := range n {
			pod := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(cpu)
			change(pod)
			pods = append(pods, pod.Obj())
		}
		return pods
	}
	apart := func(p *build.Pod) { p.Apart(corev1.LabelHostname, "lone") }
	spread := func(p *build.Pod) { p.Spread(corev1.LabelHostname, "even") }
	tiny := build.MakeOffering("Tiny", 1, 2, 0.72) // 0.001 per hour
	group := build.MakeNodeGroup("general")
	cases := map[string]struct {
		pods      []*corev1.Pod
		group     *build.NodeGroup
		offerings []*build.Offering
		nodes     []*corev1.Node
		want      float64 // per hour
	}{
		"without pods it is nothing":               {group: group, offerings: []*build.Offering{small}},
		"one pod needs the cheapest machine":       {pods: running("a"), group: group, offerings: []*build.Offering{large, small}, want: 0.01},
		"five pods need less as one large":         {pods: running("a", "b", "c", "d", "e"), group: group, offerings: []*build.Offering{large, small}, want: 0.03},
		"an empty stock does not raise it":         {pods: running("a"), group: group, offerings: []*build.Offering{large, build.MakeOffering("Small", 2, 4, 7.2).Unavailable()}, want: 0.01},
		"nor does a pause or a limit lower it":     {pods: running("a", "b"), group: build.MakeNodeGroup("g").MaxNodes(0).LimitCPU("1").Paused(v1alpha1.PauseAll), offerings: []*build.Offering{small}, want: 0.02},
		"the constraints of the group count":       {pods: running("a"), group: build.MakeNodeGroup("g").Offerings("Large"), offerings: []*build.Offering{large, small}, want: 0.03},
		"a pod that no machine holds is left out":  {pods: append(running("a"), build.MakePod("huge").CPU("64").Obj()), group: group, offerings: []*build.Offering{small}, want: 0.01},
		"whose scheduler a pod has does not count": {pods: append(running("a"), other("b")...), group: group, offerings: []*build.Offering{small}, want: 0.02},
		"where others need three machines, three pods that are spread over hosts are on three": {
			pods: append(replicas("lone", 3, "100m", apart), replicas("even", 3, "1500m", spread)...), group: group, offerings: []*build.Offering{tiny, large}, want: 0.09,
		},
		"a spread without a selector counts no pod, and leaves all on one": {
			pods: replicas("even", 4, "100m", func(p *build.Pod) {
				p.Spread(corev1.LabelHostname, "even").Constraint(func(c *corev1.TopologySpreadConstraint) { c.LabelSelector = &metav1.LabelSelector{} })
			}),
			nodes: []*corev1.Node{build.MakeNode("old").Allocatable("2", "4Gi", "110").Obj()}, group: group, offerings: []*build.Offering{small}, want: 0.01,
		},
		"where others need one, they are": {
			pods: append(replicas("lone", 1, "100m", apart), replicas("even", 3, "1500m", spread)...), group: group, offerings: []*build.Offering{tiny, large}, want: 0.03,
		},
		"a pod that others keep away from needs a machine of its own": {
			pods:  append(replicas("a", 1, "100m", func(p *build.Pod) { p.Apart(corev1.LabelHostname, "b") }), replicas("b", 1, "100m", func(*build.Pod) {})...),
			group: group, offerings: []*build.Offering{small, large}, want: 0.02,
		},
		"a pod on a node that stays is held already": {
			pods: running("a"), group: group, offerings: []*build.Offering{small}, nodes: []*corev1.Node{build.MakeNode("old").Allocatable("2", "4Gi", "110").Obj()},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster, err := snapshot.New(snapshot.Objects{Nodes: tc.nodes, Pods: tc.pods})
			if err != nil {
				t.Fatal(err)
			}
			ng := tc.group.Obj()
			before := ng.DeepCopy()
			in := scheduling.Input{Cluster: cluster, Pods: tc.pods, Groups: []scheduling.Group{{NodeGroup: ng, Nodes: 9}}}
			for _, o := range tc.offerings {
				in.Offerings = append(in.Offerings, o.Obj())
			}
			got, err := scheduling.LowerBound(in)
			if err != nil {
				t.Fatal(err)
			}
			// A part in 10^9 is given away for rounding.
			if want := scheduling.PerHour(tc.want); got > want || got < want-10 {
				t.Errorf("lower bound is %s, want %s", got.Decimal(), want.Decimal())
			}
			if ng.Spec.Paused != before.Spec.Paused || (ng.Spec.Limits == nil) != (before.Spec.Limits == nil) {
				t.Error("the input was changed")
			}
		})
	}
}

func TestTheLowerBoundIsBelowEveryPlan(t *testing.T) {
	compared := 0
	for seed := range uint64(scenarios) {
		in := randomScenario(seed).input(t)
		plan := solve(t, in)
		if len(plan.Rejections) > 0 {
			continue // both leave pods out, but not the same
		}
		launched := map[string]bool{}
		for _, launch := range plan.Launches {
			for _, pod := range launch.Pods {
				launched[pod.String()] = true
			}
		}
		var pods []*corev1.Pod
		for _, pod := range in.Pods {
			if launched[pod.Namespace+"/"+pod.Name] {
				pods = append(pods, pod)
			}
		}
		in.Pods = pods
		got, err := scheduling.LowerBound(in)
		if err != nil {
			t.Fatal(err)
		}
		if got > plan.Cost {
			t.Errorf("seed %d: lower bound %s is above the cost %s of a plan that holds all pods", seed, got.Decimal(), plan.Cost.Decimal())
		}
		if got > 0 {
			compared++
		}
	}
	if compared < scenarios/10 {
		t.Errorf("only %d plans were compared", compared)
	}
}

// A deadline makes plans dearer, and says so: a bound that it cut as well would tell of a gap that is not there.
func TestAStoppedSearchStillHasABoundWorthShowing(t *testing.T) {
	cluster, err := snapshot.New(snapshot.Objects{})
	if err != nil {
		t.Fatal(err)
	}
	in := scheduling.Input{
		Cluster: cluster, Pods: workload.Pending(1, 2000, 60), Offerings: workload.Offerings(1, 200),
		Groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
	}
	full := solve(t, in)
	in.Stop = func() bool { return true }
	stopped := solve(t, in)
	if len(stopped.Rejections) > 0 {
		t.Errorf("%d pods are refused; want a whole plan", len(stopped.Rejections))
	}
	if stopped.LowerBound > min(full.Cost, stopped.Cost) || float64(stopped.LowerBound) < 0.99*float64(full.LowerBound) {
		t.Errorf("the bound is %s, want it near that of a whole search, %s, and not above the costs %s and %s",
			stopped.LowerBound, full.LowerBound, full.Cost, stopped.Cost)
	}
	if again := solve(t, in); again.LowerBound != stopped.LowerBound {
		t.Errorf("the bound is %s, then %s", stopped.LowerBound, again.LowerBound)
	}
}
