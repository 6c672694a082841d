// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	"github.com/samber/lo"
)

// roundsOfStanding bounds how often pods are planned again that others have made impossible where they were.
const roundsOfStanding = 4

// stands says whether a pod of the class that is on the seat would be placed there if it were the only one missing. It was when it came. But
// a machine that is opened later is a host, and perhaps a zone, without a pod of the class; and pods that a spread counts, or that an affinity
// wants to be near, may go elsewhere where they are not bound by it themselves. kube-scheduler may see to them first.
func (p *planner) stands(c, seat int) bool {
	p.book.Erase(c, seat, 1)
	fits := p.book.Fits(c, seat)
	p.book.Enter(c, seat, 1)
	return fits
}

// mayFall says whether pods of the class may come to stand where they no longer should.
func (p *planner) mayFall(c int) bool { return !p.classes[c].alien && p.book.MayFall(c) }

// comesFirst says whether what is placed now kube-scheduler places before any machine comes that is planned here: the node is there, or was
// ordered earlier, and what machines change does not concern the pod. Where pods move, machines come before they leave their nodes.
func (p *planner) comesFirst() bool { return len(p.machines) == 0 && !p.moving }

// allStand says whether every pod stands where it is, also those that are not there for good.
func (p *planner) allStand() bool {
	for c, class := range p.classes {
		if !class.alien && p.book.Related(c) && len(p.loose(c)) > 0 {
			return false
		}
	}
	return true
}

// fasten plans again for pods that the search for a cheaper plan, or one that is liked better, has made impossible where they were. In the end
// they are left out.
func (p *planner) fasten() error {
	if loosened, err := p.loosen(); err != nil || !loosened {
		return err
	}
	if err := p.plan(); err != nil {
		return err
	}
	return p.shrinkAll()
}

// loosen takes pods out of the plan that do not stand where they are, one at a time of those that are equal: the next may stand then. It says
// whether there were any.
func (p *planner) loosen() (loosened bool, err error) {
	for again := true; again; loosened = loosened || again {
		again = false
		for c := range p.classes {
			if !p.mayFall(c) {
				continue
			}
			for loose := p.loose(c); len(loose) > 0; loose = p.loose(c) {
				if again, err = true, p.evict(loose); err != nil {
					return false, err
				}
			}
		}
		stray := p.stray()
		again = again || len(stray) > 0
		if err := p.evict(stray); err != nil {
			return false, err
		}
	}
	return loosened, nil
}

// stray returns pods that are near each other alone: each stands where it is, and yet kube-scheduler places none of them there once it has placed
// others elsewhere that they are to be near too. All that are to be near anything are taken out and come back by turns, as far as there is one.
func (p *planner) stray() []settlement {
	near := lo.Map(p.classes, func(class *class, c int) bool { return !class.alien && len(p.book.Near(c)) > 0 })
	waiting := slices.DeleteFunc(p.placements(), func(s settlement) bool { return !near[s.class] || p.isSettledFirst(s) })
	seat := func(s settlement) int { seat, _ := p.book.Seat(s.node); return seat }
	for _, s := range waiting {
		p.book.Erase(s.class, seat(s), 1)
	}
	for again := true; again; {
		before := len(waiting)
		waiting = slices.DeleteFunc(waiting, func(s settlement) bool {
			fits := p.book.Fits(s.class, seat(s))
			if fits {
				p.book.Enter(s.class, seat(s), 1)
			}
			return fits
		})
		again = len(waiting) > 0 && len(waiting) < before
	}
	for _, s := range waiting {
		p.book.Enter(s.class, seat(s), 1)
	}
	return waiting
}

// isSettledFirst says whether machines, of which there are some, come after the pod.
func (p *planner) isSettledFirst(s settlement) bool { return s.first && len(p.machines) > 0 }

// loose returns a pod of the class from each place where those that are there do not stand.
func (p *planner) loose(c int) (loose []settlement) {
	for _, s := range slices.Backward(p.settled) { // who came last goes first
		if s.class != c || p.isSettledFirst(s) {
			continue
		}
		seat, _ := p.book.Seat(s.node)
		known := slices.ContainsFunc(loose, func(other settlement) bool { return other.node == s.node })
		if !known && !p.stands(c, seat) {
			loose = append(loose, s)
		}
	}
	for _, m := range p.machines {
		at := slices.IndexFunc(m.pods, func(pod member) bool { return pod.class == c })
		if at >= 0 && !p.stands(c, m.seat) {
			loose = append(loose, settlement{member: m.pods[at], node: m.name})
		}
	}
	return loose
}
