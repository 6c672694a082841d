// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// Reasons of the events on a VPSieNode between its order and its machine.
const (
	EventNotOrdered   = "NotOrdered"   // the NodeGroup does not allow an order, and what to change
	EventOrdered      = "Ordered"      // VPSie accepted the order
	EventOrderRefused = "OrderRefused" // VPSie cannot deliver one of the offerings
	EventOrderUnknown = "OrderUnknown" // the reply was lost; the inventory will tell
	EventLaunched     = "Launched"     // the machine was recognised in VPSie's inventory
	EventFailed       = "Failed"       // the VPSieNode will never become a Node
)

const (
	reasonOrdered       = "Ordered"
	reasonRecorded      = "Recorded"
	reasonUnknown       = "OrderUnknown"
	reasonLaunched      = "Launched"
	reasonLaunchTimeout = "LaunchTimeout"
	reasonOrderLost     = "OrderLost"
	reasonRefused       = "Refused"
)

const restarted = "the controller restarted between writing the order down and learning its outcome"

// maxSeen is the bound of status.order.seen.
const maxSeen = 1024

// launch orders the machine and recognises it in the inventory. The record of an order is written by one reconciliation and
// sent by the next, so that it is durable before any money is spent.
func (r *Reconciler) launch(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	order := vn.Status.Order
	switch {
	case order == nil:
		return r.record(ctx, vn)
	case order.State != v1alpha1.OrderRecorded:
		return r.recognise(ctx, vn)
	case r.sending.take(vn.UID, order.Time.Time):
		return 0, r.send(ctx, vn)
	default:
		r.orderUnknown(vn, restarted)
		return r.recognise(ctx, vn)
	}
}

// record writes the next order down.
func (r *Reconciler) record(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	if adopted, wait, err := r.adopt(ctx, vn); err != nil || adopted || wait > 0 {
		return wait, err
	}
	if len(choices(vn)) == 0 {
		r.fail(vn, reasonRefused, fmt.Sprintf("VPSie could deliver none of the offerings: %s", refusals(vn)))
		return 0, nil
	}
	group, why, err := r.groupOf(ctx, vn)
	if why != nil || err != nil {
		return r.bar(vn, why), err
	}
	now := r.options.Clock.Now().Truncate(time.Microsecond)
	inventory, wait, err := r.inventories.after(ctx, now.Add(-r.options.InventoryInterval))
	if err != nil {
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionFalse, cloudprovider.ReasonOf(err), "cannot order: "+err.Error())
		return 0, fmt.Errorf("reading the inventory before an order: %w", err)
	}
	if wait > 0 {
		return wait, nil
	}
	all, err := r.all(ctx)
	if err != nil {
		return 0, err
	}
	seen := strangers(all, inventory)
	if len(seen) > maxSeen {
		r.fail(vn, "TooManyStrangers", fmt.Sprintf("VPSie lists %d machines that belong to no VPSieNode; with more than %d of them a new one cannot be recognised safely", len(seen), maxSeen))
		return 0, nil
	}
	choice, why := r.permits.choose(vn, group, all, inventory)
	switch {
	case why != nil && why.final:
		r.fail(vn, why.reason, why.message)
		return 0, nil
	case why != nil:
		return r.bar(vn, why), nil
	}
	vn.Status.Phase = v1alpha1.PhasePending
	vn.Status.Order = &v1alpha1.OrderRecord{
		Offering: choice.ID,
		State:    v1alpha1.OrderRecorded,
		Time:     metav1.NewMicroTime(now),
		Attempt:  int32(len(vn.Status.Refusals)) + 1,
		Seen:     alsoSeen(seen, all, r.inventories.remembered()),
	}
	r.sending.prepare(vn.UID, now)
	setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionFalse, reasonRecorded, fmt.Sprintf("about to order %s", choice.Name))
	return 0, nil
}

