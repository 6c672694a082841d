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

// verify shows the whole plan to the plugins, with all its machines there, as kube-scheduler will find them. Pods that are refused are
// planned again elsewhere, and in the end left out: omitted counts those. It leaves the picture as the plan wants it.
func (p *planner) verify() (omitted int, err error) {
	for round := 0; ; round++ {
		p.engine.Fork()
		refused, err := p.show()
		if err != nil || len(refused) == 0 {
			return omitted, err
		}
		p.engine.Revert()
		for _, s := range refused {
			p.banned[ban{s.class, s.node}] = true
		}
		if err := p.evict(refused); err != nil {
			return 0, err
		}
		if round >= roundsOfRepair {
			omitted += len(refused)
			continue
		}
		if err := p.plan(); err != nil {
			return 0, err
		}
		if err := p.shrinkAll(); err != nil { // machines that lost pods may be too large now
			return 0, err
		}
	}
}

// evict takes pods out of the plan that the plugins refused.
func (p *planner) evict(refused []settlement) error {
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

// show puts the plan into the picture and asks the plugins about each class on each node: would they place one of its pods there, if it were the
// only one still missing? Of equal pods on one node the answer for one is the answer for all: together they were counted. That an order
// exists in which each pod finds what it needs is what the book saw to.
func (p *planner) show() (refused []settlement, err error) {
	if !p.shadowed {
		if err := p.materialise(); err != nil {
			return nil, err
		}
	}
	byClass := make([][]settlement, len(p.classes))
	for _, s := range p.placements() {
		byClass[s.class] = append(byClass[s.class], s)
	}
	for c, wanted := range byClass {
		if len(wanted) == 0 {
			continue
		}
		if p.classes[c].opaque {
			opaque, err := p.showOpaque(wanted)
			if err == nil && len(opaque) > 0 {
				opaque, err = p.refusedFirst(opaque)
			}
			if err != nil {
				return nil, err
			}
			refused = append(refused, opaque...)
			continue
		}
		query := p.engine.AskNarrow(wanted[0].pod, func(shape *snapshot.Shape) bool { return p.book.Minds(c, shape) })
		asked := map[string]bool{}
		for _, s := range wanted {
			if asked[s.node] {
				continue
			}
			asked[s.node] = true
			verdict, err := query.FitsInstead(s.pod, s.node)
			if err != nil {
				return nil, err
			}
			if !verdict.Fits {
				refused = append(refused, s)
			}
		}
	}
	return refused, nil
}

// showOpaque asks about every pod by itself, its own volumes and devices given back for as long as the question lasts: even twins have not
// got the same ones. Only of twins that have none, because it is their scheduler that nobody can foresee, one on each node is asked.
func (p *planner) showOpaque(wanted []settlement) (refused []settlement, err error) {
	asked := map[string]bool{}
	return p.refusedOf(wanted, func(s settlement) bool {
		again := asked[s.node] && !p.engine.Reserves(s.pod)
		asked[s.node] = true
		return !again
	})
}

// refusedFirst returns those of the refused that kube-scheduler would also refuse before any of the machines comes: a machine is a host, and
// perhaps a zone, without pods of a class, and makes a spread impossible that was even when kube-scheduler saw to it.
func (p *planner) refusedFirst(refused []settlement) (still []settlement, err error) {
	p.engine.Fork()
	defer p.engine.Revert()
	for _, m := range p.machines {
		if err := p.clear(m.name); err != nil {
			return nil, err
		}
	}
	there := func(s settlement) bool { return p.machine(s.node) == nil }
	still, err = p.refusedOf(refused, there)
	return append(still, filter(refused, func(s settlement) bool { return !there(s) })...), err
}

// refusedOf asks about some of the pods where they are.
func (p *planner) refusedOf(wanted []settlement, asks func(settlement) bool) (refused []settlement, err error) {
	for _, s := range filter(wanted, asks) {
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
			all = append(all, settlement{pod, m.name})
		}
	}
	return all
}
