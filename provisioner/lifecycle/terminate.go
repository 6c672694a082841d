// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// Reasons of the events on a VPSieNode on its way out.
const (
	EventDraining    = "Draining"    // pods are being moved away
	EventReleasing   = "Releasing"   // VPSie was told to destroy the machine
	EventReleased    = "Released"    // the machine is gone from VPSie's inventory
	EventNeverBought = "NeverBought" // an order of unknown outcome never showed a machine
	EventLate        = "LateMachine" // a machine appeared for an order that nobody waits for any more; it is released
)

// Reasons of the condition Disrupting, in the order in which they follow each other.
const (
	reasonDraining   = "Draining"
	reasonAwaiting   = "AwaitingOrder" // the machine of an order has not appeared yet
	reasonReleasing  = "Releasing"     // VPSie was told; the inventory is asked
	reasonConfirming = "Confirming"    // one inventory lacks the machine; the next must lack it too
	reasonReleased   = "Released"

	reasonNeverBought = "NeverBought"
)

// errReleased says that nothing is left to hold the VPSieNode for.
var errReleased = errors.New("released")

// terminate drains the Node, releases the machine, and lets go of the object only after a fresh inventory has shown that the machine is
// gone.
func (r *Reconciler) terminate(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	node, err := r.node(ctx, vn)
	if err != nil {
		return 0, err
	}
	if node != nil && belongsToAnother(node, vn) {
		node = nil // neither drained nor deleted
	}
	if drained, wait, err := r.drained(ctx, vn, node); err != nil || !drained {
		return wait, err
	}
	gone, wait, err := r.released(ctx, vn)
	if err != nil || !gone {
		return wait, err
	}
	if err := r.deleteNode(ctx, vn, node); err != nil {
		return 0, err
	}
	r.event(vn, corev1.EventTypeNormal, EventReleased, "Release", "Machine %s is gone from VPSie", orNone(vn.Status.InstanceID))
	r.logOnce(ctx, vn, "released machine", "vpsieNode", klog.KObj(vn), "instanceID", vn.Status.InstanceID)
	return 0, errReleased
}

// bury releases what a failed VPSieNode may have bought, and deletes the object when it was long enough there to be read.
func (r *Reconciler) bury(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	node, err := r.node(ctx, vn)
	if err != nil {
		return 0, err
	}
	if node != nil && belongsToAnother(node, vn) {
		node = nil
	}
	gone, wait, err := r.cleared(ctx, vn, node)
	if err != nil {
		return 0, err
	}
	if gone {
		if err := r.deleteNode(ctx, vn, node); err != nil {
			return 0, err
		}
	}
	left := r.options.FailedTTL - r.options.Clock.Since(failedAt(vn))
	if left > 0 {
		if gone {
			return left, nil
		}
		return min(left, max(wait, r.options.InventoryInterval)), nil
	}
	if err := r.kube.Delete(ctx, vn, client.Preconditions{UID: &vn.UID}); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("deleting failed VPSieNode %q: %w", vn.Name, err)
	}
	return wait, nil
}

// cleared drains and releases. A Node that never became ready may have been opened for pods: what runs there is moved as from any other.
func (r *Reconciler) cleared(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (gone bool, wait time.Duration, err error) {
	if drained, wait, err := r.drained(ctx, vn, node); err != nil || !drained {
		return false, wait, err
	}
	return r.released(ctx, vn)
}

func failedAt(vn *v1alpha1.VPSieNode) time.Time {
	failed := vn.CreationTimestamp.Time
	for _, kind := range []string{v1alpha1.ConditionLaunched, v1alpha1.ConditionRegistered, v1alpha1.ConditionInitialized} {
		condition := meta.FindStatusCondition(vn.Status.Conditions, kind)
		if condition != nil && condition.Status == metav1.ConditionFalse && condition.LastTransitionTime.After(failed) {
			failed = condition.LastTransitionTime.Time
		}
	}
	return failed
}

// drained says whether nothing is left on the Node that would be lost with it. Nothing is waited for on a machine that no longer exists.
func (r *Reconciler) drained(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (bool, time.Duration, error) {
	launched := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionLaunched)
	if node == nil || releasing(vn) || (launched != nil && launched.Reason == reasonInstanceGone && launched.Status == metav1.ConditionFalse) {
		return true, 0, nil
	}
	leaving := failedAt(vn)
	if !vn.DeletionTimestamp.IsZero() {
		leaving = vn.DeletionTimestamp.Time
	}
	var deadline time.Time
	if grace := vn.Spec.TerminationGracePeriod; grace != nil {
		deadline = leaving.Add(grace.Duration)
	}
	if !meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionDisrupting) {
		r.event(vn, corev1.EventTypeNormal, EventDraining, "Drain", "Moving the pods of node %s away", node.Name)
	}
	if !vn.DeletionTimestamp.IsZero() {
		vn.Status.Phase = v1alpha1.PhaseTerminating
	}
	done, waiting, err := r.drain(ctx, node, deadline)
	if err != nil {
		return false, 0, fmt.Errorf("draining node %q: %w", node.Name, err)
	}
	if done {
		return true, 0, nil
	}
	setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonDraining, "waiting for "+strings.Join(waiting, "; "))
	return false, r.options.InventoryInterval, nil
}

