// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"math"
	"slices"
)

// Bound returns a price that no set of allowed machines that holds all pods undercuts. Budgets are ignored.
//
// Proof. Let share(c, m) be the sum over the resources r of weight(r) * request(c, r) / room(m, r), with weights >= 0 that sum to 1.
// The pods S on one machine m meet sum(request(c, r)) <= room(m, r) for each r, so the shares of S sum to at most 1. Let f be
// a dual feasible function: whenever numbers sum to at most 1, their images do. Give each pod of class c the value
// v(c) = min over its allowed machines m of price(m) * f(share(c, m)). Then the values of S sum to at most price(m) * sum(f(share(c, m)))
// <= price(m). Summed over all machines of any set that holds all pods: sum(count(c) * v(c)) <= cost. This holds for every choice of
// weights and f; Bound takes the greatest of the sums that it tries. Two more bounds need no proof: some machine holds a given pod,
// and pods of which a machine may hold at most k need count/k machines.
func Bound(p Problem, _ Options) int64 {
	best, duals := p.fractional()
	for k := 1; k <= 8; k++ {
		for _, weights := range append(corners(p.resources()), duals) {
			best = math.Max(best, p.total(p.values(weights, stepped(k))))
		}
	}
	// Float arithmetic is exact to a few parts in 10^15; a part in 10^9 is given away for it.
	return max(int64(best*(1-1e-9)), p.countBound())
}

// countBound is the greatest price of the machines that one class alone needs for being split, and of the machine that any pod needs.
func (p Problem) countBound() int64 {
	var bound int64
	for c := range p.Classes {
		class := &p.Classes[c]
		if class.Count == 0 {
			continue
		}
		least := int64(math.MaxInt64)
		for m := range p.Machines {
			if p.holds(c, m) {
				least = min(least, p.Machines[m].Price)
			}
		}
		if least == math.MaxInt64 {
			continue // it fits nowhere: no set of machines holds it, and nothing is said about its cost
		}
		machines := int64(1)
		if class.PerMachine > 0 {
			machines = int64((class.Count + class.PerMachine - 1) / class.PerMachine)
		}
		bound = max(bound, machines*least)
	}
	return bound
}

func (p Problem) holds(c, m int) bool {
	if !p.Classes[c].Allowed[m] {
		return false
	}
	for r, request := range p.Classes[c].Requests {
		if request > p.Machines[m].Room[r] {
			return false
		}
	}
	return true
}

func (p Problem) resources() int {
	if len(p.Classes) == 0 {
		return 0
	}
	return len(p.Classes[0].Requests)
}

// identity is a dual feasible function.
func identity(share float64) float64 { return share }

// stepped returns the dual feasible function of Fekete and Schepers with parameter k, which counts that of items larger than 1/(k+1)
// at most k fit: x where (k+1)x is whole, else floor((k+1)x)/k. Shares are lowered a little first, because an error upwards across a
// step would make the bound wrong, and one downwards only makes it weak.
func stepped(k int) func(float64) float64 {
	return func(share float64) float64 {
		return math.Floor(float64(k+1)*share*(1-1e-12)) / float64(k)
	}
}

// values returns v(c) of the proof, and 0 for classes that fit nowhere.
func (p Problem) values(weights split, f func(float64) float64) []float64 {
	scale := make([]split, len(p.Machines))
	for m := range p.Machines {
		scale[m] = make(split, len(weights))
		for r, weight := range weights {
			if room := p.Machines[m].Room[r]; room > 0 {
				scale[m][r] = weight / float64(room)
			}
		}
	}
	values := make([]float64, len(p.Classes))
	for c := range p.Classes {
		least := math.Inf(1)
		for m := range p.Machines {
			if !p.holds(c, m) {
				continue
			}
			share := 0.0
			for r, request := range p.Classes[c].Requests {
				share += scale[m][r] * float64(request)
			}
			least = math.Min(least, float64(p.Machines[m].Price)*f(math.Min(share, 1)))
		}
		if !math.IsInf(least, 1) {
			values[c] = least
		}
	}
	return values
}

func (p Problem) total(values []float64) float64 {
	sum := 0.0
	for c, value := range values {
		sum += value * float64(p.Classes[c].Count)
	}
	return sum
}

// split says how much of a machine's price stands for each resource. It sums to 1.
type split []float64

// corners are the weights that put the whole price on one resource.
func corners(resources int) []split {
	all := make([]split, 0, resources)
	for r := range resources {
		corner := make(split, resources)
		corner[r] = 1
		all = append(all, corner)
	}
	return all
}

// fractional returns the best bound with f = identity, and its weights. The bound is concave in the weights, so moving weight
// between pairs of resources in ever smaller steps comes close to the maximum.
func (p Problem) fractional() (float64, split) {
	resources := p.resources()
	if resources == 0 {
		return 0, nil
	}
	best := make(split, resources)
	for r := range best {
		best[r] = 1 / float64(resources)
	}
	most := p.total(p.values(best, identity))
	for _, start := range corners(resources) {
		if value := p.total(p.values(start, identity)); value > most {
			best, most = start, value
		}
	}
	for step := 0.5; step > 1e-3; {
		improved := false
		for from := range resources {
			for to := range resources {
				if from == to || best[from] == 0 {
					continue
				}
				moved := slices.Clone(best)
				amount := math.Min(step, moved[from])
				moved[from] -= amount
				moved[to] += amount
				if value := p.total(p.values(moved, identity)); value > most {
					best, most, improved = moved, value, true
				}
			}
		}
		if !improved {
			step /= 2
		}
	}
	return most, best
}
