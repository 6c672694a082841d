// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"cmp"
	"math"
	"slices"
)

// tree is a branch and bound search for the most valuable content of a machine: best bound first (Land and Doig 1960), so that what is
// left when the effort is used up bounds the value from above as tightly as possible. A node holds bounds on the counts of some items.
type tree struct {
	open  []node // a heap by bound
	made  int
	seen  int
	lower []float64 // by position in the knapsack, at the node that is looked at
	upper []float64
	point []float64
	order []int
	best  []portion
	trial []portion
	floor float64
	rate  []float64
	room  []float64 // of the empty machine
	most  []float64 // at the root
}

type node struct {
	bound float64
	made  int
	cuts  []cut
	basis []int32
}

// cut bounds the count of an item.
type cut struct {
	position int
	lower    bool // the count is at least, not at most
	count    float64
}

const integral = 1e-6

// branch searches for the best content worth more than the question's floor, from the relaxation's solution on.
func (w *pricing) branch(p *pricer, kind *kind, q question, upper float64) priced {
	t, k := &w.tree, &w.k
	t.open, t.made, t.seen, t.best, t.floor = t.open[:0], 0, 0, t.best[:0], q.floor
	t.room, t.most = append(t.room[:0], k.room...), append(t.most[:0], k.most...)
	t.sort(k)
	root := slices.Clone(p.relax.basis)
	t.push(node{bound: upper, basis: root})
	answer := priced{upper: q.floor}
	stuck := 0.0 // bounds of nodes that cannot be branched on
	for len(t.open) > 0 && answer.nodes < q.nodes {
		n := t.pop()
		if n.bound <= t.floor*(1+q.close) {
			stuck = math.Max(stuck, n.bound)
			t.open = t.open[:0]
			break
		}
		answer.nodes++
		stuck = math.Max(stuck, w.expand(p, kind, &n))
	}
	answer.upper = math.Max(t.floor, stuck)
	if len(t.open) > 0 {
		answer.upper = math.Max(answer.upper, t.open[0].bound)
	}
	answer.upper = math.Min(answer.upper, upper)
	k.room, k.most = append(k.room[:0], t.room...), append(k.most[:0], t.most...)
	copy(p.relax.basis, root)
	if len(t.best) > 0 {
		answer.value, answer.mix = t.floor, slices.Clone(t.best)
		slices.SortFunc(answer.mix, func(a, b portion) int { return cmp.Compare(a.item, b.item) })
	}
	return answer
}

// expand solves the relaxation of a node, rounds its solution to a content, and divides the node. It returns the bound of a node that it can neither
// divide nor dismiss.
func (w *pricing) expand(p *pricer, kind *kind, n *node) float64 {
	t, k := &w.tree, &w.k
	fixed, ok := w.restrict(n)
	if !ok {
		return 0
	}
	copy(p.relax.basis, n.basis)
	bound := math.Min(fixed+p.relax.solve(k, t.floor-fixed), n.bound)
	if bound <= t.floor*(1+tolerance) {
		return 0
	}
	branching := w.solution(p)
	if t.seen++; branching < 0 || t.seen <= 6 || t.seen%5 == 0 {
		w.roundDown(kind)
	}
	if branching < 0 {
		if w.value(t.trial) >= bound*(1-tolerance) {
			return 0
		}
		if branching = w.exceeding(); branching < 0 {
			return bound
		}
	}
	x := t.point[branching] + t.lower[branching]
	if x-math.Floor(x) < integral || math.Ceil(x)-x < integral {
		x = math.Round(x) - 0.5 // it takes part in exceeding a limit: have as many, or fewer
	}
	basis := slices.Clone(p.relax.basis)
	for _, c := range []cut{{branching, true, math.Ceil(x - integral)}, {branching, false, math.Floor(x + integral)}} {
		t.push(node{bound: bound, cuts: append(slices.Clip(slices.Clone(n.cuts)), c), basis: basis})
	}
	return 0
}

// sort orders the items by what they gain for their room at the root.
func (t *tree) sort(k *knapsack) {
	t.rate, t.order = t.rate[:0], t.order[:0]
	for j, gain := range k.gain {
		weight := math.Max(k.value[j]-gain, 1e-9*k.value[j])
		t.rate, t.order = append(t.rate, k.value[j]/weight), append(t.order, j)
	}
	slices.SortFunc(t.order, func(a, b int) int {
		switch {
		case t.rate[a] != t.rate[b]:
			return cmp.Compare(t.rate[b], t.rate[a])
		case k.value[a] != k.value[b]:
			return cmp.Compare(k.value[b], k.value[a])
		}
		return a - b
	})
}

// exceeding returns the item with the most pods of those that together exceed a limit which the relaxation does not heed.
func (w *pricing) exceeding() int {
	t, k := &w.tree, &w.k
	for l := range w.spare {
		w.spare[l] = w.in.problem.Limits[l].PerMachine
	}
	for j, x := range t.point {
		for _, l := range w.in.items[k.item[j]].limits {
			w.spare[l.limit] -= int(math.Round(x+t.lower[j])) * l.weight
		}
	}
	best := -1
	for j, x := range t.point {
		exceeds := slices.ContainsFunc(w.in.items[k.item[j]].limits, func(l part) bool { return w.spare[l.limit] < 0 })
		if exceeds && x > 0.5 && (best < 0 || x*k.value[j] > t.point[best]*k.value[best]) {
			best = j
		}
	}
	return best
}

