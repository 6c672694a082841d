// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// buy opens machines for the pods that are left, and says whether it placed any. A class that a new machine refused is barred
// from it until something is placed somewhere: each call places a pod or bars a pairing, so planning ends.
func (p *planner) buy() (bool, error) {
	if p.unplaced() == 0 {
		return false, nil
	}
	if err := p.assessEmpty(); err != nil {
		return false, err
	}
	for {
		patterns := p.choose()
		if len(patterns) == 0 {
			return false, nil
		}
		opened, err := p.openAll(patterns)
		if err != nil {
			return false, err
		}
		refused, placed, err := p.fill(opened)
		if err != nil {
			return false, err
		}
		for _, w := range refused {
			p.barred[pairing{w.class, w.machine.index}] = true
		}
		if err := p.tidy(opened); err != nil {
			return false, err
		}
		if placed {
			clear(p.barred)
			return true, nil
		}
		if len(refused) == 0 {
			return false, nil // a budget left room for none of the machines
		}
	}
}

// assessEmpty assesses as if nothing were planned: what is planned may be planned otherwise later, and bars nobody for good.
func (p *planner) assessEmpty() error {
	if p.assessed {
		return nil
	}
	placed := p.placements()
	change := func(do func(class, seat, pods int)) {
		for _, s := range placed {
			seat, _ := p.book.Seat(s.node)
			do(s.class, seat, 1)
		}
	}
	change(p.book.Erase)
	defer change(p.book.Enter)
	return p.assess(p.desert, p.book)
}

// want is a number of pods that a pattern wants on a machine.
type want struct {
	class   int
	machine *machine
	pods    int
}

// openAll adds the machines of the patterns as far as the budgets go, and says what is wanted on them.
func (p *planner) openAll(patterns []pack.Pattern) ([]want, error) {
	var wants []want
	for _, pattern := range patterns {
		for range pattern.Copies {
			c := p.candidates[pattern.Machine]
			if !affords(p.budgets[c.pool], c.draw, nil) {
				break
			}
			m, err := p.open(pattern.Machine)
			if err != nil {
				return nil, err
			}
			for class, n := range pattern.Mix {
				if n > 0 {
					wants = append(wants, want{class, m, n})
				}
			}
		}
	}
	return wants, nil
}

// open adds an empty machine.
func (p *planner) open(index int) (*machine, error) {
	m := &machine{name: p.nextName(), candidate: p.candidates[index], index: index}
	p.opened++
	if err := p.stand(m); err != nil {
		return nil, err
	}
	p.machines = append(p.machines, m)
	p.draw(m.candidate, nil)
	return m, nil
}

// stand puts the machine's node into the book, and into the picture where plugins will be asked on the way.
func (p *planner) stand(m *machine) error {
	p.changes++
	m.seat = p.book.AddSeat(p.named(m.candidate, m.name), m.template)
	if !p.shadowed {
		return nil
	}
	return p.raise(p.engine, m.candidate, m.name)
}

// fell takes the machine's node, on which no planned pod may be, out again.
func (p *planner) fell(m *machine) error {
	p.changes++
	p.book.RemoveSeat(m.seat)
	if !p.shadowed {
		return nil
	}
	return p.clear(m.name)
}

// fill places what is wanted, in an order that the constraints between pods admit, and returns what they do not admit.
func (p *planner) fill(wants []want) (refused []want, placed bool, err error) {
	for again := true; again; {
		again, refused = false, nil
		for _, w := range wants {
			n, err := p.fillOne(w)
			if err != nil {
				return nil, false, err
			}
			if n > 0 {
				again, placed = true, true
			}
			if w.pods -= n; w.pods > 0 && len(p.left[w.class]) > 0 {
				refused = append(refused, w)
			}
		}
		wants = refused
	}
	return refused, placed, nil
}

// fillOne places as many of the wanted pods as now may go there; of pods that are bound to be even, one.
func (p *planner) fillOne(w want) (int, error) {
	c, place := w.class, place{w.machine.seat, w.machine}
	n := min(w.pods, len(p.left[c]), p.book.Holds(c, place.seat))
	if n == 0 {
		return 0, nil
	}
	switch {
	case p.classes[c].opaque:
		query := p.engine.Ask(p.left[c][0])
		taken, err := p.placeOpaque(query, c, place)
		if err != nil || !taken {
			return 0, err
		}
		return 1, nil
	case !p.book.Related(c):
		return n, p.take(c, place, n)
	}
	for done := range n {
		if !p.book.Fits(c, place.seat) {
			return done, nil
		}
		if err := p.take(c, place, 1); err != nil {
			return done, err
		}
		if p.classes[c].relational {
			return done + 1, nil
		}
	}
	return n, nil
}

// tidy drops opened machines that hold nothing, and exchanges those that hold less than was wanted for the cheapest that holds as much.
func (p *planner) tidy(wants []want) error {
	wanted := map[*machine]int{}
	for _, w := range wants {
		wanted[w.machine] += w.pods
	}
	if err := p.dropIdle(); err != nil {
		return err
	}
	for _, m := range slices.Clone(p.machines) {
		if n, opened := wanted[m]; opened && n > len(m.pods) {
			if err := p.shrink(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// nextName returns a name for a machine while it is planned. No node has it.
func (p *planner) nextName() string {
	return fmt.Sprintf("planned-%d.%s", p.opened+1, v1alpha1.Group)
}

// affords says whether a budget admits the draw, once the credit is given back.
func affords(budget, draw, credit pack.Vector) bool {
	for d := range draw {
		given := int64(0)
		if credit != nil {
			given = credit[d]
		}
		if budget[d] != pack.Unbounded && draw[d]-given > budget[d] {
			return false
		}
	}
	return true
}

// draw takes a candidate out of the budget of its pool, and puts back what it replaces.
func (p *planner) draw(c, replaced *candidate) {
	budget := p.budgets[c.pool]
	for d := range budget {
		if budget[d] == pack.Unbounded {
			continue
		}
		budget[d] -= c.draw[d]
		if replaced != nil {
			budget[d] += replaced.draw[d]
		}
	}
}

// podsOf returns the pods of a machine, by class.
func (p *planner) podsOf(m *machine) map[int][]*corev1.Pod {
	pods := map[int][]*corev1.Pod{}
	for _, member := range m.pods {
		pods[member.class] = append(pods[member.class], member.pod)
	}
	return pods
}
