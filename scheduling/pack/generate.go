// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"math"
	"slices"
)

// generator solves the relaxation of an instance by column generation (Gilmore and Gomory 1961, 1963): the master chooses how many
// machines there are of each pattern, pricing finds patterns that the master's duals say are too cheap to miss. The duals are smoothed
// towards those of the best bound so far (Wentges 1997; the idea of du Merle et al. 1999), without which they jump about.
type generator struct {
	in       *instance
	search   *effort
	worth    []float64
	features *features
	unit     float64 // of money in the master
	lp       *simplex
	layout   layout
	patterns []pattern // behind the columns from layout.patterns on, where kind >= 0
	pricers  []pricer
	crew     []*pricing
	tallest  []float64 // by kind: no content was worth more at the last values

	best   duals // those of the best bound
	bound  float64
	rounds int
}

// pattern is what a column of the master stands for: a machine with its content, or a way to share out the spread classes.
type pattern struct {
	kind   int // -1: shares
	mix    []portion
	shares []int // of the group's shares, one domain after the other
	group  int
}

// layout says what the rows of the master are: the features, then the budgets, then the kinds of which there are few, then the shares.
type layout struct {
	budgets []budgetRow
	few     []int   // kinds
	groups  [][]int // shares that share a convexity row
	budget0 int
	few0    int
	group0  int
	rows    int
	row     []int // by kind: its row among the few, or -1
	first   int   // the first column that is not a unit or a surplus column
}

type budgetRow struct{ pool, dim int }

// duals are the values of items in money, and the prices of the budgets.
type duals struct {
	rows    []float64 // of the features
	budgets []float64 // by budget row, not negative
	values  []float64 // by item
}

// limitedRows bounds how many limited kinds have a row. The bound needs none; without them the master uses such machines too often.
const limitedRows = 200

func newGenerator(in *instance, worth []float64, search *effort, exact int) *generator {
	g := &generator{in: in, search: search, worth: worth, unit: math.MaxFloat64, features: in.features(worth, exact)}
	for k := range in.kinds {
		if price := float64(in.kinds[k].price); price > 0 {
			g.unit = math.Min(g.unit, price)
		}
	}
	if g.unit == math.MaxFloat64 {
		g.unit = 1
	}
	g.pricers, g.tallest = make([]pricer, len(in.kinds)), make([]float64, len(in.kinds))
	for range workers {
		g.crew = append(g.crew, newPricing(in))
	}
	g.arrange()
	g.build()
	return g
}

func (g *generator) arrange() {
	l, in := &g.layout, g.in
	l.budget0 = g.features.rows
	used := make([]bool, len(in.pools))
	for k := range in.kinds {
		if in.kinds[k].draw != nil {
			used[in.kinds[k].pool] = true
		}
	}
	for pool := range in.pools {
		for d, left := range in.pools[pool] {
			if used[pool] && left != Unbounded {
				l.budgets = append(l.budgets, budgetRow{pool, d})
			}
		}
	}
	l.few0 = l.budget0 + len(l.budgets)
	l.row = make([]int, len(in.kinds))
	for k := range in.kinds {
		l.row[k] = -1
		if in.kinds[k].most > 0 && len(l.few) < limitedRows {
			l.row[k] = l.few0 + len(l.few)
			l.few = append(l.few, k)
		}
	}
	l.group0 = l.few0 + len(l.few)
	for s := range in.shares {
		if in.shares[s].count == 0 {
			continue
		}
		if g.features.rows < len(in.items) && len(l.groups) > 0 {
			l.groups[0] = append(l.groups[0], s)
		} else {
			l.groups = append(l.groups, []int{s})
		}
	}
	l.rows = l.group0 + len(l.groups)
}

// build makes the master without patterns: unit columns that stand for what is missing or left over, and surplus columns.
func (g *generator) build() {
	l := &g.layout
	rhs, costs := make([]float64, l.rows), make([]float64, l.rows)
	missing := g.penalties()
	for i := range g.in.items {
		for _, t := range g.features.terms[i] {
			costs[t.row] = math.Max(costs[t.row], missing[i]/t.weight)
			if g.in.items[i].share < 0 {
				rhs[t.row] += t.weight * float64(g.in.items[i].count)
			}
		}
	}
	for i, b := range l.budgets {
		rhs[l.budget0+i] = float64(max(g.in.pools[b.pool][b.dim], 0)) / g.budgetScale(b)
	}
	for i, k := range l.few {
		rhs[l.few0+i] = float64(g.in.kinds[k].most)
	}
	total := 0.0
	for r := range g.features.rows {
		total += costs[r]
	}
	for i := range l.groups {
		rhs[l.group0+i], costs[l.group0+i] = 1, 1e3+total
	}
	g.lp = newSimplex(rhs, costs)
	for r := range g.features.rows {
		g.lp.add(column{rows: []int32{int32(r)}, entries: []float64{-1}})
	}
	l.first = len(g.lp.columns)
}

