// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"slices"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// defaultBudget is in force wherever no budget of the NodeGroup is: outside all windows a pool is not free for all.
const defaultBudget = "10%"

// Allowance is how many more machines of a pool may leave now.
type Allowance struct {
	Nodes  int
	Budget string // the field that says so, or the default
	Unread string // the field that cannot be read, and why: nothing is allowed then
}

// Allowed returns how many more machines may leave for the reason when total are there and leaving of them are already on their
// way out. The smallest budget in force counts; one that cannot be read allows nothing.
func Allowed(budgets []v1alpha1.Budget, reason v1alpha1.DisruptionReason, now time.Time, total, leaving int) Allowance {
	var least *Allowance
	for i, budget := range budgets {
		if len(budget.Reasons) > 0 && !slices.Contains(budget.Reasons, reason) {
			continue
		}
		field := fmt.Sprintf("spec.disruption.budgets[%d]", i)
		open, err := budget.InForce(now)
		nodes := 0
		if err == nil && open {
			nodes, err = budget.AtMost(total)
		}
		if err != nil {
			return Allowance{Budget: field, Unread: fmt.Sprintf("%s.%v", field, err)}
		}
		if open && (least == nil || nodes < least.Nodes) {
			least = &Allowance{Nodes: nodes, Budget: fmt.Sprintf("%s (nodes: %q)", field, budget.Nodes)}
		}
	}
	if least == nil {
		nodes, _ := (&v1alpha1.Budget{Nodes: defaultBudget}).AtMost(total) // a constant that can be read
		least = &Allowance{Nodes: nodes, Budget: "the default budget of " + defaultBudget}
	}
	least.Nodes = max(0, least.Nodes-leaving)
	return *least
}
