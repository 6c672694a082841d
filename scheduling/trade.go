// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// pays is what the candidate's group pays for what a pod prefers at a weight of 100.
func (p *planner) pays(c *candidate) Price { return p.pools[c.pool].pays }

// worth is what is gained, in billionths per hour, by another cost and another measure.
func worth(cost Price, by ledger.Measure, pays Price) float64 {
	return -float64(cost) - float64(by.Unmet)*float64(pays)/100
}

// gains says whether pods are better off on a machine of another candidate: at the same price if they like it better, at a lower one
// unless the group pays for what they lose, at a higher one if the group pays for what they win.
func (w *preferences) gains(from, to *candidate, by ledger.Measure) bool {
	if pack.ComparePrices(int64(w.price(to)), int64(w.price(from))) == 0 {
		return by.Negative()
	}
	pays := w.pays(to)
	if by.Unmet > 0 {
		pays = w.pays(from)
	}
	return worth(to.offering.Price-from.offering.Price, by, pays) > 0
}

// trade exchanges machines for others that their pods like better.
func (w *preferences) trade() error {
	for at := range w.machines {
		if m := w.machines[at]; len(m.pods) == 0 || w.holdsOpaque(m) || (!w.lost[m] && !w.anyTroubled(m)) {
			continue
		}
		for index := range w.candidates {
			if !w.tradable(w.machines[at], index) {
				continue
			}
			if w.trades--; w.trades < 0 {
				return nil
			}
			if err := w.tryTrade(at, index); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *preferences) anyTroubled(m *machine) bool {
	return slices.ContainsFunc(m.pods, func(pod member) bool { return w.wishes.Troubled(pod.class, m.seat) })
}

// tradable says whether a machine may be exchanged for another candidate, likings aside. The weight of its group goes before what pods prefer.
func (w *preferences) tradable(m *machine, index int) bool {
	to := w.candidates[index]
	credit := m.draw
	if to.pool != m.pool {
		credit = nil
	}
	weight := func(c *candidate) int32 { return ptr.Deref(w.pools[c.pool].group.Spec.Weight, 1) }
	dearer := pack.ComparePrices(int64(w.price(to)), int64(w.price(m.candidate)))
	switch {
	case to == m.candidate || (dearer > 0 && w.pays(to) == 0):
		return false
	case dearer == 0 && weight(to) < weight(m.candidate):
		return false
	case !w.mayHold(to, index, m.pods) || !affords(w.budgets[to.pool], to.draw, credit):
		return false
	}
	bound := slices.ContainsFunc(m.pods, func(pod member) bool { return w.tied(pod.class) })
	return !bound || (to.pool == m.pool && sameDomains(w.book, m.candidate, to) && !slices.Contains(w.book.Topologies(), corev1.LabelHostname))
}

// tryTrade exchanges a machine if that is for the better.
func (w *preferences) tryTrade(at, index int) error {
	m := w.machines[at]
	classes := sortedKeys(w.podsOf(m))
	before := w.wishes.Over(classes).Plus(w.ofNode(m))
	if err := w.vacate(m); err != nil {
		return err
	}
	other := &machine{name: w.nextName(), candidate: w.candidates[index], index: index, liked: m.liked}
	w.opened++
	if err := w.stand(other); err != nil {
		return err
	}
	w.wishes.Follow()
	for _, pod := range m.pods {
		if !w.book.Fits(pod.class, other.seat) {
			return w.reoccupy(m, other)
		}
		if err := w.lodge(pod, other); err != nil {
			return err
		}
	}
	by := w.wishes.Over(classes).Plus(w.ofNode(other)).Minus(before)
	if !w.gains(m.candidate, other.candidate, by) {
		return w.reoccupy(m, other)
	}
	w.refund(m.candidate)
	w.draw(other.candidate, nil)
	other.liked = other.liked || w.price(other.candidate) > w.price(m.candidate)
	w.machines[at] = other
	w.reseat(m, other)
	w.lost[other] = w.lost[m]
	delete(w.lost, m)
	w.changed = true
	return nil
}

// ofNode measures what the machine itself leaves unmet.
func (w *preferences) ofNode(m *machine) (sum ledger.Measure) {
	for _, pod := range m.pods {
		sum.Unmet += w.wishes.OfNode(pod.class, m.seat)
	}
	return sum
}

// vacate takes the pods off a machine, and the machine out of the picture. It keeps its list of pods.
func (w *preferences) vacate(m *machine) error {
	for _, pod := range m.pods {
		w.wishes.Erase(pod.class, m.seat, 1)
	}
	if err := w.empty(m); err != nil {
		return err
	}
	w.wishes.Follow()
	return nil
}

// lodge puts one pod on a machine.
func (w *preferences) lodge(pod member, m *machine) error {
	w.wishes.Enter(pod.class, m.seat, 1)
	m.pods = append(m.pods, pod)
	return w.enter(pod.class, m.seat, []*corev1.Pod{pod.pod})
}

// reoccupy takes back a trade.
func (w *preferences) reoccupy(m, other *machine) error {
	if err := w.vacate(other); err != nil {
		return err
	}
	was := m.seat
	if err := w.stand(m); err != nil {
		return err
	}
	w.wishes.Follow()
	for _, pod := range m.pods {
		w.wishes.Enter(pod.class, m.seat, 1)
	}
	w.seated[m.seat] = w.seated[was]
	delete(w.seated, was)
	return w.refill(m)
}

// reseat takes over which pods of a machine may move.
func (w *preferences) reseat(from, to *machine) {
	w.seated[to.seat] = w.seated[from.seat]
	delete(w.seated, from.seat)
}

// refund gives back what a candidate has taken out of the budget of its pool.
func (w *preferences) refund(c *candidate) {
	for d, draw := range c.draw {
		if w.budgets[c.pool][d] != pack.Unbounded {
			w.budgets[c.pool][d] += draw
		}
	}
}

// openAll opens machines for pods that prefer one, where their group pays for it.
func (w *preferences) openAll() error {
	if !slices.ContainsFunc(w.pools, func(pool *pool) bool { return pool.pays > 0 }) {
		return nil
	}
	for c := range w.classes {
		for again := true; again && !w.classes[c].opaque; {
			index, err := w.mostLiked(c)
			if err != nil || w.trades < 0 {
				return err
			}
			if again = index >= 0; again {
				if _, err := w.ifOpened(c, index, 0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mostLiked returns the candidate that pods of a class would gain most from, of those that are worth their price to them; -1: none.
func (w *preferences) mostLiked(c int) (index int, err error) {
	best := 0.0
	index = -1
	for i, candidate := range w.candidates {
		if w.pays(candidate) == 0 || !w.classes[c].allowed[i] || !affords(w.budgets[candidate.pool], candidate.draw, nil) {
			continue
		}
		if w.trades--; w.trades < 0 {
			return -1, nil
		}
		value, err := w.ifOpened(c, i, math.Inf(1))
		if err != nil {
			return -1, err
		}
		if value > best {
			best, index = value, i
		}
	}
	return index, nil
}

// step is a pod that goes to a new machine.
type step struct {
	from place
	by   ledger.Measure
}

// ifOpened opens a machine for pods of a class that would like it, and says what is gained. It stays if that is more than the least.
func (w *preferences) ifOpened(c, index int, least float64) (float64, error) {
	whole := w.wishes.Over([]int{c})
	m, err := w.open(index)
	if err != nil {
		return 0, err
	}
	w.wishes.Follow()
	steps, nodes := w.attract(c, m)
	by := w.wishes.Over([]int{c}).Minus(whole)
	by.Unmet += nodes
	value := worth(w.price(m.candidate), by, w.pays(m.candidate))
	for _, step := range slices.Backward(steps) {
		w.shift(c, m.seat, step.from.seat)
	}
	if value <= least {
		err := w.drop(m)
		w.wishes.Follow()
		return value, err
	}
	m.liked = true
	for _, s := range steps {
		if err := w.carry(c, s.from, place{m.seat, m}); err != nil {
			return value, err
		}
	}
	return value, nil
}

// attract moves pods of a class to a new machine, in the numbers alone, as long as they like it better. It returns the moves, and what they change
// of what nodes themselves leave unmet.
func (w *preferences) attract(c int, m *machine) (steps []step, nodes int64) {
	to := place{m.seat, m}
	for _, old := range w.machines {
		from := place{old.seat, old}
		if len(w.seated[from.seat][c]) == 0 || !w.opens(c, from, to) || !w.steady(c, from, to) {
			continue
		}
		for range w.seated[from.seat][c] {
			w.trials--
			by, fits := w.ifMoved(c, from.seat, to.seat)
			if w.trials < 0 || !fits || by.Unmet >= 0 {
				break
			}
			w.shift(c, from.seat, to.seat)
			nodes += w.wishes.OfNode(c, to.seat) - w.wishes.OfNode(c, from.seat)
			steps = append(steps, step{from, by})
		}
	}
	return steps, nodes
}
