// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"math"
	"slices"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// Bounds of the effort: each range takes as long as the plain bound, which is enough by itself where there are many classes to fill machines with.
const (
	rangesSplit       = 40
	classesOfBounding = 48
)

// hostBound is a bound for plans in which pods are spread over hosts, from one that knows nothing of how many hosts there are.
//
// Proof. Some number n of machines stand where the spreads count hosts, and there are no other such hosts. Where N pods are spread with a skew
// of s, no two hosts differ by more than s: the emptiest host has at least (N-s(n-1))/n pods and the fullest at most (N+s(n-1))/n. Both
// fall with n. So for n in a range every host has the least for its upper end, which is taken off every machine's room and off the pods, and at
// most what its lower end says; and at most so many machines there are, at least so many are paid for. Leaving out everything else that the
// spreads ask for only lowers the bound. Every plan is in one of the ranges, so no plan costs less than the least of their bounds.
type hostBound struct {
	*planner

	plain   pack.Problem
	spreads []boundSpread
	counts  []bool // by candidate: whether its host is one of those that count
	floor   int64  // whatever the number of hosts
	target  int64  // more is not worth proving
}

// boundSpread is a spread over hosts of which all pods that are counted keep to it.
type boundSpread struct {
	classes []int // of the packing
	pods    int
	skew    int
	alike   bool // to packing its classes are one
}

// hostRange is a range of numbers of hosts. There is no upper end where most is 0.
type hostRange struct {
	fewest, most int
	bound        int64
}

// boundHosts raises a bound by what spreads over hosts ask for, up to the cost of the machines that are planned. Where none are, it stays as it is.
func (p *planner) boundHosts(packing pack.Problem, places map[int]int, counts []int, floor int64) int64 {
	h := &hostBound{planner: p, plain: packing, floor: floor, target: int64(p.cost())}
	if len(packing.Classes) > classesOfBounding || floor >= h.target || (p.input.Stop != nil && p.input.Stop()) || !h.addSpreads(places, counts) {
		return floor
	}
	return h.search()
}

// addSpreads finds the spreads over hosts that count the same hosts, none of which is there already: of several sets of hosts, for that with the
// most pods.
func (h *hostBound) addSpreads(places map[int]int, counts []int) bool {
	var sets [][]bool
	spreads, pods := map[int][]boundSpread{}, map[int]int{}
	done := map[int]bool{}
	for _, c := range sortedKeys(places) {
		for _, constraint := range h.book.Spreads(c) {
			if done[c] || constraint.Key != corev1.LabelHostname || !constraint.Self {
				continue
			}
			s, known := h.newSpread(constraint, places, counts, done)
			if !known {
				continue
			}
			included := lo.Map(h.candidates, func(candidate *candidate, _ int) bool { return constraint.Includes(candidate.node) })
			set := slices.IndexFunc(sets, func(other []bool) bool { return slices.Equal(other, included) })
			if set < 0 {
				set, sets = len(sets), append(sets, included)
			}
			spreads[set] = append(spreads[set], s)
			pods[set] += s.pods
		}
	}
	for set, counts := range sets {
		if h.counts == nil || pods[set] > lo.SumBy(h.spreads, func(s boundSpread) int { return s.pods }) {
			h.counts, h.spreads = counts, spreads[set]
		}
	}
	return h.counts != nil
}

func (h *hostBound) newSpread(constraint ledger.Constraint, places map[int]int, counts []int, done map[int]bool) (s boundSpread, known bool) {
	_, hosts := constraint.Least()
	for _, m := range h.machines {
		if constraint.Includes(m.node) {
			hosts--
		}
	}
	if hosts > 0 || !h.includes(constraint, constraint.Members) {
		return s, false
	}
	s.alike = true
	for _, c := range constraint.Members {
		place, planned := places[c]
		if !planned {
			continue
		}
		own, has := lo.Find(h.book.Spreads(c), func(own ledger.Constraint) bool { return own.Self && own.Equal(constraint) })
		if !has {
			return s, false
		}
		done[c] = true
		s.skew = max(s.skew, own.MaxSkew)
		s.pods += counts[c]
		s.classes = append(s.classes, place)
		class, first := &h.plain.Classes[place], &h.plain.Classes[s.classes[0]]
		s.alike = s.alike && slices.Equal(class.Requests, first.Requests) && slices.Equal(class.Allowed, first.Allowed)
	}
	if len(s.classes) > 1 { // a limit on one of them would be one on all
		for _, limit := range h.plain.Limits {
			s.alike = s.alike && len(lo.Intersect(limit.Classes, s.classes)) == 0
		}
	}
	return s, len(s.classes) > 0
}

