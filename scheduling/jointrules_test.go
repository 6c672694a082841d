// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// checkJoint checks what holds for every plan with optional nodes: it costs what it says, no less than its bound, no more than a plan in
// which everything stays and as many pods have a place, and has a place for every pod that ran.
func checkJoint(t *testing.T, name string, in scheduling.Input, plan scheduling.Plan) {
	t.Helper()
	still := in
	still.Optional = nil
	stay := solve(t, still)
	cost, home := scheduling.Price(0), map[string]string{}
	for _, launch := range plan.Launches {
		cost += launch.Offerings[0].Price + in.NodeCost
	}
	places := map[string]string{}
	for _, p := range plan.Placements {
		places[p.Pod.Name] = p.Node
		if slices.Contains(plan.Removed, p.Node) {
			t.Errorf("%s: pod %s goes to node %s, which goes", name, p.Pod, p.Node)
		}
	}
	for _, o := range in.Optional {
		stay.Cost += o.Price + in.NodeCost
		gone := slices.Contains(plan.Removed, o.Name)
		if !gone {
			cost += o.Price + in.NodeCost
		}
		for _, pod := range in.Cluster.PodsOn(o.Name) {
			home[pod.Name] = o.Name
			_, moves := places[pod.Name]
			switch {
			case pod.Annotations[immovable] == "" && gone && !moves:
				t.Errorf("%s: pod %s ran on node %s, which goes, and has no place", name, pod.Name, o.Name)
			case pod.Annotations[immovable] != "" && (moves || (gone && len(pod.OwnerReferences) == 0 && len(pod.Annotations) == 1)):
				t.Errorf("%s: pod %s may not move, and does", name, pod.Name)
			case places[pod.Name] == o.Name && !slices.ContainsFunc(in.Pods, func(p *corev1.Pod) bool { return p.Name == pod.Name }):
				t.Errorf("%s: pod %s is moved to where it is", name, pod.Name)
			}
		}
	}
	for _, r := range plan.Rejections {
		if home[r.Pod.Name] != "" {
			t.Errorf("%s: pod %s ran and is rejected: %s", name, r.Pod, r.Message)
		}
		if !slices.ContainsFunc(stay.Rejections, func(other scheduling.Rejection) bool { return other.Pod == r.Pod }) {
			t.Errorf("%s: pod %s is rejected, and is not where everything stays: %s", name, r.Pod, r.Message)
		}
	}
	if cost != plan.Cost {
		t.Errorf("%s: cost %s, sum %s", name, plan.Cost, cost)
	}
	if plan.LowerBound > plan.Cost {
		t.Errorf("%s: lower bound %s above cost %s", name, plan.LowerBound, plan.Cost)
	}
	if len(plan.Rejections) == len(stay.Rejections) && plan.Cost > stay.Cost {
		t.Errorf("%s: cost %s; where everything stays %s", name, plan.Cost, stay.Cost)
	}
	better := plan.Cost < stay.Cost || len(plan.Rejections) < len(stay.Rejections)
	if moves := len(plan.Placements) - len(stay.Placements); !better && (moves > 0 || len(plan.Removed) > 0) {
		t.Errorf("%s: %d pods move for nothing: %s", name, moves, lines(plan))
	}
	checkLaunches(t, 0, scheduling.Input{Cluster: in.Cluster}, costOfLaunches(plan))
}

// costOfLaunches is the plan without what stays.
func costOfLaunches(plan scheduling.Plan) scheduling.Plan {
	plan.Cost = 0
	for _, launch := range plan.Launches {
		plan.Cost += launch.Offerings[0].Price
	}
	return plan
}

func TestOptionalNodesThatAreNotThereAreRefused(t *testing.T) {
	in := scenario{objects: snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}}}.input(t)
	for want, optional := range map[string][]scheduling.OptionalNode{
		`planning with 1 optional nodes: optional node "b" is not in the picture`: {{Name: "b"}},
		`planning with 2 optional nodes: optional node "a" is given twice`:        {{Name: "a"}, {Name: "a"}},
	} {
		in.Optional = optional
		if _, err := scheduling.Solve(in); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestMovesWeighAgainstSavings(t *testing.T) {
	in := rack{
		nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
		running: []*build.Pod{pod("x1", "1", "1Gi", "a"), pod("x2", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "b"), pod("y2", "1", "1Gi", "b")},
	}.input(t)
	for weight, want := range map[float64]int{0: 1, 23: 1, 25: 0} { // two pods move for 48 a month
		in.MoveCost = scheduling.PerMonth(weight)
		plan := solve(t, in)
		if len(plan.Removed) != want || (want == 1 && plan.Cost != scheduling.PerMonth(48)) {
			t.Errorf("at %g a month for each pod %d nodes go, want %d; cost %s", weight, len(plan.Removed), want, plan.Cost)
		}
	}
}

func TestTheCostOfANodeCountsForThoseThatStay(t *testing.T) {
	in := rack{ // two small ones are cheaper than a large one as long as a node as such costs nothing
		nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
		running: []*build.Pod{pod("x1", "3", "3Gi", "a"), pod("y1", "3", "3Gi", "b")}, catalog: []scheduling.Offering{build.MakeOffering("Advanced", 8, 16, 100).Obj()},
	}.input(t)
	for node, want := range map[float64]int{0: 0, 3: 0, 5: 2} {
		in.NodeCost = scheduling.PerMonth(node)
		plan := solve(t, in)
		if len(plan.Removed) != want || len(plan.Launches) != want/2 {
			t.Errorf("at %g a month for each node: %s", node, lines(plan))
		}
		checkCost := scheduling.PerMonth(48)*2 + in.NodeCost*2
		if want > 0 {
			checkCost = scheduling.PerMonth(100) + in.NodeCost
		}
		if plan.Cost != checkCost {
			t.Errorf("at %g a month for each node: cost %s, want %s", node, plan.Cost, checkCost)
		}
	}
}

func TestAWaitingPodOfADaemonSetIsLeftBehindWithItsNode(t *testing.T) {
	in := rack{
		nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
		running: []*build.Pod{pod("x1", "1", "1Gi", "b")},
		pending: []*build.Pod{pod("agent", "100m", "100Mi", "").Owner("DaemonSet", "agent").OnlyOn("a")},
	}.input(t)
	plan := solve(t, in)
	if got, want := lines(plan), "remove a\nagent has no place\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := plan.Rejections[0].Message, `belongs on node "a", which goes`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAPodThatIsOnItsWayToANodeMayGoElsewhere(t *testing.T) {
	in := rack{
		nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
		running: []*build.Pod{pod("x1", "1", "1Gi", "b")},
		pending: []*build.Pod{pod("next", "1", "1Gi", "").With(func(p *corev1.Pod) { p.Status.NominatedNodeName = "a" })},
	}.input(t)
	if got, want := lines(solve(t, in)), "remove a\nnext to b\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	in.Pods = nil // somebody else plans for it
	if got, want := lines(solve(t, in)), "remove b\nx1 to a\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
