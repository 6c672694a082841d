// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package nodegroup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

const (
	reasonReady         = "Ready"
	reasonManaged       = "Managed"
	reasonLabelMissing  = "LabelMissing"
	reasonCloudReady    = "CloudReady"
	reasonFound         = "Found"
	reasonNoOffering    = "NoOffering"
	reasonWithinLimits  = "WithinLimits"
	reasonAtLimit       = "AtLimit"
	reasonBudgetsRead   = "BudgetsRead"
	reasonBudgetUnread  = "BudgetUnread"
	reasonMinNodesUnmet = "MinNodesUnmet"
	reasonPaused        = "Paused"
	reasonMachineFailed = "MachineFailed"
)

// count sums the machines up. Each costs nodeCost beside its price.
func count(status *v1alpha1.NodeGroupStatus, nodes []v1alpha1.VPSieNode, nodeCost scheduling.Price) {
	status.Nodes, status.ReadyNodes, status.FailedNodes = 0, 0, 0
	resources := corev1.ResourceList{}
	var cost scheduling.Price
	for i := range nodes {
		vn := &nodes[i]
		if vn.Status.Phase == v1alpha1.PhaseFailed {
			status.FailedNodes++
			continue
		}
		if !state.Owned(vn) {
			continue
		}
		status.Nodes++
		cost += nodeCost
		if vn.Status.Phase == v1alpha1.PhaseReady {
			status.ReadyNodes++
		}
		choice := state.Choice(vn)
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			sum := resources[name]
			sum.Add(choice.Capacity[name])
			resources[name] = sum
		}
		if price, err := scheduling.ParsePrice(choice.PricePerHour); err == nil {
			cost += price
		}
	}
	status.Resources = resources
	status.CostPerHour = cost.API()
}

// judge sets the conditions. The first that is not True is what Ready repeats.
func (r *Reconciler) judge(ctx context.Context, ng *v1alpha1.NodeGroup, nodes []v1alpha1.VPSieNode) {
	if !ng.Managed() {
		message := fmt.Sprintf("nothing is done for this NodeGroup; run: kubectl label nodegroup %s %s=%s --overwrite", ng.Name, v1alpha1.ManagedLabel, v1alpha1.ManagedValue)
		ng.Status.Conditions = slices.DeleteFunc(ng.Status.Conditions, func(c metav1.Condition) bool {
			return c.Type != v1alpha1.ConditionManaged && c.Type != v1alpha1.ConditionReady // nobody looks at the rest any more
		})
		set(ng, v1alpha1.ConditionManaged, metav1.ConditionFalse, reasonLabelMissing, message)
		set(ng, v1alpha1.ConditionReady, metav1.ConditionFalse, reasonLabelMissing, message)
		return
	}
	set(ng, v1alpha1.ConditionManaged, metav1.ConditionTrue, reasonManaged, "the controller acts on this NodeGroup")
	eligible := r.judgeCloud(ctx, ng)
	short := shortage(ng, nodes, eligible)
	judgeBudgets(ng)
	judgeLimits(ng, state.Group(ng, lo.ToSlicePtr(nodes)), short)
	judgeReady(ng, newestFailure(nodes), short)
}

