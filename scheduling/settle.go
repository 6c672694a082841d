// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"iter"
	"slices"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// place is a node that pods may go to.
type place struct {
	seat    int
	machine *machine // nil for a node that was there before
}

// settle places pods on nodes that are in the picture: registered ones, virtual ones, and machines that are planned already.
func (p *planner) settle() error {
	for again := true; again; {
		again = false
		for c := range p.classes {
			if len(p.left[c]) == 0 || p.classes[c].priority < p.floor || p.asked[c] == p.changes {
				continue
			}
			before := len(p.left[c])
			if err := p.settleClass(c); err != nil {
				return err
			}
			again = again || len(p.left[c]) < before
			if len(p.left[c]) > 0 {
				p.asked[c] = p.changes // it is not asked again before something changes
			}
		}
	}
	return nil
}

// places goes through where the class may go as far as nodes and numbers are concerned.
func (p *planner) places(c int) iter.Seq[place] {
	return func(yield func(place) bool) {
		for _, seat := range p.there {
			if p.book.Holds(c, seat) > 0 && p.admits(c, seat) && !yield(place{seat, nil}) {
				return
			}
		}
		for _, m := range p.machines {
			if p.classes[c].allowed[m.index] && p.book.Holds(c, m.seat) > 0 && !p.banned[ban{c, m.name}] && !yield(place{m.seat, m}) {
				return
			}
		}
	}
}

func (p *planner) settleClass(c int) error {
	if p.classes[c].opaque {
		return p.settleOpaque(c)
	}
	if p.classes[c].relational {
		return p.settleRelated(c, slices.Collect(p.places(c)))
	}
	for place := range p.places(c) {
		n := min(len(p.left[c]), p.book.Holds(c, place.seat))
		if p.book.Related(c) {
			n = min(n, 1)
		}
		for n > 0 && p.book.Fits(c, place.seat) {
			if err := p.take(c, place, n); err != nil {
				return err
			}
			n = min(n, len(p.left[c]))
		}
		if len(p.left[c]) == 0 {
			return nil
		}
	}
	return nil
}

// take places the first n pods of a class that are left.
func (p *planner) take(c int, place place, n int) error {
	pods := p.left[c][:n]
	if err := p.enter(c, place.seat, pods); err != nil {
		return err
	}
	p.left[c] = p.left[c][n:]
	p.join(c, pods, place.machine, p.nodeAt(place.seat))
	return nil
}

// settleRelated places pods one by one, each on the first place that takes it: a place that refuses now may not refuse later.
func (p *planner) settleRelated(c int, places []place) error {
	for len(p.left[c]) > 0 {
		kept, taken := places[:0], false
		for i, place := range places {
			if p.book.Holds(c, place.seat) == 0 {
				continue // for good: nothing leaves while pods are placed
			}
			kept = append(kept, place)
			if p.book.Fits(c, place.seat) {
				if err := p.take(c, place, 1); err != nil {
					return err
				}
				kept, taken = append(kept, places[i+1:]...), true
				break
			}
		}
		if places = kept; !taken {
			return nil
		}
	}
	return nil
}

// settleOpaque asks the plugins about every pod.
func (p *planner) settleOpaque(c int) error {
	for len(p.left[c]) > 0 {
		taken := false
		query := p.engine.Ask(p.left[c][0])
		if _, refused := query.Refused(); refused {
			return nil
		}
		for place := range p.places(c) {
			verdict, err := p.placeOpaque(query, c, place)
			if err != nil {
				return err
			}
			if taken = verdict; taken {
				break
			}
		}
		if !taken {
			return nil
		}
	}
	return nil
}

// placeOpaque places the first pod of a class that is left, about which the plugins are asked.
func (p *planner) placeOpaque(query *simulate.Query, c int, place place) (bool, error) {
	node := p.nodeAt(place.seat)
	if !query.Fits(node).Fits {
		return false, nil
	}
	verdict, err := query.Place(node)
	if err != nil || !verdict.Fits {
		return false, err
	}
	return true, p.take(c, place, 1)
}
