// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// roundsOfRepair bounds how often a plan is mended that the plugins did not accept as a whole.
const roundsOfRepair = 3

// check is what the plugins said of a whole plan.
type check struct {
	refused  int // placements that they refused, in all rounds
	omitted  int // pods that were given up over that
	accepted int // placements that they accepted in the last round
}

// verify shows the whole plan to the plugins, as kube-scheduler will find it. Pods that are refused are planned again elsewhere, and in the end
// left out. It leaves the picture as the plan wants it, with all its machines there.
func (p *planner) verify() (check, error) {
	var seen check
	if err := p.fasten(); err != nil {
		return check{}, err
	}
	for round := 0; ; round++ {
		p.engine.Fork()
		accepted, refused, err := p.show()
		if err != nil {
			return check{}, err
		}
		seen.accepted = accepted
		if len(refused) == 0 {
			return seen, nil
		}
		seen.refused += len(refused)
		p.engine.Revert()
		for _, s := range refused {
			p.banned[ban{s.class, s.node}] = true
		}
		if err := p.evict(refused); err != nil {
			return check{}, err
		}
		if round >= roundsOfRepair {
			seen.omitted += len(refused)
			continue
		}
		if err := p.plan(); err != nil {
			return check{}, err
		}
		if err := p.shrinkAll(); err != nil { // machines that lost pods may be too large now
			return check{}, err
		}
	}
}

// evict takes pods out of the plan, which are left then.
func (p *planner) evict(refused []settlement) error {
	if len(refused) == 0 {
		return nil
	}
	for _, s := range refused {
		seat, _ := p.book.Seat(s.node)
		if err := p.erase(s.class, seat, []*corev1.Pod{s.pod}); err != nil {
			return err
		}
		p.left[s.class] = append(p.left[s.class], s.pod)
		if m := p.machine(s.node); m != nil {
			m.pods = slices.DeleteFunc(m.pods, func(pod member) bool { return pod.pod == s.pod })
		} else {
			p.settled = slices.DeleteFunc(p.settled, func(other settlement) bool { return other.pod == s.pod })
		}
	}
	for c := range p.left {
		slices.SortFunc(p.left[c], comparePending)
	}
	return p.dropIdle()
}

// show puts the plan into the picture and asks the plugins about it. What kube-scheduler places before the machines come is shown to them
// without machines where these would make it impossible.
func (p *planner) show() (accepted int, refused []settlement, err error) {
	before, after := p.stages()
	if len(before) > 0 {
		p.engine.Fork()
		if err := p.materialiseFirst(); err != nil {
			return 0, nil, err
		}
		if accepted, refused, err = p.ask(before); err != nil {
			return 0, nil, err
		}
		p.engine.Revert()
	}
	if !p.shadowed {
		if err := p.materialise(); err != nil {
			return 0, nil, err
		}
	}
	alsoAccepted, alsoRefused, err := p.ask(after)
	return accepted + alsoAccepted, append(refused, alsoRefused...), err
}

// stages parts the placements: those that come first and do not stand once the machines are there, or of which nobody can foresee that, and all others.
func (p *planner) stages() (before, after []settlement) {
	for _, s := range p.placements() {
		seat, _ := p.book.Seat(s.node)
		if s.first && (p.classes[s.class].alien || (p.mayFall(s.class) && !p.stands(s.class, seat))) {
			before = append(before, s)
		} else {
			after = append(after, s)
		}
	}
	return before, after
}

// ask asks the plugins about each class on each node: would they place one of its pods there, if it were the only one still missing? Of equal
// pods on one node the answer for one is the answer for all: together they were counted, and the one is what is refused. That an order exists
// in which each pod finds what it needs is what the book saw to.
func (p *planner) ask(placements []settlement) (accepted int, refused []settlement, err error) {
	byClass := make([][]settlement, len(p.classes))
	for _, s := range placements {
		byClass[s.class] = append(byClass[s.class], s)
	}
	for c, wanted := range byClass {
		if len(wanted) == 0 {
			continue
		}
		if p.classes[c].opaque {
			opaque, err := p.askOpaque(wanted)
			if err != nil {
				return 0, nil, err
			}
			accepted, refused = accepted+len(wanted)-len(opaque), append(refused, opaque...)
			continue
		}
		query := p.engine.AskNarrow(wanted[0].pod, func(shape *snapshot.Shape) bool { return p.book.Minds(c, shape) })
		fits := map[string]bool{} // by node that was asked about
		for _, s := range wanted {
			if _, asked := fits[s.node]; !asked {
				verdict, err := query.FitsInstead(s.pod, s.node)
				if err != nil {
					return 0, nil, err
				}
				if fits[s.node] = verdict.Fits; !verdict.Fits {
					refused = append(refused, s)
				}
			}
			if fits[s.node] {
				accepted++
			}
		}
	}
	return accepted, refused, nil
}

// materialiseFirst puts into the picture what is there before the machines come.
func (p *planner) materialiseFirst() error {
	snap := p.engine.Snapshot()
	for _, m := range p.machines {
		if !p.shadowed {
			break
		}
		if err := p.clear(m.name); err != nil {
			return err
		}
	}
	for _, s := range p.settled {
		switch {
		case s.first && !p.shadowed:
			if err := snap.AddPod(s.pod, s.node); err != nil {
				return err
			}
		case !s.first && p.shadowed:
			if err := p.engine.Remove(s.pod); err != nil {
				return err
			}
		}
	}
	return nil
}

// askOpaque asks about every pod by itself, its own volumes and devices given back for as long as the question lasts: even twins have not
// got the same ones. Only of twins that have none, because it is their scheduler that nobody can foresee, one on each node is asked.
func (p *planner) askOpaque(wanted []settlement) (refused []settlement, err error) {
	asked := map[string]bool{}
	for _, s := range wanted {
		if asked[s.node] && !p.engine.Reserves(s.pod) {
			continue
		}
		asked[s.node] = true
		verdict, err := p.engine.FitsAgain(s.pod, s.node)
		if err != nil {
			return nil, err
		}
		if !verdict.Fits {
			refused = append(refused, s)
		}
	}
	return refused, nil
}

// materialise puts the machines and all placed pods into the picture.
func (p *planner) materialise() error {
	for _, m := range p.machines {
		if err := p.raise(p.engine, m.candidate, m.name); err != nil {
			return err
		}
	}
	for _, s := range p.placements() {
		if err := p.engine.Snapshot().AddPod(s.pod, s.node); err != nil {
			return err
		}
	}
	return nil
}

// placements lists where every planned pod goes.
func (p *planner) placements() []settlement {
	all := slices.Clone(p.settled)
	for _, m := range p.machines {
		for _, pod := range m.pods {
			all = append(all, settlement{member: pod, node: m.name})
		}
	}
	return all
}
