// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// seeds is how many random clusters are tried; LEDGER_SEEDS asks for more.
const seeds = 150

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// world is a random cluster with all kinds of constraints between pods. Nodes have taints, and pods choose among nodes, because spreads
// count by that. Whether it admits a pod is not for the ledger to judge.
type world struct {
	objects snapshot.Objects
	pending []*corev1.Pod // one of each class
}

func newWorld(seed uint64) world {
	r := rand.New(rand.NewPCG(seed, 21))
	w := world{}
	for i, team := range []string{"a", "b", "a"} {
		w.objects.Namespaces = append(w.objects.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("ns%d", i), Labels: map[string]string{"team": team},
		}})
	}
	for i := range 2 + r.IntN(7) {
		w.objects.Nodes = append(w.objects.Nodes, w.node(r, fmt.Sprintf("node-%d", i)))
	}
	for i := range r.IntN(14) {
		pod := w.pod(r, fmt.Sprintf("old-%d", i)).On(pick(r, w.objects.Nodes...).Name).Obj()
		if r.IntN(8) == 0 {
			pod.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		}
		w.objects.Pods = append(w.objects.Pods, pod)
	}
	for i := range 1 + r.IntN(5) {
		w.pending = append(w.pending, w.pod(r, fmt.Sprintf("new-%d", i)).Obj())
	}
	return w
}

func (w world) node(r *rand.Rand, name string) *corev1.Node {
	node := build.MakeNode(name).Zone(pick(r, "z1", "z2", "z3")).Allocatable(pick(r, "1", "2", "4"), "8Gi", pick(r, "3", "20")).
		Label("rack", pick(r, "r1", "r2")).Label("disk", pick(r, "fast", "slow"))
	return node.With(func(n *corev1.Node) {
		for _, key := range []string{corev1.LabelTopologyZone, "rack", corev1.LabelHostname} {
			if r.IntN(8) == 0 {
				delete(n.Labels, key)
			}
		}
		if r.IntN(5) == 0 {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "soft", Effect: corev1.TaintEffectPreferNoSchedule})
		}
		if r.IntN(5) == 0 {
			effect := pick(r, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "hard", Value: pick(r, "a", "b"), Effect: effect})
		}
		if r.IntN(4) == 0 {
			n.Status.Allocatable["example.com/gpu"] = resource.MustParse("1")
		}
	}).Obj()
}

func (w world) pod(r *rand.Rand, name string) *build.Pod {
	p := build.MakePod(name).Namespace(fmt.Sprintf("ns%d", r.IntN(3))).Label("app", pick(r, "x", "y")).Label("version", pick(r, "1", "2")).
		CPU(pick(r, "100m", "300m", "700m")).Memory(pick(r, "100Mi", "2Gi"))
	key := func() string { return pick(r, corev1.LabelTopologyZone, corev1.LabelHostname, "rack") }
	for range 1 + r.IntN(3) {
		switch r.IntN(9) {
		case 0, 1:
			p.Spread(key(), pick(r, "x", "y")).Constraint(func(c *corev1.TopologySpreadConstraint) { randomise(r, c) })
		case 2:
			p.Near(key(), pick(r, "x", "y")).AffinityTerm(func(t *corev1.PodAffinityTerm) { t.Namespaces, t.NamespaceSelector = where(r) })
		case 3, 4:
			p.Apart(key(), pick(r, "x", "y")).AntiAffinityTerm(func(t *corev1.PodAffinityTerm) { t.Namespaces, t.NamespaceSelector = where(r) })
		case 5:
			p.HostPort(int32(8000 + r.IntN(2))).With(func(pod *corev1.Pod) {
				port := &pod.Spec.Containers[0].Ports[len(pod.Spec.Containers[0].Ports)-1]
				port.HostIP = pick(r, "", "0.0.0.0", "10.0.0.1", "10.0.0.2")
				port.Protocol = pick(r, corev1.ProtocolTCP, corev1.ProtocolUDP)
			})
		case 6:
			p.Sidecar("proxy", "50m", "10Mi", int32(8000+r.IntN(3)))
		case 7:
			if r.IntN(2) == 0 {
				p.Request("example.com/gpu", "1")
			}
		}
	}
	choosy(r, p)
	return p
}

// choosy makes some pods choose among nodes, and tolerate some taints.
func choosy(r *rand.Rand, p *build.Pod) {
	switch r.IntN(6) {
	case 0:
		p.NodeSelector("disk", pick(r, "fast", "slow"))
	case 1:
		p.NodeAffinity("disk", pick(r, "fast", "slow"))
	case 2:
		p.OrNodeAffinity("disk", "fast").OrNodeAffinity("rack", "r1")
	}
	switch r.IntN(4) {
	case 0:
		p.Tolerate("hard")
	case 1:
		p.With(func(pod *corev1.Pod) {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{Key: "hard", Operator: corev1.TolerationOpEqual, Value: pick(r, "a", "b")})
		})
	}
}

