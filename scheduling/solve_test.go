// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/series"
)

var scenarios = series.Length(150) // that are tried of each kind

func solve(t testing.TB, in scheduling.Input) scheduling.Plan {
	t.Helper()
	plan, err := scheduling.Solve(in)
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Verified || plan.Refused > 0 {
		t.Errorf("verified %v, and the last check refused %d placements; want none, ever", plan.Verified, plan.Refused)
	}
	if plan.LowerBound > plan.Cost {
		t.Errorf("the bound %s is above the cost %s", plan.LowerBound.Decimal(), plan.Cost.Decimal())
	}
	return plan
}

func asJSON(t *testing.T, plan scheduling.Plan) string {
	t.Helper()
	text, err := json.MarshalIndent(plan, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func picture(s *snapshot.Snapshot) string {
	var b strings.Builder
	for _, node := range s.Nodes() {
		fmt.Fprint(&b, node.Name)
		for _, pod := range s.PodsOn(node.Name) {
			fmt.Fprint(&b, " ", pod.Name)
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func TestRandomPlansKeepThePromises(t *testing.T) {
	launches, placements, rejections := 0, 0, 0
	for seed := range uint64(scenarios) {
		s := randomScenario(seed)
		in := s.input(t)
		before := picture(in.Cluster)
		plan := solve(t, in)
		if diff := cmp.Diff(before, picture(in.Cluster)); diff != "" {
			t.Fatalf("seed %d: Solve changed its input (-before +after):\n%s", seed, diff)
		}
		checkEveryPodOnce(t, seed, in, plan)
		checkLaunches(t, seed, in, plan)
		checkLimits(t, seed, in, plan)
		if plan.LowerBound > plan.Cost {
			t.Errorf("seed %d: lower bound %s above cost %s", seed, plan.LowerBound, plan.Cost)
		}
		if diff := cmp.Diff(asJSON(t, plan), asJSON(t, solve(t, s.permuted(seed).input(t)))); diff != "" {
			t.Errorf("seed %d: the same input in another order gives another plan (-first +second):\n%s", seed, diff)
		}
		launches, placements, rejections = launches+len(plan.Launches), placements+len(plan.Placements), rejections+len(plan.Rejections)
	}
	t.Logf("%d launches, %d placements, %d rejections", launches, placements, rejections)
	if launches < scenarios || placements < 10*scenarios || rejections < scenarios/2 {
		t.Error("the scenarios do not try enough")
	}
}

func checkEveryPodOnce(t *testing.T, seed uint64, in scheduling.Input, plan scheduling.Plan) {
	t.Helper()
	seen := map[types.NamespacedName]int{}
	for _, p := range plan.Placements {
		seen[p.Pod]++
	}
	for _, r := range plan.Rejections {
		seen[r.Pod]++
		if r.Message == "" || len(r.Reasons) == 0 {
			t.Errorf("seed %d: pod %s is rejected without a reason: %+v", seed, r.Pod, r)
		}
		if strings.Contains(r.Message, "could hold the pod") {
			t.Errorf("seed %d: pod %s is rejected though a machine could be bought for it", seed, r.Pod)
		}
	}
	for _, pod := range in.Pods {
		if key := (types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}); seen[key] != 1 {
			t.Errorf("seed %d: pod %s is placed or rejected %d times", seed, key, seen[key])
		}
	}
	if len(seen) != len(in.Pods) {
		t.Errorf("seed %d: %d pods in the plan, %d in the input", seed, len(seen), len(in.Pods))
	}
}

func checkLaunches(t *testing.T, seed uint64, in scheduling.Input, plan scheduling.Plan) {
	t.Helper()
	onLaunch := map[string]int{}
	for _, p := range plan.Placements {
		if !in.Cluster.Has(p.Node) {
			onLaunch[p.Node]++
		}
	}
	total := scheduling.Price(0)
	for _, launch := range plan.Launches {
		if in.Cluster.Has(launch.Name) || len(launch.Pods) == 0 || len(launch.Pods) != onLaunch[launch.Name] || launch.Why == "" {
			t.Errorf("seed %d: launch %+v with %d placements", seed, launch, onLaunch[launch.Name])
		}
		for i, o := range launch.Offerings {
			if !o.Available || (i > 0 && scheduling.CompareOfferings(launch.Offerings[i-1], o) >= 0) || o.Datacenter != launch.Offerings[0].Datacenter {
				t.Errorf("seed %d: offerings of launch %s: %+v", seed, launch.Name, launch.Offerings)
			}
		}
		delete(onLaunch, launch.Name)
		total += launch.Offerings[0].Price
	}
	if len(onLaunch) > 0 || total != plan.Cost {
		t.Errorf("seed %d: placements on nothing: %v; cost %s, sum %s", seed, onLaunch, plan.Cost, total)
	}
}

func checkLimits(t *testing.T, seed uint64, in scheduling.Input, plan scheduling.Plan) {
	t.Helper()
	for _, g := range in.Groups {
		used := g
		for _, launch := range plan.Launches {
			if launch.Group == g.NodeGroup.Name {
				used.Nodes++
				used.CPUMilli += launch.Offerings[0].CPUMilli
				used.MemoryMiB += launch.Offerings[0].MemoryMiB
				used.Cost += launch.Offerings[0].Price
			}
		}
		spec := g.NodeGroup.Spec
		exceeded := used.Nodes > g.Nodes && spec.MaxNodes != nil && used.Nodes > int(*spec.MaxNodes)
		if limits := spec.Limits; limits != nil && used.Nodes > g.Nodes {
			exceeded = exceeded || (limits.Nodes != nil && used.Nodes > int(*limits.Nodes)) ||
				(limits.CPU != nil && used.CPUMilli > limits.CPU.MilliValue()) ||
				(limits.Memory != nil && used.MemoryMiB<<20 > limits.Memory.Value()) ||
				(limits.CostPerHour != nil && used.Cost.Float() > parsePrice(t, string(*limits.CostPerHour)))
		}
		if exceeded {
			t.Errorf("seed %d: group %s exceeds its limits: %+v", seed, g.NodeGroup.Name, used)
		}
	}
}

func parsePrice(t *testing.T, text string) float64 {
	t.Helper()
	var price float64
	if _, err := fmt.Sscanf(text, "%g", &price); err != nil {
		t.Fatal(err)
	}
	return price
}

func TestSolveLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	s := randomScenario(3)
	solve(t, s.input(t))
	goleak.VerifyNone(t, before)
}

func TestDegenerateInputs(t *testing.T) {
	pod := build.MakePod("p").CPU("1").Obj()
	group := []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}}
	for name, c := range map[string]struct {
		pods      []*corev1.Pod
		groups    []scheduling.Group
		offerings []scheduling.Offering
		want      string // of the only rejection
	}{
		"no pods":      {nil, group, build.Catalogue(), ""},
		"no groups":    {[]*corev1.Pod{pod}, nil, build.Catalogue(), "fits on no node, and there is no node group that may grow"},
		"no offerings": {[]*corev1.Pod{pod}, group, nil, `node group "general" has no offering: the cloud offers no sizes`},
		"a pod that is given twice": {
			[]*corev1.Pod{pod, pod}, nil, nil, "fits on no node, and there is no node group that may grow",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := scenario{pods: c.pods, groups: c.groups, offerings: c.offerings}.input(t)
			plan := solve(t, in)
			var got []string
			for _, r := range plan.Rejections {
				got = append(got, r.Message)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "|")); diff != "" || len(plan.Launches) > 0 {
				t.Errorf("%d launches, rejections (-want +got):\n%s", len(plan.Launches), diff)
			}
		})
	}
}

