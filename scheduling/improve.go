// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// pairsTried bounds the effort to merge machines: the number of pairs grows with their square.
const pairsTried = 2_000

// improve makes a finished plan cheaper.
func (p *planner) improve() error {
	for _, step := range []func() error{p.dissolve, p.pair, p.shrinkAll} {
		if p.input.Stop != nil && p.input.Stop() {
			return nil
		}
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// exchange turns a machine into another candidate of its datacenter under the same name, together with more pods of one class, if it
// holds them all.
func (p *planner) exchange(m *machine, index int, more []member) (bool, error) {
	to := p.candidates[index]
	if to.pool != m.pool || to.offering.Datacenter != m.offering.Datacenter || !affords(p.budgets[m.pool], to.draw, m.draw) ||
		!p.mayHold(to, index, m.pods, more) || p.holdsOpaque(m) {
		return false, nil
	}
	was, index0 := m.candidate, m.index
	elsewhere := !sameDomains(p.book, was, to)
	if elsewhere && slices.ContainsFunc(m.pods, func(pod member) bool { return p.tied(pod.class) }) {
		return false, nil
	}
	if err := p.rebuild(m, to, index); err != nil {
		return false, err
	}
	for i, member := range more {
		if p.banned[ban{member.class, m.name}] || !p.book.Fits(member.class, m.seat) {
			for _, done := range more[:i] {
				if err := p.erase(done.class, m.seat, []*corev1.Pod{done.pod}); err != nil {
					return false, err
				}
			}
			return false, p.rebuild(m, was, index0)
		}
		if err := p.enter(member.class, m.seat, []*corev1.Pod{member.pod}); err != nil {
			return false, err
		}
	}
	if elsewhere && !p.allStand() {
		for _, done := range more {
			if err := p.erase(done.class, m.seat, []*corev1.Pod{done.pod}); err != nil {
				return false, err
			}
		}
		return false, p.rebuild(m, was, index0)
	}
	p.draw(to, was)
	m.pods = append(m.pods, more...)
	return true, nil
}

// rebuild replaces the machine's node.
func (p *planner) rebuild(m *machine, to *candidate, index int) error {
	if err := p.empty(m); err != nil {
		return err
	}
	m.candidate, m.index = to, index
	if err := p.stand(m); err != nil {
		return err
	}
	return p.refill(m)
}

// empty takes the pods and then the node of a machine out of the book.
func (p *planner) empty(m *machine) error {
	pods := p.podsOf(m)
	for _, c := range sortedKeys(pods) {
		if err := p.erase(c, m.seat, pods[c]); err != nil {
			return err
		}
	}
	return p.fell(m)
}

func (p *planner) refill(m *machine) error {
	pods := p.podsOf(m)
	for _, c := range sortedKeys(pods) {
		if err := p.enter(c, m.seat, pods[c]); err != nil {
			return err
		}
	}
	return nil
}

// clear removes a planned node and everything on it from the picture.
func (p *planner) clear(node string) error {
	snap := p.engine.Snapshot()
	for _, pod := range snap.PodsOn(node) {
		if err := p.engine.Remove(pod); err != nil {
			return err
		}
	}
	return snap.RemoveNode(node)
}

func (p *planner) holdsOpaque(m *machine) bool {
	return slices.ContainsFunc(m.pods, func(pod member) bool { return p.classes[pod.class].opaque })
}

// mayHold says by resources and by the static verdicts whether a candidate holds pods.
func (p *planner) mayHold(c *candidate, index int, groups ...[]member) bool {
	return p.hasRoom(c, func(class *class) bool { return class.allowed[index] }, groups...)
}

// hasRoom says by resources whether a candidate holds pods of classes that may be there.
func (p *planner) hasRoom(c *candidate, may func(*class) bool, groups ...[]member) bool {
	sum := make(pack.Vector, len(c.room))
	for _, pods := range groups {
		for _, m := range pods {
			class := p.classes[m.class]
			if !may(class) {
				return false
			}
			for r, request := range class.vector {
				sum[r] += request
			}
		}
	}
	return largerThan(c.room, sum)
}

// shrink exchanges a machine for the cheapest candidate that still holds its pods.
func (p *planner) shrink(m *machine) error {
	for index, c := range p.candidates {
		if c.offering.Price >= m.offering.Price {
			return nil
		}
		if done, err := p.exchange(m, index, nil); err != nil || done {
			return err
		}
	}
	return nil
}

func (p *planner) shrinkAll() error {
	for _, m := range p.machines {
		if err := p.shrink(m); err != nil {
			return err
		}
	}
	return nil
}

// enlarge exchanges a planned machine for a larger one, for a pod that can be nowhere else: it must be beside a pod that is planned
// there, or the pool may have no more machines. It says whether it placed one.
func (p *planner) enlarge() (bool, error) {
	for c := range p.classes {
		if len(p.left[c]) == 0 || p.classes[c].priority < p.floor || p.classes[c].opaque {
			continue
		}
		next := member{c, p.left[c][0]}
		for _, m := range p.machines {
			if !p.book.Admits(c, m.seat) {
				continue
			}
			done, err := p.enlargeFor(m, next)
			if err != nil {
				return false, err
			}
			if done {
				p.left[c] = p.left[c][1:]
				return true, nil
			}
		}
	}
	return false, nil
}

func (p *planner) enlargeFor(m *machine, pod member) (bool, error) {
	for index, to := range p.candidates {
		if to.offering.Price < m.offering.Price || index == m.index {
			continue
		}
		if done, err := p.exchange(m, index, []member{pod}); err != nil || done {
			return done, err
		}
	}
	return false, nil
}

// movable says whether the machine's pods may go elsewhere without anything else that is planned losing what it relies on.
func (p *planner) movable(m *machine) bool {
	return !slices.ContainsFunc(m.pods, func(pod member) bool {
		class := p.classes[pod.class]
		return class.opaque || class.relational || p.book.Minded(pod.class)
	})
}

// dissolve does without machines whose pods fit elsewhere, those that hold the least for their price first.
func (p *planner) dissolve() error {
	utilisation := make(map[*machine]float64, len(p.machines))
	for _, m := range p.machines {
		for r, free := range p.book.Free(m.seat) {
			if m.room[r] > 0 {
				utilisation[m] = max(utilisation[m], float64(m.room[r]-free)/float64(m.room[r]))
			}
		}
	}
	order := slices.Clone(p.machines)
	slices.SortStableFunc(order, func(a, b *machine) int { return cmp.Compare(utilisation[a], utilisation[b]) })
	for _, m := range order {
		if !p.movable(m) {
			continue
		}
		if err := p.tryWithout(m); err != nil {
			return err
		}
	}
	return nil
}

// move is a pod that found another machine.
type move struct {
	member
	to *machine
}

func (p *planner) tryWithout(m *machine) error {
	var moves []move
	for _, pod := range m.pods {
		to := p.taker(pod, m)
		if to == nil {
			for _, done := range moves {
				if err := p.erase(done.class, done.to.seat, []*corev1.Pod{done.pod}); err != nil {
					return err
				}
				if err := p.enter(done.class, m.seat, []*corev1.Pod{done.pod}); err != nil {
					return err
				}
			}
			return nil
		}
		if err := p.erase(pod.class, m.seat, []*corev1.Pod{pod.pod}); err != nil {
			return err
		}
		if err := p.enter(pod.class, to.seat, []*corev1.Pod{pod.pod}); err != nil {
			return err
		}
		moves = append(moves, move{pod, to})
	}
	for _, done := range moves {
		done.to.pods = append(done.to.pods, done.member)
	}
	m.pods = nil
	return p.drop(m)
}

// taker returns the first planned machine beside m that takes the pod.
func (p *planner) taker(pod member, m *machine) *machine {
	for _, other := range p.machines {
		if other != m && p.classes[pod.class].allowed[other.index] && !p.banned[ban{pod.class, other.name}] && p.book.Fits(pod.class, other.seat) {
			return other
		}
	}
	return nil
}

// drop takes a machine without pods out of the plan.
func (p *planner) drop(m *machine) error {
	p.machines = slices.DeleteFunc(p.machines, func(other *machine) bool { return other == m })
	for d, draw := range m.draw {
		if p.budgets[m.pool][d] != pack.Unbounded {
			p.budgets[m.pool][d] += draw
		}
	}
	return p.fell(m)
}

// dropIdle takes machines out of the plan that hold no pod.
func (p *planner) dropIdle() error {
	for _, m := range slices.Clone(p.machines) {
		if len(m.pods) > 0 {
			continue
		}
		if err := p.drop(m); err != nil {
			return err
		}
	}
	return nil
}

// load is what a machine holds, in numbers.
type load struct {
	sum     pack.Vector
	movable bool
}

func (p *planner) load(m *machine) load {
	l := load{slices.Clone(m.room), p.movable(m)}
	for r, free := range p.book.Free(m.seat) {
		l.sum[r] -= free
	}
	return l
}

// pair replaces two machines by one that costs no more.
func (p *planner) pair() error {
	tried := 0
	loads := map[*machine]load{}
	for _, m := range p.machines {
		loads[m] = p.load(m)
	}
	for first := 0; first < len(p.machines); first++ { //nolint:intrange // machines leave while it runs
		for second := first + 1; second < len(p.machines); {
			if tried++; tried > pairsTried {
				return nil
			}
			done, err := p.tryPair(p.machines[first], p.machines[second], loads)
			if err != nil {
				return err
			}
			if !done { // otherwise the next one has moved here
				second++
			}
		}
	}
	return nil
}

func (p *planner) tryPair(m, other *machine, loads map[*machine]load) (bool, error) {
	if m.pool != other.pool || !loads[m].movable || !loads[other].movable {
		return false, nil
	}
	index := p.cheapestFor(m, other, loads)
	if index < 0 {
		return false, nil
	}
	if err := p.empty(other); err != nil {
		return false, err
	}
	before := slices.Clone(p.budgets[m.pool])
	for d, draw := range other.draw {
		if p.budgets[m.pool][d] != pack.Unbounded {
			p.budgets[m.pool][d] += draw
		}
	}
	done, err := p.exchange(m, index, other.pods)
	if err != nil {
		return false, err
	}
	if done {
		p.machines = slices.DeleteFunc(p.machines, func(o *machine) bool { return o == other })
		loads[m] = p.load(m)
		return true, nil
	}
	p.budgets[m.pool] = before
	if err := p.stand(other); err != nil {
		return false, err
	}
	return false, p.refill(other)
}

// cheapestFor returns the cheapest candidate that would hold both machines' pods for no more than both cost, or -1.
func (p *planner) cheapestFor(m, other *machine, loads map[*machine]load) int {
	sum := slices.Clone(loads[m].sum)
	for r, amount := range loads[other].sum {
		sum[r] += amount
	}
	both := int64(p.price(m.candidate) + p.price(other.candidate))
	for index, c := range p.candidates {
		if pack.ComparePrices(int64(p.price(c)), both) > 0 {
			break
		}
		if c.pool == m.pool && c.offering.Datacenter == m.offering.Datacenter && largerThan(c.room, sum) &&
			p.mayHold(c, index, m.pods, other.pods) {
			return index
		}
	}
	return -1
}
