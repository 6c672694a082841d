// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// Bounds on the search for what pods prefer, at full effort. Steps are what is counted, not time: equal inputs have equal plans.
const (
	roundsOfPreference = 4
	looksOfPreference  = 1_000_000 // at a node that may take a pod
	trialsOfPreference = 100_000   // of a move or a swap
	tradesOfPreference = 2_000     // of a machine for another
)

// preferences is the last pass over a plan: what pods prefer and do not insist on. It chooses among plans that cost the same, and among
// dearer ones where a group pays for it.
type preferences struct {
	*planner
	wishes                *ledger.Wishes
	seated                map[int]map[int][]*corev1.Pod // by seat and class: planned pods that may move
	at                    map[*corev1.Pod]int           // index in settled
	lost                  map[*machine]bool             // gave pods away
	spots                 []place                       // as of the last survey
	looks, trials, trades int                           // that are left
	changed               bool
}

// newWishes returns nil where nobody prefers anything.
func (p *problem) newWishes(snap *snapshot.Snapshot, shapes []*snapshot.Shape, book *ledger.Ledger) *ledger.Wishes {
	if !slices.ContainsFunc(shapes, ledger.Wishful) && !p.repels(snap) {
		return nil
	}
	return ledger.NewWishes(snap, shapes, book)
}

// repels says whether there is, or may come, a node that pods would rather avoid.
func (p *problem) repels(snap *snapshot.Snapshot) bool {
	prefers := func(taint corev1.Taint) bool { return taint.Effect == corev1.TaintEffectPreferNoSchedule }
	return slices.ContainsFunc(p.pools, func(pool *pool) bool {
		return slices.ContainsFunc(taints(pool.group.Spec.Template.Taints), prefers)
	}) || slices.ContainsFunc(snap.Infos(), func(info fwk.NodeInfo) bool { return slices.ContainsFunc(info.Node().Spec.Taints, prefers) })
}

// prefer makes the plan one that pods like better.
func (p *planner) prefer() error {
	if p.wishes == nil || (len(p.machines) == 0 && len(p.settled) < 1) {
		return nil
	}
	effort := p.input.Effort
	if effort == 0 {
		effort = 100
	}
	w := &preferences{
		planner: p, wishes: p.wishes, at: map[*corev1.Pod]int{}, lost: map[*machine]bool{},
		looks: looksOfPreference / 100 * effort, trials: trialsOfPreference / 100 * effort, trades: tradesOfPreference * effort / 100,
	}
	w.enterAll()
	for range roundsOfPreference {
		w.changed = false
		for _, step := range []func() error{w.trade, w.moveAll, w.swapAll, w.openAll} {
			if p.input.Stop != nil && p.input.Stop() {
				return nil
			}
			if err := step(); err != nil {
				return err
			}
		}
		if !w.changed {
			break
		}
	}
	if err := w.settleUp(); err != nil || p.unplaced() == 0 {
		return err
	}
	for c := range p.asked {
		p.asked[c] = -1
	}
	return p.settle() // where pods have moved away others may find room
}

// enterAll writes down the plan so far.
func (w *preferences) enterAll() {
	w.wishes.Follow()
	w.seated = map[int]map[int][]*corev1.Pod{}
	for i, s := range w.settled {
		seat, _ := w.book.Seat(s.node)
		w.wishes.Enter(s.class, seat, 1)
		if w.input.Promised[nameOf(s.pod)] != s.node { // a promise is kept: the pod's nominated node must not change with each plan
			w.at[s.pod] = i
			w.seat(s.member, seat)
		}
	}
	for _, m := range w.machines {
		for _, pod := range m.pods {
			w.wishes.Enter(pod.class, m.seat, 1)
			w.seat(pod, m.seat)
		}
	}
}

func (w *preferences) seat(pod member, seat int) {
	if w.classes[pod.class].opaque {
		return
	}
	if w.seated[seat] == nil {
		w.seated[seat] = map[int][]*corev1.Pod{}
	}
	w.seated[seat][pod.class] = append(w.seated[seat][pod.class], pod.pod)
}

// survey lists where planned pods may be, in the order in which places are used.
func (w *preferences) survey() {
	w.spots = w.spots[:0]
	for _, seat := range w.there {
		w.spots = append(w.spots, place{seat, nil})
	}
	for _, m := range w.machines {
		w.spots = append(w.spots, place{m.seat, m})
	}
}

// opens says whether a place may take pods of a class as far as numbers, other pods aside, are concerned. A pod that has found a node which is there
// does not wait for a machine instead.
func (w *preferences) opens(c int, from, to place) bool {
	switch {
	case from.seat == to.seat:
		return false
	case to.machine == nil:
		return w.admits(c, to.seat)
	}
	return from.machine != nil && w.classes[c].allowed[to.machine.index] && !w.banned[ban{c, to.machine.name}]
}

// tied says whether others rely on where the pods of a class are, or it on others.
func (p *planner) tied(c int) bool { return p.classes[c].relational || p.book.Minded(c) }

// steady says whether a pod of the class may go from one place to another without anybody losing what it relies on.
func (w *preferences) steady(c int, from, to place) bool {
	return !w.tied(c) || w.book.Alike(c, from.seat, to.seat)
}