func (g *generator) budgetScale(b budgetRow) float64 {
	return math.Max(float64(g.in.pools[b.pool][b.dim]), 1) / 100
}

// penalties are what a pod costs the master that it does not place: more than any machine, and where a budget makes it choose, by worth.
func (g *generator) penalties() []float64 {
	factor := 2.0
	if len(g.layout.budgets) > 0 || len(g.layout.few) > 0 {
		factor = 1000
	}
	least := make([]float64, len(g.in.items))
	for k := range g.in.kinds {
		for _, i := range g.in.kinds[k].fits {
			if price := float64(g.in.kinds[k].price) / g.unit; price > 0 && (least[i] == 0 || price < least[i]) {
				least[i] = price
			}
		}
	}
	for i := range least {
		if least[i] == 0 { // it fits on what costs nothing alone
			least[i] = 1
		}
		least[i] = math.Max(2*least[i], factor*g.worth[i]/g.unit)
	}
	return least
}

// addPattern adds a machine with its content to the master.
func (g *generator) addPattern(kind int, mix []portion) {
	k := &g.in.kinds[kind]
	entries := map[int]float64{}
	for _, p := range mix {
		for _, t := range g.features.terms[p.item] {
			entries[t.row] += float64(p.count) * t.weight
		}
	}
	for i, b := range g.layout.budgets {
		if b.pool == k.pool && k.draw != nil && k.draw[b.dim] > 0 {
			entries[g.layout.budget0+i] = float64(k.draw[b.dim]) / g.budgetScale(b)
		}
	}
	if row := g.layout.row[kind]; row >= 0 {
		entries[row] = 1
	}
	g.lp.add(sparse(float64(k.price)/g.unit, entries))
	g.patterns = append(g.patterns, pattern{kind: kind, mix: mix})
}

func sparse(cost float64, entries map[int]float64) column {
	c := column{cost: cost}
	for r := range entries {
		c.rows = append(c.rows, int32(r))
	}
	slices.Sort(c.rows)
	for _, r := range c.rows {
		c.entries = append(c.entries, entries[int(r)])
	}
	return c
}

// addShares adds the way to share out the pods of a group that is cheapest at the given values, if the master would use it.
func (g *generator) addShares(values []float64) (added int) {
	for i, group := range g.layout.groups {
		p := pattern{kind: -1, group: i}
		entries := map[int]float64{g.layout.group0 + i: 1}
		for _, s := range group {
			share := &g.in.shares[s]
			into := make([]int, share.domains)
			share.cheapest(values, into)
			for d, n := range into {
				for _, t := range g.features.terms[share.first+d] {
					entries[t.row] -= float64(n) * t.weight
				}
			}
			p.shares = append(p.shares, into...)
		}
		c := sparse(0, entries)
		if g.lp.reduced(&c) < -1e-6 {
			g.lp.add(c)
			g.patterns = append(g.patterns, p)
			added++
		}
	}
	return added
}

// master reads the duals of the master.
func (g *generator) master() duals {
	d := duals{rows: slices.Clone(g.lp.dual[:g.features.rows]), budgets: make([]float64, len(g.layout.budgets))}
	for i := range d.rows {
		d.rows[i] = math.Max(d.rows[i], 0)
	}
	for i := range d.budgets {
		d.budgets[i] = math.Max(-g.lp.dual[g.layout.budget0+i], 0)
	}
	return d
}

// between returns duals on the way from a to b.
func between(a, b duals, part float64) duals {
	mix := func(x, y []float64) []float64 {
		z := make([]float64, len(x))
		for i := range z {
			z[i] = x[i] + part*(y[i]-x[i])
		}
		return z
	}
	return duals{rows: mix(a.rows, b.rows), budgets: mix(a.budgets, b.budgets)}
}

// toMoney gives the items their values.
func (g *generator) toMoney(d *duals) {
	d.values = make([]float64, len(g.in.items))
	for i := range d.values {
		d.values[i] = math.Max(g.features.value(i, d.rows), 0) * g.unit
	}
}

// toll is what the budgets add to the price of a kind, in money.
func (g *generator) toll(kind int, d *duals) float64 {
	k, sum := &g.in.kinds[kind], 0.0
	for i, b := range g.layout.budgets {
		if b.pool == k.pool && k.draw != nil {
			sum += d.budgets[i] * float64(k.draw[b.dim]) / g.budgetScale(b)
		}
	}
	return sum * g.unit
}