func releasing(vn *v1alpha1.VPSieNode) bool {
	switch disrupting(vn).Reason {
	case reasonReleasing, reasonConfirming, reasonReleased:
		return true
	default:
		return false
	}
}

// disrupting returns the condition Disrupting, empty where there is none.
func disrupting(vn *v1alpha1.VPSieNode) metav1.Condition {
	condition := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionDisrupting)
	if condition == nil {
		return metav1.Condition{}
	}
	return *condition
}

// released says whether the machine, if there ever was one, is gone. It asks for its destruction, and asks again when a later inventory
// still shows it. Two inventories in a row must lack it, the second at least an interval younger than the first.
func (r *Reconciler) released(ctx context.Context, vn *v1alpha1.VPSieNode) (bool, time.Duration, error) {
	if vn.Status.InstanceID == "" {
		return r.settled(ctx, vn) // a machine that is found here is drained first, as any other
	}
	condition := disrupting(vn)
	if condition.Reason == reasonReleased {
		return true, 0, nil
	}
	if !releasing(vn) {
		return false, r.options.InventoryInterval, r.release(ctx, vn)
	}
	inventory, wait, err := r.inventories.after(ctx, condition.LastTransitionTime.Time)
	if err != nil {
		return false, 0, fmt.Errorf("looking whether machine %q is gone: %w", vn.Status.InstanceID, err)
	}
	if wait > 0 {
		return false, wait, nil
	}
	instance, found := inventory.Find(vn.Status.InstanceID)
	switch {
	case !found:
		return r.missing(ctx, vn, inventory)
	case condition.Reason == reasonConfirming,
		!instance.Deleting && r.options.Clock.Since(condition.LastTransitionTime.Time) > r.options.OrderSettle:
		return false, r.options.InventoryInterval, r.release(ctx, vn)
	default:
		return false, r.options.InventoryInterval, nil
	}
}

// missing takes the absence from an inventory for an end only when it is the second in a row and the inventory can be believed.
func (r *Reconciler) missing(ctx context.Context, vn *v1alpha1.VPSieNode, inventory cloudprovider.Inventory) (bool, time.Duration, error) {
	all, err := r.all(ctx)
	if err != nil {
		return false, 0, err
	}
	if implausible(all, inventory) {
		return false, r.options.InventoryInterval, nil
	}
	vn.Status.Phase = phaseWhileLeaving(vn)
	if disrupting(vn).Reason == reasonConfirming {
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonReleased, "the machine is gone from VPSie's inventory")
		return true, 0, nil
	}
	setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonConfirming, "the machine is missing from VPSie's inventory; looking once more")
	setTransition(vn, v1alpha1.ConditionDisrupting, r.options.Clock.Now())
	return false, r.options.InventoryInterval, nil
}

// implausible says whether an inventory is empty although machines are known that nobody releases. What it says of others is not
// believed; vanished finds out what became of those.
func implausible(all []v1alpha1.VPSieNode, inventory cloudprovider.Inventory) bool {
	return len(inventory.Instances) == 0 && slices.ContainsFunc(all, func(n v1alpha1.VPSieNode) bool {
		return n.Status.InstanceID != "" && n.DeletionTimestamp.IsZero() && n.Status.Phase != v1alpha1.PhaseFailed
	})
}

