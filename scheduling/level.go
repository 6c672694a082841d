// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// level is packings in which it is known how many hosts there will be, and hence how many of the pods that are spread over them each host
// gets. Those are taken off the room of every machine and off the pods; what is left over goes on top, the skew at most. Whatever such a packing
// places, the spreads admit.
type level struct {
	*planner

	unheeded pack.Problem
	spreads  []hostSpread
	sets     [][]bool // by candidate: whether its host counts. Spreads for which the same hosts count share a set
	peers    []int    // by candidate: the first whose host is in the same sets
	exact    bool     // packing keeps to the numbers of machines. Else it is seen afterwards whether it has so many
}

// hostSpread is a spread over hosts, with the classes that keep to it and are counted.
type hostSpread struct {
	classes []int
	skew    int
	set     int // of the hosts that count
	most    int // every host may get so many
	fewest  int // hosts that there have to be before any gets more than the skew
}

func (p *planner) newLevel(unheeded pack.Problem) *level {
	l := &level{planner: p, unheeded: unheeded}
	bound, done := l.bound(), make([]bool, len(p.classes))
	for c := range p.classes {
		if !done[c] && l.counts(c) {
			l.addSpread(c, bound, done)
		}
	}
	for i := range p.candidates {
		l.peers = append(l.peers, slices.IndexFunc(lo.Range(i+1), func(other int) bool {
			return !slices.ContainsFunc(l.sets, func(counts []bool) bool { return counts[other] != counts[i] })
		}))
	}
	return l
}

// counts says whether there are pods of a class to pack.
func (l *level) counts(c int) bool {
	class := &l.unheeded.Classes[c]
	return class.Count > 0 && slices.Contains(class.Allowed, true)
}

// bound says which classes are bound together with others or to zones: they cannot be given to every host.
func (l *level) bound() []bool {
	bound := make([]bool, len(l.classes))
	for _, classes := range slices.Concat(l.unheeded.Together,
		lo.Map(l.unheeded.Limits, func(l pack.Limit, _ int) []int { return l.Classes }),
		lo.Map(l.unheeded.Spreads, func(s pack.Spread, _ int) []int { return s.Classes })) {
		for _, c := range classes {
			bound[c] = true
		}
	}
	return bound
}

// addSpread adds the spread of a class over hosts, if it has one, with all classes that have the same.
func (l *level) addSpread(c int, bound, done []bool) {
	constraint, has := l.spreadOf(c)
	if !has {
		return
	}
	least, domains := constraint.Least()
	s := hostSpread{
		skew: constraint.MaxSkew, fewest: constraint.MinDomains - domains,
		set: l.set(lo.Map(l.candidates, func(candidate *candidate, _ int) bool { return constraint.Includes(candidate.node) })),
	}
	alone := true // nobody else is counted
	for _, member := range constraint.Members {
		switch other, same := l.spreadOf(member); {
		case !l.counts(member):
		case same && other.Equal(constraint) && other.MaxSkew == constraint.MaxSkew && other.MinDomains == constraint.MinDomains:
			s.classes, done[member] = append(s.classes, member), true
			alone = alone && !bound[member]
			s.most += l.unheeded.Classes[member].Count
		default:
			alone = false
		}
	}
	if domains > 0 {
		s.most = min(s.most, least)
	}
	if !alone {
		s.most = 0
	}
	l.spreads = append(l.spreads, s)
}

// spreadOf returns the spread over hosts that a class keeps to and is counted for.
func (l *level) spreadOf(c int) (ledger.Constraint, bool) {
	return lo.Find(l.book.Spreads(c), func(s ledger.Constraint) bool { return s.Key == corev1.LabelHostname && s.Self })
}

// set returns the number of a set of hosts.
func (l *level) set(counts []bool) int {
	if at := slices.IndexFunc(l.sets, func(other []bool) bool { return slices.Equal(counts, other) }); at >= 0 {
		return at
	}
	l.sets = append(l.sets, counts)
	return len(l.sets) - 1
}

// packing is what is left to pack once every host has got its pods, for these numbers of machines by set; 0: any number, of which no host needs
// to get any. So many machines are there in any case: the cheapest price is spent on each of them, and only what a machine costs more counts.
func (l *level) packing(machines []int) pack.Problem {
	packing := l.unheeded
	packing.Classes, packing.Machines, packing.Limits = slices.Clone(packing.Classes), slices.Clone(packing.Machines), slices.Clone(packing.Limits)
	for i := range packing.Machines {
		packing.Machines[i].Room = slices.Clone(packing.Machines[i].Room)
	}
	for i := range l.spreads {
		l.reserve(&packing, &l.spreads[i], machines)
	}
	if !l.exact {
		return packing
	}
	l.limit(&packing, machines)
	cheapest := map[int]int64{} // by the first of the peers
	for i, first := range l.peers {
		m := &packing.Machines[i]
		if _, known := cheapest[first]; !known && m.Most >= 0 {
			cheapest[first] = m.Price
		}
		if l.counted(i, machines) {
			m.Price -= cheapest[first]
		}
	}
	return packing
}

