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
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// Reasons of the events on a VPSieNode on its way out.
const (
	EventDraining    = "Draining"    // pods are being moved away
	EventReleasing   = "Releasing"   // VPSie was told to destroy the machine
	EventReleased    = "Released"    // the machine is gone from VPSie's inventory
	EventNeverBought = "NeverBought" // an order of unknown outcome never showed a machine
)

const (
	reasonDraining  = "Draining"
	reasonReleasing = "Releasing"
	reasonReleased  = "Released"

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
	if node != nil && !releasing(vn) {
		drained, wait, err := r.drained(ctx, vn, node)
		if err != nil || !drained {
			return wait, err
		}
	}
	gone, wait, err := r.released(ctx, vn)
	if err != nil || !gone {
		return wait, err
	}
	if err := r.deleteNode(ctx, vn, node); err != nil {
		return 0, err
	}
	r.event(vn, corev1.EventTypeNormal, EventReleased, "Release", "Machine %s is gone from VPSie", orNone(vn.Status.InstanceID))
	log.FromContext(ctx).Info("released machine", "vpsieNode", klog.KObj(vn), "instanceID", vn.Status.InstanceID)
	return 0, errReleased
}

// bury releases what a failed VPSieNode may have bought, and deletes the object when it was long enough there to be read.
func (r *Reconciler) bury(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	gone, wait, err := r.released(ctx, vn)
	if err != nil {
		return 0, err
	}
	if gone {
		node, err := r.node(ctx, vn)
		if err != nil {
			return 0, err
		}
		if err := r.deleteNode(ctx, vn, node); err != nil {
			return 0, err
		}
	}
	left := r.options.FailedTTL - r.options.Clock.Since(failedAt(vn))
	if left > 0 {
		if gone && vn.Status.InstanceID != "" {
			return left, nil
		}
		return min(left, max(wait, r.options.InventoryInterval)), nil
	}
	if err := r.kube.Delete(ctx, vn, client.Preconditions{UID: &vn.UID}); client.IgnoreNotFound(err) != nil {
		return 0, fmt.Errorf("deleting failed VPSieNode %q: %w", vn.Name, err)
	}
	return wait, nil
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

func (r *Reconciler) drained(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (bool, time.Duration, error) {
	var deadline time.Time
	if grace := vn.Spec.TerminationGracePeriod; grace != nil {
		deadline = vn.DeletionTimestamp.Add(grace.Duration)
	}
	if vn.Status.Phase != v1alpha1.PhaseTerminating {
		vn.Status.Phase = v1alpha1.PhaseTerminating
		r.event(vn, corev1.EventTypeNormal, EventDraining, "Drain", "Moving the pods of node %s away", node.Name)
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
	condition := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionDisrupting)
	return condition != nil && (condition.Reason == reasonReleasing || condition.Reason == reasonReleased)
}

// released says whether the machine, if there ever was one, is gone. It asks for its destruction, and asks again when a later inventory
// still shows it.
func (r *Reconciler) released(ctx context.Context, vn *v1alpha1.VPSieNode) (bool, time.Duration, error) {
	if vn.Status.InstanceID == "" {
		settled, wait, err := r.settled(ctx, vn)
		if err != nil || settled || vn.Status.InstanceID == "" {
			return settled, wait, err
		}
	}
	condition := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionDisrupting)
	if condition != nil && condition.Reason == reasonReleased {
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
	if !found {
		vn.Status.Phase = phaseWhileLeaving(vn)
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonReleased, "the machine is gone from VPSie's inventory")
		return true, 0, nil
	}
	if !instance.Deleting && r.options.Clock.Since(condition.LastTransitionTime.Time) > r.options.OrderSettle {
		return false, r.options.InventoryInterval, r.release(ctx, vn)
	}
	return false, r.options.InventoryInterval, nil
}

// settled says whether it is certain that no machine was bought. While an order may still show up, the object must stay: nobody
// else would know whose machine it is.
func (r *Reconciler) settled(ctx context.Context, vn *v1alpha1.VPSieNode) (bool, time.Duration, error) {
	order := vn.Status.Order
	if order == nil {
		return true, 0, nil
	}
	if order.State == v1alpha1.OrderRecorded && r.sending.take(vn.UID, order.Time.Time) {
		vn.Status.Order = nil // written down by this process and never sent
		return true, 0, nil
	}
	claimed, wait, err := r.claim(ctx, vn)
	if err != nil || wait > 0 || claimed {
		vn.Status.Phase = phaseWhileLeaving(vn)
		return false, wait, err
	}
	if r.options.Clock.Since(order.Time.Time) <= r.options.LaunchTimeout {
		return false, r.options.InventoryInterval, nil
	}
	message := fmt.Sprintf("no machine appeared within %s of the order; nothing is left to release", r.options.LaunchTimeout)
	if previous := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionDisrupting); previous == nil || previous.Reason != reasonNeverBought {
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
