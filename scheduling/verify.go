// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"
)

// roundsOfRepair bounds how often a plan is mended. Machines are opened one by one, and one in a new zone can make a spread strict
// that was none when the pods before it were placed.
const roundsOfRepair = 3

// verify replays a plan on a fresh picture with a fresh engine, with all its machines there from the start, as kube-scheduler will find
// them. Pods that are refused there are planned again beside the rest, and in the end left out. It returns the planner
// whose replay refused nothing, which must be closed, and the number of pods left out.
func (p *planner) verify() (verified *planner, omitted int, err error) {
	for round, current := 0, p; ; round++ {
		next, refused, err := current.replay()
		if current != p {
			current.close()
		}
		if err != nil {
			return nil, 0, err
		}
		if refused == 0 {
			return next, omitted, nil
		}
		current = next
		if round < roundsOfRepair {
			err = current.plan()
		} else {
			omitted += refused
		}
		if err == nil {
			err = current.dropIdle()
		}
		if err == nil {
			err = current.improve() // machines that lost pods may be too large now
		}
		if err != nil {
			current.close()
			return nil, 0, err
		}
	}
}

// replay carries a plan over to a new planner. First come the nodes that are there: kube-scheduler will use them while the
// machines are being ordered.
func (p *planner) replay() (*planner, int, error) {
	next, err := p.newPlanner()
	if err != nil {
		return nil, 0, err
	}
	next.opened = p.opened
	for c := range p.left {
		next.left[c] = slices.Clone(p.left[c])
	}
	refused, err := next.restage(p.settled)
	if err != nil {
		next.close()
		return nil, 0, err
	}
	for _, m := range p.machines {
		if _, err := next.raise(next.engine, m.candidate, m.name); err != nil {
			next.close()
			return nil, 0, err
		}
		next.machines = append(next.machines, &machine{name: m.name, candidate: m.candidate, index: m.index})
		next.draw(m.candidate, nil)
		for _, pod := range m.pods {
			refused = append(refused, settlement{pod, m.name})
		}
	}
	refused, err = next.restage(refused)
	if err != nil {
		next.close()
		return nil, 0, err
	}
	for _, s := range refused {
		next.left[s.class] = append(next.left[s.class], s.pod)
	}
	for c := range next.left {
		slices.SortFunc(next.left[c], comparePending)
	}
	return next, len(refused), nil
}

// restage places pods where a plan wants them and returns those that are refused. It goes round the nodes and places one pod of each
// relational class on each of them at a time: a spread admits the plan only if its pods come evenly.
func (p *planner) restage(wanted []settlement) ([]settlement, error) {
	type queue struct {
		class int
		node  string
	}
	queues := map[queue][]settlement{}
	var order []queue
	for _, s := range wanted {
		q := queue{s.class, s.node}
		if queues[q] == nil {
			order = append(order, q)
		}
		queues[q] = append(queues[q], s)
	}
	for again := true; again; {
		again = false
		for _, q := range order {
			for len(queues[q]) > 0 {
				s := queues[q][0]
				accepted, err := p.put(s.pod, s.node, reserve)
				if err != nil {
					return nil, err
				}
				if !accepted {
					break
				}
				p.join(s.member, s.node)
				queues[q], again = queues[q][1:], true
				if p.classes[q.class].relational {
					break
				}
			}
		}
	}
	var refused []settlement
	for _, q := range order {
		refused = append(refused, queues[q]...)
	}
	return refused, nil
}

// dropIdle takes machines out of the plan that hold no pod any more.
func (p *planner) dropIdle() error {
	for _, m := range slices.Clone(p.machines) {
		if len(m.pods) > 0 {
			continue
		}
		if err := p.clear(m.name); err != nil {
			return err
		}
		p.drop(m)
	}
	return nil
}
