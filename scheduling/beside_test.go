// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/series"
)

// The kinds of crates. Pods that are apart do not share a node; those that are even are spread over hosts with a skew of 1.
const (
	plain = "plain"
	apart = "apart"
	even  = "even"
)

// crate is a pod of a cluster in which only cpu is scarce.
type crate struct {
	milli int64
	kind  string
}

func (c crate) pod(name string) *build.Pod {
	p := build.MakePod(name).Label("app", c.kind).CPU(fmt.Sprintf("%dm", c.milli)).Memory("50Mi")
	switch c.kind {
	case apart:
		p.Apart(corev1.LabelHostname, apart)
	case even:
		p.Spread(corev1.LabelHostname, even)
	}
	return p
}

// hold is a node with what is on it.
type hold struct {
	free   int64
	crates map[string]int // by kind
	added  map[string]int
}

func (h *hold) add(c crate, by int) {
	h.free -= int64(by) * c.milli
	h.crates[c.kind] += by
	h.added[c.kind] += by
}

// quay is small enough to try everything.
type quay struct {
	waiting []crate
	holds   []*hold
	there   int // of holds
	sizes   []int64
	prices  []scheduling.Price
	best    scheduling.Price
}

func (q *quay) try(at int, cost scheduling.Price) {
	if cost >= q.best {
		return
	}
	if at == len(q.waiting) {
		if q.admitted() {
			q.best = cost
		}
		return
	}
	c := q.waiting[at]
	for _, h := range q.holds {
		if h.free >= c.milli {
			h.add(c, 1)
			q.try(at+1, cost)
			h.add(c, -1)
		}
	}
	for i, size := range q.sizes {
		if size < c.milli {
			continue
		}
		h := &hold{free: size, crates: map[string]int{}, added: map[string]int{}}
		h.add(c, 1)
		q.holds = append(q.holds, h)
		q.try(at+1, cost+q.prices[i])
		q.holds = q.holds[:len(q.holds)-1]
	}
}

// admitted says whether kube-scheduler would place any of the pods where it is, if it were the last: on a node that is there before the new ones come.
func (q *quay) admitted() bool {
	now, later := q.holds[0].crates[even], q.holds[0].crates[even]
	for i, h := range q.holds {
		if later = min(later, h.crates[even]); i < q.there {
			now = min(now, h.crates[even])
		}
	}
	for i, h := range q.holds {
		least := later
		if i < q.there {
			least = now
		}
		if (h.added[apart] > 0 && h.crates[apart] > 1) || (h.added[even] > 0 && h.crates[even]-least > 1) {
			return false
		}
	}
	return true
}

func randomQuay(seed uint64) (scenario, *quay) {
	r := rand.New(rand.NewPCG(seed, 41))
	s := scenario{
		groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
		offerings: []scheduling.Offering{
			build.MakeOffering("Two", 2, 4, float64(20+r.IntN(10))).Obj(), build.MakeOffering("Four", 4, 8, float64(38+r.IntN(16))).Obj(),
		},
	}
	q := &quay{best: 1 << 62}
	for _, o := range s.offerings {
		template := scheduling.TemplateNode(s.groups[0].NodeGroup, o, "new")
		q.sizes, q.prices = append(q.sizes, template.Status.Allocatable.Cpu().MilliValue()), append(q.prices, o.Price)
	}
	random := func() crate { return crate{100 * int64(2+r.IntN(14)), pick(r, plain, plain, apart, even)} }
	for n := range 1 + r.IntN(3) {
		name := fmt.Sprintf("n%d", n)
		h := &hold{free: 1000 * int64(1+r.IntN(3)), crates: map[string]int{}}
		s.objects.Nodes = append(s.objects.Nodes, build.MakeNode(name).Allocatable(fmt.Sprintf("%dm", h.free), "8Gi", "110").Obj())
		for i := range r.IntN(2) {
			c := random()
			if c.milli > h.free {
				continue
			}
			h.free -= c.milli
			h.crates[c.kind]++
			s.objects.Pods = append(s.objects.Pods, c.pod(fmt.Sprintf("%s-%d", name, i)).On(name).Obj())
		}
		h.added = map[string]int{}
		q.holds = append(q.holds, h)
	}
	q.there = len(q.holds)
	kinds := []crate{random(), random(), random()}
	for i := range 2 + r.IntN(5) {
		c := kinds[r.IntN(len(kinds))]
		q.waiting = append(q.waiting, c)
		pod := c.pod(fmt.Sprintf("w-%d", i)).Obj()
		s.pods, s.objects.Pods = append(s.pods, pod), append(s.objects.Pods, pod)
	}
	return s, q
}