// search splits the range with the least bound as long as that may raise it.
func (h *hostBound) search() int64 {
	most := lo.Max(lo.Map(h.spreads, func(s boundSpread, _ int) int { return s.pods }))
	ranges := []hostRange{{fewest: 1, most: most}, {fewest: most + 1}}
	for i := range ranges {
		ranges[i].bound = h.bound(ranges[i])
	}
	for range max(1, rangesSplit*cmp.Or(h.input.Effort, wholeEffort)/wholeEffort) {
		least := lo.IndexOf(ranges, slices.MinFunc(ranges, func(a, b hostRange) int { return cmp.Compare(a.bound, b.bound) }))
		r := ranges[least]
		if r.bound >= h.target || r.most <= r.fewest {
			break
		}
		middle := (r.fewest + r.most) / 2
		lower, upper := hostRange{fewest: r.fewest, most: middle}, hostRange{fewest: middle + 1, most: r.most}
		lower.bound, upper.bound = max(r.bound, h.bound(lower)), max(r.bound, h.bound(upper))
		ranges[least] = lower
		ranges = append(ranges, upper)
	}
	bound := slices.MinFunc(ranges, func(a, b hostRange) int { return cmp.Compare(a.bound, b.bound) }).bound
	return max(h.floor, bound)
}

// bound is a bound for plans with such a number of hosts.
func (h *hostBound) bound(r hostRange) int64 {
	packing := h.plain
	packing.Classes, packing.Machines, packing.Limits = slices.Clone(packing.Classes), slices.Clone(packing.Machines), slices.Clone(packing.Limits)
	if r.most > 0 {
		packing.Pools = []pack.Vector{{int64(r.most)}}
	}
	for i := range packing.Machines {
		m := &packing.Machines[i]
		m.Room, m.Pool, m.Draw = slices.Clone(m.Room), anyPool, nil
		if h.counts[i] && r.most > 0 {
			m.Pool, m.Draw = 0, pack.Vector{1}
		}
	}
	for _, s := range h.spreads {
		h.reserve(&packing, &s, r)
	}
	cheapest := int64(math.MaxInt64)
	for i, m := range packing.Machines {
		if h.counts[i] && m.Most >= 0 {
			cheapest = min(cheapest, m.Price)
		}
	}
	if cheapest == math.MaxInt64 || !holdable(packing) {
		return math.MaxInt64 // there is no such plan
	}
	paid := int64(r.fewest) * cheapest
	if r.most == 0 || int64(r.most-r.fewest)*cheapest > h.target/narrow {
		return max(pack.Bound(packing, h.boundEffort()), paid)
	}
	for i := range packing.Machines {
		if m := &packing.Machines[i]; h.counts[i] && m.Most >= 0 {
			m.Price -= cheapest
		}
	}
	return pack.Bound(packing, h.boundEffort()) + paid
}

const (
	anyPool = -1
	// narrow is a part of the cost: what the cheapest machines may cost by which a range's ends differ, for those of its lower end to be
	// taken for paid.
	narrow = 50
)

// reserve takes what every host has of a spread.
func (h *hostBound) reserve(packing *pack.Problem, s *boundSpread, r hostRange) {
	least, most := 0, (s.pods+s.skew*(r.fewest-1))/r.fewest
	if r.most > 0 && s.alike {
		least = (max(s.pods-s.skew*(r.most-1), 0) + r.most - 1) / r.most
	}
	first := &packing.Classes[s.classes[0]]
	switch {
	case len(s.classes) == 1:
		if first.PerMachine == 0 || first.PerMachine > most {
			first.PerMachine = most
		}
		first.PerMachine = max(first.PerMachine-least, 1)
	case s.alike:
		for _, c := range s.classes[1:] {
			packing.Classes[c].Count = 0
		}
		first.Count, first.PerMachine = s.pods, max(most-least, 1)
	default:
		packing.Limits = append(packing.Limits, pack.Limit{Classes: s.classes, PerMachine: most})
	}
	if least == 0 {
		return
	}
	first.Count -= least * r.most
	for i := range packing.Machines {
		if m := &packing.Machines[i]; h.counts[i] {
			for d, request := range first.Requests {
				if m.Room[d] -= int64(least) * request; m.Room[d] < 0 {
					m.Most = -1
				}
			}
			if !first.Allowed[i] {
				m.Most = -1
			}
		}
	}
}

// holdable says whether each class has a machine that holds one of its pods.
func holdable(packing pack.Problem) bool {
	return !slices.ContainsFunc(packing.Classes, func(class pack.Class) bool {
		return class.Count > 0 && !slices.ContainsFunc(lo.Range(len(packing.Machines)), func(i int) bool {
			return class.Allowed[i] && packing.Machines[i].Most >= 0 && largerThan(packing.Machines[i].Room, class.Requests)
		})
	})
}
