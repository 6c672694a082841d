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

// overLimits counts replacements on top of everything: the machines that they replace are still paid for when they come. It asks what plans and
// orders are bound by too, but for spec.maxNodes and a pause: those keep a group from growing, and it does not grow.
func overLimits(p *pass, _ v1alpha1.DisruptionReason, next proposal) (*Kept, error) {
	group := p.use(next.remove[0])
	group.NodeGroup = group.NodeGroup.DeepCopy()
	group.NodeGroup.Spec.MaxNodes, group.NodeGroup.Spec.Paused = nil, v1alpha1.PauseNone
	for _, replacement := range next.launch {
		if _, created := p.Picture.Machine(replacement.Name); created {
			continue // and counted
		}
		o, err := offering(replacement)
		if err != nil {
			return nil, err
		}
		if refusal := group.Refusal(o); refusal != "" {
			return refuse(next, RuleLimits, "would need %s in its place, and %s", o.Name, refusal), nil
		}
		group = group.With(o)
	}
	return nil, nil
}

// use returns the machine's group with what it uses.
func (p *pass) use(m state.Machine) scheduling.Group {
	for _, group := range p.Picture.Groups() {
		if group.NodeGroup.Name == m.VPSieNode.Spec.NodeGroup {
			return group
		}
	}
	return scheduling.Group{NodeGroup: p.group(m)}
}

// offering returns what a replacement will most likely be.
func offering(replacement v1alpha1.Replacement) (scheduling.Offering, error) {
	choice := v1alpha1.OfferingChoice{}
	if len(replacement.Spec.Offerings) > 0 {
		choice = replacement.Spec.Offerings[0]
	}
	price, err := scheduling.ParsePrice(choice.PricePerHour)
	if err != nil {
		return scheduling.Offering{}, fmt.Errorf("adding up the cost of replacement %q: %w", replacement.Name, err)
	}
	return scheduling.Offering{
		ID: choice.ID, Name: choice.Name, Price: price,
		CPUMilli: choice.Capacity.Cpu().MilliValue(), MemoryMiB: choice.Capacity.Memory().Value() >> 20,
	}, nil
}

func refuse(next proposal, rule Rule, format string, args ...any) *Kept {
	return &Kept{VPSieNode: next.remove[0].VPSieNode.Name, Rule: rule, Message: fmt.Sprintf(format, args...)}
}
