// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// share is a class whose pods are spread over domains: the numbers that may lie in each of them. In the relaxation it is the convex
// hull of those, after Dantzig and Wolfe (1960): a column of the master is one way to share out the pods.
type share struct {
	class    int
	spreads  []int
	first    int // item of domain 0; the others follow
	domains  int
	count    int
	open     []bool // by domain: whether some machine there can hold the class
	exact    bool   // one spread, of this class alone: otherwise the relaxation lets the pods lie anywhere
	skew     int    // 0: any
	most     int    // 0: any number
	existing []int
	level    int // the most pods that the emptiest domain can come to have
}

// levels is the greatest skew for which the relaxation is exact: it tries as many levels of the emptiest domain.
const levels = 32

func newShare(p *Problem, class int, spreads []int, first, domains int) share {
	s := share{class: class, spreads: spreads, first: first, domains: domains, count: p.Classes[class].Count}
	if len(spreads) == 1 && len(p.Spreads[spreads[0]].Classes) == 1 && p.Spreads[spreads[0]].MaxSkew <= levels {
		spread := &p.Spreads[spreads[0]]
		s.exact, s.skew, s.most, s.existing = true, spread.MaxSkew, spread.Most, spread.Existing
	}
	return s
}

// closeShares finds out in which domains a class may lie at all, and how many of its pods can be placed.
func (in *instance) closeShares() {
	for i := range in.shares {
		s := &in.shares[i]
		s.open = make([]bool, s.domains)
		for k := range in.kinds {
			if d := in.kinds[k].domain; in.kinds[k].set.has(s.first + d) {
				s.open[d] = true
			}
		}
		for d := range s.domains {
			s.open[d] = s.open[d] && !slices.ContainsFunc(s.spreads, func(spread int) bool {
				return entry(in.problem.Spreads[spread].Existing, d) == Absent
			})
		}
		if s.exact {
			s.level = s.highest()
			s.count = min(s.count, s.capacity(s.level))
			s.level = sort.Search(s.level, func(level int) bool { return s.need(level+1) > s.count })
		} else if !slices.Contains(s.open, true) {
			s.count = 0
		}
		for d := range s.domains {
			in.items[s.first+d].count = min(in.items[s.first+d].count, s.count)
		}
	}
}

func entry(list []int, d int) int {
	if d < len(list) {
		return list[d]
	}
	return 0
}

// highest is the greatest number of pods that the emptiest domain can come to have.
func (s *share) highest() int {
	level := math.MaxInt / 2
	for d := range max(s.domains, len(s.existing)) {
		e := entry(s.existing, d)
		switch {
		case e == Absent:
		case d >= s.domains || !s.open[d]:
			level = min(level, e)
		case s.most > 0:
			level = min(level, max(s.most, e))
		default:
			level = min(level, e+s.count)
		}
	}
	return level
}

// bounds are the least and the most pods that domain d gets where the emptiest has the given number or more.
func (s *share) bounds(d, level int) (least, most int) {
	e := entry(s.existing, d)
	if !s.open[d] {
		return 0, 0
	}
	most = s.count
	if s.most > 0 {
		most = min(most, max(s.most-e, 0))
	}
	if s.skew == 0 {
		return 0, most
	}
	return max(level-e, 0), min(most, max(level+s.skew-e, 0))
}

func (s *share) capacity(level int) int {
	total := 0
	for d := range s.domains {
		_, most := s.bounds(d, level)
		total += most
	}
	return total
}

// need is how many pods it takes to bring every open domain to a level.
func (s *share) need(level int) int {
	total := 0
	for d := range s.domains {
		least, _ := s.bounds(d, level)
		total += least
	}
	return total
}

// cheapest returns the distribution with the least sum of values, and that sum.
func (s *share) cheapest(values []float64, into []int) float64 {
	order := make([]int, s.domains)
	for d := range order {
		order[d] = d
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(values[s.first+a], values[s.first+b]) })
	least := math.Inf(1)
	try := make([]int, s.domains)
	for level := s.level; level >= 0; level-- {
		if s.skew > 0 && s.capacity(level) < s.count {
			break
		}
		if sum, ok := s.fill(level, order, values, try); ok && sum < least {
			least = sum
			copy(into, try)
		}
		if s.skew == 0 {
			break
		}
	}
	return least
}

func (s *share) fill(level int, order []int, values []float64, into []int) (sum float64, ok bool) {
	rest := s.count
	for d := range s.domains {
		into[d], _ = s.bounds(d, level)
		rest -= into[d]
	}
	if rest < 0 {
		return 0, false
	}
	for _, d := range order {
		least, most := s.bounds(d, level)
		more := min(rest, most-least)
		into[d] += more
		rest -= more
	}
	for d, n := range into {
		if n > 0 {
			sum += float64(n) * values[s.first+d]
		}
	}
	return sum, rest == 0
}

// distribute fixes how many pods of each spread class lie in each domain, as near as it can to the wanted numbers by item. It places
// pod after pod as the scheduler will, so that each is admissible when it comes.
func (in *instance) distribute(wanted []float64) {
	tallies := make([][]int, len(in.problem.Spreads))
	for s := range tallies {
		existing := in.problem.Spreads[s].Existing
		tallies[s] = slices.Clone(existing)
		for i := range in.shares {
			for len(tallies[s]) < in.shares[i].domains {
				tallies[s] = append(tallies[s], 0)
			}
		}
	}
	for i := range in.shares {
		s := &in.shares[i]
		for d := range s.domains {
			in.items[s.first+d].count = 0
		}
		for range s.count {
			best := -1
			for d := range s.domains {
				if s.open[d] && in.admits(s, tallies, d) && (best < 0 || s.lack(in, wanted, d) > s.lack(in, wanted, best)+1e-9) {
					best = d
				}
			}
			if best < 0 {
				break
			}
			in.items[s.first+best].count++
			for _, spread := range s.spreads {
				tallies[spread][best]++
			}
		}
	}
	for i := range in.items {
		in.items[i].cap = min(in.items[i].own, in.items[i].count)
	}
}

func (s *share) lack(in *instance, wanted []float64, d int) float64 {
	return wanted[s.first+d] - float64(in.items[s.first+d].count)
}

func (in *instance) admits(s *share, tallies [][]int, d int) bool {
	for _, spread := range s.spreads {
		terms := &in.problem.Spreads[spread]
		if terms.Most > 0 && tallies[spread][d]+1 > terms.Most {
			return false
		}
		if terms.MaxSkew == 0 {
			continue
		}
		least := math.MaxInt
		for _, n := range tallies[spread] {
			if n != Absent {
				least = min(least, n)
			}
		}
		if tallies[spread][d]+1-least > terms.MaxSkew {
			return false
		}
	}
	return true
}