// moveAll moves pods, one at a time, to where it helps most.
func (w *preferences) moveAll() error {
	w.survey()
	for _, from := range w.spots {
		for _, c := range sortedKeys(w.seated[from.seat]) {
			for len(w.seated[from.seat][c]) > 0 && w.wishes.Troubled(c, from.seat) {
				to, found := w.best(c, from)
				if !found {
					break
				}
				if err := w.carry(c, from, to); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// best returns the place where a pod does the most good.
func (w *preferences) best(c int, from place) (best place, found bool) {
	var least ledger.Measure
	for _, to := range w.spots {
		if w.looks--; w.looks < 0 || w.trials < 0 {
			return best, found
		}
		if w.book.Holds(c, to.seat) == 0 || !w.opens(c, from, to) || !w.steady(c, from, to) {
			continue
		}
		w.trials--
		if by, fits := w.ifMoved(c, from.seat, to.seat); fits && by.Minus(least).Negative() {
			best, least, found = to, by, true
		}
	}
	return best, found
}

// ifMoved returns what moving one pod would change.
func (w *preferences) ifMoved(c, from, to int) (by ledger.Measure, fits bool) {
	classes, seats := []int{c}, []int{from, to}
	before := w.wishes.Around(classes, seats)
	w.shift(c, from, to)
	fits = w.stands(c, to)
	by = w.wishes.Around(classes, seats).Minus(before)
	w.shift(c, to, from)
	by.Unmet += w.wishes.OfNode(c, to) - w.wishes.OfNode(c, from)
	return by, fits
}

// shift moves one pod in the numbers alone.
func (w *preferences) shift(c, from, to int) {
	w.book.Erase(c, from, 1)
	w.book.Enter(c, to, 1)
	w.wishes.Erase(c, from, 1)
	w.wishes.Enter(c, to, 1)
}

// carry moves one pod for good.
func (w *preferences) carry(c int, from, to place) error {
	pods := w.seated[from.seat][c]
	pod := member{c, pods[len(pods)-1]}
	w.seated[from.seat][c] = pods[:len(pods)-1]
	w.seat(pod, to.seat)
	w.wishes.Erase(c, from.seat, 1)
	w.wishes.Enter(c, to.seat, 1)
	if err := w.erase(c, from.seat, []*corev1.Pod{pod.pod}); err != nil {
		return err
	}
	if err := w.enter(c, to.seat, []*corev1.Pod{pod.pod}); err != nil {
		return err
	}
	w.changed = true
	if from.machine == nil {
		w.settled[w.at[pod.pod]].node = w.nodeAt(to.seat)
		return nil
	}
	w.lost[from.machine] = true
	from.machine.pods = slices.DeleteFunc(from.machine.pods, func(other member) bool { return other.pod == pod.pod })
	if to.machine == nil {
		w.at[pod.pod] = len(w.settled)
	}
	w.join(c, []*corev1.Pod{pod.pod}, to.machine, w.nodeAt(to.seat))
	return nil
}

// swapAll exchanges pods of two nodes that are full.
func (w *preferences) swapAll() error {
	w.survey()
	for _, from := range w.spots {
		for _, c := range sortedKeys(w.seated[from.seat]) {
			for len(w.seated[from.seat][c]) > 0 && w.wishes.Troubled(c, from.seat) {
				swapped, err := w.swap(c, from)
				if err != nil {
					return err
				}
				if !swapped {
					break
				}
			}
		}
	}
	return nil
}

// swap exchanges one pod for the first of another class with which both together are better off.
func (w *preferences) swap(c int, from place) (bool, error) {
	for _, to := range w.spots {
		if w.looks--; w.looks < 0 {
			return false, nil
		}
		if len(w.seated[to.seat]) == 0 || !w.opens(c, from, to) || !w.steady(c, from, to) {
			continue
		}
		for _, other := range sortedKeys(w.seated[to.seat]) {
			if other == c || len(w.seated[to.seat][other]) == 0 || !w.opens(other, to, from) || !w.steady(other, to, from) {
				continue
			}
			if w.trials--; w.trials < 0 {
				return false, nil
			}
			if !w.ifSwapped(c, other, from.seat, to.seat) {
				continue
			}
			if err := w.carry(c, from, to); err != nil {
				return false, err
			}
			return true, w.carry(other, to, from)
		}
	}
	return false, nil
}

// ifSwapped says whether exchanging a pod for one of another class helps.
func (w *preferences) ifSwapped(c, other, a, b int) bool {
	classes, seats := []int{c, other}, []int{a, b}
	before := w.wishes.Around(classes, seats)
	w.shift(c, a, b)
	w.shift(other, b, a)
	by := w.wishes.Around(classes, seats).Minus(before)
	fit := w.stands(c, b) && w.stands(other, a)
	w.shift(other, a, b)
	w.shift(c, b, a)
	by.Unmet += w.wishes.OfNode(c, b) - w.wishes.OfNode(c, a) + w.wishes.OfNode(other, a) - w.wishes.OfNode(other, b)
	return fit && by.Negative()
}

// settleUp gives back what the moves have left idle or too large.
func (w *preferences) settleUp() error {
	for _, m := range slices.Clone(w.machines) {
		switch {
		case !w.lost[m]:
		case len(m.pods) == 0:
			if err := w.drop(m); err != nil {
				return err
			}
		case w.pays(m.candidate) == 0:
			if err := w.shrinkWished(m); err != nil {
				return err
			}
		}
	}
	w.wishes.Follow()
	return nil
}

// shrinkWished is shrink, written down among the wishes.
func (w *preferences) shrinkWished(m *machine) error {
	for _, pod := range m.pods {
		w.wishes.Erase(pod.class, m.seat, 1)
	}
	if err := w.shrink(m); err != nil {
		return err
	}
	w.wishes.Follow()
	for _, pod := range m.pods {
		w.wishes.Enter(pod.class, m.seat, 1)
	}
	return nil
}