// settled says whether it is certain that no machine was bought. While an order may still show up, the object must stay: nobody
// else would know whose machine it is.
func (r *Reconciler) settled(ctx context.Context, vn *v1alpha1.VPSieNode) (bool, time.Duration, error) {
	order := vn.Status.Order
	if order == nil {
		adopted, err := r.adopt(ctx, vn)
		return !adopted && err == nil, 0, err
	}
	if order.State == v1alpha1.OrderRecorded && r.sending.take(vn.UID, order.Time.Time) {
		vn.Status.Order = nil // written down by this process and never sent
		return true, 0, nil
	}
	if !r.owed(vn) {
		return r.neverBought(vn)
	}
	vn.Status.Phase = phaseWhileLeaving(vn)
	claimed, wait, err := r.claim(ctx, vn)
	if claimed {
		vn.Status.Phase = phaseWhileLeaving(vn)
	}
	switch {
	case err != nil || wait > 0:
		return false, wait, err
	case claimed:
		r.event(vn, corev1.EventTypeWarning, EventLate, "Release", "Machine %s (%s) appeared after its order was given up; it is released", vn.Status.Hostname, vn.Status.InstanceID)
		r.logOnce(ctx, vn, "recognised late machine", "vpsieNode", klog.KObj(vn), "instanceID", vn.Status.InstanceID, "hostname", vn.Status.Hostname)
		return false, 0, nil
	default:
		until := order.Time.Add(r.options.patience(order.State)).UTC().Format(time.RFC3339)
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonAwaiting, "a machine may still appear for the order, and would be released; waiting for it until "+until)
		return false, r.options.InventoryInterval, nil
	}
}

// owed says whether a machine may still appear for the order. One whose order VPSie accepted is waited for as long as a failed VPSieNode is kept;
// one that may never have been ordered, until the launch timeout: a machine of that size that comes later is rather somebody else's.
func (r *Reconciler) owed(vn *v1alpha1.VPSieNode) bool {
	if vn.Status.InstanceID != "" || vn.Status.Order == nil {
		return false
	}
	return r.options.Clock.Since(vn.Status.Order.Time.Time) <= r.options.patience(vn.Status.Order.State)
}

// neverBought lets go of an order that never showed a machine.
func (r *Reconciler) neverBought(vn *v1alpha1.VPSieNode) (bool, time.Duration, error) {
	message := fmt.Sprintf("no machine appeared within %s of the order; nothing is left to release", r.options.patience(vn.Status.Order.State))
	if disrupting(vn).Reason != reasonNeverBought {
		r.event(vn, corev1.EventTypeWarning, EventNeverBought, "Release", "%s", message)
	}
	setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonNeverBought, message)
	return true, 0, nil
}

func (r *Reconciler) release(ctx context.Context, vn *v1alpha1.VPSieNode) error {
	err := r.cloud.Release(ctx, vn.Status.InstanceID)
	reaction := cloudprovider.ReactionTo(err)
	r.metrics.releaseAsked(reaction)
	switch reaction {
	case cloudprovider.NoReaction, cloudprovider.LookFirst:
		// LookFirst: the reply was lost, or the machine is said not to exist. The inventory decides either way.
		vn.Status.Phase = phaseWhileLeaving(vn)
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonReleasing, "VPSie was told to destroy the machine")
		setTransition(vn, v1alpha1.ConditionDisrupting, r.options.Clock.Now())
		r.event(vn, corev1.EventTypeNormal, EventReleasing, "Release", "Told VPSie to destroy machine %s", vn.Status.InstanceID)
		return nil
	default:
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, cloudprovider.ReasonOf(err), "releasing the machine: "+err.Error())
		return fmt.Errorf("releasing machine %q of VPSieNode %q: %w", vn.Status.InstanceID, vn.Name, err)
	}
}

func phaseWhileLeaving(vn *v1alpha1.VPSieNode) v1alpha1.VPSieNodePhase {
	if vn.DeletionTimestamp.IsZero() {
		return v1alpha1.PhaseFailed
	}
	return v1alpha1.PhaseDeleting
}

// deleteNode removes the Node of a machine that no longer exists. A Node that belongs to another VPSieNode is left alone.
func (r *Reconciler) deleteNode(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) error {
	if node == nil || belongsToAnother(node, vn) {
		return nil
	}
	if err := r.kube.Delete(ctx, node, client.Preconditions{UID: &node.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting node %q: %w", node.Name, err)
	}
	return nil
}

func belongsToAnother(node *corev1.Node, vn *v1alpha1.VPSieNode) bool {
	owner := node.Labels[v1alpha1.VPSieNodeLabel]
	return owner != "" && owner != vn.Name
}

func orNone(id string) string {
	if id == "" {
		return "(none)"
	}
	return id
}