// restrict sets the knapsack to what a node leaves open, and returns what it fixes.
func (w *pricing) restrict(n *node) (fixed float64, ok bool) {
	t, k := &w.tree, &w.k
	t.lower = append(t.lower[:0], make([]float64, len(k.item))...)
	t.upper = append(t.upper[:0], t.most...)
	for _, c := range n.cuts {
		if c.lower {
			t.lower[c.position] = math.Max(t.lower[c.position], c.count)
		} else {
			t.upper[c.position] = math.Min(t.upper[c.position], c.count)
		}
	}
	w.propagate()
	k.room = append(k.room[:0], t.room...)
	copy(k.most, t.upper)
	for _, c := range n.cuts {
		j := c.position
		if k.most[j] < 0 || t.upper[j] < 0 {
			return 0, false
		}
		if t.lower[j] == 0 || k.most[j] < t.upper[j] {
			continue // not bounded from below, or done
		}
		if k.most[j] = t.upper[j] - t.lower[j]; k.most[j] < 0 { // more than a limit or another cut admits
			return 0, false
		}
		fixed += t.lower[j] * k.value[j]
		for r := range k.room {
			k.room[r] -= t.lower[j] * k.size[j*k.rows+r]
		}
	}
	for r := range k.room {
		if k.room[r] < -1e-9 {
			return 0, false
		}
		k.room[r] = math.Max(k.room[r], 0)
	}
	return fixed, true
}

// propagate lowers the upper bounds of items that share a limit with items that are bounded from below.
func (w *pricing) propagate() {
	t, k := &w.tree, &w.k
	if len(w.spare) == 0 {
		return
	}
	for j, lower := range t.lower {
		if lower == 0 {
			continue
		}
		for _, l := range w.in.items[k.item[j]].limits {
			limit := &w.in.problem.Limits[l.limit]
			rest := float64(limit.PerMachine)
			for position, c := range limit.Classes {
				for _, other := range w.in.byClass[c] {
					if at := k.where[other]; at >= 0 {
						rest -= t.lower[at] * float64(limit.weight(position))
					}
				}
			}
			for position, c := range limit.Classes {
				for _, other := range w.in.byClass[c] {
					if at := k.where[other]; at >= 0 {
						t.upper[at] = math.Min(t.upper[at], t.lower[at]+math.Floor(rest/float64(limit.weight(position))))
					}
				}
			}
		}
	}
}

// solution reads the relaxation's solution above the lower bounds, and returns the position with the most even fraction, or -1.
func (w *pricing) solution(p *pricer) int {
	t, k := &w.tree, &w.k
	t.point = t.point[:0]
	for j, gain := range k.gain {
		x := 0.0
		if gain > 0 {
			x = k.most[j]
		}
		t.point = append(t.point, x)
	}
	for r, item := range p.relax.basis {
		if item >= 0 {
			t.point[k.where[item]] = p.relax.amount[r]
		}
	}
	best, distance := -1, integral
	for _, item := range p.relax.basis {
		if item < 0 {
			continue
		}
		j := int(k.where[item])
		fraction := t.point[j] - math.Floor(t.point[j])
		if even := math.Min(fraction, 1-fraction); even > distance {
			best, distance = j, even
		}
	}
	return best
}

func (w *pricing) value(mix []portion) float64 {
	sum := 0.0
	for _, part := range mix {
		sum += float64(part.count) * w.k.value[w.k.where[part.item]]
	}
	return sum
}

// roundDown makes a content of the node's solution: its whole part, then whatever still fits, what gains most for its room first.
func (w *pricing) roundDown(kind *kind) {
	t, k := &w.tree, &w.k
	w.openRoom(kind.room)
	t.trial = t.trial[:0]
	for _, j := range t.order {
		if n := w.fitting(k.item[j], int(math.Floor(t.lower[j]+t.point[j]+integral))); n > 0 {
			w.charge(k.item[j], n)
			t.trial = append(t.trial, portion{k.item[j], int32(n)})
			t.rate[j] = float64(n)
		} else {
			t.rate[j] = 0
		}
	}
	for _, j := range t.order {
		if n := w.fitting(k.item[j], int(t.most[j]-t.rate[j])); n > 0 {
			w.charge(k.item[j], n)
			t.trial = append(t.trial, portion{k.item[j], int32(n)})
		}
	}
	if value := w.value(t.trial); value > t.floor {
		t.floor = value
		t.best = gathered(t.best[:0], t.trial)
	}
}

// gathered joins the portions of equal items.
func gathered(into, mix []portion) []portion {
	for _, part := range mix {
		if at := slices.IndexFunc(into, func(p portion) bool { return p.item == part.item }); at >= 0 {
			into[at].count += part.count
		} else {
			into = append(into, part)
		}
	}
	return into
}

func (t *tree) push(n node) {
	t.made++
	n.made = t.made
	t.open = append(t.open, n)
	for i := len(t.open) - 1; i > 0; {
		parent := (i - 1) / 2
		if !before(&t.open[i], &t.open[parent]) {
			return
		}
		t.open[i], t.open[parent] = t.open[parent], t.open[i]
		i = parent
	}
}

func (t *tree) pop() node {
	first, last := t.open[0], len(t.open)-1
	t.open[0] = t.open[last]
	t.open = t.open[:last]
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
			if before(&t.open[child], &t.open[least]) {
				least = child
			}
		}
		if least == i {
			return first
		}
		t.open[i], t.open[least] = t.open[least], t.open[i]
		i = least
	}
}

// before orders nodes: the greatest bound first, of equal bounds the deepest.
func before(a, b *node) bool {
	if a.bound != b.bound {
		return a.bound > b.bound
	}
	if len(a.cuts) != len(b.cuts) {
		return len(a.cuts) > len(b.cuts)
	}
	return a.made > b.made
}
