// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import "slices"

// repair takes pods off again that a spread forbids because its pods in other domains found no budget.
func (p *plan) repair() {
	if len(p.in.shares) == 0 || !slices.ContainsFunc(p.left, func(n int) bool { return n > 0 }) {
		return
	}
	for s := range p.in.problem.Spreads {
		for p.excess(s) >= 0 && p.takeOff(s, p.excess(s)) {
			continue
		}
	}
	p.loads = slices.DeleteFunc(p.loads, func(l load) bool {
		if len(l.mix) == 0 {
			p.count(l.kind, -l.copies)
		}
		return len(l.mix) == 0
	})
}

// excess returns the fullest domain that has more pods than the spread admits, or -1.
func (p *plan) excess(spread int) int {
	terms := &p.in.problem.Spreads[spread]
	if terms.MaxSkew == 0 {
		return -1
	}
	total := slices.Clone(terms.Existing)
	var added []int
	for i := range p.in.items {
		it := &p.in.items[i]
		if it.share < 0 || !slices.Contains(terms.Classes, it.class) {
			continue
		}
		for len(total) <= it.domain {
			total = append(total, 0)
		}
		for len(added) < len(total) {
			added = append(added, 0)
		}
		if total[it.domain] != Absent {
			total[it.domain] += it.count - p.left[i]
			added[it.domain] += it.count - p.left[i]
		}
	}
	least, worst := -1, -1
	for d, n := range total {
		if n != Absent && (least < 0 || n < total[least]) {
			least = d
		}
		if n != Absent && d < len(added) && added[d] > 0 && (worst < 0 || n > total[worst]) {
			worst = d
		}
	}
	if worst < 0 || total[worst]-total[least] <= terms.MaxSkew {
		return -1
	}
	return worst
}

// takeOff removes one pod of a spread from a domain, from the machine that was bought last.
func (p *plan) takeOff(spread, domain int) bool {
	for l := range slices.Backward(p.loads) {
		load := &p.loads[l]
		for m, part := range load.mix {
			it := &p.in.items[part.item]
			if it.domain != domain || !slices.Contains(p.in.problem.Spreads[spread].Classes, it.class) {
				continue
			}
			load.mix = slices.Clone(load.mix)
			p.left[part.item] += load.copies
			if load.mix[m].count--; load.mix[m].count == 0 {
				load.mix = slices.Delete(load.mix, m, m+1)
			}
			return true
		}
	}
	return false
}
