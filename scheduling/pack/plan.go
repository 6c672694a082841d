// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"cmp"
	"math"
	"slices"
)

// plan is a set of machines in the making, with what is left of pods, budgets and kinds.
type plan struct {
	in       *instance
	loads    []load
	left     []int // by item
	pools    []Vector
	used     []int // by kind
	cost     int64
	machines int // that cost something
}

// load is a number of equal machines with the same content.
type load struct {
	kind   int
	copies int
	mix    []portion
}

func newPlan(in *instance) *plan {
	p := &plan{in: in, used: make([]int, len(in.kinds))}
	for i := range in.items {
		p.left = append(p.left, in.items[i].count)
	}
	for _, pool := range in.pools {
		p.pools = append(p.pools, slices.Clone(pool))
	}
	return p
}

func (p *plan) clone() *plan {
	c := *p
	c.loads, c.left, c.used = slices.Clone(p.loads), slices.Clone(p.left), slices.Clone(p.used)
	c.pools = make([]Vector, len(p.pools))
	for i := range p.pools {
		c.pools[i] = slices.Clone(p.pools[i])
	}
	return &c
}

// admits returns how many of the wanted machines the budget and the supply admit.
func (p *plan) admits(kind, wanted int) int {
	k := &p.in.kinds[kind]
	if k.most > 0 {
		wanted = min(wanted, k.most-p.used[kind])
	}
	for d, draw := range k.draw {
		if left := p.pools[k.pool][d]; left != Unbounded && draw > 0 {
			wanted = min(wanted, int(max(left, 0)/draw))
		}
	}
	return max(wanted, 0)
}

// count enters machines into the books, or takes them out where copies is negative.
func (p *plan) count(kind, copies int) {
	k := &p.in.kinds[kind]
	p.used[kind] += copies
	p.cost += int64(copies) * k.price
	if k.price > 0 {
		p.machines += copies
	}
	for d, draw := range k.draw {
		if p.pools[k.pool][d] != Unbounded {
			p.pools[k.pool][d] -= int64(copies) * draw
		}
	}
}

func (p *plan) take(l load) {
	p.loads = append(p.loads, l)
	p.count(l.kind, l.copies)
	for _, part := range l.mix {
		p.left[part.item] -= int(part.count) * l.copies
	}
}

// repeats is how many machines with that content the pods that are left fill.
func (p *plan) repeats(mix []portion) int {
	times := math.MaxInt
	for _, part := range mix {
		times = min(times, p.left[part.item]/int(part.count))
	}
	return times
}

// unplaced is what the pods that are left are worth.
func (p *plan) unplaced(worth []float64) float64 {
	sum := 0.0
	for i, n := range p.left {
		sum += float64(n) * worth[i]
	}
	return sum
}

// compare orders plans: who leaves less behind, then who costs less, then who has fewer machines.
func (p *plan) compare(other *plan, worth []float64) int {
	a, b := p.unplaced(worth), other.unplaced(worth)
	if math.Abs(a-b) <= 1e-9*math.Max(a, b) {
		a = b
	}
	return cmp.Or(cmp.Compare(a, b), ComparePrices(p.cost, other.cost), cmp.Compare(p.machines, other.machines))
}

// preference says which of two machines is bought next.
type preference int

const (
	cheapest preference = iota // the least price for what it holds
	roomiest                   // the greatest worth in one machine: right where the number of machines is bounded
)

// offer is the best content of one kind for what was left when it was computed. While that content is still left it stays the best.
type offer struct {
	kind  int
	mix   []portion
	value float64
	price float64
}

func (o *offer) beats(other *offer, prefer preference) bool {
	if prefer == roomiest && o.value != other.value {
		return o.value > other.value
	}
	a, b := o.value*other.price, other.value*o.price
	if math.Abs(a-b) > 1e-12*math.Max(a, b) {
		return a > b
	}
	return o.value > other.value*(1+1e-12) // of equal rates the larger: fewer machines
}