// share is what the hosts get of a spread in any case.
type share struct {
	each []int // by class of the spread: every host gets so many
	more int   // and so many others,
	rest []int // which are these pods, by their classes: one for each host, and so on
}

// share takes pods for every host: of each class as many for one as for the other, and then whoever is left, because a StatefulSet's
// pods are a class each. Of the ways to spread pods that a skew of more than 1 admits it is the most even.
func (l *level) share(s *hostSpread, machines []int) share {
	shared := share{each: make([]int, len(s.classes))}
	n := machines[s.set]
	if n == 0 || n < s.fewest {
		return shared
	}
	count := lo.SumBy(s.classes, func(c int) int { return l.unheeded.Classes[c].Count })
	shared.more = min(count/n, s.most)
	for i, c := range s.classes {
		shared.each[i] = min(shared.more, l.unheeded.Classes[c].Count/n)
		if per := l.perMachine(c); per > 0 {
			shared.each[i] = min(shared.each[i], per)
		}
		shared.more -= shared.each[i]
	}
	for i, c := range s.classes {
		for range l.unheeded.Classes[c].Count - shared.each[i]*n {
			if len(shared.rest) < shared.more*n {
				shared.rest = append(shared.rest, c)
			}
		}
	}
	return shared
}

// shares says whether every host gets a pod of some spread.
func (l *level) shares(machines []int) bool {
	return len(machines) > 0 && slices.ContainsFunc(l.spreads, func(s hostSpread) bool {
		shared := l.share(&s, machines)
		return len(shared.rest) > 0 || slices.Max(shared.each) > 0
	})
}

// reserve takes what every host gets of a spread.
func (l *level) reserve(packing *pack.Problem, s *hostSpread, machines []int) {
	shared := l.share(s, machines)
	room := make(pack.Vector, len(packing.Machines[0].Room)) // that it takes
	for i, c := range s.classes {
		class := &packing.Classes[c]
		class.Count -= shared.each[i] * machines[s.set]
		class.PerMachine = s.skew
		if per := l.perMachine(c); per > 0 {
			class.PerMachine = min(s.skew, per-shared.each[i])
		}
		if class.PerMachine == 0 {
			class.PerMachine, class.Allowed = 1, make([]bool, len(packing.Machines))
		}
		for r, request := range class.Requests {
			room[r] += int64(shared.each[i]) * request
		}
	}
	largest := make(pack.Vector, len(room)) // of the rest, of which it is not known yet who goes where
	for _, c := range shared.rest {
		packing.Classes[c].Count--
		for r, request := range packing.Classes[c].Requests {
			largest[r] = max(largest[r], request)
		}
	}
	for r := range room {
		room[r] += int64(shared.more) * largest[r]
	}
	if len(s.classes) > 1 {
		packing.Limits = append(packing.Limits, pack.Limit{Classes: s.classes, PerMachine: s.skew})
	}
	for i, counts := range l.sets[s.set] {
		if m := &packing.Machines[i]; counts && !l.leave(m, room, i, s, shared) {
			m.Most = -1
		}
	}
}

// leave takes room off a machine for what every host gets of a spread. It says whether a host of that kind can hold that.
func (l *level) leave(m *pack.Machine, room pack.Vector, index int, s *hostSpread, shared share) bool {
	for r := range room {
		if m.Room[r] -= room[r]; m.Room[r] < 0 {
			return false
		}
	}
	for i, c := range s.classes {
		if shared.each[i] > 0 && !l.unheeded.Classes[c].Allowed[index] {
			return false
		}
	}
	return !slices.ContainsFunc(shared.rest, func(c int) bool { return !l.unheeded.Classes[c].Allowed[index] })
}

// limit bounds the machines by their number in each set, beside the budgets of the pools, which become one.
func (l *level) limit(packing *pack.Problem, machines []int) {
	var budget pack.Vector
	first := make([]int, len(packing.Pools))
	for pool, left := range packing.Pools {
		first[pool] = len(budget)
		budget = append(budget, left...)
	}
	sets := len(budget)
	for _, n := range machines {
		budget = append(budget, lo.Ternary(n > 0, int64(n), pack.Unbounded))
	}
	for i := range packing.Machines {
		m := &packing.Machines[i]
		draw := make(pack.Vector, len(budget))
		copy(draw[first[m.Pool]:], m.Draw)
		for s, counts := range l.sets {
			if counts[i] {
				draw[sets+s] = 1
			}
		}
		m.Pool, m.Draw = 0, draw
	}
	packing.Pools = []pack.Vector{budget}
}

