// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// bound limits what may be done together; unlike a keeper it sees what was decided before it in the same pass.
type bound struct {
	rule    Rule // by which it refuses, or one that is as temporary
	refuses func(p *pass, why v1alpha1.DisruptionReason, next proposal) (*Kept, error)
}

// bounds are asked in this order, the costly what-if last; the first that refuses wins.
func bounds() []bound {
	return []bound{
		{RuleMinNodes, belowMinNodes},
		{RuleLimits, overLimits},
		{RuleBudget, overBudget},
		{RulePodsNeedIt, neededByPods},
	}
}

// refused returns the first of the wanted bounds that refuses the proposal, nil when it may be carried out.
func (p *pass) refused(r reason, next proposal, wanted func(Rule) bool) (*Kept, error) {
	for _, bound := range bounds() {
		if !wanted(bound.rule) {
			continue
		}
		if no, err := bound.refuses(p, r.name, next); no != nil || err != nil {
			return no, err
		}
	}
	return nil, nil
}

// belowMinNodes counts machines that serve: one that was only ordered may never come.
func belowMinNodes(p *pass, _ v1alpha1.DisruptionReason, next proposal) (*Kept, error) {
	group := p.group(next.remove[0])
	least := 0
	if group.Spec.MinNodes != nil {
		least = int(*group.Spec.MinNodes)
	}
	serving, leaving := p.count(group)
	if stay := serving - leaving - len(next.remove) + len(next.launch); stay < least {
		return refuse(next, RuleMinNodes, "would leave NodeGroup %q with %d nodes, and spec.minNodes is %d", group.Name, stay, least), nil
	}
	return nil, nil
}

// count returns how many machines of the group are initialized, and how many of those are leaving.
func (p *pass) count(group *v1alpha1.NodeGroup) (serving, leaving int) {
	for _, m := range p.Picture.Machines {
		if m.VPSieNode.Spec.NodeGroup != group.Name || !m.Initialized() || !state.Owned(m.VPSieNode) {
			continue
		}
		serving++
		if p.leaving[m.VPSieNode.Name] != "" {
			leaving++
		}
	}
	return serving, leaving
}

func overBudget(p *pass, why v1alpha1.DisruptionReason, next proposal) (*Kept, error) {
	group := p.group(next.remove[0])
	serving, leaving := p.count(group)
	allowance := Allowed(group.Spec.Disruption.Budgets, why, p.Now, serving, leaving)
	switch {
	case allowance.Unread != "":
		return refuse(next, RuleBudgetUnread, "belongs to NodeGroup %q, whose %s", group.Name, allowance.Unread), nil
	case len(next.remove) > allowance.Nodes:
		return refuse(next, RuleBudget, "has to wait: %s of NodeGroup %q allows %d more of its %d nodes to leave now, and %d are leaving",
			allowance.Budget, group.Name, allowance.Nodes, serving, leaving), nil
	}
	return nil, nil
}

// overLimits counts replacements on top of everything: the machines that they replace are still paid for when they come.
func overLimits(p *pass, _ v1alpha1.DisruptionReason, next proposal) (*Kept, error) {
	limits := p.group(next.remove[0]).Spec.Limits
	if len(next.launch) == 0 || limits == nil {
		return nil, nil
	}
	use, err := p.use(next)
	if err != nil {
		return nil, err
	}
	var cost *scheduling.Price
	if limits.CostPerHour != nil {
		parsed, err := scheduling.ParsePrice(*limits.CostPerHour)
		if err != nil {
			return refuse(next, RuleLimits, "belongs to a NodeGroup whose spec.limits.costPerHour cannot be read: %v", err), nil
		}
		cost = &parsed
	}
	switch {
	case limits.Nodes != nil && use.Nodes > int(*limits.Nodes):
		return refuse(next, RuleLimits, "would need %d nodes, and spec.limits.nodes is %d", use.Nodes, *limits.Nodes), nil
	case limits.CPU != nil && use.CPUMilli > limits.CPU.MilliValue():
		return refuse(next, RuleLimits, "would need %dm of cpu, and spec.limits.cpu is %s", use.CPUMilli, limits.CPU), nil
	case limits.Memory != nil && use.MemoryMiB > limits.Memory.Value()>>20:
		return refuse(next, RuleLimits, "would need %d MiB of memory, and spec.limits.memory is %s", use.MemoryMiB, limits.Memory), nil
	case cost != nil && use.Cost > *cost:
		return refuse(next, RuleLimits, "would cost %s per hour, and spec.limits.costPerHour is %s", use.Cost, *cost), nil
	}
	return nil, nil
}

// use returns what the group uses with the replacements, each counted once: they may have been created already.
func (p *pass) use(next proposal) (scheduling.Group, error) {
	name := next.remove[0].VPSieNode.Spec.NodeGroup
	var use scheduling.Group
	for _, group := range p.Picture.Groups() {
		if group.NodeGroup.Name == name {
			use = group
		}
	}
	for _, replacement := range next.launch {
		if _, created := p.Picture.Machine(replacement.Name); created {
			continue
		}
		choice := v1alpha1.OfferingChoice{}
		if len(replacement.Spec.Offerings) > 0 {
			choice = replacement.Spec.Offerings[0]
		}
		cost, err := scheduling.ParsePrice(choice.PricePerHour)
		if err != nil {
			return use, fmt.Errorf("adding up the cost of replacement %q: %w", replacement.Name, err)
		}
		use.Nodes++
		use.CPUMilli += choice.Capacity.Cpu().MilliValue()
		use.MemoryMiB += choice.Capacity.Memory().Value() >> 20
		use.Cost += cost
	}
	return use, nil
}

func refuse(next proposal, rule Rule, format string, args ...any) *Kept {
	return &Kept{VPSieNode: next.remove[0].VPSieNode.Name, Rule: rule, Message: fmt.Sprintf(format, args...)}
}
