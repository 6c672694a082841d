// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// Bounds of the effort to improve a plan. The number of pairs grows with the square of the machines; a trial that the plugins refuse
// costs a hundred times more than one that the numbers rule out.
const (
	pairsTried      = 50_000
	refusalsAllowed = 50
)

// improve makes a finished plan cheaper without moving a pod to a place that the plugins have not accepted.
func (p *planner) improve() error {
	p.refusals = 0
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

// exchange turns a machine into another candidate under the same name, together with more pods, if the plugins accept all of them there.
func (p *planner) exchange(m *machine, index int, more []member) (bool, error) {
	to := p.candidates[index]
	if to.pool != m.pool || to.offering.Datacenter != m.offering.Datacenter || !affords(p.budgets[m.pool], to.draw, m.draw) ||
		!p.mayHold(to, index, m.pods, more) {
		return false, nil
	}
	p.engine.Fork()
	accepted, err := p.rebuild(m, to, more)
	if err != nil {
		return false, err
	}
	if !accepted {
		p.engine.Revert()
		return false, nil
	}
	p.engine.Commit()
	p.draw(to, m.candidate)
	m.candidate, m.index, m.pods = to, index, append(m.pods, more...)
	p.forget(m.name)
	return true, nil
}

// rebuild replaces the machine's node in the picture. Pods that were on it keep what they have reserved, because its name stays.
func (p *planner) rebuild(m *machine, to *candidate, more []member) (bool, error) {
	if err := p.clear(m.name); err != nil {
		return false, err
	}
	if _, err := p.raise(p.engine, to, m.name); err != nil {
		return false, err
	}
	_, refused, err := p.fit(m.pods, m.name, keep)
	if err != nil || len(refused) > 0 {
		return false, err
	}
	_, refused, err = p.fit(more, m.name, reserve)
	return len(refused) == 0, err
}

// clear removes a planned node and everything on it from the picture.
func (p *planner) clear(node string) error {
	snap := p.engine.Snapshot()
	for _, pod := range snap.PodsOn(node) {
		if err := snap.RemovePod(pod); err != nil {
			return err
		}
	}
	return snap.RemoveNode(node)
}

// forget drops what was known about a node that has changed.
func (p *planner) forget(node string) {
	p.changes++
	for c := range p.refused {
		delete(p.refused[c], node)
	}
}

// mayHold says by numbers and by the static verdicts whether the plugins need to be asked at all.
func (p *planner) mayHold(c *candidate, index int, groups ...[]member) bool {
	sum, count := make(pack.Vector, resources), make([]int, len(p.classes))
	for _, pods := range groups {
		for _, m := range pods {
			class := p.classes[m.class]
			if count[m.class]++; !class.verdicts[index].Fits || (class.perMachine > 0 && count[m.class] > class.perMachine) {
				return false
			}
			for r, request := range class.vector {
				sum[r] += request
			}
		}
	}
	for r := range sum {
		if sum[r] > 0 && sum[r] > c.room[r] {
			return false
		}
	}
	return true
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
		if len(p.left[c]) == 0 || p.classes[c].priority < p.floor {
			continue
		}
		next := member{c, p.left[c][0]}
		for _, m := range p.machinesShortOfRoom(next.pod) {
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

// machinesShortOfRoom returns the planned machines that would take the pod if it requested nothing.
func (p *planner) machinesShortOfRoom(pod *corev1.Pod) []*machine {
	query := p.engine.Ask(weightless(pod))
	return slices.DeleteFunc(slices.Clone(p.machines), func(m *machine) bool {
		verdict := query.Fits(m.name)
		return !verdict.Fits && verdict.Plugin != "NodeResourcesFit" // of which the number of pods is one
	})
}

// dissolve does without machines whose pods fit elsewhere, those that hold the least for their price first.
func (p *planner) dissolve() error {
	tallies := make(map[*machine]tally, len(p.machines))
	utilisation := make(map[*machine]float64, len(p.machines))
	for _, m := range p.machines {
		tallies[m] = p.tally(m)
		for r, free := range tallies[m].free {
			if m.room[r] > 0 {
				utilisation[m] = max(utilisation[m], float64(m.room[r]-free)/float64(m.room[r]))
			}
		}
	}
	order := slices.Clone(p.machines)
	slices.SortStableFunc(order, func(a, b *machine) int { return cmp.Compare(utilisation[a], utilisation[b]) })
	for _, m := range order {
		if p.refusals > refusalsAllowed {
			return nil
		}
		if slices.ContainsFunc(m.pods, func(pod member) bool { return simulate.Reserves(pod.pod) }) {
			continue // its volumes were chosen for this machine
		}
		if !p.mightDoWithout(m, tallies) {
			continue
		}
		if err := p.tryWithout(m, tallies); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) tryWithout(m *machine, tallies map[*machine]tally) error {
	p.engine.Fork()
	if err := p.clear(m.name); err != nil {
		return err
	}
	moved := map[*machine][]member{}
	for _, pod := range m.pods {
		other, err := p.taker(pod, m)
		if err != nil {
			return err
		}
		if other == nil {
			p.engine.Revert()
			p.refusals++
			return nil
		}
		moved[other] = append(moved[other], pod)
	}
	p.engine.Commit()
	for other, pods := range moved {
		other.pods = append(other.pods, pods...)
		tallies[other] = p.tally(other)
	}
	p.drop(m)
	return nil
}

// taker places a pod on the first planned machine beside m that takes it.
func (p *planner) taker(pod member, m *machine) (*machine, error) {
	query := p.engine.Ask(pod.pod)
	for _, other := range p.machines {
		if other == m || !query.Fits(other.name).Fits {
			continue
		}
		if verdict, err := query.Place(other.name); err != nil || verdict.Fits {
			return other, err
		}
	}
	return nil, nil
}

// tally is what is planned on a machine, in numbers.
type tally struct {
	free pack.Vector
	mix  []int // pods by class
}

func (p *planner) tally(m *machine) tally {
	t := tally{slices.Clone(m.room), p.mix(m)}
	for c, n := range t.mix {
		for r, request := range p.classes[c].vector {
			t.free[r] -= int64(n) * request
		}
	}
	return t
}

func (t tally) clone() tally { return tally{slices.Clone(t.free), slices.Clone(t.mix)} }

func (t tally) admits(c int, class *class) bool {
	if class.perMachine > 0 && t.mix[c] >= class.perMachine {
		return false
	}
	for r, request := range class.vector {
		if request > 0 && request > t.free[r] {
			return false
		}
	}
	return true
}

func (t tally) add(c int, class *class) {
	t.mix[c]++
	for r, request := range class.vector {
		t.free[r] -= request
	}
}

// mightDoWithout says by numbers whether the plugins need to be asked: for most machines of a good plan they need not.
func (p *planner) mightDoWithout(m *machine, tallies map[*machine]tally) bool {
	rest := slices.Clone(m.pods)
	for _, other := range p.machines {
		if other == m {
			continue
		}
		now, copied := tallies[other], false
		rest = slices.DeleteFunc(rest, func(pod member) bool {
			class := p.classes[pod.class]
			if !now.admits(pod.class, class) {
				return false
			}
			if !copied {
				now, copied = now.clone(), true
			}
			now.add(pod.class, class)
			return true
		})
		if len(rest) == 0 {
			return true
		}
	}
	return len(rest) == 0
}

// drop takes a machine out of the plan whose node has left the picture.
func (p *planner) drop(m *machine) {
	p.machines = slices.DeleteFunc(p.machines, func(other *machine) bool { return other == m })
	for d, draw := range m.draw {
		if p.budgets[m.pool][d] != pack.Unbounded {
			p.budgets[m.pool][d] += draw
		}
	}
	p.forget(m.name)
}

// pair replaces two machines by one that costs no more.
func (p *planner) pair() error {
	tried := 0
	for first := 0; first < len(p.machines); first++ { //nolint:intrange // machines leave while it runs
		for second := first + 1; second < len(p.machines); {
			if tried++; tried > pairsTried || p.refusals > refusalsAllowed {
				return nil
			}
			done, err := p.tryPair(p.machines[first], p.machines[second])
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

func (p *planner) tryPair(m, other *machine) (bool, error) {
	if m.pool != other.pool || slices.ContainsFunc(other.pods, func(pod member) bool { return simulate.Reserves(pod.pod) }) {
		return false, nil
	}
	for index, c := range p.candidates {
		if pack.ComparePrices(int64(c.offering.Price), int64(m.offering.Price+other.offering.Price)) > 0 {
			return false, nil
		}
		if c.pool != m.pool || !p.mayHold(c, index, m.pods, other.pods) {
			continue
		}
		before := slices.Clone(p.machines)
		p.engine.Fork()
		if err := p.clear(other.name); err != nil {
			return false, err
		}
		p.drop(other)
		done, err := p.exchange(m, index, other.pods)
		if err != nil {
			return false, err
		}
		if done {
			p.engine.Commit()
			return true, nil
		}
		p.engine.Revert()
		p.refusals++
		p.machines = before
		p.draw(other.candidate, nil)
	}
	return false, nil
}
