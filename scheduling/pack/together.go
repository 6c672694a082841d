// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import "math"

// homes chooses a domain for each set of classes that stay together: where their values, raised by how far the kinds there are
// from being worth their price, sum to the least. The relaxation itself lets such pods lie anywhere, which only lowers the bound.
func (g *generator) homes() []int {
	homes := make([]int, len(g.in.problem.Classes))
	for c := range homes {
		homes[c] = anywhere
	}
	domains := g.in.problem.domains()
	values := g.values()
	for _, set := range g.in.problem.Together {
		best, least, fewest := 0, math.Inf(1), math.MaxInt
		for d := range domains {
			missing := g.in.problem.homeless(set, d)
			cost := g.costAt(set, d, values)
			if missing < fewest || (missing == fewest && cost < least) {
				best, least, fewest = d, cost, missing
			}
		}
		for _, c := range set {
			homes[c] = best
		}
	}
	return homes
}

// costAt is about what the pods of a set cost in a domain. Where a class fits on none of the kinds that are worth considering there, it counts
// as dear.
func (g *generator) costAt(set []int, domain int, values []float64) float64 {
	ratio := make([]float64, len(g.in.problem.Classes))
	for k := range g.in.kinds {
		kind := &g.in.kinds[k]
		if kind.domain != domain || g.tallest[k] <= 0 {
			continue
		}
		efficiency := g.tallest[k] / (float64(kind.price) + g.toll(k, &g.best) + 1)
		for _, i := range kind.fits {
			c := g.in.items[i].class
			ratio[c] = math.Max(ratio[c], efficiency)
		}
	}
	sum := 0.0
	for _, c := range set {
		value := 0.0
		for i := range g.in.items {
			if g.in.items[i].class == c {
				value = math.Max(value, values[i])
			}
		}
		sum += value * float64(g.in.problem.Classes[c].Count) / math.Max(ratio[c], 0.1)
	}
	return sum
}

// homeless is how many pods of a set fit on no machine of a domain.
func (p *Problem) homeless(set []int, domain int) int {
	pods := 0
	for _, c := range set {
		fits := false
		for m := range p.Machines {
			fits = fits || (p.Machines[m].Domain == domain && p.holds(c, m))
		}
		if !fits {
			pods += p.Classes[c].Count
		}
	}
	return pods
}

func (p *Problem) holds(c, m int) bool {
	if !p.Classes[c].Allowed[m] || p.Machines[m].Most < 0 {
		return false
	}
	for r, request := range p.Classes[c].Requests {
		if request > p.Machines[m].Room[r] && request > 0 {
			return false
		}
	}
	return true
}

// atHome solves the relaxation again with classes held to their domains, from what is known of the one without.
func (g *generator) atHome(homes []int) *generator {
	in := newInstance(g.in.problem, homes)
	if len(in.items) == 0 || len(in.kinds) == 0 {
		return nil
	}
	held := newGenerator(in, g.values(), g.search, exactRows)
	held.inherit(g)
	held.run(0.1)
	held.tighten()
	return held
}
