// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// Refusal says why the group may not have one machine more of that offering, because it is paused or a limit would be exceeded; empty when it may.
// It is what plans are bound by too.
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

// mostChoices bounds the offerings of a machine that no pod asks for, unless minValues asks for more.
const mostChoices = 8

// Choices returns what to order for one machine more that no pod asks for: the cheapest of some offerings that are available and that the
// group admits, all in one datacenter and each identifier once, as many different ones as minValues of its requirements wants. Where there are none
// it says why, with nothing to say where all are unavailable. The offerings are in the order of CompareOfferings.
func (g Group) Choices(eligible []Offering) (choices []Offering, refusal string) {
	admitted := map[string][]Offering{}
	var datacenters []string
	for _, o := range eligible {
		if !o.Available {
			continue
		}
		if why := g.Refusal(o); why != "" {
			refusal = cmp.Or(refusal, why)
			continue
		}
		same := admitted[o.Datacenter]
		if len(same) == 0 {
			datacenters = append(datacenters, o.Datacenter)
		}
		if !slices.ContainsFunc(same, func(other Offering) bool { return other.ID == o.ID }) {
			admitted[o.Datacenter] = append(same, o)
		}
	}
	var nearest *shortage
	for _, datacenter := range datacenters {
		choices, short := g.choose(admitted[datacenter])
		if short == nil {
			return choices, ""
		}
		if nearest == nil || short.have > nearest.have {
			nearest = short
		}
	}
	if refusal == "" && nearest != nil {
		refusal = fmt.Sprintf("%s wants %d values of %s in each order, and no more than %d can be had in one datacenter now",
			nearest.field, nearest.least, nearest.key, nearest.have)
	}
	return nil, refusal
}

// shortage is that offerings have fewer values than a demand wants.
type shortage struct {
	demand
	have int
}

// choose picks the cheapest offerings, and further ones as far as a demand needs other values.
func (g Group) choose(from []Offering) (choices []Offering, short *shortage) {
	first := min(mostChoices, len(from))
	choices = slices.Clone(from[:first])
	for _, d := range demandsOf(g.NodeGroup) {
		for _, o := range from[first:] {
			have := d.valuesOf(choices)
			if have >= d.least || len(choices) > mostFallbacks {
				break
			}
			if more := append(slices.Clone(choices), o); d.valuesOf(more) > have {
				choices = more
			}
		}
		if have := d.valuesOf(choices); have < d.least {
			return nil, &shortage{d, have}
		}
	}
	return choices, nil
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
