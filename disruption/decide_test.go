// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

func decide(t *testing.T, in Input) Outcome {
	t.Helper()
	out, err := Decide(in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestADecisionSaysEverything(t *testing.T) {
	for mode, approved := range map[v1alpha1.ApprovalMode]v1alpha1.Approval{
		v1alpha1.ApprovalAutomatic: v1alpha1.ApprovedYes, v1alpha1.ApprovalRequired: v1alpha1.ApprovedNo,
	} {
		ng := group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Approval = mode })
		out := decide(t, newCluster(t, ng, machine("a", costs("0.0333"))).input())
		if len(out.Decisions) != 1 || len(out.Kept) != 0 {
			t.Fatalf("outcome %+v", out)
		}
		want := &v1alpha1.Disruption{
			ObjectMeta: metav1.ObjectMeta{
				Name: "empty-a-201057f5", Labels: map[string]string{v1alpha1.NodeGroupLabel: "pool"}, Finalizers: []string{Finalizer},
			},
			Spec: v1alpha1.DisruptionSpec{
				Reason: v1alpha1.ReasonEmpty, NodeGroup: "pool", SavingsPerHour: "0.0333", Approved: approved,
				Remove: []v1alpha1.Removal{{VPSieNode: "a", UID: "uid-a", Node: "n-a", Offering: "s-2", PricePerHour: "0.0333"}},
			},
		}
		if diff := cmp.Diff(want, out.Decisions[0]); diff != "" {
			t.Errorf("approval %s: decision (-want +got):\n%s", mode, diff)
		}
	}
}

func TestTheSameDecisionHasTheSameNameAndAnotherOneAnother(t *testing.T) {
	name := func(objects ...[]client.Object) string {
		return decide(t, newCluster(t, append(objects, group("pool"))...).input()).Decisions[0].Name
	}
	first := name(machine("a"))
	again := name(machine("a", costs("0.1000")), machine("b"), disrupt("other", "b", v1alpha1.DisruptionRejected))
	if first != again {
		t.Errorf("the same decision is once %q and once %q", first, again)
	}
	others := map[string]string{
		"a namesake": name(machine("a", func(vn *v1alpha1.VPSieNode, _ *corev1.Node) { vn.UID = "another" })),
		"the same machine after the first try was rejected": name(machine("a"), disrupt(first, "a", v1alpha1.DisruptionRejected)),
		"the same machine after two tries": name(machine("a"), disrupt(first, "a", v1alpha1.DisruptionRejected, finishedAgo(5*time.Hour)),
			disrupt("second", "a", v1alpha1.DisruptionRolledBack)),
	}
	seen := map[string]bool{first: true}
	for what, other := range others {
		if seen[other] {
			t.Errorf("%s is called %q as well", what, other)
		}
		seen[other] = true
		if !strings.HasPrefix(other, "empty-a-") {
			t.Errorf("%s is called %q", what, other)
		}
	}
}

func TestEveryMachineIsDecidedAboutOrKept(t *testing.T) {
	objects := all(
		group("pool", headroom(5), func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes, g.Spec.Disruption.Budgets = ptr.To[int32](2), nil }),
		machines(14, "e"), machine("x", beingDeleted), machine("y", notJoined), machine("z"), pod("web", "n-z"), pod("new", ""),
	)
	in := newCluster(t, objects).input()
	out := decide(t, in)
	var got []string
	for _, kept := range out.Kept {
		got = append(got, kept.VPSieNode)
	}
	if !slices.IsSorted(got) {
		t.Errorf("kept in no order: %v", got)
	}
	got = append(got, names(out.Decisions)...)
	slices.Sort(got)
	var want []string
	for _, m := range in.Picture.Machines {
		want = append(want, m.VPSieNode.Name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("machines (-want +got):\n%s", diff)
	}
	if len(out.Decisions) != 1 { // 10% of 16 initialized are 2, and one is leaving already
		t.Errorf("removes %v", names(out.Decisions))
	}
}

func TestTheSameInputGivesTheSameOutcome(t *testing.T) {
	objects := all(
		group("pool", headroom(6), func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }),
		machines(6, "cheap", costs("0.0100")), machines(3, "dear", costs("0.0900")), machine("x", beingDeleted), machine("y", notJoined),
		pod("web", "n-dear-1"), pod("new-1", ""), pod("new-2", ""), disrupt("d", "cheap-1", v1alpha1.DisruptionProposed),
	)
	in := newCluster(t, objects).input()
	before, nodes := render(t, in.Picture.Machines), len(in.Picture.Snapshot.Nodes())
	want := render(t, decide(t, in))
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		if got := render(t, decide(t, in)); got != want {
			t.Fatalf("the second look differs:\n%s", cmp.Diff(want, got))
		}
		random.Shuffle(len(objects), func(i, j int) { objects[i], objects[j] = objects[j], objects[i] })
		if got := render(t, decide(t, newCluster(t, objects).input())); got != want {
			t.Fatalf("the order of the objects matters:\n%s", cmp.Diff(want, got))
		}
	}
	if after := render(t, in.Picture.Machines); after != before || len(in.Picture.Snapshot.Nodes()) != nodes {
		t.Error("deciding changed the picture")
	}
}