// judgeCloud returns the offerings that the pool may buy, none while they are not known.
func (r *Reconciler) judgeCloud(ctx context.Context, ng *v1alpha1.NodeGroup) []scheduling.Offering {
	err := r.cloud.Ready(ctx)
	var offerings []scheduling.Offering
	if err == nil {
		offerings, err = r.cloud.Offerings(ctx)
	}
	if err != nil {
		set(ng, v1alpha1.ConditionCloudReady, metav1.ConditionFalse, cloudprovider.ReasonOf(err), err.Error())
		return nil // what can be bought is as unknown as before
	}
	set(ng, v1alpha1.ConditionCloudReady, metav1.ConditionTrue, reasonCloudReady, "VPSie answers")
	eligible, reasons := scheduling.EligibleOfferings(ng, offerings)
	ng.Status.Offerings = int32(len(eligible)) //nolint:gosec // bounded by VPSie's catalogue
	if len(offerings) > 0 {
		if elsewhere := scheduling.Elsewhere(ng, offerings[0].Cluster, offerings[0].Project); elsewhere != "" {
			set(ng, v1alpha1.ConditionOfferingsFound, metav1.ConditionFalse, v1alpha1.ReasonClusterMismatch, elsewhere)
			return nil
		}
	}
	if len(eligible) == 0 {
		set(ng, v1alpha1.ConditionOfferingsFound, metav1.ConditionFalse, reasonNoOffering, "no offering meets the constraints: "+strings.Join(reasons, "; "))
		return nil
	}
	found := fmt.Sprintf("%s, from %s at %s per hour", counted(len(eligible), "offering"), eligible[0].Name, eligible[0].Price)
	set(ng, v1alpha1.ConditionOfferingsFound, metav1.ConditionTrue, reasonFound, strings.Join(append([]string{found}, reasons...), "; "))
	return eligible
}

// judgeBudgets names the first budget that cannot be read. Whoever removes nodes reads them in the same way.
func judgeBudgets(ng *v1alpha1.NodeGroup) {
	for i, budget := range ng.Spec.Disruption.Budgets {
		if err := budget.Check(); err != nil {
			set(ng, v1alpha1.ConditionBudgetsRead, metav1.ConditionFalse, reasonBudgetUnread,
				fmt.Sprintf("spec.disruption.budgets[%d].%v; correct it: until then no node of this NodeGroup is removed", i, err))
			return
		}
	}
	set(ng, v1alpha1.ConditionBudgetsRead, metav1.ConditionTrue, reasonBudgetsRead, "all budgets can be read")
}

// unmet is that the pool has fewer machines than minNodes, and why none is bought.
type unmet struct {
	text    string // how many there are
	refusal string // the limit that is in the way; empty where VPSie has none to sell
}

// shortage returns nil where minNodes is met, or will be: what may be bought is bought without being asked for. A pool that is paused or has no offering
// says that.
func shortage(ng *v1alpha1.NodeGroup, nodes []v1alpha1.VPSieNode, eligible []scheduling.Offering) *unmet {
	least := int(ptr.Deref(ng.Spec.MinNodes, 0))
	group := state.Group(ng, lo.ToSlicePtr(nodes))
	have := lo.CountBy(nodes, func(vn v1alpha1.VPSieNode) bool { return state.Owned(&vn) && vn.DeletionTimestamp.IsZero() })
	if have >= least || len(eligible) == 0 || paused(ng) {
		return nil
	}
	choices, refusal := group.Choices(eligible)
	if len(choices) > 0 {
		return nil
	}
	return &unmet{text: fmt.Sprintf("%d of %s that spec.minNodes wants", have, counted(least, "machine")), refusal: refusal}
}

func paused(ng *v1alpha1.NodeGroup) bool {
	return ng.Spec.Paused == v1alpha1.PauseAll || ng.Spec.Paused == v1alpha1.PauseProvisioning
}

// counted writes "1 machine" and "2 machines".
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func judgeLimits(ng *v1alpha1.NodeGroup, used scheduling.Group, short *unmet) {
	if short != nil && short.refusal != "" {
		set(ng, v1alpha1.ConditionWithinLimits, metav1.ConditionFalse, reasonMinNodesUnmet, short.text+": "+short.refusal+"; loosen that or lower minNodes")
		return
	}
	if reached := atLimit(ng, used.Cost); reached != "" {
		set(ng, v1alpha1.ConditionWithinLimits, metav1.ConditionFalse, reasonAtLimit, reached+"; raise it to let the pool grow")
		return
	}
	set(ng, v1alpha1.ConditionWithinLimits, metav1.ConditionTrue, reasonWithinLimits, "no limit is reached")
}

