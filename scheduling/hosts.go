// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// effortOfCounting is enough to learn about how many machines there will be and what they cost.
const effortOfCounting = 1

// evenHosts bounds how many pods of a class that is spread over hosts one machine gets, however many hosts there will be.
func (p *planner) evenHosts(class *pack.Class, constraint ledger.Constraint) {
	limit := constraint.MaxSkew
	least, domains := constraint.Least()
	switch {
	case domains == 0:
		limit = class.Count
	case least > 0: // the hosts that are there take no more
		limit = min(class.Count, least+constraint.MaxSkew)
	}
	if limit = max(limit, 1); class.PerMachine == 0 || class.PerMachine > limit {
		class.PerMachine = limit
	}
}

// chooseHosts asks for machines where pods are spread over hosts, given the packing that does not heed that. How even they have to be depends on
// how many hosts there will be: where some host gets none of a class, no other gets more than the skew, which asks for many hosts; where
// each gets about as many, few will do.
func (p *planner) chooseHosts(unheeded pack.Problem) []pack.Pattern {
	return p.newLevel(unheeded).search().Patterns
}

// estimate packs as well as it takes to learn about how many machines there will be and what they cost.
func (p *planner) estimate(packing pack.Problem) pack.Solution {
	return pack.Solve(packing, pack.Options{Effort: effortOfCounting, Stop: p.input.Stop})
}
