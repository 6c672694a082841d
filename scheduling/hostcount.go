// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	"github.com/samber/lo"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// Bounds of the search for a number of hosts.
const (
	effortOfTrying  = 5  // for each number that is tried
	numbersTried    = 24 // in a set
	numbersKept     = 3  // that are packed in earnest
	itemsOfTrying   = 40 // with more, keeping to a number takes packing too long
	roundsOfNumbers = 4  // in which the packing may come to need another number
	partOfNumbers   = 4  // the part of the effort that is first spent on such a number
)

// trial is a packing for numbers of machines by set; 0: for any number.
type trial struct {
	machines []int
	packed   pack.Solution
}

// search returns the cheapest machines that it finds.
func (l *level) search() pack.Solution {
	cheapest := l.follow()
	if l.size() > itemsOfTrying {
		return cheapest.packed
	}
	l.exact = true
	none := make([]int, len(l.sets))
	best := []trial{{none, l.solve(none, l.trying())}}
	for s := range l.sets {
		best = l.vary(best, s)
	}
	for _, t := range best {
		if t.packed = l.solve(t.machines, l.effort()); l.compare(t, cheapest) < 0 {
			cheapest = t
		}
	}
	return cheapest.packed
}

// size is how many items packing has to tell apart: classes, and where they are spread over zones, those of each zone.
func (l *level) size() (items int) {
	zones, spread := 1, map[int]bool{}
	for _, m := range l.unheeded.Machines {
		zones = max(zones, m.Domain+1)
	}
	for _, s := range l.unheeded.Spreads {
		for _, c := range s.Classes {
			spread[c] = true
		}
	}
	for c, class := range l.unheeded.Classes {
		switch {
		case class.Count == 0:
		case spread[c]:
			items += zones
		default:
			items++
		}
	}
	return items
}

// follow looks for a number of machines at which the packing comes to need as many. With more effort fewer may do than were estimated, so
// their number is looked for with a part of the effort, and with more of it each time.
func (l *level) follow() trial {
	none := make([]int, len(l.sets))
	rough := l.unheeded
	if l.size() > itemsOfTrying {
		rough.Together = nil // which zone they share hardly changes how many machines there are, and takes as long again to find out
	}
	next := l.machinesOf(l.estimate(rough))
	if !l.shares(next) { // there are so many machines in any case that no host need get any
		return trial{none, l.solve(none, l.effort())}
	}
	apart := trial{none, l.estimate(l.packing(none))}
	best := apart
	for round := 0; round < roundsOfNumbers && l.shares(next); round++ {
		next = l.step(&best, next, effortOfCounting)
	}
	if slices.Equal(best.machines, none) {
		return trial{none, l.solve(none, l.effort())}
	}
	whole := cmp.Or(l.input.Effort, wholeEffort)
	solved := trial{none, l.nothing()}
	next = best.machines
	for part := max(1, whole/partOfNumbers); ; part = min(2*part, whole) {
		needs := l.step(&solved, next, part)
		if part == whole {
			break
		}
		if len(needs) == 0 {
			part = whole
		} else {
			next = needs
		}
	}
	if slices.Compare(l.left(solved), l.left(apart)) > 0 {
		return trial{none, l.solve(none, l.effort())}
	}
	return solved
}

// step packs for a number of machines, and returns the number that this needs, nothing where that is the same.
func (l *level) step(best *trial, machines []int, effort int) (next []int) {
	raw := pack.Solve(l.packing(machines), pack.Options{Effort: effort, Stop: l.input.Stop})
	if t := (trial{machines, l.complete(raw, machines)}); l.compare(t, *best) < 0 {
		*best = t
	}
	if next = l.machinesOf(raw); slices.Equal(next, machines) {
		return nil
	}
	return next
}

// vary tries numbers of machines of a set: some that lie apart, then those around the best.
func (l *level) vary(best []trial, s int) []trial {
	base := best[0]
	fewest, most := l.between(s)
	tried := map[int]bool{}
	try := func(n int) {
		if tried[n] || n < fewest || n > most || len(tried) >= numbersTried || (l.input.Stop != nil && l.input.Stop()) {
			return
		}
		tried[n] = true
		machines := slices.Clone(base.machines)
		machines[s] = n
		best = append(best, trial{machines, l.solve(machines, l.trying())})
	}
	apart := max(1, 2*(most-fewest)/numbersTried)
	for n := fewest; n <= most; n += apart {
		try(n)
	}
	for ; apart > 1; apart = (apart + 1) / 2 {
		n := slices.MinFunc(best, l.compare).machines[s]
		try(n - apart/2)
		try(n + apart/2)
	}
	slices.SortStableFunc(best, l.compare)
	return best[:min(len(best), numbersKept)]
}

// trying is the effort for one number.
func (l *level) trying() pack.Options {
	return pack.Options{Effort: min(effortOfTrying, cmp.Or(l.input.Effort, wholeEffort)), Stop: l.input.Stop}
}

// compare prefers what leaves out fewer pods, the most important first, then what costs less.
func (l *level) compare(a, b trial) int {
	return cmp.Or(slices.Compare(l.left(a), l.left(b)), cmp.Compare(a.packed.Cost, b.packed.Cost))
}

// left counts the pods that a packing leaves out, by priority, the greatest first.
func (l *level) left(t trial) (pods []int) {
	for c, n := range t.packed.Unplaced {
		if c == 0 || l.classes[c].priority != l.classes[c-1].priority {
			pods = append(pods, 0)
		}
		pods[len(pods)-1] += n
	}
	return pods
}

// between returns the fewest machines of a set that may hold the pods that go there in any case, and the most of which each gets some pods.
func (l *level) between(s int) (fewest, most int) {
	room, demand := make(pack.Vector, len(l.unheeded.Machines[0].Room)), make(pack.Vector, len(l.unheeded.Machines[0].Room))
	for i, m := range l.unheeded.Machines {
		for r := range room {
			if l.sets[s][i] {
				room[r] = max(room[r], m.Room[r])
			}
		}
	}
	for _, class := range l.unheeded.Classes {
		if l.within(class, s) {
			for r, request := range class.Requests {
				demand[r] += request * int64(class.Count)
			}
		}
	}
	fewest = 1
	for r := range room {
		fewest = max(fewest, int((demand[r]+room[r]-1)/max(room[r], 1)))
	}
	for _, spread := range l.spreads {
		if spread.set == s && spread.most > 0 {
			most = max(most, lo.SumBy(spread.classes, func(c int) int { return l.unheeded.Classes[c].Count }))
		}
	}
	return fewest, most
}

// within says whether the pods of a class can only be on machines of a set.
func (l *level) within(class pack.Class, s int) bool {
	somewhere := false
	for i, allowed := range class.Allowed {
		if allowed && !l.sets[s][i] {
			return false
		}
		somewhere = somewhere || allowed
	}
	return somewhere
}
