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
	work  int64 // arithmetic, about
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
	closeEnough   = 2e-3 // of the cost, between the master and the bound
	quickNodes    = 150  // of a search tree while columns are generated
	firstNodes    = 1    // of one while the duals are nowhere near
	carefulNodes  = 400  // of one for the final bound
	finest        = 1e-4 // how close the upper bounds of the knapsacks have to be in the end
	pivotsAllowed = 4000 // in one round
	decisions     = 6    // how often those kinds are searched that then decide the bound
	workAllowed   = 10_000_000
	workPerItem   = 1_300_000
	workAtMost    = 100_000_000
)

// run generates columns until the master is close to the bound, or a part of the work that the problem is worth is done.
func (g *generator) run(part float64) {
	end := g.search.work + int64(part*float64(min(workAllowed+workPerItem*len(g.in.items), workAtMost))*g.search.scale)
	g.start()
	const smoothing = 0.8
	for range g.search.allow(roundsAllowed) {
		if g.search.work > end || g.search.stopped() {
			break
		}
		g.rounds++
		g.pivot()
		target := g.master()
		at := between(target, g.best, smoothing)
		answers := g.price(&at, g.nodes(), g.coarse())
		g.consider(at, answers)
		if g.closed() {
			return
		}
		if g.extend(&at, answers) == 0 && !g.insist(target) {
			return
		}
	}
	g.pivot()
}

// insist prices at the master's own duals, with more search each time, until a column is found. It says whether there is one.
func (g *generator) insist(target duals) bool {
	for _, nodes := range []int{g.nodes(), g.search.allow(carefulNodes)} {
		answers := g.price(&target, nodes, g.coarse())
		g.consider(target, answers)
		if g.closed() {
			return false
		}
		if g.extend(&target, answers) > 0 {
			return true
		}
	}
	return false
}

// pivot solves the master.
func (g *generator) pivot() {
	before := g.lp.pivots
	g.lp.solve(pivotsAllowed)
	g.search.work += int64(g.lp.pivots-before) * int64(g.lp.rows*g.lp.rows+4000)
}

// coarse is how exact the knapsacks have to be: a part of the gap that is left to close.
func (g *generator) coarse() float64 {
	z := g.lp.objective() * g.unit
	return math.Min(0.02, math.Max(finest, 0.2*(z-g.bound)/z))
}

// nodes is how much search a knapsack is worth: little while the gap is wide, because the duals will still change.
func (g *generator) nodes() int {
	z := g.lp.objective() * g.unit
	return min(quickNodes, max(firstNodes, int(quickNodes*0.01*z/math.Max(z-g.bound, 1e-9*z))))
}

// closed says whether the master cannot be improved by what matters. The master of items that share rows may be below the true relaxation.
func (g *generator) closed() bool {
	z := g.lp.objective() * g.unit
	if len(g.in.items) <= fewRows {
		return z-g.bound <= finest*z
	}
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
	at := duals{rows: g.features.fit(g.worth), budgets: make([]float64, len(g.layout.budgets))}
	for r := range at.rows {
		at.rows[r] /= g.unit
	}
	g.toMoney(&at)
	g.addShares(at.values)
	g.alone()
	plan := newPlan(g.in)
	plan.fill(g.worth, g.crew[0], cheapest)
	for _, l := range plan.loads {
		g.addPattern(l.kind, l.mix)
	}
	g.consider(at, g.price(&at, firstNodes, g.coarse()))
	if g.best.rows == nil {
		g.best = at
	}
}

// alone adds for each item the pattern of nothing else, on the kind where that is cheapest.
func (g *generator) alone() {
	type place struct {
		kind  int
		count int32
		rate  float64
	}
	best := make([]place, len(g.in.items))
	for k := range g.in.kinds {
		kind := &g.in.kinds[k]
		for position, i := range kind.fits {
			count := kind.holds[position]
			rate := float64(kind.price) / float64(count)
			if kind.most == 0 && (best[i].count == 0 || rate < best[i].rate) {
				best[i] = place{k, count, rate}
			}
		}
	}
	for i, p := range best {
		if p.count > 0 {
			g.addPattern(p.kind, []portion{{int32(i), p.count}})
		}
	}
}

// price asks every pricer for a content worth more than its machine: with little search at first, then with more those kinds that decide
// the bound, because nothing is worth more for its price of what some item fits on.
func (g *generator) price(at *duals, nodes int, close float64) []priced {
	if at.values == nil {
		g.toMoney(at)
	}
	answers := make([]priced, len(g.in.kinds))
	all, searched := make([]int, len(g.in.kinds)), make([]bool, len(g.in.kinds))
	for k := range all {
		all[k], searched[k] = k, g.in.kinds[k].most > 0 // one of a limited kind adds to the bound whatever others are worth
	}
	g.ask(at, answers, all, func(k int) int {
		if searched[k] {
			return nodes
		}
		return min(nodes, firstNodes)
	}, close)
	for range decisions {
		if nodes <= firstNodes {
			break
		}
		deciding := slices.DeleteFunc(g.deciding(at, answers), func(k int) bool { return searched[k] })
		if len(deciding) == 0 {
			break
		}
		for _, k := range deciding {
			searched[k] = true
		}
		g.ask(at, answers, deciding, func(int) int { return nodes }, close)
	}
	return answers
}

// ask prices some kinds, each by itself.
func (g *generator) ask(at *duals, answers []priced, kinds []int, nodes func(kind int) int, close float64) {
	g.share(len(kinds), func(w *pricing, i int) {
		k := kinds[i]
		floor := float64(g.in.kinds[k].price) + g.toll(k, at)
		answers[k] = w.best(&g.pricers[k], k, question{values: at.values, floor: floor, nodes: nodes(k), close: close})
	})
	g.search.steps += len(kinds)
}

// share does n pieces of work that are independent of each other.
func (g *generator) share(n int, do func(w *pricing, i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for _, w := range g.crew {
		group.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(w, i)
			}
		})
	}
	group.Wait()
	for _, w := range g.crew {
		g.search.work += w.k.work
		w.k.work = 0
	}
}

// deciding returns the kinds whose upper bounds scale some item's value, as dualBound has it.
func (g *generator) deciding(at *duals, answers []priced) []int {
	by, least := make([]int, len(g.in.items)), make([]float64, len(g.in.items))
	for i := range by {
		by[i] = -1
	}
	for k := range g.in.kinds {
		kind := &g.in.kinds[k]
		if kind.most > 0 || answers[k].upper <= 0 {
			continue
		}
		ratio := (float64(kind.price) + g.toll(k, at)) / answers[k].upper
		if ratio >= 1 {
			continue // there is nothing to find
		}
		for _, i := range kind.fits {
			if by[i] < 0 || ratio < least[i] {
				by[i], least[i] = k, ratio
			}
		}
	}
	var deciding []int
	for _, k := range by {
		if k >= 0 {
			deciding = append(deciding, k)
		}
	}
	slices.Sort(deciding)
	return slices.Compact(deciding)
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
func (g *generator) consider(at duals, answers []priced) {
	uppers := make([]float64, len(answers))
	for k := range answers {
		uppers[k] = answers[k].upper
	}
	bound := g.in.dualBound(at.values, uppers, func(kind int) float64 { return g.toll(kind, &at) }, g.spent(&at))
	if g.best.rows != nil && bound <= g.bound {
		return
	}
	g.best, g.bound = at, bound
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
