// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"math/rand/v2"
	"slices"
)

// Bounds of the effort for choices that the relaxation leaves open: where sets of classes stay together, how the last pods of a spread
// class are shared out. With many items one choice matters little, and trying another costs much.
const (
	variantsTried = 24
	variantWork   = 20_000_000
	variantItems  = 60
	goodEnough    = 1.002 // times the bound
)

// settle makes a plan of whole machines, and where it is far from the bound tries other homes and other shares.
func (g *generator) settle(bound int64) *plan {
	homes := g.homes()
	at := g
	if len(g.in.problem.Together) > 0 {
		at = g.atHome(homes)
	}
	best := at.whole(0, nil)
	if len(g.in.items) > variantItems || (len(g.in.problem.Together) == 0 && len(g.in.shares) == 0) {
		return best
	}
	end := g.search.work + int64(variantWork*g.search.scale)
	rng := rand.New(rand.NewPCG(5, 11))
	for range g.search.allow(variantsTried) {
		if g.search.work > end || g.search.stopped() || (best != nil && float64(best.cost) <= float64(bound)*goodEnough && best.unplaced(g.worth) == 0) {
			break
		}
		other, from := slices.Clone(homes), at
		if sets := g.in.problem.Together; len(sets) > 0 && (len(g.in.shares) == 0 || rng.IntN(2) == 0) {
			g.moveHome(other, sets[rng.IntN(len(sets))], rng)
			from = g.atHome(other)
		}
		trial := from.whole(1.5, rng)
		if trial != nil && (best == nil || trial.compare(best, g.worth) < 0) {
			best, homes, at = trial, other, from
		}
	}
	return best
}

// moveHome gives a set another domain, one where it fits if there is one.
func (g *generator) moveHome(homes []int, set []int, rng *rand.Rand) {
	domains := g.in.problem.domains()
	start, old := rng.IntN(domains), homes[set[0]]
	best := old
	for offset := range domains {
		d := (start + offset) % domains
		if d == old {
			continue
		}
		if best == old || g.in.problem.homeless(set, d) < g.in.problem.homeless(set, best) {
			best = d
		}
	}
	for _, c := range set {
		homes[c] = best
	}
}

// whole makes a plan of whole machines, with the pods of spread classes shared out as the relaxation does, give or take some noise.
func (g *generator) whole(noise float64, rng *rand.Rand) *plan {
	if g == nil {
		return nil
	}
	wanted := g.wanted()
	if noise > 0 {
		for i := range wanted {
			wanted[i] += noise * (rng.Float64() - 0.5)
		}
	}
	g.in.distribute(wanted)
	best := g.improve(g.round())
	best.repair()
	return best
}

func (p *Problem) domains() int {
	domains := 0
	for m := range p.Machines {
		domains = max(domains, p.Machines[m].Domain+1)
	}
	return domains
}
