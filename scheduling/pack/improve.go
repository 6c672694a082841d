// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// improver makes a plan cheaper by ruin and recreate (Schrimpf et al. 2000): it takes a few machines apart, those with the most waste more
// often, puts their pods where there is room and buys machines for the rest, and keeps what is not worse. The duals say how
// much of a machine's price its content is worth: that is its waste.
type improver struct {
	*plan // loads are empty while it runs
	bins  []bin
	w     *pricing
	worth []float64
	value []float64
	kinds []int // worth considering, for any content
	toll  []float64
	// tallest is by kind what its most valuable content is worth.
	tallest []float64
	rng     *rand.Rand
	steps   int // left

	list    []int32 // items that are to be placed, in the order of this trial
	key     []float64
	moved   []insertion
	added   int
	removed []bin
	mix     []portion
}

// bin is one machine with its content.
type bin struct {
	kind int
	mix  []portion
	free []int64
}

type insertion struct {
	bin  int
	part portion
}

// improveSteps is how many placements the improvement tries, at full effort.
const improveSteps = 6_000_000

func (g *generator) improve(p *plan) *plan {
	if len(p.loads) == 0 {
		return p
	}
	x := &improver{
		plan: p.clone(), w: g.crew[0], tallest: g.tallest, worth: g.worth, value: g.values(), rng: rand.New(rand.NewPCG(17, 4)),
		steps: g.search.allow(improveSteps), key: make([]float64, len(g.in.items)), toll: make([]float64, len(g.in.kinds)),
	}
	for k := range g.in.kinds {
		x.toll[k] = g.toll(k, &g.best)
		price := float64(g.in.kinds[k].price) + x.toll[k]
		if g.in.kinds[k].most > 0 || g.tallest[k] >= 0.9*price {
			x.kinds = append(x.kinds, k)
		}
	}
	for _, l := range p.loads {
		for range l.copies {
			x.bins = append(x.bins, x.newBin(l.kind, l.mix))
		}
	}
	x.loads = nil
	before := g.search.steps
	enough := max(g.in.safe(g.bound), g.in.countBound())
	for round := range 100 + 100*len(x.bins) {
		if x.steps <= 0 || x.cost <= enough || (round%64 == 0 && g.search.stopped()) {
			break
		}
		x.try()
	}
	g.search.steps = before + improveSteps - max(x.steps, 0)
	g.search.work += int64(improveSteps-max(x.steps, 0)) * 25
	for _, b := range x.bins {
		x.loads = append(x.loads, load{b.kind, 1, b.mix})
	}
	return x.plan
}

func (x *improver) newBin(kind int, mix []portion) bin {
	b := bin{kind: kind, mix: slices.Clone(mix), free: slices.Clone(x.in.kinds[kind].room)}
	for _, part := range mix {
		for r, request := range x.in.items[part.item].requests {
			b.free[r] -= int64(part.count) * request
		}
	}
	return b
}

// waste is the part of a machine's price that its content is not worth; of a machine that costs nothing, of what it could hold.
func (x *improver) waste(b *bin) float64 {
	price := math.Max(float64(x.in.kinds[b.kind].price)+x.toll[b.kind], x.tallest[b.kind])
	return (price - x.sum(b.mix)) / math.Max(price, 1)
}

func (x *improver) sum(mix []portion) float64 {
	value := 0.0
	for _, part := range mix {
		value += float64(part.count) * x.value[part.item]
	}
	return value
}

// state is what decides between two plans.
type state struct {
	unplaced float64
	cost     int64
	machines int
}

func (s state) compare(other state) int {
	if math.Abs(s.unplaced-other.unplaced) > 1e-9*math.Max(s.unplaced, other.unplaced) {
		return cmp.Compare(s.unplaced, other.unplaced)
	}
	return cmp.Or(cmp.Compare(s.cost, other.cost), cmp.Compare(s.machines, other.machines))
}

func (x *improver) state() state { return state{x.unplaced(x.worth), x.cost, x.machines} }

// try ruins a few machines, recreates them, and takes it back if the plan is worse.
func (x *improver) try() {
	before := x.state()
	x.ruin()
	x.order()
	if x.rng.IntN(2) == 0 {
		x.insert()
	}
	x.rebuild(before)
	x.steps -= 50
	if x.state().compare(before) > 0 {
		x.undo()
	}
}

// ruin takes machines apart. The first is the one with the most waste of a few, the others are of its domain more often than not.
func (x *improver) ruin() {
	x.removed, x.moved, x.added = x.removed[:0], x.moved[:0], 0
	first := x.pick(4, -1)
	domain := x.in.kinds[x.bins[first].kind].domain
	x.remove(first)
	for range min(x.rng.IntN(4), len(x.bins)) {
		if x.rng.IntN(4) > 0 {
			x.remove(x.pick(2, domain))
		} else {
			x.remove(x.pick(2, -1))
		}
	}
}

