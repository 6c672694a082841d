// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// floor is what bounds the cost of every arrangement: all movable and waiting pods, with all machines that could hold them.
type floor struct {
	known   bool
	packing pack.Problem
	classOf map[types.NamespacedName]int
	sure    Price // of optional nodes that stay in any case

	counts []int // for which the price was worked out
	price  Price
}

// learn keeps what the bound needs, from the first model, whose scope is all optional nodes.
func (j *joint) learn(m *model, scope []bool) {
	if j.floor.known || slices.Contains(scope, false) {
		return
	}
	j.floor.known = true
	for _, node := range j.nodes {
		if node.stays {
			j.floor.sure += node.Price + j.NodeCost
		}
	}
	if m == nil {
		return
	}
	j.floor.classOf = m.classOf
	j.floor.packing = m.problemOf(func(c int) pack.Class {
		allowed := slices.Clone(m.classes[c].admitted())
		perMachine := m.perMachine(c)
		for i := range m.nodes {
			node := &m.nodes[i]
			allowed = append(allowed, node.ever[c])
			if perMachine > 0 { // they run there together, so together they may stay
				perMachine = max(perMachine, len(node.has[c]))
			}
		}
		return pack.Class{Requests: m.classes[c].vector, PerMachine: perMachine, Allowed: allowed}
	})
	var fixed []*pack.Machine
	for i := range m.nodes {
		if m.nodes[i].own < 0 {
			fixed = append(fixed, &j.floor.packing.Machines[len(m.candidates)+i])
		}
	}
	coarsen(fixed)
}

// stepsOfRoom is how finely the rooms of nodes are told apart of which there are too many.
const stepsOfRoom = 8

// coarsen rounds up the rooms of nodes that stay in any case where there are too many to be kinds of their own. More room only lowers the bound.
func coarsen(machines []*pack.Machine) {
	if len(machines) <= mostFixed {
		return
	}
	greatest := make(pack.Vector, len(machines[0].Room))
	for _, machine := range machines {
		for r, room := range machine.Room {
			greatest[r] = max(greatest[r], room)
		}
	}
	for _, machine := range machines {
		rounded := make(pack.Vector, len(greatest))
		for r, room := range machine.Room {
			step := greatest[r]/stepsOfRoom + 1
			rounded[r] = (room + step - 1) / step * step
		}
		machine.Room = rounded
	}
}

// bound is a price that no arrangement undercuts which has a place for the pods that have one in the best.
func (j *joint) bound() Price {
	f := &j.floor
	if !f.known {
		return 0
	}
	left := map[types.NamespacedName]bool{}
	for _, r := range j.best.plan.Rejections {
		left[r.Pod] = true
	}
	counts := make([]int, len(f.packing.Classes))
	for pod, c := range f.classOf {
		if !left[pod] {
			counts[c]++
		}
	}
	if f.counts == nil || !slices.Equal(counts, f.counts) {
		packing := f.packing
		packing.Classes = slices.Clone(packing.Classes)
		for c := range counts {
			packing.Classes[c].Count = counts[c]
		}
		f.counts, f.price = counts, Price(pack.Bound(packing, pack.Options{Effort: j.Effort, Stop: j.Stop}))
	}
	return f.sure + f.price
}