// fill buys machine after machine by preference: each time the kind and the content that gives the most value for its price, as long as
// the pods that are left fill it. Before each purchase it considers to finish with one machine for all that is left.
func (p *plan) fill(values []float64, w *pricing, prefer preference) {
	f := filler{plan: p, values: values, orders: p.in.orders(values), w: w}
	f.run(prefer)
}

type filler struct {
	*plan
	values []float64
	orders [][]int32
	w      *pricing
	offers []offer
	toll   func(int) float64
	// pricers, where there are any, fill the kinds that are worth their price by a knapsack instead of by the orders.
	pricers []pricer
	hot     []bool
	end     *plan // the cheapest finish so far
}

func (f *filler) run(prefer preference) {
	f.offers = f.offers[:0]
	for k := range f.in.kinds {
		f.offers = append(f.offers, offer{kind: k})
		f.renew(&f.offers[k])
	}
	for {
		f.finish()
		best := f.best(prefer)
		if best < 0 {
			break
		}
		o := &f.offers[best]
		f.take(load{o.kind, f.admits(o.kind, f.repeats(o.mix)), o.mix})
	}
	if f.end != nil && f.end.compare(f.plan, f.values) < 0 {
		*f.plan = *f.end
	}
}

// best returns the offer to take, renewing those that are out of date as they come up.
func (f *filler) best(prefer preference) int {
	for {
		best := -1
		for i := range f.offers {
			if o := &f.offers[i]; o.value > 0 && (best < 0 || o.beats(&f.offers[best], prefer)) {
				best = i
			}
		}
		if best < 0 {
			return -1
		}
		o := &f.offers[best]
		if f.admits(o.kind, 1) == 0 {
			o.value = 0
			continue
		}
		if f.repeats(o.mix) > 0 {
			return best
		}
		f.renew(o)
	}
}

// renew computes the best content of a kind for what is left, by several orders of the items.
func (f *filler) renew(o *offer) {
	o.value, o.price = 0, float64(f.in.kinds[o.kind].price)
	if f.toll != nil {
		o.price += f.toll(o.kind)
	}
	var best []portion
	if f.pricers != nil && f.hot[o.kind] {
		answer := f.w.best(&f.pricers[o.kind], o.kind, question{values: f.values, left: f.left, nodes: 5, close: 1e-3})
		best, o.value = answer.mix, answer.value
	}
	for _, order := range f.orders {
		mix, value := f.w.pour(o.kind, order, f.left, f.values)
		if value > o.value {
			best, o.value = slices.Clone(mix), value
		}
	}
	o.mix = best
}

// finish remembers the cheapest way to end here, with one machine for all that is left.
func (f *filler) finish() {
	best := -1
	for k := range f.in.kinds {
		if (best < 0 || f.in.kinds[k].price < f.in.kinds[best].price) && f.admits(k, 1) > 0 && f.w.holds(k, f.left) {
			best = k
		}
	}
	if best < 0 {
		return
	}
	var mix []portion
	for i, n := range f.left {
		if n > 0 {
			mix = append(mix, portion{int32(i), int32(n)})
		}
	}
	if len(mix) == 0 {
		return
	}
	end := f.clone()
	end.take(load{best, 1, mix})
	if f.end == nil || end.compare(f.end, f.values) < 0 {
		f.end = end
	}
}

// orders are the sequences in which a machine is filled: by value, and by each resource, greatest first.
func (in *instance) orders(values []float64) [][]int32 {
	keys := [][]float64{values}
	for r := range in.dims {
		key := make([]float64, len(in.items))
		for i := range key {
			key[i] = in.sizes[i*len(in.dims)+r]
		}
		keys = append(keys, key)
	}
	var orders [][]int32
	for _, key := range keys {
		order := make([]int32, len(in.items))
		for i := range order {
			order[i] = int32(i)
		}
		slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(key[b], key[a]) })
		if !slices.ContainsFunc(orders, func(o []int32) bool { return slices.Equal(o, order) }) {
			orders = append(orders, order)
		}
	}
	return orders
}