func render(t *testing.T, value any) string {
	t.Helper()
	text, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatWasDecidedBeforeCountsInTheSamePass(t *testing.T) {
	// The pending pod fits on either machine. One may go, and then the other may not.
	both := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{"n-a", "n-b"}},
			}}},
		}}}
	}
	out := decide(t, newCluster(t, group("pool"), machine("a"), machine("b"), machine("c"), pod("new", "", both)).input())
	removed := names(out.Decisions)
	if len(removed) != 2 || !slices.Contains(removed, "c") || len(out.Kept) != 1 || out.Kept[0].Rule != RulePodsNeedIt {
		t.Errorf("removes %v, keeps %+v", removed, out.Kept)
	}
	// The same with headroom, which does not say where it goes.
	out = decide(t, newCluster(t, group("pool", headroom(8)), machine("a"), machine("b"), machine("c")).input())
	if diff := cmp.Diff([]string{"a"}, names(out.Decisions)); diff != "" {
		t.Errorf("with room for four on each, removed (-want +got):\n%s", diff)
	}
}

func TestMachinesThatAreLeavingGiveNoRoom(t *testing.T) {
	// Without "b", which a Disruption that has not begun will remove, the headroom has no place but "a".
	objects := all(group("pool", headroom(4)), machine("a"), machine("b"), disrupt("d", "b", v1alpha1.DisruptionProposed))
	out := decide(t, newCluster(t, objects).input())
	if len(out.Decisions) != 0 || out.Kept[0].Rule != RulePodsNeedIt {
		t.Errorf("removes %v, keeps %+v", names(out.Decisions), out.Kept)
	}
}

func TestSavingsCountWhatComesInstead(t *testing.T) {
	in := newCluster(t, group("pool"), machine("a", costs("0.0500")), machine("b", costs("0.0300"))).input()
	next := proposal{remove: in.Picture.Machines, launch: []v1alpha1.Replacement{
		{Name: "r", Spec: v1alpha1.VPSieNodeSpec{Offerings: []v1alpha1.OfferingChoice{{PricePerHour: "0.0600"}, {PricePerHour: "0.0100"}}}},
	}}
	for nodeCost, want := range map[float64]float64{0: 0.02, 0.005: 0.025} { // two machines go, one comes
		in.NodeCost = scheduling.PerHour(nodeCost)
		if got, want := (&pass{Input: in}).savings(next), scheduling.PerHour(want); got != want {
			t.Errorf("savings %s, want %s", got, want)
		}
	}
}

func TestTheNodeCostOfAMachineThatGoesIsSaved(t *testing.T) {
	in := newCluster(t, group("pool"), machine("a", costs("0.0500"))).input()
	in.NodeCost = scheduling.PerHour(0.005)
	spec := decide(t, in).Decisions[0].Spec
	if spec.SavingsPerHour != "0.0550" || spec.Remove[0].PricePerHour != "0.0500" {
		t.Errorf("it saves %s at a price of %s, want 0.0550 at 0.0500", spec.SavingsPerHour, spec.Remove[0].PricePerHour)
	}
}

func TestAnotherReasonIsAskedAfterTheFirst(t *testing.T) {
	// Merges all machines with pods, two at a time, whatever it saves.
	pairs := reason{
		name: v1alpha1.ReasonCheaper, absent: RuleNotEmpty,
		lacks: func(m state.Machine) string {
			if len(m.Pods) == 0 {
				return "is empty"
			}
			return ""
		},
		propose: func(candidates []state.Machine) []proposal {
			var proposals []proposal
			for pair := range slices.Chunk(candidates, 2) {
				proposals = append(proposals, proposal{remove: pair, pods: []types.NamespacedName{{Namespace: "shop", Name: "web"}}})
			}
			return proposals
		},
	}
	pool := group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Budgets = []v1alpha1.Budget{{Nodes: "3"}} })
	in := newCluster(t, pool, machine("e"), machines(4, "m"), pod("p0", "n-m-0"), pod("p1", "n-m-1"), pod("p2", "n-m-2"), pod("p3", "n-m-3")).input()
	out, err := decideFor([]reason{empty(), pairs}, in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"e", "m-0", "m-1"}, names(out.Decisions)); diff != "" {
		t.Errorf("removed (-want +got):\n%s", diff)
	}
	if d := out.Decisions[1]; d.Spec.Reason != v1alpha1.ReasonCheaper || d.Spec.SavingsPerHour != "0.1000" || d.Spec.Pods[0] != "shop/web" {
		t.Errorf("decision %+v", d.Spec)
	}
	var kept []string
	for _, k := range out.Kept {
		kept = append(kept, k.VPSieNode+" "+string(k.Rule))
	}
	if diff := cmp.Diff([]string{"m-2 Budget", "m-3 Budget"}, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}