func randomise(r *rand.Rand, c *corev1.TopologySpreadConstraint) {
	c.MaxSkew = int32(1 + r.IntN(2))
	if r.IntN(3) == 0 && c.WhenUnsatisfiable == corev1.DoNotSchedule {
		c.MinDomains = new(int32(1 + r.IntN(4)))
	}
	if r.IntN(3) == 0 {
		c.MatchLabelKeys = []string{"version", "absent"}
	}
	if r.IntN(2) == 0 {
		c.NodeTaintsPolicy = new(pick(r, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore))
		c.NodeAffinityPolicy = new(pick(r, corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore))
	}
	switch r.IntN(8) {
	case 0:
		c.LabelSelector = &metav1.LabelSelector{} // everything, which the plugin counts as nothing
	case 1:
		c.LabelSelector = nil
	}
}

func where(r *rand.Rand) ([]string, *metav1.LabelSelector) {
	switch r.IntN(4) {
	case 0:
		return []string{"ns1"}, nil
	case 1:
		return nil, &metav1.LabelSelector{MatchLabels: map[string]string{"team": "a"}}
	case 2:
		return []string{"ns2"}, &metav1.LabelSelector{}
	}
	return nil, nil
}

// TestTheLedgerSaysWhatThePluginsSay asks both about every class on every node, again after each placement, and while nodes come and go.
func TestTheLedgerSaysWhatThePluginsSay(t *testing.T) {
	tries := seeds
	if more, err := strconv.Atoi(os.Getenv("LEDGER_SEEDS")); err == nil {
		tries = more
	}
	var all tally
	for seed := range uint64(tries) {
		one := compare(t, seed)
		all = tally{all.yes + one.yes, all.no + one.no, all.neither + one.neither}
	}
	t.Logf("%d verdicts yes, %d no, %d not for the ledger to judge", all.yes, all.no, all.neither)
	if all.yes < 20*tries || all.no < 20*tries || all.neither < 20*tries {
		t.Error("the clusters do not try enough")
	}
}

// tally counts verdicts. Neither is one of a plugin that looks at the pod and the node alone.
type tally struct{ yes, no, neither int }

func compare(t *testing.T, seed uint64) (verdicts tally) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 22))
	w := newWorld(seed)
	snap, err := snapshot.New(w.objects)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := simulate.New(snap, simulate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	var shapes []*snapshot.Shape
	for _, pod := range w.pending {
		shape, err := snap.Shapes().Of(pod)
		if err != nil {
			t.Fatal(err)
		}
		shapes = append(shapes, shape)
	}
	book := ledger.New(snap, shapes, nil)
	for step := range 8 {
		var open []int // class and seat in turn
		for c, pod := range w.pending {
			query := engine.Ask(pod)
			for seat := range book.Seats() {
				if book.Node(seat) == nil {
					continue
				}
				want, got := query.Fits(book.Node(seat).Name), book.Fits(c, seat)
				if want.Plugin == names.TaintToleration || want.Plugin == names.NodeAffinity {
					verdicts.neither++
					continue
				}
				if want.Fits != got {
					t.Fatalf("seed %d, step %d: pod %s on %s: the ledger says %v, the plugins say %s", seed, step, pod.Name, book.Node(seat).Name, got, want)
				}
				if got {
					verdicts.yes, open = verdicts.yes+1, append(open, c, seat)
				} else {
					verdicts.no++
				}
			}
		}
		w.change(t, r, step, snap, book, open)
	}
	return verdicts
}

// change places a pod where both say it fits, or adds an empty node, which changes what is even.
func (w world) change(t *testing.T, r *rand.Rand, step int, snap *snapshot.Snapshot, book *ledger.Ledger, open []int) {
	t.Helper()
	if len(open) == 0 || r.IntN(5) == 0 {
		node := w.node(r, fmt.Sprintf("late-%d", step))
		if err := snap.AddNode(node); err != nil {
			t.Fatal(err)
		}
		info, err := snap.NodeInfos().Get(node.Name)
		if err != nil {
			t.Fatal(err)
		}
		seat := book.AddSeat(node, book.Template(info))
		if r.IntN(3) == 0 { // and gone again
			book.RemoveSeat(seat)
			if err := snap.RemoveNode(node.Name); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	at := 2 * r.IntN(len(open)/2)
	twin := w.pending[open[at]].DeepCopy()
	twin.Name = fmt.Sprintf("%s-%d", twin.Name, step)
	twin.UID = ""
	if err := snap.AddPod(twin, book.Node(open[at+1]).Name); err != nil {
		t.Fatal(err)
	}
	book.Enter(open[at], open[at+1], 1)
	if r.IntN(4) == 0 { // and gone again
		book.Erase(open[at], open[at+1], 1)
		if err := snap.RemovePod(twin); err != nil {
			t.Fatal(err)
		}
	}
}
