// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func waiting(name, offering string, state v1alpha1.OrderState, after time.Duration, seen ...string) v1alpha1.VPSieNode {
	return v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(noon)},
		Status: v1alpha1.VPSieNodeStatus{
			Phase: v1alpha1.PhaseProvisioning,
			Order: &v1alpha1.OrderRecord{Offering: offering, State: state, Time: metav1.NewMicroTime(noon.Add(after)), Attempt: 1, Seen: seen},
		},
	}
}

func failed(node v1alpha1.VPSieNode) v1alpha1.VPSieNode {
	node.Status.Phase = v1alpha1.PhaseFailed
	return node
}

func holding(name, id string) v1alpha1.VPSieNode {
	node := waiting(name, "2", v1alpha1.OrderAccepted, 0)
	node.Status.InstanceID = id
	return node
}

func instances(ids ...string) cloudprovider.Inventory {
	inventory := cloudprovider.Inventory{ReadAt: noon.Add(time.Hour)}
	for _, id := range ids {
		inventory.Instances = append(inventory.Instances, cloudprovider.Instance{ID: id, Hostname: "host-" + id, OfferingIDs: []string{"2"}})
	}
	return inventory
}

func TestAssign(t *testing.T) {
	const accepted, unknown, recorded = v1alpha1.OrderAccepted, v1alpha1.OrderUnknown, v1alpha1.OrderRecorded
	cases := map[string]struct {
		nodes     []v1alpha1.VPSieNode
		inventory cloudprovider.Inventory
		joined    joined
		want      map[types.UID]string
	}{
		"the oldest order of the size gets the first machine": {
			// The names sort against the times, so that sorting by name cannot pass.
			nodes: []v1alpha1.VPSieNode{waiting("a", "2", accepted, 2*time.Second), waiting("b", "2", accepted, time.Second)}, inventory: instances("x"),
			want: map[types.UID]string{"b": "x"},
		},
		"orders of the same time are served by name": {
			nodes: []v1alpha1.VPSieNode{waiting("b", "2", accepted, 0), waiting("a", "2", accepted, 0)}, inventory: instances("x", "y"),
			want: map[types.UID]string{"a": "x", "b": "y"},
		},
		"a machine of another size is nobody's": {
			nodes: []v1alpha1.VPSieNode{waiting("a", "3", accepted, 0)}, inventory: instances("x"), want: map[types.UID]string{},
		},
		"a machine that was there before the order is not its answer": {
			nodes: []v1alpha1.VPSieNode{waiting("a", "2", accepted, 0, "x")}, inventory: instances("x"), want: map[types.UID]string{},
		},
		"a machine that belongs to somebody is not given again": {
			nodes: []v1alpha1.VPSieNode{holding("b", "x"), waiting("a", "2", accepted, 0)}, inventory: instances("x"), want: map[types.UID]string{},
		},
		"an accepted order is served before an older one whose reply was lost": {
			nodes: []v1alpha1.VPSieNode{waiting("a", "2", unknown, 0), waiting("b", "2", accepted, time.Second)}, inventory: instances("x"),
			want: map[types.UID]string{"b": "x"},
		},
		"an order that was perhaps never sent still gets what nobody else ordered": {
			nodes: []v1alpha1.VPSieNode{waiting("a", "2", recorded, 0), waiting("b", "2", accepted, time.Second)}, inventory: instances("x", "y"),
			want: map[types.UID]string{"b": "x", "a": "y"},
		},
		"a machine that only the older order can have is not passed over for a newer one": {
			nodes: []v1alpha1.VPSieNode{waiting("a", "2", accepted, 0), waiting("b", "2", accepted, time.Second, "y")}, inventory: instances("x", "y"),
			want: map[types.UID]string{"a": "y", "b": "x"},
		},
		"a failed VPSieNode gets a machine only when no living one waits for it": {
			nodes: []v1alpha1.VPSieNode{failed(waiting("a", "2", accepted, 0)), waiting("b", "2", unknown, time.Second)}, inventory: instances("x"),
			want: map[types.UID]string{"b": "x"},
		},
		"a failed VPSieNode gets the late machine, to release it": {
			nodes: []v1alpha1.VPSieNode{failed(waiting("a", "2", accepted, 0))}, inventory: instances("x"), want: map[types.UID]string{"a": "x"},
		},
		"a machine whose Node says that it is another's is not given away": {
			nodes: []v1alpha1.VPSieNode{waiting("a", "2", accepted, 0), waiting("b", "2", accepted, time.Second)}, inventory: instances("x"),
			joined: joined{named: map[string]string{"x": "b"}}, want: map[types.UID]string{"b": "x"},
		},
		"a machine that had joined before the VPSieNode was made is not its answer": {
			nodes: []v1alpha1.VPSieNode{waiting("a", "2", accepted, 0)}, inventory: instances("x", "y"),
			joined: joined{nodes: map[string]node{"host-x": {at: noon.Add(-time.Second), ready: true}, "host-y": {at: noon, ready: true}, "host-z": {at: noon}}}, want: map[types.UID]string{"a": "y"},
		},
		"a VPSieNode that ordered nothing gets nothing": {
			nodes: []v1alpha1.VPSieNode{{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "a"}}}, inventory: instances("x"), want: map[types.UID]string{},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := assign(tc.nodes, owners(tc.nodes), tc.inventory, tc.joined)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("assignment (-want +got):\n%s", diff)
			}
		})
	}
}

