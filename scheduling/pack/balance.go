// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import "math"

// balancer fills machines so that all items are used up at about the same rate. Filled by value alone, the first machines take what goes
// together well and leave what does not to the last ones. Here an item of which more is left than of the others counts for more, as the
// multiplicative weights of Plotkin, Shmoys and Tardos (1995) have it, and machines are taken in equal copies, fewer at a time the less is left: every
// machine is a sample of the whole, and with the values of a good bound nearly as cheap as the bound has it.
type balancer struct {
	*plan
	g      *generator
	base   []float64 // values of the bound
	values []float64 // the same, with what is left more of worth more
	offers []balanced
	top    float64 // the greatest price
}

// balanced is what a kind of machine would hold now, or when it was last asked.
type balanced struct {
	offer
	fresh bool
}

const (
	urgency     = 0.2   // how much more an item is worth of which twice as much is left as of the others
	takenAtOnce = 0.08  // of what is left
	tightEnough = 0.985 // of what a machine could hold at best: it is not worth while to ask less valuable ones
	searched    = 20    // nodes of a search tree
	mostAsked   = 8     // kinds for one machine
	wellFilled  = 0.93  // of what a machine could hold at best: less, and the rest is no sample of anything any more
	// nearlySolved is how close to the bound, as a part of the cost, the master has to be for its machines to be worth taking.
	nearlySolved = 0.012
	// roughly is the effort, as a part of the whole, below which a plan is only to show about how many machines there will be.
	roughly = 0.05
)

// balance fills a plan with machines that are worth their price, and leaves what those do not hold.
func (g *generator) balance(p *plan) {
	b := &balancer{plan: p, g: g, base: g.values(), values: make([]float64, len(g.in.items))}
	for k, hot := range g.hot() {
		if hot {
			price := float64(g.in.kinds[k].price) + g.toll(k, &g.best)
			b.offers = append(b.offers, balanced{offer: offer{kind: k, value: g.tallest[k], price: price}})
			b.top = math.Max(b.top, price)
		}
	}
	for rest := b.weigh(); rest > 0 && !g.search.stopped(); rest = b.weigh() {
		taken := b.next(max(1, int(takenAtOnce*rest/b.top)))
		if !taken {
			return
		}
	}
}

// hot says of each kind whether it is worth its price nearly as much as the best that some item fits on.
func (g *generator) hot() []bool {
	rate, best := make([]float64, len(g.in.kinds)), make([]float64, len(g.in.items))
	for k := range g.in.kinds {
		rate[k] = g.tallest[k] / math.Max(float64(g.in.kinds[k].price)+g.toll(k, &g.best), 1e-9)
		for _, i := range g.in.kinds[k].fits {
			best[i] = math.Max(best[i], rate[k])
		}
	}
	hot := make([]bool, len(g.in.kinds))
	for k := range hot {
		for _, i := range g.in.kinds[k].fits {
			hot[k] = hot[k] || (g.in.items[i].count > 0 && rate[k] >= tightEnough*math.Min(best[i], 1))
		}
	}
	return hot
}

// weigh gives the items their values and returns what is left, at the values of the bound.
func (b *balancer) weigh() float64 {
	rest, whole := 0.0, 0.0
	for i, n := range b.left {
		rest += b.base[i] * float64(n)
		whole += b.base[i] * float64(b.in.items[i].count)
	}
	for i, n := range b.left {
		b.values[i] = b.base[i]
		if n > 0 {
			more := float64(n) / float64(b.in.items[i].count) * whole / rest
			b.values[i] *= math.Max(1+urgency*(more-1), 0.5)
		}
	}
	b.g.share(len(b.offers), func(w *pricing, i int) {
		o := &b.offers[i]
		o.fresh, o.value = false, 0
		if b.admits(o.kind, 1) > 0 {
			o.value = w.ceiling(&b.g.pricers[o.kind], o.kind, question{values: b.values, left: b.left})
		}
	})
	return rest
}

// next takes copies of the machine that holds the most for its price, if they are filled well.
func (b *balancer) next(copies int) bool {
	best := b.pick()
	if best == nil || best.value < wellFilled*b.g.tallest[best.kind] {
		return false
	}
	b.take(load{best.kind, b.admits(best.kind, min(copies, b.repeats(best.mix))), best.mix})
	return true
}

// pick asks kinds, two at a time and those that may do best before others, until nobody who was not asked may do better.
func (b *balancer) pick() *balanced {
	var found *balanced
	for range mostAsked / workers {
		first, second := b.likeliest()
		if first == nil || first.fresh {
			return first
		}
		next := []*balanced{first, second}
		b.g.share(len(next), func(w *pricing, i int) {
			if o := next[i]; o != nil && !o.fresh {
				b.renew(w, o, found)
			}
		})
		for _, o := range next {
			if o != nil && o.value > 0 && (found == nil || o.beats(&found.offer, cheapest)) {
				found = o
			}
		}
	}
	return found
}

// likeliest returns the two kinds that do or may do best.
func (b *balancer) likeliest() (first, second *balanced) {
	for i := range b.offers {
		switch o := &b.offers[i]; {
		case o.value <= 0:
		case first == nil || o.beats(&first.offer, cheapest):
			first, second = o, first
		case second == nil || o.beats(&second.offer, cheapest):
			second = o
		}
	}
	return first, second
}

// renew asks one kind for a content that does better than what was found.
func (b *balancer) renew(w *pricing, o, found *balanced) {
	floor := 0.0
	if found != nil {
		floor = found.value / found.price * o.price
	}
	answer := w.best(&b.g.pricers[o.kind], o.kind, question{values: b.values, left: b.left, floor: floor, nodes: searched, close: 1e-3})
	o.fresh, o.mix, o.value = true, answer.mix, answer.value
}

// ceiling is an upper bound on what a machine may hold, at the prices of the room that the relaxation ended with the last time.
func (w *pricing) ceiling(p *pricer, kind int, q question) float64 {
	w.gather(p, &w.in.kinds[kind], q)
	if p.relax.rows < w.k.rows {
		return p.relax.solve(&w.k, 0)
	}
	w.k.weigh(p.relax.price)
	return p.relax.upper(&w.k)
}
