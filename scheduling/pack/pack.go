// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pack turns counts of equal pods and kinds of machines into a set of machines that holds the pods cheaply, and into a cost
// that no such set can undercut. It works on numbers alone: what may run where was decided by others, and every
// placement is confirmed by others.
package pack

import (
	"cmp"
	"math"
	"slices"
)

// Vector is an amount of each resource. All vectors of a Problem have the same resources in the same order.
type Vector []int64

// Unbounded as an entry of a pool's budget bounds nothing.
const Unbounded = math.MaxInt64

// Absent as an entry of Spread.Existing takes a domain out of the spread: none of its pods go there, and its emptiness holds back nobody.
const Absent = -1

// Problem is what has to be packed. Nothing in it is changed.
type Problem struct {
	Classes  []Class
	Machines []Machine // where two are equally good, the earlier is taken
	Pools    []Vector  // what is left of the budget of each pool
	Limits   []Limit   // what a machine may hold of several classes together
	Spreads  []Spread  // how classes are spread over the domains
	Together [][]int   // sets of classes whose pods all go to one domain; the sets share no class
}

// Class is a number of pods that are equal to the scheduler.
type Class struct {
	Requests   Vector
	Count      int
	PerMachine int    // how many of them one machine may hold, whatever its size; 0: any number
	Allowed    []bool // by machine: whether such a machine may hold them at all
}

// Machine is one kind of machine. A machine that is there already is a kind of which there is one (Most: 1), whose Room is what it has
// free once everything that may move has left, and whose Price is what keeping it costs: 0 where it stays in any case. Where its
// pool's budget counts it too, both the budget and Draw have to.
type Machine struct {
	Room   Vector
	Price  int64
	Pool   int
	Draw   Vector // what one of them takes from the pool's budget
	Domain int    // for example the datacenter: what Spreads and Together tell apart
	Most   int    // how many of them there are; 0: any number, within the budget of the pool
}

// Limit bounds how many pods of several classes one machine may hold together. With PerMachine 1 it says that the classes repel each
// other and themselves, as pods do that want the same host port.
type Limit struct {
	Classes    []int
	Weights    []int // by position in Classes: what one pod counts for, 1 or more; nil: 1 each
	PerMachine int
}

func (l *Limit) weight(position int) int {
	if l.Weights == nil {
		return 1
	}
	return l.Weights[position]
}

// Exclude returns the limit that pods of two classes are not on the same machine, of which one may hold so many of either. It is exact where
// that is one of one of them, and else the convex hull.
func Exclude(a, mostA, b, mostB int) Limit {
	return Limit{Classes: []int{a, b}, Weights: []int{mostB, mostA}, PerMachine: mostA * mostB}
}

// Spread bounds how unevenly the pods of some classes, counted together, may lie in the domains.
type Spread struct {
	Classes  []int
	MaxSkew  int   // how many more than the domain with the fewest a domain may have; 0: any number
	Most     int   // how many a domain may have; 0: any number
	Existing []int // by domain: pods that are there already and count; Absent: the domain does not
}

// Pattern is a number of equal machines with the same pods on each.
type Pattern struct {
	Machine int
	Copies  int
	Mix     []int // pods by class, on each
}

// Solution is a set of machines with what they hold. Machines that are there already and are in no pattern hold nothing of this.
type Solution struct {
	Patterns []Pattern // by machine, then by mix, greatest first
	Unplaced []int     // pods by class for which no machine or no budget was left
	Cost     int64
	// LowerBound is a cost that no set of machines that keeps to the problem's terms and holds the pods that were placed undercuts.
	LowerBound int64
	Steps      int // effort spent
}

// Options bound the effort. The zero value is right for production.
type Options struct {
	// Effort scales the deterministic bounds on the search: 0 is 100 percent. Where they end the search, equal problems have equal solutions.
	Effort int
	// Stop is asked now and then, and ends the search with the best that was found so far. It is for an emergency, because
	// a solution that it cut short depends on the speed of the machine. nil never stops.
	Stop func() bool
}