// send orders the machine that was written down. It is called once for each record. The call may take minutes, in which it waits for its turn:
// what it leads to is counted from its end.
func (r *Reconciler) send(ctx context.Context, vn *v1alpha1.VPSieNode) error {
	choice := chosen(vn)
	logger := log.FromContext(ctx).WithValues("vpsieNode", klog.KObj(vn), "offering", choice.Name, "pricePerHour", choice.PricePerHour)
	seen := vn.Status.Order.Seen
	if all, err := r.all(ctx); err == nil { // else what the record has is enough
		seen = alsoSeen(seen, all, r.inventories.remembered())
	}
	err := r.cloud.Order(ctx, cloudprovider.Order{Name: vn.Name, OfferingID: choice.ID, Datacenter: vn.Spec.Datacenter})
	reaction := cloudprovider.ReactionTo(err)
	vn.Status.Order.Seen = seen
	r.metrics.ordered(reaction)
	switch reaction {
	case cloudprovider.NoReaction:
		vn.Status.Phase = v1alpha1.PhaseProvisioning
		vn.Status.Order.State = v1alpha1.OrderAccepted
		vn.Status.Order.Time = r.microNow()
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionFalse, reasonOrdered, fmt.Sprintf("VPSie accepted the order of %s; waiting for the machine to appear", choice.Name))
		r.event(vn, corev1.EventTypeNormal, EventOrdered, "Order", "Ordered %s at %s per hour", choice.Name, priceText(choice.PricePerHour))
		logger.Info("ordered machine")
		return nil
	case cloudprovider.LookFirst:
		r.orderUnknown(vn, err.Error())
		logger.Info("lost the reply to an order", "err", err.Error())
		return nil
	case cloudprovider.TryElsewhere:
		vn.Status.Refusals = append(vn.Status.Refusals, v1alpha1.Refusal{Offering: choice.ID, Message: shorten(err.Error())})
		vn.Status.Order = nil
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionFalse, cloudprovider.ReasonOf(err), err.Error())
		r.event(vn, corev1.EventTypeWarning, EventOrderRefused, "Order", "VPSie cannot deliver %s: %s", choice.Name, err.Error())
		logger.Info("was refused an offering", "err", err.Error())
		return nil
	case cloudprovider.GiveUp:
		vn.Status.Order = nil // refused for certain: there is no machine to look for
		r.fail(vn, cloudprovider.ReasonOf(err), fmt.Sprintf("ordering %s: %s", choice.Name, err.Error()))
		return nil
	default: // TryLater: nothing was changed
		vn.Status.Order = nil
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionFalse, cloudprovider.ReasonOf(err), err.Error())
		return fmt.Errorf("ordering %s for VPSieNode %q: %w", choice.Name, vn.Name, err)
	}
}

// microNow is the time to the precision that the API keeps.
func (r *Reconciler) microNow() metav1.MicroTime {
	return metav1.NewMicroTime(r.options.Clock.Now().Truncate(time.Microsecond))
}

// orderUnknown notes that VPSie may or may not have been asked for the machine, at the latest now.
func (r *Reconciler) orderUnknown(vn *v1alpha1.VPSieNode, why string) {
	vn.Status.Phase = v1alpha1.PhaseProvisioning
	vn.Status.Order.State = v1alpha1.OrderUnknown
	vn.Status.Order.Time = r.microNow()
	message := fmt.Sprintf("whether %s was ordered is not known (%s); it is not ordered again while it may still appear", chosen(vn).Name, why)
	setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionUnknown, reasonUnknown, message)
	r.event(vn, corev1.EventTypeWarning, EventOrderUnknown, "Order", "%s", message)
}

// recognise claims a machine in the inventory.
func (r *Reconciler) recognise(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	claimed, wait, err := r.claim(ctx, vn)
	if err != nil || wait > 0 {
		return wait, err
	}
	if claimed {
		r.event(vn, corev1.EventTypeNormal, EventLaunched, "Launch", "Machine %s (%s) is VPSie's answer to the order", vn.Status.Hostname, vn.Status.InstanceID)
		r.logOnce(ctx, vn, "recognised machine", "vpsieNode", klog.KObj(vn), "instanceID", vn.Status.InstanceID, "hostname", vn.Status.Hostname)
		return r.options.InventoryInterval, nil
	}
	age := r.options.Clock.Since(vn.Status.Order.Time.Time)
	unknown := vn.Status.Order.State == v1alpha1.OrderUnknown
	switch {
	case unknown && age > r.options.OrderSettle:
		r.fail(vn, reasonOrderLost, fmt.Sprintf("the reply to the order of %s was lost and no machine appeared within %s", chosen(vn).Name, r.options.OrderSettle))
		return 0, nil
	case age > r.options.LaunchTimeout:
		r.fail(vn, reasonLaunchTimeout, fmt.Sprintf("VPSie accepted the order of %s and no machine appeared within %s", chosen(vn).Name, r.options.LaunchTimeout))
		return 0, nil
	}
	return r.options.InventoryInterval, nil
}