// atLimit names the first limit that leaves no room for another machine, however small. The limit on the cost is one on prices alone, as
// plans heed it.
func atLimit(ng *v1alpha1.NodeGroup, prices scheduling.Price) string {
	if ng.Spec.MaxNodes != nil && ng.Status.Nodes >= *ng.Spec.MaxNodes {
		return fmt.Sprintf("spec.maxNodes %d is reached", *ng.Spec.MaxNodes)
	}
	limits := ng.Spec.Limits
	if limits == nil {
		return ""
	}
	if limits.Nodes != nil && ng.Status.Nodes >= *limits.Nodes {
		return fmt.Sprintf("spec.limits.nodes %d is reached", *limits.Nodes)
	}
	if limits.CPU != nil && ng.Status.Resources.Cpu().Cmp(*limits.CPU) >= 0 {
		return fmt.Sprintf("spec.limits.cpu %s is reached", limits.CPU)
	}
	if limits.Memory != nil && ng.Status.Resources.Memory().Cmp(*limits.Memory) >= 0 {
		return fmt.Sprintf("spec.limits.memory %s is reached", limits.Memory)
	}
	if limits.CostPerHour != nil {
		limit, err := scheduling.ParsePrice(*limits.CostPerHour)
		if err == nil && prices >= limit {
			return fmt.Sprintf("spec.limits.costPerHour %s is reached", *limits.CostPerHour)
		}
	}
	return ""
}

// judgeReady sums up. A reached limit does not make a pool unready: it works as it was told to.
func judgeReady(ng *v1alpha1.NodeGroup, failure string, short *unmet) {
	for _, kind := range []string{v1alpha1.ConditionCloudReady, v1alpha1.ConditionOfferingsFound, v1alpha1.ConditionBudgetsRead} {
		if c := meta.FindStatusCondition(ng.Status.Conditions, kind); c == nil || c.Status != metav1.ConditionTrue {
			reason, message := "Unknown", kind+" is not known yet"
			if c != nil {
				reason, message = c.Reason, c.Message
			}
			set(ng, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, message)
			return
		}
	}
	if ng.Spec.Paused != "" && ng.Spec.Paused != v1alpha1.PauseNone {
		set(ng, v1alpha1.ConditionReady, metav1.ConditionTrue, reasonPaused, fmt.Sprintf("spec.paused is %s", ng.Spec.Paused))
		return
	}
	if ng.Status.FailedNodes > 0 {
		set(ng, v1alpha1.ConditionReady, metav1.ConditionTrue, reasonMachineFailed, counted(int(ng.Status.FailedNodes), "VPSieNode")+" failed"+failure)
		return
	}
	text := fmt.Sprintf("%d of %d machines are ready", ng.Status.ReadyNodes, ng.Status.Nodes)
	if short != nil && short.refusal == "" {
		text += "; " + short.text + ", and all offerings are set aside for lack of stock or quota"
	}
	set(ng, v1alpha1.ConditionReady, metav1.ConditionTrue, reasonReady, text)
}

// newestFailure quotes why the newest of the VPSieNodes that failed did, and says where to read on.
func newestFailure(nodes []v1alpha1.VPSieNode) string {
	var newest *v1alpha1.VPSieNode
	var why *metav1.Condition
	for i := range nodes {
		c := state.Failure(&nodes[i])
		if c != nil && (why == nil || c.LastTransitionTime.After(why.LastTransitionTime.Time)) {
			newest, why = &nodes[i], c
		}
	}
	if why == nil {
		return ""
	}
	return fmt.Sprintf("; the newest is %s, %s: %s; run: kubectl describe vn %s", newest.Name, why.Reason, why.Message, newest.Name)
}

func readiness(ng *v1alpha1.NodeGroup) metav1.Condition {
	if c := meta.FindStatusCondition(ng.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// maxMessage is the bound of a condition's message.
const maxMessage = 32768

func set(ng *v1alpha1.NodeGroup, kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&ng.Status.Conditions, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: v1alpha1.Shorten(message, maxMessage), ObservedGeneration: ng.Generation,
	})
}
