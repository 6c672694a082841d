// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// liking is what the pods of one application prefer about those of another.
type liking struct {
	kind   string // near, apart or even
	key    string
	about  string
	weight int64
}

func (l liking) pod(name, app string) *build.Pod {
	term := []corev1.WeightedPodAffinityTerm{{Weight: int32(l.weight), PodAffinityTerm: corev1.PodAffinityTerm{
		TopologyKey: l.key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": l.about}},
	}}}
	pod := build.MakePod(name).Label("app", app)
	switch l.kind {
	case "near":
		pod.With(func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: term}}
		})
	case "apart":
		pod.With(func(p *corev1.Pod) {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: term}}
		})
	default:
		pod.SpreadSoftly(l.key, l.about)
	}
	return pod
}

// measured counts one by one what is unmet of pods, given by the application and the node of each.
func (l liking) measured(app string, apps, nodes []string, domain func(node, key string) string, all []*corev1.Node) (sum ledger.Measure) {
	if l.kind == "even" {
		counts := map[string]int64{}
		for _, node := range all {
			counts[domain(node.Name, l.key)] += 0
		}
		for i := range apps {
			if apps[i] == l.about {
				counts[domain(nodes[i], l.key)]++
			}
		}
		least := int64(1 << 40)
		for _, n := range counts {
			least = min(least, n)
		}
		for _, n := range counts {
			sum = sum.Plus(ledger.Measure{Unmet: 100 * max(n-least-1, 0), Crowd: n * n})
		}
		return sum
	}
	for i := range apps {
		if apps[i] != app {
			continue
		}
		others := int64(0)
		for j := range apps {
			if i != j && apps[j] == l.about && domain(nodes[i], l.key) == domain(nodes[j], l.key) {
				others++
			}
		}
		switch {
		case l.kind == "near" && others == 0:
			sum.Unmet += l.weight
		case l.kind == "apart" && others > 0:
			sum = sum.Plus(ledger.Measure{Unmet: l.weight, Crowd: l.weight * others})
		}
	}
	return sum
}

func TestWishesMeasureWhatCountingOneByOneSays(t *testing.T) {
	unmet := 0
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 31))
		var objects snapshot.Objects
		for i := range 2 + r.IntN(4) {
			objects.Nodes = append(objects.Nodes, build.MakeNode(fmt.Sprintf("node-%d", i)).Zone(pick(r, "hel", "ams")).Obj())
		}
		zones := map[string]string{}
		for _, node := range objects.Nodes {
			zones[node.Name] = node.Labels[corev1.LabelTopologyZone]
		}
		domain := func(node, key string) string {
			if key == corev1.LabelHostname {
				return node
			}
			return zones[node]
		}
		const classes = 3
		var likings []liking
		var apps, on []string
		var shapes []*snapshot.Shape
		for c := range classes {
			l := liking{pick(r, "near", "apart", "even"), pick(r, corev1.LabelHostname, corev1.LabelTopologyZone), fmt.Sprintf("app-%d", r.IntN(classes)), int64(1 + r.IntN(100))}
			if l.kind == "even" {
				l.about = fmt.Sprintf("app-%d", c)
			}
			likings = append(likings, l)
			for i := range r.IntN(3) {
				app, node := fmt.Sprintf("app-%d", c), pick(r, objects.Nodes...).Name
				objects.Pods = append(objects.Pods, l.pod(fmt.Sprintf("old-%d-%d", c, i), app).On(node).Obj())
				apps, on = append(apps, app), append(on, node)
			}
		}
		snap, err := snapshot.New(objects)
		if err != nil {
			t.Fatal(err)
		}
		for c, l := range likings {
			shape, err := snap.Shapes().Of(l.pod(fmt.Sprintf("new-%d", c), fmt.Sprintf("app-%d", c)).Obj())
			if err != nil {
				t.Fatal(err)
			}
			shapes = append(shapes, shape)
		}
		book := ledger.New(snap, shapes, nil)
		wishes := ledger.NewWishes(snap, shapes, book)
		all := []int{0, 1, 2}
		for step := range 12 {
			if step == 6 { // a machine comes
				node := build.MakeNode("machine").Zone("fra").Obj()
				objects.Nodes, zones["machine"] = append(objects.Nodes, node), "fra"
				book.AddSeat(node, &ledger.Template{Whole: make([]int64, ledger.Common), Room: make([]int64, ledger.Common)})
				wishes.Follow()
			}
			c, node := r.IntN(classes), pick(r, objects.Nodes...).Name
			seat, _ := book.Seat(node)
			before, around := wishes.Over(all), wishes.Around([]int{c}, []int{seat})
			wishes.Enter(c, seat, 1)
			apps, on = append(apps, fmt.Sprintf("app-%d", c)), append(on, node)
			var want ledger.Measure
			for class, l := range likings {
				want = want.Plus(l.measured(fmt.Sprintf("app-%d", class), apps, on, domain, objects.Nodes))
			}
			got := wishes.Over(all)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("seed %d, step %d: %+v with pods %v on %v (-want +got):\n%s", seed, step, likings, apps, on, diff)
			}
			if diff := cmp.Diff(got.Minus(before), wishes.Around([]int{c}, []int{seat}).Minus(around)); diff != "" {
				t.Fatalf("seed %d, step %d: what changed, everywhere and around the node (-everywhere +around):\n%s", seed, step, diff)
			}
			unmet += int(min(got.Unmet, 1))
		}
	}
	if unmet < seeds {
		t.Errorf("in %d of the steps something was unmet; want more", unmet)
	}
}

