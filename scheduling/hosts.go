// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// hosts is what is expected of the machines: how many there will be, and by class how many of them will hold it.
type hosts struct {
	machines int
	holding  map[int]int
}

func (h *hosts) count(patterns []pack.Pattern) {
	h.machines, h.holding = 0, map[int]int{}
	for _, pattern := range patterns {
		h.machines += pattern.Copies
		for c, n := range pattern.Mix {
			if n > 0 {
				h.holding[c] += pattern.Copies
			}
		}
	}
}

// It is enough to learn about how many machines there will be.
const (
	effortOfCounting = 1
	roundsOfCounting = 3
)

// evenHosts bounds how many pods of a class that is spread over hosts one machine gets.
func (p *planner) evenHosts(packing *pack.Problem, constraint ledger.Constraint, c int, expected hosts) (loose bool) {
	limit := constraint.MaxSkew
	least, domains := constraint.Least()
	if domains == 0 || least > 0 {
		// Whether the pods fill every host, or leave one without, which then holds back the others, depends on their number.
		switch count := packing.Classes[c].Count; {
		case expected.machines == 0:
			limit, loose = count, true
		case expected.holding[c] == expected.machines: // each host will have some
			loose = true
			limit = max((count+expected.machines-1)/expected.machines, constraint.MaxSkew)
		}
		if domains > 0 { // the hosts that are there take no more
			limit = min(limit, least+constraint.MaxSkew)
		}
	}
	class := &packing.Classes[c]
	if limit = max(limit, 1); class.PerMachine == 0 || class.PerMachine > limit {
		class.PerMachine = limit
	}
	return loose
}

// chooseHosts asks for machines where pods are spread over hosts, given the packing that does not heed that. How even they have to be depends on
// how many hosts there will be: where some host gets none of a class, no other gets more than the skew, which asks for many hosts; where
// each gets about as many, few will do. What is estimated to be cheaper is taken.
func (p *planner) chooseHosts(even evenness, unheeded pack.Problem) []pack.Pattern {
	expected, packing, loose := hosts{}, unheeded, true
	var first hosts
	for round := 0; loose && round < roundsOfCounting; round++ {
		expected.count(p.estimate(packing).Patterns)
		if round == 0 {
			first = expected
		}
		packing, loose = p.packing(even, expected)
	}
	if level := p.level(unheeded, first); level != nil {
		if rough := p.estimate(packing); level.beats(rough) {
			if patterns := level.solve(); patterns != nil {
				return patterns
			}
		}
	}
	return pack.Solve(packing, p.effort()).Patterns
}

// estimate packs as well as it takes to learn about how many machines there will be and what they cost.
func (p *planner) estimate(packing pack.Problem) pack.Solution {
	return pack.Solve(packing, pack.Options{Effort: effortOfCounting, Stop: p.input.Stop})
}

// level is a packing in which every machine gets some pods of each class that is spread over hosts and has enough of them. They are taken
// off the room of each machine; what is left over after the last full round goes on top, the skew at most.
type level struct {
	*planner

	unheeded pack.Problem
	spread   []spreadClass
	machines int // expected
	rough    pack.Solution
}

// spreadClass is a class that is spread over hosts.
type spreadClass struct {
	class, skew int
	counts      []bool // by candidate: whether its host is one of those that count
	most        int    // each host may get so many
}

// each is how many pods of the class every host gets.
func (s *spreadClass) each(count, machines int) int { return min(count/max(machines, 1), s.most) }

// level finds a number of machines at which the packing comes to need as many; nil where there is none, or nothing to gain.
func (p *planner) level(unheeded pack.Problem, first hosts) *level {
	l := &level{planner: p, unheeded: unheeded, spread: p.spreadOverHosts(unheeded), machines: first.machines}
	full := slices.ContainsFunc(l.spread, func(s spreadClass) bool { return s.each(unheeded.Classes[s.class].Count, first.machines) > 0 })
	if !full || first.machines == 0 {
		return nil
	}
	for range roundsOfLevelling {
		l.rough = p.estimate(l.packing())
		if l.holds(l.rough) {
			return l
		}
		l.machines = machinesOf(l.rough)
	}
	return nil
}

const roundsOfLevelling = 4