// Solve returns machines for as many pods as the budgets admit, by worth, at the least cost it finds, of equal costs with the fewest machines.
func Solve(p Problem, o Options) Solution {
	search := newEffort(o)
	solution := Solution{Unplaced: make([]int, len(p.Classes))}
	for c := range p.Classes {
		solution.Unplaced[c] = max(p.Classes[c].Count, 0)
	}
	g := relaxed(&p, search)
	if g == nil {
		return solution
	}
	bound := max(g.in.safe(g.bound), g.in.countBound())
	if best := g.settle(bound); best != nil {
		solution.fill(best)
	}
	if slices.Max(solution.Unplaced) > 0 {
		placed := p
		placed.Classes = slices.Clone(p.Classes)
		for c := range placed.Classes {
			placed.Classes[c].Count -= solution.Unplaced[c]
		}
		bound = Bound(placed, o)
	}
	solution.LowerBound = min(bound, solution.Cost)
	solution.Steps = search.steps
	return solution
}

// relaxed solves the relaxation of a problem as far as its bound is worth it. Where there are many items they share rows: the bound is as good, and
// the machines are chosen by its values, not by the master's patterns. It returns nil where nothing can be placed.
func relaxed(p *Problem, search *effort) *generator {
	in := newInstance(p, nil)
	if len(in.items) == 0 || len(in.kinds) == 0 {
		return nil
	}
	g := newGenerator(in, in.fluid(), search, fewRows)
	g.run(1)
	g.tighten()
	return g
}

// Bound returns a cost that no set of machines that keeps to the problem's terms and holds all pods undercuts. Pods that fit nowhere are
// left aside.
func Bound(p Problem, o Options) int64 {
	g := relaxed(&p, newEffort(o))
	if g == nil {
		return 0
	}
	return max(g.in.safe(g.bound), g.in.countBound())
}

// fill states a plan in terms of the problem.
func (s *Solution) fill(p *plan) {
	s.Cost = p.cost
	next := make([]int, len(p.in.kinds)) // machines of a limited kind that are taken
	for _, l := range p.loads {
		mix := make([]int, len(s.Unplaced))
		for _, part := range l.mix {
			mix[p.in.items[part.item].class] += int(part.count)
		}
		for c, n := range mix {
			s.Unplaced[c] -= n * l.copies
		}
		k := &p.in.kinds[l.kind]
		if k.most == 0 {
			s.Patterns = append(s.Patterns, Pattern{Machine: k.machines[0], Copies: l.copies, Mix: mix})
			continue
		}
		s.Patterns = append(s.Patterns, p.in.assign(k, &next[l.kind], l.copies, mix)...)
	}
	s.Patterns = merged(s.Patterns)
}

// assign hands out the machines of a limited kind in their order.
func (in *instance) assign(k *kind, next *int, copies int, mix []int) (patterns []Pattern) {
	taken := 0
	for _, m := range k.machines {
		most := in.problem.Machines[m].Most
		free := min(max(taken+most-*next, 0), most)
		if n := min(free, copies); n > 0 {
			patterns = append(patterns, Pattern{Machine: m, Copies: n, Mix: mix})
			*next += n
			copies -= n
		}
		taken += most
	}
	return patterns
}

// merged orders patterns by machine, fullest first, and joins equal ones.
func merged(patterns []Pattern) []Pattern {
	slices.SortStableFunc(patterns, func(a, b Pattern) int {
		return cmp.Or(cmp.Compare(a.Machine, b.Machine), slices.Compare(b.Mix, a.Mix))
	})
	kept := patterns[:0]
	for _, p := range patterns {
		if last := len(kept) - 1; last >= 0 && kept[last].Machine == p.Machine && slices.Equal(kept[last].Mix, p.Mix) {
			kept[last].Copies += p.Copies
			continue
		}
		kept = append(kept, p)
	}
	return kept
}

// ComparePrices takes prices for equal that differ by less than a millionth: a third of a cent, rounded, must not outweigh a machine.
func ComparePrices(a, b int64) int {
	if difference := a - b; max(difference, -difference) <= max(a, b)/1_000_000 {
		return 0
	}
	return cmp.Compare(a, b)
}
