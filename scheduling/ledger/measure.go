// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "slices"

// Around measures the wishes that pods of some classes have or meet, in the domains of some nodes. Before and after a change there, the
// difference is what the change did to all wishes about other pods.
func (w *Wishes) Around(classes, seats []int) Measure {
	var sum Measure
	for at, class := range classes {
		for _, wish := range w.classes[class].touched {
			if slices.ContainsFunc(classes[:at], func(earlier int) bool { return slices.Contains(w.classes[earlier].touched, wish) }) {
				continue
			}
			if wish.kind == even {
				sum = sum.Plus(wish.evenness())
				continue
			}
			for i, number := range seats {
				domain := wish.matched.domain[number]
				if domain == nowhere || slices.ContainsFunc(seats[:i], func(s int) bool { return wish.matched.domain[s] == domain }) {
					continue
				}
				sum = sum.Plus(wish.in(domain))
			}
		}
	}
	return sum
}

// Over measures the wishes that pods of some classes have or meet, everywhere.
func (w *Wishes) Over(classes []int) Measure {
	var sum Measure
	for at, class := range classes {
		for _, wish := range w.classes[class].touched {
			switch {
			case slices.ContainsFunc(classes[:at], func(earlier int) bool { return slices.Contains(w.classes[earlier].touched, wish) }):
			case wish.kind == even:
				sum = sum.Plus(wish.evenness())
			default:
				for domain := range wish.matched.counts {
					sum = sum.Plus(wish.in(int32(domain))) //nolint:gosec // a cluster has no two billion nodes
				}
			}
		}
	}
	return sum
}

// Troubled says whether where a pod of the class is on a node leaves anything to be desired, by the pod itself or by others around.
func (w *Wishes) Troubled(class, number int) bool {
	return w.OfNode(class, number) > 0 || w.Around([]int{class}, []int{number}) != Measure{}
}

// in measures one domain for the pods there that have the wish.
func (w *wish) in(domain int32) Measure {
	holders, others := int64(w.holders.counts[domain]), int64(w.matched.counts[domain]-w.self)
	switch {
	case holders == 0:
		return Measure{}
	case w.kind == near && others <= 0:
		return Measure{Unmet: w.weight * holders}
	case w.kind == apart && others > 0:
		return Measure{Unmet: w.weight * holders, Crowd: w.weight * holders * others}
	}
	return Measure{}
}

// evenness measures a spread: unmet is what is above the skew that is wanted.
func (w *wish) evenness() Measure {
	var sum Measure
	s := w.matched.spread
	least := s.least(1)
	for domain, count := range w.matched.counts {
		if s.present[domain] > 0 {
			sum.Unmet += w.weight * int64(max(count-least-w.maxSkew, 0))
			sum.Crowd += int64(count) * int64(count)
		}
	}
	return sum
}

// Alike says whether a pod of the class counts the same on two nodes, for every affinity and every strict spread that counts it or that it has.
// One that goes from the one to the other then takes nothing from anybody.
func (l *Ledger) Alike(class, a, b int) bool {
	rule := l.rules[class]
	same := func(c *counter) bool {
		return c.domain[a] == c.domain[b] && (c.spread == nil || c.spread.seats[a] == c.spread.seats[b])
	}
	for i := range rule.spreads {
		if !same(rule.spreads[i].counter) {
			return false
		}
	}
	return !slices.ContainsFunc(rule.near, func(c *counter) bool { return !same(c) }) &&
		!slices.ContainsFunc(rule.feeds, func(c *counter) bool { return c.binding && !same(c) })
}
