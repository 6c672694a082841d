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
	PerMachine int
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
	Patterns []Pattern // by machine, then fullest first
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
func Solve(p Problem, _ Options) Solution {
	var best *attempt
	worth := p.worth()
	for _, order := range p.orders(worth) {
		for _, prefer := range []preference{cheapest, roomiest} {
			a := greedy(p, worth, order, prefer)
			if best == nil || a.compare(best) < 0 {
				best = a
			}
		}
	}
	placed := p
	placed.Classes = slices.Clone(p.Classes)
	for c := range placed.Classes {
		placed.Classes[c].Count -= best.left[c]
	}
	return Solution{Patterns: best.patterns, Unplaced: best.left, Cost: best.cost, LowerBound: Bound(placed, Options{})}
}

// worth is what a pod of each class is worth: its cheapest share of a machine under the duals of the bound. It makes a
// scarce resource dear, so that a machine is judged by what it holds of what is hard to hold.
func (p Problem) worth() []float64 {
	_, duals := p.fractional()
	worth := p.values(duals, identity)
	for c := range worth {
		worth[c] = math.Max(worth[c], 1e-6) // a pod that requests nothing still wants a place
	}
	return worth
}

// orders are the sequences in which a machine is filled: by worth, and by each resource's share, greatest first.
func (p Problem) orders(worth []float64) [][]int {
	keys := [][]float64{worth}
	if len(p.Classes) > 0 {
		for r := range p.Classes[0].Requests {
			key := make([]float64, len(p.Classes))
			for c := range p.Classes {
				key[c] = float64(p.Classes[c].Requests[r])
			}
			keys = append(keys, key)
		}
	}
	var orders [][]int
	for _, key := range keys {
		order := make([]int, len(p.Classes))
		for c := range order {
			order[c] = c
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(key[b], key[a]) })
		if !slices.ContainsFunc(orders, func(o []int) bool { return slices.Equal(o, order) }) {
			orders = append(orders, order)
		}
	}
	return orders
}

// preference says which of two machines is bought next.
type preference int

const (
	cheapest preference = iota // the least price for what it holds
	roomiest                   // the greatest worth in one machine: right where the number of machines is bounded
)

func (prefer preference) better(price, worth, bestPrice, bestWorth float64) bool {
	if prefer == roomiest && worth != bestWorth {
		return worth > bestWorth
	}
	return price*bestWorth < bestPrice*worth
}

// attempt is a plan in the making.
type attempt struct {
	patterns []Pattern
	left     []int
	pools    []Vector
	cost     int64
	machines int
	unplaced float64
}

func (a *attempt) compare(b *attempt) int {
	return cmp.Or(cmp.Compare(a.unplaced, b.unplaced), ComparePrices(a.cost, b.cost), cmp.Compare(a.machines, b.machines))
}

// ComparePrices takes prices for equal that differ by less than a millionth: a third of a cent, rounded, must not outweigh a machine.
func ComparePrices(a, b int64) int {
	if difference := a - b; max(difference, -difference) <= max(a, b)/1_000_000 {
		return 0
	}
	return cmp.Compare(a, b)
}

func (a *attempt) take(p Problem, pattern Pattern) {
	machine := p.Machines[pattern.Machine]
	a.patterns = append(a.patterns, pattern)
	a.cost += int64(pattern.Copies) * machine.Price
	a.machines += pattern.Copies
	for c, n := range pattern.Mix {
		a.left[c] -= n * pattern.Copies
	}
	for d, draw := range machine.Draw {
		if a.pools[machine.Pool][d] != Unbounded {
			a.pools[machine.Pool][d] -= int64(pattern.Copies) * draw
		}
	}
}

func (a *attempt) clone() *attempt {
	clone := *a
	clone.patterns, clone.left = slices.Clone(a.patterns), slices.Clone(a.left)
	clone.pools = make([]Vector, len(a.pools))
	for i := range a.pools {
		clone.pools[i] = slices.Clone(a.pools[i])
	}
	return &clone
}

// greedy buys machine after machine by preference. Before each purchase it also considers to finish with one machine for
// all that is left, which the preference alone would overlook: a large machine is seldom the best value per pod.
func greedy(p Problem, worth []float64, order []int, prefer preference) *attempt {
	a := (&attempt{pools: p.Pools}).clone()
	for c := range p.Classes {
		a.left = append(a.left, p.Classes[c].Count)
	}
	var finished *attempt
	mix := make([]int, len(p.Classes))
	for {
		best, bestWorth := Pattern{Machine: -1}, 0.0
		for m := range p.Machines {
			if a.copies(p, m, 1) == 0 {
				continue
			}
			value := fill(p, m, a.left, order, worth, mix)
			if value == 0 {
				continue
			}
			if slices.Equal(mix, a.left) {
				last := a.clone()
				last.take(p, Pattern{Machine: m, Copies: 1, Mix: slices.Clone(mix)})
				if finished == nil || last.compare(finished) < 0 {
					finished = last
				}
			}
			price := float64(p.Machines[m].Price)
			if best.Machine < 0 || prefer.better(price, value, float64(p.Machines[best.Machine].Price), bestWorth) {
				best, bestWorth = Pattern{Machine: m, Mix: slices.Clone(mix)}, value
			}
		}
		if best.Machine < 0 {
			break
		}
		best.Copies = a.copies(p, best.Machine, repeats(best.Mix, a.left))
		a.take(p, best)
	}
	for c, n := range a.left {
		a.unplaced += float64(n) * worth[c]
	}
	if finished != nil && finished.compare(a) < 0 {
		return finished
	}
	return a
}

// copies returns how many of the wanted machines the pool's budget admits.
func (a *attempt) copies(p Problem, m, wanted int) int {
	machine := p.Machines[m]
	for d, draw := range machine.Draw {
		if left := a.pools[machine.Pool][d]; left != Unbounded && draw > 0 {
			wanted = min(wanted, int(max(left, 0)/draw))
		}
	}
	return wanted
}

// repeats returns how many machines with that mix the pods that are left can fill.
func repeats(mix, left []int) int {
	times := math.MaxInt
	for c, n := range mix {
		if n > 0 {
			times = min(times, left[c]/n)
		}
	}
	return times
}

// fill puts as many pods as fit into an empty machine, in the given order, and returns what they are worth.
func fill(p Problem, m int, left, order []int, worth []float64, mix []int) float64 {
	free := slices.Clone(p.Machines[m].Room)
	value := 0.0
	for _, c := range order {
		mix[c] = 0
		class := &p.Classes[c]
		if left[c] == 0 || !class.Allowed[m] {
			continue
		}
		n := int64(left[c])
		if class.PerMachine > 0 {
			n = min(n, int64(class.PerMachine))
		}
		for r, request := range class.Requests {
			if request > 0 {
				n = min(n, max(free[r], 0)/request)
			}
		}
		for r, request := range class.Requests {
			free[r] -= n * request
		}
		mix[c] = int(n)
		value += float64(n) * worth[c]
	}
	return value
}