func TestWishesAboutNodes(t *testing.T) {
	fast := func(pod *corev1.Pod) {
		pod.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
			{Weight: 30, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "disk", Operator: corev1.NodeSelectorOpIn, Values: []string{"ssd"}}}}},
			{Weight: 4, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "gpu", Operator: corev1.NodeSelectorOpExists}}}},
		}}}
	}
	node := func(change func(*corev1.Node)) *corev1.Node {
		node := build.MakeNode("node").Obj()
		delete(node.Labels, corev1.LabelTopologyZone)
		change(node)
		return node
	}
	taint := corev1.Taint{Key: "batch", Effect: corev1.TaintEffectPreferNoSchedule}
	for name, c := range map[string]struct {
		pod  *build.Pod
		node *corev1.Node
		want int64
	}{
		"each term that the node does not match counts its weight": {
			build.MakePod("web").With(fast), node(func(n *corev1.Node) { n.Labels["disk"] = "ssd" }), 4,
		},
		"a node that matches no term leaves all unmet": {
			build.MakePod("web").With(fast), node(func(*corev1.Node) {}), 34,
		},
		"a node to be avoided counts half as much again as the strongest affinity": {
			build.MakePod("web"), node(func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{taint} }), 150,
		},
		"a pod that tolerates it does not mind": {
			build.MakePod("web").Tolerate("batch"), node(func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{taint} }), 0,
		},
		"a taint that is binding is nobody's preference": {
			build.MakePod("web"), node(func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "x", Effect: corev1.TaintEffectNoSchedule}} }), 0,
		},
		"a node outside of all zones cannot help to spread over them": {
			build.MakePod("web").SpreadSoftly(corev1.LabelTopologyZone, "web"), node(func(*corev1.Node) {}), 100,
		},
	} {
		t.Run(name, func(t *testing.T) {
			snap, err := snapshot.New(snapshot.Objects{Nodes: []*corev1.Node{c.node}})
			if err != nil {
				t.Fatal(err)
			}
			shape, err := snap.Shapes().Of(c.pod.Obj())
			if err != nil {
				t.Fatal(err)
			}
			shapes := []*snapshot.Shape{shape}
			if got := ledger.NewWishes(snap, shapes, ledger.New(snap, shapes, nil)).OfNode(0, 0); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