func (x *improver) pick(among, domain int) int {
	best, most := -1, math.Inf(-1)
	for range among {
		i := x.rng.IntN(len(x.bins))
		waste := x.waste(&x.bins[i])
		if domain >= 0 && x.in.kinds[x.bins[i].kind].domain != domain {
			waste--
		}
		if waste > most {
			best, most = i, waste
		}
	}
	return best
}

func (x *improver) remove(i int) {
	b := x.bins[i]
	x.bins[i] = x.bins[len(x.bins)-1]
	x.bins = x.bins[:len(x.bins)-1]
	x.removed = append(x.removed, b)
	x.count(b.kind, -1)
	for _, part := range b.mix {
		x.left[part.item] += int(part.count)
	}
}

// order lists what is to be placed: by size, with chance mixed in, so that every trial is another.
func (x *improver) order() {
	x.list = x.list[:0]
	noise := []float64{0, 0.3, 1, 2}[x.rng.IntN(4)]
	resource := x.rng.IntN(len(x.in.dims) + 2)
	for _, b := range x.removed {
		for _, part := range b.mix {
			x.enlist(part.item, resource, noise)
		}
	}
	for i, n := range x.left {
		if n > 0 {
			x.enlist(int32(i), resource, noise)
		}
	}
	slices.SortFunc(x.list, func(a, b int32) int {
		return cmp.Or(cmp.Compare(x.key[b], x.key[a]), cmp.Compare(a, b))
	})
}

func (x *improver) enlist(item int32, resource int, noise float64) {
	if slices.Contains(x.list, item) {
		return
	}
	x.list = append(x.list, item)
	key := x.value[item]
	if resource < len(x.in.dims) {
		key = x.in.sizes[int(item)*len(x.in.dims)+resource]
	}
	x.key[item] = (key + 1e-12) * (1 + noise*(x.rng.Float64()-0.5))
}

// insert puts pods into machines that have room for them.
func (x *improver) insert() {
	const seen = 40
	if len(x.bins) == 0 {
		return
	}
	start := x.rng.IntN(len(x.bins))
	for offset := range min(seen, len(x.bins)) {
		i := (start + offset) % len(x.bins)
		b := &x.bins[i]
		x.steps--
		if !slices.ContainsFunc(x.list, func(item int32) bool { return x.left[item] > 0 && x.mayTake(b, item) }) {
			continue
		}
		x.w.load(b, x.in)
		for _, item := range x.list {
			if x.left[item] == 0 || !x.in.kinds[b.kind].set.has(int(item)) {
				continue
			}
			if n := x.w.fitting(item, min(x.left[item], x.in.items[item].cap-contained(b.mix, item))); n > 0 {
				x.w.charge(item, n)
				x.put(i, portion{item, int32(n)})
				x.moved = append(x.moved, insertion{i, portion{item, int32(n)}})
			}
		}
	}
}

func (x *improver) mayTake(b *bin, item int32) bool {
	for r, request := range x.in.items[item].requests {
		if request > b.free[r] {
			return false
		}
	}
	return true
}

func contained(mix []portion, item int32) int {
	for _, part := range mix {
		if part.item == item {
			return int(part.count)
		}
	}
	return 0
}

// put adds pods to a bin, or takes them away where the count is negative.
func (x *improver) put(i int, part portion) {
	b := &x.bins[i]
	b.mix = gathered(b.mix, []portion{part})
	b.mix = slices.DeleteFunc(b.mix, func(p portion) bool { return p.count == 0 })
	for r, request := range x.in.items[part.item].requests {
		b.free[r] -= int64(part.count) * request
	}
	x.left[part.item] -= int(part.count)
}

// load sets the work space's machine to what a bin has left.
func (w *pricing) load(b *bin, in *instance) {
	w.openRoom(b.free)
	if len(w.spare) == 0 {
		return
	}
	for _, part := range b.mix {
		for _, l := range in.items[part.item].limits {
			w.spare[l.limit] -= int(part.count) * l.weight
		}
	}
}

func (x *improver) undo() {
	for range x.added {
		last := x.bins[len(x.bins)-1]
		x.bins = x.bins[:len(x.bins)-1]
		x.count(last.kind, -1)
		for _, part := range last.mix {
			x.left[part.item] += int(part.count)
		}
	}
	for _, m := range slices.Backward(x.moved) {
		x.put(m.bin, portion{m.part.item, -m.part.count})
	}
	for _, b := range x.removed {
		x.bins = append(x.bins, b)
		x.count(b.kind, 1)
		for _, part := range b.mix {
			x.left[part.item] -= int(part.count)
		}
	}
}