// claim looks into an inventory that is younger than the order for a machine that belongs to vn.
func (r *Reconciler) claim(ctx context.Context, vn *v1alpha1.VPSieNode) (claimed bool, wait time.Duration, err error) {
	inventory, wait, err := r.inventories.after(ctx, vn.Status.Order.Time.Time)
	if err != nil {
		return false, 0, fmt.Errorf("looking for the machine of VPSieNode %q: %w", vn.Name, err)
	}
	if wait > 0 {
		return false, wait, nil
	}
	all, err := r.all(ctx)
	if err != nil {
		return false, 0, err
	}
	nodes, err := r.joined(ctx)
	if err != nil {
		return false, 0, err
	}
	r.claims.expire(r.options.Clock.Now())
	hidden := r.inventories.hidden(inventory, r.options.OrderSettle)
	hidden = append(hidden, nodes.unlisted(all, slices.Concat(inventory.Instances, hidden), r.options.Clock.Now().Add(-r.options.LaunchTimeout))...)
	id := r.claims.claim(vn, slices.DeleteFunc(all, r.cannotBeAnswered), inventory, hidden, nodes)
	instance, found := inventory.Find(id)
	if !found {
		return false, 0, nil
	}
	r.take(vn, instance)
	if vn.Status.Phase != v1alpha1.PhaseFailed { // its reason, and since when, stay to be read
		vn.Status.Phase = v1alpha1.PhaseProvisioned
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionTrue, reasonLaunched, fmt.Sprintf("machine %s, identifier %s", instance.Hostname, instance.ID))
	}
	return true, 0, nil
}

// take writes down whose machine the instance is.
func (r *Reconciler) take(vn *v1alpha1.VPSieNode, instance cloudprovider.Instance) {
	choice := chosen(vn)
	vn.Status.InstanceID = instance.ID
	vn.Status.Hostname = instance.Hostname
	vn.Status.Offering = choice.Name
	vn.Status.PricePerHour = choice.PricePerHour
	vn.Status.Allocatable = choice.Allocatable
	vn.Status.ProviderID = providerID(vn)
}

// cannotBeAnswered says whether an order can no longer, or not yet, have a machine: it is too old, or this process has still to send it.
func (r *Reconciler) cannotBeAnswered(n v1alpha1.VPSieNode) bool {
	if n.Status.InstanceID != "" || n.Status.Order == nil {
		return false
	}
	return !r.owed(&n) || (n.Status.Order.State == v1alpha1.OrderRecorded && r.sending.waits(n.UID, n.Status.Order.Time.Time))
}

func (r *Reconciler) all(ctx context.Context) ([]v1alpha1.VPSieNode, error) {
	list := &v1alpha1.VPSieNodeList{}
	if err := r.kube.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing VPSieNodes: %w", err)
	}
	return list.Items, nil
}

func (r *Reconciler) fail(vn *v1alpha1.VPSieNode, reason, message string) {
	// Two conditions tell how far it came; the one that is not True carries the reason.
	kind := v1alpha1.ConditionLaunched
	if meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionLaunched) {
		kind = v1alpha1.ConditionRegistered
	}
	if meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionRegistered) {
		kind = v1alpha1.ConditionInitialized
	}
	r.failAs(vn, kind, reason, message)
}

// failAs fails the VPSieNode for a reason that the condition tells.
func (r *Reconciler) failAs(vn *v1alpha1.VPSieNode, kind, reason, message string) {
	vn.Status.Phase = v1alpha1.PhaseFailed
	setCondition(vn, kind, metav1.ConditionFalse, reason, message)
	setTransition(vn, kind, r.options.Clock.Now()) // failedAt counts from here
	r.metrics.failed(reason)
	r.event(vn, corev1.EventTypeWarning, EventFailed, "Launch", "%s: %s", reason, message)
}

// choices returns the offerings that VPSie has not refused to this VPSieNode, cheapest first.
func choices(vn *v1alpha1.VPSieNode) []v1alpha1.OfferingChoice {
	return lo.Filter(vn.Spec.Offerings, func(choice v1alpha1.OfferingChoice, _ int) bool {
		return !slices.ContainsFunc(vn.Status.Refusals, func(r v1alpha1.Refusal) bool { return r.Offering == choice.ID })
	})
}

// chosen returns the offering that is or was ordered.
func chosen(vn *v1alpha1.VPSieNode) v1alpha1.OfferingChoice {
	for _, choice := range vn.Spec.Offerings {
		if vn.Status.Order != nil && choice.ID == vn.Status.Order.Offering {
			return choice
		}
	}
	return v1alpha1.OfferingChoice{}
}

// priceText rounds a price, for people.
func priceText(price v1alpha1.Price) string {
	parsed, err := scheduling.ParsePrice(price)
	if err != nil {
		return string(price)
	}
	return parsed.String()
}

func refusals(vn *v1alpha1.VPSieNode) string {
	messages := make([]string, 0, len(vn.Status.Refusals))
	for _, refusal := range vn.Status.Refusals {
		messages = append(messages, fmt.Sprintf("%s: %s", refusal.Offering, refusal.Message))
	}
	return strings.Join(messages, "; ")
}

func providerID(vn *v1alpha1.VPSieNode) string {
	return fmt.Sprintf("vpsie://%s/%s", vn.Spec.Datacenter, vn.Status.InstanceID)
}

func shorten(message string) string {
	return v1alpha1.Shorten(message, 1024)
}