// Orders go out one after another while machines appear out of order and claims come whenever a VPSieNode is looked at. Each order was
// answered, so at the end each VPSieNode must hold a machine and no machine may be left, which nobody would ever give back.
func TestAStormOfOrdersLeavesNoMachineToNobody(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		const many = 30
		c := &claims{held: map[string]claimant{}}
		var nodes []v1alpha1.VPSieNode
		var inventory cloudprovider.Inventory
		var hidden []cloudprovider.Instance // ordered and not listed yet
		order := func() {
			name := fmt.Sprintf("n%02d", len(nodes))
			at := time.Duration(len(nodes)) * time.Second
			nodes = append(nodes, waiting(name, "2", v1alpha1.OrderAccepted, at, strangers(nodes, inventory)...))
			id := fmt.Sprintf("%08x", random.Uint32())
			hidden = append(hidden, cloudprovider.Instance{ID: id, OfferingIDs: []string{"2"}})
		}
		appear := func() {
			i := random.IntN(len(hidden))
			inventory.Instances = append(inventory.Instances, hidden[i])
			hidden = slices.Delete(hidden, i, i+1)
			slices.SortFunc(inventory.Instances, func(a, b cloudprovider.Instance) int { return strings.Compare(a.ID, b.ID) })
		}
		look := func(i int) { nodes[i].Status.InstanceID = c.claim(&nodes[i], nodes, inventory, nil, joined{}) }
		for len(nodes) < many || len(hidden) > 0 {
			switch what := random.IntN(3); {
			case what == 0 && len(nodes) < many:
				order()
			case what == 1 && len(hidden) > 0:
				appear()
			case what == 2 && len(nodes) > 0:
				look(random.IntN(len(nodes)))
			}
		}
		for i := range nodes {
			look(i)
		}
		if left := strangers(nodes, inventory); len(left) > 0 {
			t.Fatalf("seed %d: machines %v belong to nobody", seed, left)
		}
	}
}

func TestAMachineIsGivenOnceAlthoughTheWatchesAreBehind(t *testing.T) {
	c := &claims{held: map[string]claimant{}}
	first, second := waiting("a", "2", v1alpha1.OrderAccepted, 0), waiting("b", "2", v1alpha1.OrderAccepted, time.Second)
	stale := []v1alpha1.VPSieNode{first, second} // what both see: neither shows its claim
	if got := c.claim(&first, stale, instances("x"), nil, joined{}); got != "x" {
		t.Fatalf("the first claim got %q, want x", got)
	}
	if got := c.claim(&second, stale, instances("x"), nil, joined{}); got != "" {
		t.Errorf("the second claim got %q, want nothing", got)
	}
	// A machine that sorts before the first must not change hands either.
	if got := c.claim(&second, stale, instances("w", "x"), nil, joined{}); got != "w" {
		t.Errorf("the second claim got %q, want w", got)
	}
	if got := c.claim(&first, stale, instances("w", "x"), nil, joined{}); got != "x" {
		t.Errorf("the first claim got %q when asked again, want x", got)
	}
}

