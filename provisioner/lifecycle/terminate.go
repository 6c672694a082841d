// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Reasons of the events on a VPSieNode on its way out.
const (
	EventDraining    = "Draining"    // pods are being moved away
	EventReleasing   = "Releasing"   // VPSie was told to destroy the machine
	EventSlowRelease = "SlowRelease" // VPSie has been destroying the machine for long; it was told again
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
	gone, wait, err := r.released(ctx, vn, node)
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
	if r.reconsider(ctx, vn, node) {
		return r.options.InventoryInterval, nil
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
		if gone && takenForGone(vn) {
			return min(left, r.options.InventoryInterval*12), nil // it may come back
		}
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
	return r.released(ctx, vn, node)
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

// drained says whether nothing is left on the Node that would be lost with it. Nothing is waited for on a machine that is gone, which one
// whose kubelet answers is not.
func (r *Reconciler) drained(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (bool, time.Duration, error) {
	if node == nil || releasing(vn) || r.lost(ctx, vn, node) {
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

// disrupting returns the condition Disrupting, empty where there is none.
func disrupting(vn *v1alpha1.VPSieNode) metav1.Condition {
	condition := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionDisrupting)
	if condition == nil {
		return metav1.Condition{}
	}
	return *condition
}

// settled says whether it is certain that no machine was bought. While an order may still show up, the object must stay: nobody
// else would know whose machine it is.
func (r *Reconciler) settled(ctx context.Context, vn *v1alpha1.VPSieNode) (bool, time.Duration, error) {
	order := vn.Status.Order
	if order == nil {
		adopted, wait, err := r.adopt(ctx, vn)
		return !adopted && wait == 0 && err == nil, wait, err
	}
	if order.State == v1alpha1.OrderRecorded {
		if r.sending.take(vn.UID, order.Time.Time) {
			vn.Status.Order = nil // written down by this process and never sent
			return true, 0, nil
		}
		r.orderUnknown(vn, restarted)
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
	preconditions := client.Preconditions{UID: &node.UID}
	if takenForGone(vn) {
		preconditions.ResourceVersion = &node.ResourceVersion // its kubelet may answer again, which the watch does not show yet
	}
	if err := r.kube.Delete(ctx, node, preconditions); client.IgnoreNotFound(err) != nil {
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
