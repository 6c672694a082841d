// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// Admits says whether the group may have one machine more of that offering: it is not paused, and no limit would be exceeded. It is
// what plans are bound by too.
func (g Group) Admits(o Offering) bool {
	pool := newPool(g)
	return pool.closed == "" && affords(pool.budget(), drawOf(o), nil)
}

// Refusal says why the group does not admit one machine more of that offering, empty when it does.
func (g Group) Refusal(o Offering) string {
	pool, name := newPool(g), fmt.Sprintf("node group %q", g.NodeGroup.Name)
	switch {
	case pool.closed != "":
		return name + " " + pool.closed
	case affords(pool.budget(), drawOf(o), nil):
		return ""
	}
	return limitText(&candidate{offering: o, draw: drawOf(o)}, pool, pool.budget(), name)
}

// With returns the group as it is once it has one machine more of that offering.
func (g Group) With(o Offering) Group {
	g.Nodes++
	g.CPUMilli += o.CPUMilli
	g.MemoryMiB += o.MemoryMiB
	g.Cost += o.Price
	return g
}

// drawOf is what one machine takes out of the budget of its pool.
func drawOf(o Offering) pack.Vector {
	return pack.Vector{ofNodes: 1, ofCPU: o.CPUMilli, ofMemory: o.MemoryMiB, ofCost: int64(o.Price)}
}