// counted says whether it is known how many machines there are in some set that the candidate is in.
func (l *level) counted(candidate int, machines []int) bool {
	return slices.ContainsFunc(lo.Range(len(l.sets)), func(s int) bool { return machines[s] > 0 && l.sets[s][candidate] })
}

// solve returns the machines with all that they are to hold.
func (l *level) solve(machines []int, options pack.Options) pack.Solution {
	return l.complete(pack.Solve(l.packing(machines), options), machines)
}

// complete adds to a packing what every host gets, and the machines that only stand there for a host to be one more. Nothing is placed where
// that number of machines does not do.
func (l *level) complete(solution pack.Solution, machines []int) pack.Solution {
	solution.Patterns = slices.Clone(solution.Patterns)
	l.pad(&solution, machines)
	have := l.machinesOf(solution)
	if !l.affords(solution) || slices.ContainsFunc(l.spreads, func(s hostSpread) bool { return !l.equal(&s, have, machines) }) {
		return l.nothing()
	}
	solution.Patterns = l.filled(solution.Patterns, machines)
	solution.Cost = 0
	for _, pattern := range solution.Patterns {
		solution.Cost += int64(pattern.Copies) * l.unheeded.Machines[pattern.Machine].Price
	}
	return solution
}

// affords says whether the budgets of the pools admit all machines.
func (l *level) affords(solution pack.Solution) bool {
	for pool, budget := range l.unheeded.Pools {
		draw := make(pack.Vector, len(budget))
		for _, pattern := range solution.Patterns {
			if m := &l.unheeded.Machines[pattern.Machine]; m.Pool == pool {
				for d := range draw {
					draw[d] += int64(pattern.Copies) * m.Draw[d]
				}
			}
		}
		if !affords(budget, draw, nil) {
			return false
		}
	}
	return true
}

// nothing is a packing that places nothing.
func (l *level) nothing() pack.Solution {
	return pack.Solution{Unplaced: lo.Map(l.unheeded.Classes, func(class pack.Class, _ int) int { return class.Count })}
}

// equal says whether the hosts get as many pods of a spread as was thought, though they may be more.
func (l *level) equal(s *hostSpread, have, machines []int) bool {
	if n := machines[s.set]; n == 0 || have[s.set] == n {
		return true
	}
	was, is := l.share(s, machines), l.share(s, have)
	return !l.exact && have[s.set] > machines[s.set] && len(was.rest) == 0 && len(is.rest) == 0 && slices.Equal(was.each, is.each)
}

// filled adds to each machine what its host gets in any case.
func (l *level) filled(patterns []pack.Pattern, machines []int) (filled []pack.Pattern) {
	for _, pattern := range patterns {
		for range pattern.Copies {
			filled = append(filled, pack.Pattern{Machine: pattern.Machine, Copies: 1, Mix: slices.Clone(pattern.Mix)})
		}
	}
	for i := range l.spreads {
		s := &l.spreads[i]
		shared, host := l.share(s, machines), 0
		for _, pattern := range filled {
			if !l.sets[s.set][pattern.Machine] {
				continue
			}
			for i, c := range s.classes {
				pattern.Mix[c] += shared.each[i]
			}
			for at := host; at < len(shared.rest); at += machines[s.set] {
				pattern.Mix[shared.rest[at]]++
			}
			host++
		}
	}
	return filled
}

// pad adds the cheapest machines on which every host gets its pods, where there are fewer than there have to be.
func (l *level) pad(solution *pack.Solution, machines []int) {
	packing := l.packing(machines)
	for s, counts := range l.sets {
		have := l.machinesOf(*solution)
		for i, m := range packing.Machines { // cheapest first
			if counts[i] && m.Most >= 0 && have[s] < machines[s] {
				solution.Patterns = append(solution.Patterns,
					pack.Pattern{Machine: i, Copies: machines[s] - have[s], Mix: make([]int, len(l.unheeded.Classes))})
				break
			}
		}
	}
}

// machinesOf counts the machines of a solution by set.
func (l *level) machinesOf(solution pack.Solution) []int {
	machines := make([]int, len(l.sets))
	for s, counts := range l.sets {
		for _, pattern := range solution.Patterns {
			if counts[pattern.Machine] {
				machines[s] += pattern.Copies
			}
		}
	}
	return machines
}
