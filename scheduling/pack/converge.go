// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// workers is how many goroutines price. Each kind is priced by itself, so that the result does not depend on how many there are.
const workers = 2

// effort bounds the search by counted steps, and by the caller's stop.
type effort struct {
	scale float64
	stop  func() bool
	steps int
}

func newEffort(o Options) *effort {
	e := &effort{scale: 1, stop: o.Stop}
	if o.Effort > 0 {
		e.scale = float64(o.Effort) / 100
	}
	return e
}

func (e *effort) stopped() bool { return e.stop != nil && e.stop() }

// allow is a bound that grows with the effort.
func (e *effort) allow(n int) int { return max(1, int(float64(n)*e.scale)) }

// Bounds of column generation. A round prices every kind of machine once.
const (
	roundsAllowed = 150
	closeEnough   = 5e-4 // of the cost, between the master and the bound
	quickNodes    = 150  // of a search tree while columns are generated
	carefulNodes  = 400  // of one for the final bound
	finest        = 1e-4 // how close the upper bounds of the knapsacks have to be in the end
	pivotsAllowed = 4000 // in one round
)

// run generates columns until the master is close to the bound.
func (g *generator) run() {
	g.start()
	smoothing := 0.8
	for range g.search.allow(roundsAllowed) {
		if g.search.stopped() {
			return
		}
		g.rounds++
		g.lp.solve(pivotsAllowed)
		target := g.master()
		at := between(target, g.best, smoothing)
		answers := g.price(&at, quickNodes, g.coarse())
		g.consider(at, answers)
		if g.closed() {
			return
		}
		if g.extend(&at, answers) > 0 {
			continue
		}
		g.toMoney(&target)
		answers = g.price(&target, quickNodes, g.coarse())
		g.consider(target, answers)
		if g.closed() || g.extend(&target, answers) == 0 {
			return
		}
	}
	g.lp.solve(pivotsAllowed)
}

// coarse is how exact the knapsacks have to be: a part of the gap that is left to close.
func (g *generator) coarse() float64 {
	z := g.lp.objective() * g.unit
	return math.Min(0.02, math.Max(finest, 0.2*(z-g.bound)/z))
}

// closed says whether the master cannot be improved by what matters. The master of items that share rows may be below the true relaxation.
func (g *generator) closed() bool {
	z := g.lp.objective() * g.unit
	return z-g.bound <= closeEnough*z
}

// inherit adds the patterns of another generator that this instance admits.
func (g *generator) inherit(from *generator) {
	kinds := map[int]int{}
	for k := range g.in.kinds {
		kinds[g.in.kinds[k].machines[0]] = k
	}
	for _, p := range from.patterns {
		if p.kind < 0 {
			continue
		}
		k, ok := kinds[from.in.kinds[p.kind].machines[0]]
		if ok && !slices.ContainsFunc(p.mix, func(part portion) bool { return !g.in.kinds[k].set.has(int(part.item)) }) {
			g.addPattern(k, p.mix)
		}
	}
}

// start puts the first columns and duals into the master: the patterns of a greedy solution, and each item alone.
func (g *generator) start() {
	at := duals{rows: make([]float64, g.features.rows), budgets: make([]float64, len(g.layout.budgets))}
	weight := make([]float64, g.features.rows)
	for i := range g.in.items {
		terms := g.features.terms[i]
		for _, t := range terms {
			at.rows[t.row] += g.worth[i] / g.unit / t.weight / float64(len(terms))
			weight[t.row]++
		}
	}
	for r := range at.rows {
		at.rows[r] /= math.Max(weight[r], 1)
	}
	g.toMoney(&at)
	g.addShares(at.values)
	for k := range g.in.kinds {
		g.alone(k)
	}
	plan := newPlan(g.in)
	plan.fill(g.worth, g.crew[0], cheapest)
	for _, l := range plan.loads {
		g.addPattern(l.kind, l.mix)
	}
	g.consider(at, g.price(&at, quickNodes, g.coarse()))
	if g.best.rows == nil {
		g.best = at
	}
}

// alone adds the pattern of one item by itself, for items whose cheapest place this kind is.
func (g *generator) alone(kind int) {
	k := &g.in.kinds[kind]
	for position, i := range k.fits {
		cheapest := true
		rate := float64(k.price) / float64(k.holds[position])
		for other := range g.in.kinds {
			o := &g.in.kinds[other]
			if other == kind || !o.set.has(int(i)) || o.most > 0 {
				continue
			}
			if otherRate := float64(o.price) / float64(g.in.items[i].most(o.room)); otherRate < rate || (otherRate == rate && other < kind) {
				cheapest = false
				break
			}
		}
		if cheapest && k.most == 0 {
			g.addPattern(kind, []portion{{i, k.holds[position]}})
		}
	}
}

// price asks every pricer for a content worth more than its machine.
func (g *generator) price(at *duals, nodes int, close float64) []priced {
	if at.values == nil {
		g.toMoney(at)
	}
	answers := make([]priced, len(g.in.kinds))
	var next atomic.Int64
	var group sync.WaitGroup
	for _, w := range g.crew {
		group.Go(func() {
			for {
				k := int(next.Add(1)) - 1
				if k >= len(answers) {
					return
				}
				floor := float64(g.in.kinds[k].price) + g.toll(k, at)
				answers[k] = w.best(&g.pricers[k], k, question{values: at.values, floor: floor, nodes: nodes, close: close})
			}
		})
	}
	group.Wait()
	g.search.steps += len(answers)
	return answers
}

// extend adds the contents that the master's own duals call too cheap to miss.
func (g *generator) extend(at *duals, answers []priced) int {
	added := g.addShares(at.values)
	for k, answer := range answers {
		if answer.mix == nil {
			continue
		}
		g.addPattern(k, answer.mix)
		last := len(g.lp.columns) - 1
		if g.lp.reduced(&g.lp.columns[last]) > -1e-7 {
			g.lp.columns, g.lp.within = g.lp.columns[:last], g.lp.within[:last]
			g.patterns = g.patterns[:len(g.patterns)-1]
			continue
		}
		added++
	}
	return added
}

// consider computes the bound at the given duals and keeps it if it is the best.
func (g *generator) consider(at duals, answers []priced) bool {
	uppers := make([]float64, len(answers))
	for k := range answers {
		uppers[k] = answers[k].upper
	}
	bound := g.in.dualBound(at.values, uppers, func(kind int) float64 { return g.toll(kind, &at) }, g.spent(&at))
	if g.best.rows != nil && bound <= g.bound {
		return false
	}
	g.best, g.bound = at, bound
	return true
}

// spent is what the budgets are worth in full at the duals.
func (g *generator) spent(at *duals) float64 {
	sum := 0.0
	for i, b := range g.layout.budgets {
		sum += at.budgets[i] * float64(max(g.in.pools[b.pool][b.dim], 0)) / g.budgetScale(b)
	}
	return sum * g.unit
}

// tighten computes the bound again at the best duals, with as much search as it takes to know the most valuable contents.
func (g *generator) tighten() {
	if g.best.rows == nil {
		return
	}
	at := g.best
	answers := g.price(&at, g.search.allow(carefulNodes), finest)
	for k := range answers {
		g.tallest[k] = answers[k].upper
	}
	g.consider(at, answers)
}