// spreadOverHosts lists the classes that are spread over hosts. What also bounds them in other ways is not given to every host.
func (p *planner) spreadOverHosts(packing pack.Problem) (spread []spreadClass) {
	bound := map[int]bool{}
	for _, classes := range slices.Concat(packing.Together,
		lo.Map(packing.Limits, func(l pack.Limit, _ int) []int { return l.Classes }),
		lo.Map(packing.Spreads, func(s pack.Spread, _ int) []int { return s.Classes })) {
		for _, c := range classes {
			bound[c] = true
		}
	}
	for c, class := range packing.Classes {
		if class.Count == 0 {
			continue
		}
		for _, constraint := range p.book.Spreads(c) {
			if constraint.Key != corev1.LabelHostname || !constraint.Self {
				continue
			}
			s := spreadClass{class: c, skew: constraint.MaxSkew}
			if least, domains := constraint.Least(); !bound[c] && len(constraint.Members) == 1 {
				s.most = class.Count
				if domains > 0 {
					s.most = least
				}
				if per := p.classes[c].perMachine; per > 0 {
					s.most = min(s.most, per)
				}
			}
			s.counts = lo.Map(p.candidates, func(candidate *candidate, _ int) bool { return constraint.Includes(candidate.node) })
			spread = append(spread, s)
			break
		}
	}
	return spread
}

// packing takes what every machine gets off its room, and off the pods.
func (l *level) packing() pack.Problem {
	packing := l.unheeded
	packing.Classes, packing.Machines = slices.Clone(packing.Classes), slices.Clone(packing.Machines)
	for i := range packing.Machines {
		packing.Machines[i].Room = slices.Clone(packing.Machines[i].Room)
	}
	for _, s := range l.spread {
		class := &packing.Classes[s.class]
		each := s.each(class.Count, l.machines)
		class.Count -= each * l.machines
		class.PerMachine = s.skew
		if per := l.classes[s.class].perMachine; per > 0 {
			class.PerMachine = max(min(s.skew, per-each), 1)
		}
		if each == 0 {
			continue
		}
		for i, counts := range s.counts {
			if !counts {
				continue
			}
			room := packing.Machines[i].Room
			holds := l.classes[s.class].allowed[i]
			for r, request := range class.Requests {
				room[r] -= int64(each) * request
				holds = holds && room[r] >= 0
			}
			if !holds { // its host would have too few
				packing.Machines[i].Most = -1
			}
		}
	}
	return packing
}

// holds says whether the solution places all, and needs as many machines as it was made for, or a few more that all get as many pods.
func (l *level) holds(solution pack.Solution) bool {
	machines := machinesOf(solution)
	if machines < l.machines || slices.Max(solution.Unplaced) > 0 {
		return false
	}
	return !slices.ContainsFunc(l.spread, func(s spreadClass) bool {
		count := l.unheeded.Classes[s.class].Count
		return s.each(count, machines) != s.each(count, l.machines)
	})
}

func machinesOf(solution pack.Solution) int {
	return lo.SumBy(solution.Patterns, func(p pack.Pattern) int { return p.Copies })
}

// beats says whether it is estimated to cost less than another packing, of which nothing may be left either.
func (l *level) beats(other pack.Solution) bool {
	return slices.Max(other.Unplaced) > 0 || l.rough.Cost < other.Cost
}

// solve returns the machines with all that they are to hold, nil where no number of them holds. With more effort fewer may do than were
// estimated, so their number is looked for with a part of the effort, and with more of it each time.
func (l *level) solve() []pack.Pattern {
	whole := cmp.Or(l.input.Effort, wholeEffort)
	for round := range roundsOfLevelling {
		part := max(1, min(whole, whole<<round/partOfLevelling))
		solution := pack.Solve(l.packing(), pack.Options{Effort: part, Stop: l.input.Stop})
		if l.holds(solution) && part < whole {
			l.machines = machinesOf(solution)
			solution = pack.Solve(l.packing(), l.effort())
		}
		if l.holds(solution) {
			return l.filled(solution.Patterns)
		}
		l.machines = machinesOf(solution)
	}
	return nil
}

// partOfLevelling is the part of the effort that is spent on the number of machines at first.
const partOfLevelling = 4

// filled adds to each machine what every machine gets.
func (l *level) filled(patterns []pack.Pattern) []pack.Pattern {
	patterns = slices.Clone(patterns)
	for i := range patterns {
		patterns[i].Mix = slices.Clone(patterns[i].Mix)
		for _, s := range l.spread {
			if s.counts[patterns[i].Machine] {
				patterns[i].Mix[s.class] += s.each(l.unheeded.Classes[s.class].Count, l.machines)
			}
		}
	}
	return patterns
}