// TestPlansBesideNodesAndTheirBound compares with every way to put pods on the nodes that are there and on new ones.
func TestPlansBesideNodesAndTheirBound(t *testing.T) {
	trials := series.Length(2000)
	best, found, bounds := scheduling.Price(0), scheduling.Price(0), scheduling.Price(0)
	bought, exact := 0, 0
	for seed := range uint64(trials) {
		s, q := randomQuay(seed)
		plan := solve(t, s.input(t))
		q.try(0, 0)
		if plan.LowerBound > q.best || plan.Cost < q.best || len(plan.Rejections) > 0 {
			t.Fatalf("seed %d: bound %s, cost %s, optimum %s, %d rejected:\n%s", seed, plan.LowerBound, plan.Cost, q.best, len(plan.Rejections), lines(plan))
		}
		if plan.Cost > 0 {
			bought++
		}
		if plan.Cost > 0 && plan.LowerBound == q.best {
			exact++
		}
		best, found, bounds = best+q.best, found+plan.Cost, bounds+plan.LowerBound
	}
	t.Logf("%d of %d buy; in %d the bound is the optimum; in sum plans cost %.4f times the optimum, and bounds are %.4f times it",
		bought, trials, exact, float64(found)/float64(best), float64(bounds)/float64(best))
	if bought < trials/4 {
		t.Error("the scenarios do not try enough")
	}
	if float64(found) > 1.015*float64(best) {
		t.Errorf("plans cost %.4f times the optimum", float64(found)/float64(best))
	}
}

func TestBoundsBesideNodesAreCloseToPlans(t *testing.T) {
	several := func(name, cpu, memory string, count int, change func(*build.Pod)) (pods []*corev1.Pod) {
		for i := range count {
			p := build.MakePod(fmt.Sprintf("%s-%d", name, i)).Label("app", name).CPU(cpu).Memory(memory)
			change(p)
			pods = append(pods, p.Obj())
		}
		return pods
	}
	plainly := func(*build.Pod) {}
	for name, tc := range map[string]struct {
		nodes []*corev1.Node
		pods  [][]*corev1.Pod
		most  float64 // gap
	}{
		"where there are too many ways to fill a node to look at each": {
			nodes: []*corev1.Node{build.MakeNode("old").Allocatable("4", "8Gi", "110").Obj()},
			pods: [][]*corev1.Pod{
				several("a", "130m", "300Mi", 40, plainly), several("b", "310m", "200Mi", 30, plainly),
				several("c", "470m", "900Mi", 20, plainly), several("d", "70m", "150Mi", 50, plainly),
			},
			most: 0.03,
		},
		"where a host counts for a spread that none of the pods may be on": {
			nodes: []*corev1.Node{build.MakeNode("control-plane").Taint("control-plane", "true").Allocatable("4", "8Gi", "110").Obj()},
			pods:  [][]*corev1.Pod{several("a", "100m", "100Mi", 6, func(p *build.Pod) { p.Spread(corev1.LabelHostname, "a") })},
			most:  0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scenario{
				groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
				offerings: []scheduling.Offering{
					build.MakeOffering("Two", 2, 4, 24).Obj(), build.MakeOffering("Four", 4, 8, 47).Obj(), build.MakeOffering("Eight", 8, 16, 93).Obj(),
				},
			}
			s.objects.Nodes = tc.nodes
			s.pods = slices.Concat(tc.pods...)
			s.objects.Pods = s.pods
			if plan := solve(t, s.input(t)); plan.LowerBound == 0 || plan.Gap > tc.most || len(plan.Rejections) > 0 {
				t.Errorf("cost %s, bound %s, %d pods rejected", plan.Cost, plan.LowerBound, len(plan.Rejections))
			}
		})
	}
}
