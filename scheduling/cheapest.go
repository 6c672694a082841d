// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"maps"
	"slices"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// cheapest makes a plan that fills the nodes that are there in their order, with the largest pods first. Where the bound leaves room for a
// cheaper one, packing says what they should hold, and a second plan starts from that. It returns the better one, with the bound.
func (p *planner) cheapest() (Plan, error) {
	plan, err := p.finish()
	if err != nil || len(p.machines) == 0 {
		return plan, err
	}
	if len(p.there) == 0 {
		plan.bound(p.launchBound())
		return plan, nil
	}
	counts, outcome := p.unpromised(), p.outcome()
	m, err := p.beside()
	if err != nil {
		return Plan{}, err
	}
	bound, err := m.floor(counts)
	if err != nil {
		return Plan{}, err
	}
	plan.bound(bound)
	if len(m.nodes) > mostFixed || float64(plan.Cost) <= closeEnough*float64(plan.LowerBound) || (p.input.Stop != nil && p.input.Stop()) {
		return plan, nil
	}
	advice := m.advice(m.solve())
	if len(advice.to) == 0 || pack.ComparePrices(int64(advice.cost), int64(plan.Cost)) >= 0 {
		return plan, nil
	}
	p.startOver()
	p.promised = advice.to
	maps.Copy(p.promised, p.input.Promised)
	other, err := p.finish()
	if err != nil || !p.outcome().beats(outcome) {
		return plan, err
	}
	if again := p.unpromised(); !slices.Equal(again, counts) {
		p.promised = p.input.Promised // the advice binds nobody but the second plan
		if m, err = p.beside(); err != nil {
			return Plan{}, err
		}
		if bound, err = m.floor(again); err != nil {
			return Plan{}, err
		}
	}
	other.bound(bound)
	return other, nil
}

// unpromised counts the placed pods by class, without those that have what was promised to them.
func (p *planner) unpromised() []int {
	counts := make([]int, len(p.classes))
	for _, s := range p.placements() {
		if p.input.Promised[nameOf(s.pod)] != s.node {
			counts[s.class]++
		}
	}
	return counts
}

// beside starts over and returns the pods that no promise binds, in numbers, with the nodes that are there and the candidates.
func (p *planner) beside() (*model, error) {
	p.startOver()
	if err := p.keepPromises(); err != nil {
		return nil, err
	}
	return newModel(&joint{Input: p.input}, p, nil), nil
}

// outcome is what is compared of two plans for the same pods.
type outcome struct {
	left []int // pods without a place, by priority, greatest first
	cost Price
}

func (p *planner) outcome() outcome {
	var o outcome
	for c, class := range p.classes {
		if c == 0 || class.priority != p.classes[c-1].priority {
			o.left = append(o.left, 0)
		}
		o.left[len(o.left)-1] += len(p.left[c])
	}
	o.cost = p.cost()
	return o
}

// beats says whether it leaves fewer pods out, the most important first, or as many at a lower price.
func (o outcome) beats(other outcome) bool {
	if by := slices.Compare(o.left, other.left); by != 0 {
		return by < 0
	}
	return pack.ComparePrices(int64(o.cost), int64(other.cost)) < 0
}
