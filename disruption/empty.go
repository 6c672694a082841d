// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// empty removes machines on which no workload is left, each for itself, the most expensive first.
func empty() reason {
	return reason{name: v1alpha1.ReasonEmpty, absent: RuleNotEmpty, lacks: runsWorkload, propose: eachAlone}
}

func runsWorkload(m state.Machine) string {
	running := 0
	for _, pod := range m.Pods {
		if drain.Workload(pod) {
			running++
		}
	}
	if running == 0 {
		return ""
	}
	return fmt.Sprintf("runs %d workload pods", running)
}

func eachAlone(candidates []state.Machine) []proposal {
	candidates = slices.Clone(candidates)
	slices.SortFunc(candidates, func(a, b state.Machine) int {
		return cmp.Or(-cmp.Compare(price(a), price(b)), cmp.Compare(a.VPSieNode.Name, b.VPSieNode.Name))
	})
	proposals := make([]proposal, 0, len(candidates))
	for _, m := range candidates {
		proposals = append(proposals, proposal{remove: []state.Machine{m}})
	}
	return proposals
}
