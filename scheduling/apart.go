// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// mostExclusions bounds how many pairs of classes packing is told of that never share a machine. The others are kept apart when machines are
// filled.
const mostExclusions = 500

// keepOffHosts tells packing which pods do not share a machine, by anti-affinity or host ports. Places maps classes to those of the packing.
func (p *planner) keepOffHosts(packing *pack.Problem, places map[int]int) {
	var known []ledger.Constraint
	var pairs [][2]int
	for _, c := range sortedKeys(places) {
		class := &packing.Classes[places[c]]
		for _, constraint := range p.book.Apart(c) {
			if class.Count == 0 || (constraint.Key != ledger.Node && constraint.Key != corev1.LabelHostname) {
				continue
			}
			var others []int
			for _, member := range constraint.Members {
				switch at, there := places[member]; {
				case member == c:
					class.PerMachine = 1
				case there && packing.Classes[at].Count > 0:
					others = append(others, member)
				}
			}
			switch {
			case len(others) == 0:
			case !constraint.Mutual || !slices.Contains(constraint.Members, c):
				for _, other := range others {
					pairs = append(pairs, [2]int{min(c, other), max(c, other)})
				}
			case !slices.ContainsFunc(known, constraint.Equal):
				known = append(known, constraint)
				limit := pack.Limit{PerMachine: 1}
				for _, member := range append(others, c) {
					limit.Classes = append(limit.Classes, places[member])
				}
				packing.Limits = append(packing.Limits, limit)
			}
		}
	}
	slices.SortFunc(pairs, func(a, b [2]int) int { return cmp.Or(a[0]-b[0], a[1]-b[1]) })
	pairs = slices.Compact(pairs)
	for _, pair := range pairs[:min(len(pairs), mostExclusions)] {
		a, b := places[pair[0]], places[pair[1]]
		packing.Limits = append(packing.Limits, pack.Exclude(a, most(packing, a), b, most(packing, b)))
	}
}

// most is how many pods of a class any machine holds.
func most(packing *pack.Problem, c int) int {
	class := &packing.Classes[c]
	greatest := int64(1)
	for m, machine := range packing.Machines {
		if !class.Allowed[m] {
			continue
		}
		fit := int64(class.Count)
		for r, request := range class.Requests {
			if request > 0 {
				fit = min(fit, machine.Room[r]/request)
			}
		}
		greatest = max(greatest, fit)
	}
	if class.PerMachine > 0 {
		greatest = min(greatest, int64(class.PerMachine))
	}
	return int(greatest)
}
