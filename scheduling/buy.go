// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// buy opens machines for the pods that are left, and says whether it placed any. A class that a new machine refused is barred
// from it until something is placed somewhere: each call places a pod or bars a pairing, so planning ends.
func (p *planner) buy() (bool, error) {
	for {
		patterns := pack.Solve(p.packing(), pack.Options{}).Patterns
		if len(patterns) == 0 {
			return false, nil
		}
		bought := false
		for _, pattern := range patterns {
			for range pattern.Copies {
				placed, err := p.open(pattern)
				if err != nil {
					return false, err
				}
				bought = bought || placed
				if !placed {
					break
				}
			}
		}
		if bought {
			clear(p.barred)
			return true, nil
		}
	}
}

// packing is the pods that are left, in numbers.
func (p *planner) packing() pack.Problem {
	packing := pack.Problem{Pools: p.budgets, Machines: p.kinds()}
	for c, class := range p.classes {
		count := len(p.left[c])
		if class.priority < p.floor {
			count = 0
		}
		allowed := class.allowed()
		for i := range allowed {
			allowed[i] = allowed[i] && !p.barred[pairing{c, i}]
		}
		packing.Classes = append(packing.Classes, pack.Class{
			Requests: class.vector, Count: count, PerMachine: class.perMachine, Allowed: allowed,
		})
	}
	return packing
}

func (p *problem) kinds() []pack.Machine {
	kinds := make([]pack.Machine, 0, len(p.candidates))
	for _, c := range p.candidates {
		kinds = append(kinds, pack.Machine{Room: c.room, Price: int64(c.offering.Price), Pool: c.pool, Draw: c.draw})
	}
	return kinds
}

// open adds one machine of a pattern and places what the plugins admit of its mix. A machine that holds nothing is not bought; one that
// holds less than planned is at once exchanged for the cheapest that holds as much.
func (p *planner) open(pattern pack.Pattern) (bool, error) {
	c := p.candidates[pattern.Machine]
	if !affords(p.budgets[c.pool], c.draw, nil) {
		return false, nil
	}
	p.engine.Fork()
	m := &machine{name: p.nextName(), candidate: c, index: pattern.Machine}
	if _, err := p.raise(p.engine, c, m.name); err != nil {
		return false, err
	}
	var wanted []member
	for class, n := range pattern.Mix {
		for _, pod := range p.left[class][:min(n, len(p.left[class]))] {
			wanted = append(wanted, member{class, pod})
		}
	}
	placed, refused, err := p.fit(wanted, m.name, reserve)
	if err != nil {
		return false, err
	}
	for _, r := range refused {
		p.barred[pairing{r.class, pattern.Machine}] = true
	}
	if len(placed) == 0 {
		p.engine.Revert()
		return false, nil
	}
	p.engine.Commit()
	p.opened++
	m.pods = placed
	p.machines = append(p.machines, m)
	p.draw(m.candidate, nil)
	for _, joined := range placed {
		p.left[joined.class] = slices.DeleteFunc(p.left[joined.class], func(pod *corev1.Pod) bool { return pod == joined.pod })
	}
	p.changes++
	if len(refused) > 0 {
		return true, p.shrink(m)
	}
	return true, nil
}

func (p *planner) nextName() string {
	for {
		name := fmt.Sprintf("new-%d", p.opened+1)
		if !p.engine.Snapshot().Has(name) {
			return name
		}
		p.opened++
	}
}

// holding says whether a pod that is fitted still has to reserve its volumes, or kept them from before.
type holding int

const (
	reserve holding = iota
	keep
)

// fit places pods on one node in an order that the plugins accept, if there is one that a few rounds find, and returns the others.
func (p *planner) fit(pods []member, node string, h holding) (placed, refused []member, err error) {
	for again := true; again && len(pods) > 0; {
		again, refused = false, nil
		no := map[int]bool{} // a class that was refused in this round: its twins are not asked
		for _, m := range pods {
			fits := false
			if !no[m.class] {
				if fits, err = p.put(m.pod, node, h); err != nil {
					return nil, nil, err
				}
			}
			if fits {
				placed, again = append(placed, m), true
			} else {
				refused = append(refused, m)
				no[m.class] = true
			}
		}
		pods = refused
		again = again && slices.ContainsFunc(pods, func(m member) bool { return p.classes[m.class].relational })
	}
	return placed, pods, nil
}

func (p *planner) put(pod *corev1.Pod, node string, h holding) (bool, error) {
	if h == keep && simulate.Reserves(pod) {
		if !p.engine.Fits(pod, node).Fits {
			return false, nil
		}
		return true, p.engine.Snapshot().AddPod(pod, node)
	}
	verdict, err := p.engine.Place(pod, node)
	return verdict.Fits, err
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
