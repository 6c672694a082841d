// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import "math"

// wanted is how many pods of each item the relaxation places, where it had a choice: the spread classes by domain.
func (g *generator) wanted() []float64 {
	wanted := make([]float64, len(g.in.items))
	for j, p := range g.patterns {
		x := g.lp.value(g.layout.first + j)
		if p.kind >= 0 || x <= 0 {
			continue
		}
		at := 0
		for _, s := range g.layout.groups[p.group] {
			share := &g.in.shares[s]
			for d := range share.domains {
				wanted[share.first+d] += x * float64(p.shares[at])
				at++
			}
		}
	}
	return wanted
}

// values are the item values of the best bound, none of them 0.
func (g *generator) values() []float64 {
	values := make([]float64, len(g.in.items))
	for i := range values {
		values[i] = math.Max(g.best.values[i], g.worth[i]/50)
	}
	return values
}

// floor takes the whole part of the relaxation's solution, of each pattern as many machines as the pods fill.
func (g *generator) floor() *plan {
	p := newPlan(g.in)
	for j, pattern := range g.patterns {
		n := int(math.Floor(g.lp.value(g.layout.first+j) + 1e-6))
		if pattern.kind < 0 || n == 0 {
			continue
		}
		if n = p.admits(pattern.kind, min(n, p.repeats(pattern.mix))); n > 0 {
			p.take(load{pattern.kind, n, pattern.mix})
		}
	}
	return p
}

// starts are plans of well filled machines to go on from.
func (g *generator) starts(prefer preference) []*plan {
	if g.search.scale < roughly {
		return []*plan{newPlan(g.in)}
	}
	if prefer == roomiest {
		return []*plan{g.floor(), newPlan(g.in)}
	}
	starts := []*plan{newPlan(g.in)}
	if z := g.lp.objective() * g.unit; len(g.in.items) <= variantItems && z-g.bound <= nearlySolved*z {
		starts = append(starts, g.floor())
	}
	for _, p := range starts {
		g.balance(p)
	}
	if len(g.in.items) <= variantItems {
		starts = append(starts, g.floor(), newPlan(g.in))
	}
	return starts
}

// round turns the relaxation into plans of whole machines, and returns the best of them.
func (g *generator) round() *plan {
	var best *plan
	consider := func(p *plan) {
		if best == nil || p.compare(best, g.worth) < 0 {
			best = p
		}
	}
	values := g.values()
	hot := make([]bool, len(g.in.kinds))
	for k := range hot {
		hot[k] = g.tallest[k] >= 0.985*(float64(g.in.kinds[k].price)+g.toll(k, &g.best))
	}
	toll := func(kind int) float64 { return g.toll(kind, &g.best) }
	for _, prefer := range []preference{cheapest, roomiest} {
		if prefer == roomiest && len(g.layout.budgets) == 0 {
			continue
		}
		for _, start := range g.starts(prefer) {
			f := filler{plan: start, values: values, orders: g.in.orders(values), w: g.crew[0], toll: toll}
			if g.search.scale >= roughly {
				f.pricers, f.hot = g.pricers, hot
			}
			f.run(prefer)
			consider(f.plan)
		}
	}
	return best
}