func TestAMachineThatAShortListHidesIsNotPassedOverForAnothers(t *testing.T) {
	c := &claims{held: map[string]claimant{}}
	older, newer := waiting("a", "2", v1alpha1.OrderAccepted, 0), waiting("b", "2", v1alpha1.OrderAccepted, time.Second, "x")
	both := []v1alpha1.VPSieNode{older, newer}
	hidden := instances("x").Instances
	if got := c.claim(&older, both, instances("y"), hidden, joined{}); got != "" || len(c.held) > 0 {
		t.Fatalf("the older order got %q: x, which the newer one cannot have, would be nobody's; held %v", got, c.held)
	}
	if got := c.claim(&newer, both, instances("y"), hidden, joined{}); got != "y" {
		t.Errorf("the newer order got %q, want y", got)
	}
	if got := c.claim(&older, both, instances("x", "y"), nil, joined{}); got != "x" {
		t.Errorf("the older order got %q once x is listed again", got)
	}
}

func TestANodeThatVPSieDoesNotListYetIsNotPassedOverForAnothers(t *testing.T) {
	c := &claims{held: map[string]claimant{}}
	older, newer := waiting("a", "2", v1alpha1.OrderAccepted, 0), waiting("b", "2", v1alpha1.OrderAccepted, time.Minute)
	newer.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute))
	both := []v1alpha1.VPSieNode{older, newer, holding("c", "z")}
	both[2].Status.Hostname = "HOST-z"
	for _, ready := range []bool{false, true} {
		nodes := joined{nodes: map[string]node{
			"host-x": {at: noon.Add(30 * time.Second), ready: ready, free: true}, // joined between the two
			"host-z": {at: noon.Add(30 * time.Second), ready: true, free: true},  // registers anew
			"old":    {at: noon.Add(-time.Hour), ready: true, free: true},
			"other":  {at: noon.Add(30 * time.Second), ready: true},
		}}
		hidden := nodes.unlisted(both, instances("y").Instances, noon.Add(-time.Minute))
		if len(hidden) != 1 || hidden[0].Hostname != "host-x" {
			t.Fatalf("unlisted are %+v, want host-x", hidden)
		}
		if got := c.claim(&older, both, instances("y"), hidden, nodes); got != "" || len(c.held) > 0 {
			t.Fatalf("the older order got %q; held %v", got, c.held)
		}
		if got := c.claim(&newer, both, instances("y"), hidden, nodes); got != "y" {
			t.Errorf("the newer order got %q, want y", got)
		}
		nodes.nodes["host-x"] = node{at: noon.Add(30 * time.Second), ready: true, free: true}
		if got := c.claim(&older, both, instances("x", "y"), nil, nodes); got != "x" {
			t.Errorf("the older order got %q once x is listed", got)
		}
		c.held = map[string]claimant{}
	}
}

func TestHowLongAMachineThatIsNotListedIsWaitedFor(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.cloud.appear("x", "2")
	w.clock.Step(time.Second)
	if _, _, err := w.r.inventories.after(t.Context(), noon); err != nil {
		t.Fatal(err)
	}
	w.clock.Step(2 * time.Minute)
	if got := w.r.inventories.hidden(cloudprovider.Inventory{}, time.Minute); len(got) != 0 {
		t.Errorf("%v is waited for after two minutes", got)
	}
	if got := w.r.inventories.hidden(instances("x"), time.Hour); len(got) != 0 {
		t.Errorf("%v is listed, and passes for hidden", got)
	}
	if got := w.r.inventories.hidden(cloudprovider.Inventory{}, 2*time.Minute); len(got) != 1 || got[0].ID != "x" {
		t.Errorf("hidden is %v, want x", got)
	}
}

