// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package nodegroup

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
	reasonPaused        = "Paused"
	reasonMachineFailed = "MachineFailed"
)

// count sums the machines up.
func count(status *v1alpha1.NodeGroupStatus, nodes []v1alpha1.VPSieNode) {
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
func (r *Reconciler) judge(ctx context.Context, ng *v1alpha1.NodeGroup) {
	if !ng.Managed() {
		message := fmt.Sprintf("nothing is done for this NodeGroup; run: kubectl label nodegroup %s %s=%s", ng.Name, v1alpha1.ManagedLabel, v1alpha1.ManagedValue)
		set(ng, v1alpha1.ConditionManaged, metav1.ConditionFalse, reasonLabelMissing, message)
		set(ng, v1alpha1.ConditionReady, metav1.ConditionFalse, reasonLabelMissing, message)
		return
	}
	set(ng, v1alpha1.ConditionManaged, metav1.ConditionTrue, reasonManaged, "the controller acts on this NodeGroup")
	r.judgeCloud(ctx, ng)
	judgeLimits(ng)
	judgeReady(ng)
}

func (r *Reconciler) judgeCloud(ctx context.Context, ng *v1alpha1.NodeGroup) {
	err := r.cloud.Ready(ctx)
	var offerings []scheduling.Offering
	if err == nil {
		offerings, err = r.cloud.Offerings(ctx)
	}
	if err != nil {
		set(ng, v1alpha1.ConditionCloudReady, metav1.ConditionFalse, cloudprovider.ReasonOf(err), err.Error())
		return // what can be bought is as unknown as before
	}
	set(ng, v1alpha1.ConditionCloudReady, metav1.ConditionTrue, reasonCloudReady, "VPSie answers")
	eligible, reasons := scheduling.EligibleOfferings(ng, offerings)
	ng.Status.Offerings = int32(len(eligible)) //nolint:gosec // bounded by VPSie's catalogue
	if len(offerings) > 0 {
		if elsewhere := scheduling.Elsewhere(ng, offerings[0].Cluster, offerings[0].Project); elsewhere != "" {
			set(ng, v1alpha1.ConditionOfferingsFound, metav1.ConditionFalse, v1alpha1.ReasonClusterMismatch, elsewhere)
			return
		}
	}
	if len(eligible) == 0 {
		set(ng, v1alpha1.ConditionOfferingsFound, metav1.ConditionFalse, reasonNoOffering, "no offering meets the constraints: "+strings.Join(reasons, "; "))
		return
	}
	set(ng, v1alpha1.ConditionOfferingsFound, metav1.ConditionTrue, reasonFound,
		fmt.Sprintf("%d offerings, from %s at %s per hour", len(eligible), eligible[0].Name, eligible[0].Price))
}

func judgeLimits(ng *v1alpha1.NodeGroup) {
	if reached := atLimit(ng); reached != "" {
		set(ng, v1alpha1.ConditionWithinLimits, metav1.ConditionFalse, reasonAtLimit, reached+"; raise it to let the pool grow")
		return
	}
	set(ng, v1alpha1.ConditionWithinLimits, metav1.ConditionTrue, reasonWithinLimits, "no limit is reached")
}

// atLimit names the first limit that leaves no room for another machine, however small.
func atLimit(ng *v1alpha1.NodeGroup) string {
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
		cost, costErr := scheduling.ParsePrice(ng.Status.CostPerHour)
		if err == nil && costErr == nil && cost >= limit {
			return fmt.Sprintf("spec.limits.costPerHour %s is reached", *limits.CostPerHour)
		}
	}
	return ""
}

// judgeReady sums up. A reached limit does not make a pool unready: it works as it was told to.
func judgeReady(ng *v1alpha1.NodeGroup) {
	for _, kind := range []string{v1alpha1.ConditionCloudReady, v1alpha1.ConditionOfferingsFound} {
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
		set(ng, v1alpha1.ConditionReady, metav1.ConditionTrue, reasonMachineFailed, fmt.Sprintf("%d VPSieNodes failed; kubectl get vn shows why", ng.Status.FailedNodes))
		return
	}
	set(ng, v1alpha1.ConditionReady, metav1.ConditionTrue, reasonReady, fmt.Sprintf("%d of %d machines are ready", ng.Status.ReadyNodes, ng.Status.Nodes))
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