func TestPodsOfARemovedNodeArePlacedAgain(t *testing.T) {
	pods := []*corev1.Pod{
		build.MakePod("a").CPU("1").On("leaving").Obj(), build.MakePod("b").CPU("3500m").On("leaving").Obj(),
	}
	in := scenario{
		objects:   snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("leaving").Allocatable("8", "16Gi", "110").Obj(), build.MakeNode("staying").Obj()}, Pods: pods},
		pods:      pods,
		groups:    []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
		offerings: build.Catalogue(),
	}.input(t)
	if plan := solve(t, in); len(plan.Launches) != 0 || plan.Placements[0].Node != "leaving" {
		t.Errorf("pods that run are not moved: %+v", plan)
	}
	in.Cluster.Fork()
	if err := in.Cluster.RemoveNode("leaving"); err != nil {
		t.Fatal(err)
	}
	plan := solve(t, in)
	if len(plan.Placements) != 2 || plan.Placements[1].Node != "staying" || len(plan.Launches) != 1 || plan.Launches[0].Offerings[0].Name != "Starter" {
		t.Errorf("want b on the node that stays and a on a Starter, got %s", asJSON(t, plan))
	}
	in.Cluster.Revert()
}

func TestAPodThatKubeSchedulerNominatedKeepsItsRoom(t *testing.T) {
	nominated := build.MakePod("nominated").CPU("3").Obj()
	nominated.Status.NominatedNodeName = "old"
	other := build.MakePod("other").CPU("3").Obj()
	plan := solve(t, scenario{
		objects: snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("old").Obj()}, Pods: []*corev1.Pod{nominated, other}},
		pods:    []*corev1.Pod{nominated, other},
	}.input(t))
	if len(plan.Placements) != 1 || plan.Placements[0].Pod.Name != "nominated" || len(plan.Rejections) != 1 {
		t.Errorf("got %s", asJSON(t, plan))
	}
}

// schedulerOf reads profiles, given as a YAML list.
func schedulerOf(t *testing.T, profiles string) *simulate.Scheduler {
	t.Helper()
	text := "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n" + profiles
	s, err := simulate.ReadScheduler("scheduler.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAPodOfOurOwnSchedulerIsPlannedFor(t *testing.T) {
	pod := build.MakePod("p").With(func(p *corev1.Pod) { p.Spec.SchedulerName = "vpsie-scheduler" }).Obj()
	in := scenario{objects: snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}}, pods: []*corev1.Pod{pod}}.input(t)
	if plan := solve(t, in); len(plan.Rejections) != 1 {
		t.Errorf("planned for a scheduler that nobody named: %s", asJSON(t, plan))
	}
	in.Scheduler = schedulerOf(t, "- schedulerName: default-scheduler\n- schedulerName: vpsie-scheduler\n")
	if plan := solve(t, in); len(plan.Placements) != 1 {
		t.Errorf("not planned for: %s", asJSON(t, plan))
	}
}