func TestAnOrderIsSentOnceAndOnlyByTheProcessThatWroteItDown(t *testing.T) {
	s := &sendings{}
	if s.take("a", noon) {
		t.Error("an order that another process wrote down was sent")
	}
	s.prepare("a", noon)
	s.prepare("a", noon.Add(time.Second)) // from a stale copy; its write was refused
	if s.take("a", noon.Add(time.Minute)) {
		t.Error("an order was sent for a record that this process did not write")
	}
	s.prepare("a", noon)
	if !s.take("a", noon) {
		t.Error("the order was not sent")
	}
	if s.take("a", noon) {
		t.Error("the order was sent twice")
	}
}

// byForce removes the VPSieNode, finalizer and all, and lets the watch tell of it.
func (w *world) byForce() {
	w.t.Helper()
	vn := w.node()
	vn.Finalizers = nil
	if err := w.kube.Update(w.t.Context(), vn); err != nil {
		w.t.Fatal(err)
	}
	w.delete()
}

func (w *world) remembers(uid types.UID) bool {
	_, known := w.r.uids.Load("general-1")
	return known || w.r.sending.waits(uid, w.clock.Now()) || len(w.r.sending.pending[uid]) > 0 || w.r.sending.taken[uid] || w.r.farewells.get(uid) != farewell{} ||
		len(w.r.announcements.waiting[uid]) > 0
}

func TestAVPSieNodeThatIsRemovedByForceIsForgotten(t *testing.T) {
	t.Run("with the order that it had still to send", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(1)
		uid := w.node().UID
		if !w.remembers(uid) {
			t.Fatal("nothing was remembered")
		}
		w.byForce()
		w.steps(1)
		if w.remembers(uid) {
			t.Error("its order is still to be sent")
		}
	})
	t.Run("with its end", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(2)
		w.cloud.appear("x", "2")
		w.steps(1)
		uid := w.node().UID
		w.delete()
		w.steps(1)
		if got := w.r.farewells.get(uid); !got.accepted {
			t.Fatalf("VPSie's word is %+v", got)
		}
		w.steps(5)
		if w.remembers(uid) || len(w.r.claims.held) > 0 {
			t.Errorf("remembered after its end; held %v", w.r.claims.held)
		}
	})
	t.Run("with its machine, once no order is open that the machine may be mistaken for", func(t *testing.T) {
		other := waiting("other", "2", v1alpha1.OrderAccepted, 0)
		w := newWorld(t, vpsieNode(), &other)
		w.cloud.appear("x", "2")
		w.r.claims.held["x"] = claimant{uid: "uid-1", name: "general-1"}
		w.steps(1)
		w.byForce()
		w.steps(1)
		open := func(after time.Duration) string {
			w.clock.Step(after)
			if _, err := w.r.Reconcile(t.Context(), request("other")); err != nil {
				t.Fatal(err)
			}
			vn := &v1alpha1.VPSieNode{}
			if err := w.kube.Get(t.Context(), request("other").NamespacedName, vn); err != nil {
				t.Fatal(err)
			}
			return vn.Status.InstanceID
		}
		if got := open(0) + open(time.Minute); got != "" {
			t.Errorf("the machine %q of a VPSieNode that was removed by force was taken for the answer to another's order", got)
		}
		w.clock.Step(46 * time.Minute)
		if w.r.claims.expire(w.clock.Now()); len(w.r.claims.held) > 0 {
			t.Errorf("held for ever: %v", w.r.claims.held)
		}
	})
	t.Run("also when another of its name follows at once", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(1)
		w.byForce()
		again := vpsieNode()
		again.UID = "uid-again"
		w.create(again)
		w.steps(1)
		if len(w.r.sending.pending["uid-1"]) > 0 {
			t.Error("the order of the one before is still to be sent")
		}
		w.steps(1)
		if len(w.cloud.orders) != 1 {
			t.Errorf("%d orders, want that of the second", len(w.cloud.orders))
		}
	})
}
