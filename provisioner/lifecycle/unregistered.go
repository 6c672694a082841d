// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// EventNotOurs is the reason of the event on a Node that got the taint of an unregistered machine and is none of ours.
const EventNotOurs = "NotOurs"

// unregisteredNodes takes the taint of an unregistered machine off Nodes that nobody ordered: what taints at birth sees a worker join while an
// order is open, and cannot know that somebody added it by hand.
type unregisteredNodes struct{ *Reconciler }

// Reconcile decides about one Node. It does nothing but take the taint off.
func (u unregisteredNodes) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	node := &corev1.Node{}
	if err := u.kube.Get(ctx, request.NamespacedName, node); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !unregistered(node) {
		return reconcile.Result{}, nil
	}
	expected, wait, err := u.expected(ctx, node)
	if err != nil || expected {
		return reconcile.Result{RequeueAfter: max(wait, 2*u.options.InventoryInterval)}, err
	}
	if err := u.change(ctx, node, func(n *corev1.Node) { n.Spec.Taints = withoutHold(n.Spec.Taints) }); err != nil {
		return reconcile.Result{}, fmt.Errorf("taking the taint %s off node %q: %w", v1alpha1.UnregisteredTaint, node.Name, err)
	}
	u.recorder.Eventf(node, nil, corev1.EventTypeNormal, EventNotOurs, "Admit", "No VPSieNode waits for this machine; took the taint %s off and leave it alone", v1alpha1.UnregisteredTaint)
	log.FromContext(ctx).Info("opened node that is not ours", "node", klog.KObj(node))
	return reconcile.Result{}, nil
}

func unregistered(node client.Object) bool {
	n, ok := node.(*corev1.Node)
	return ok && held(n) && n.Labels[v1alpha1.VPSieNodeLabel] == "" && n.DeletionTimestamp.IsZero()
}

// expected says whether the Node may be the machine of some VPSieNode. An inventory that was read after the Node joined decides; one that does
// not list the machine leaves it to whoever waits for any.
func (u unregisteredNodes) expected(ctx context.Context, node *corev1.Node) (bool, time.Duration, error) {
	inventory, wait, err := u.inventories.after(ctx, node.CreationTimestamp.Time)
	if err != nil {
		return true, 0, fmt.Errorf("looking whose machine node %q is: %w", node.Name, err)
	}
	if wait > 0 {
		return true, wait, nil
	}
	all, err := u.all(ctx)
	if err != nil {
		return true, 0, err
	}
	nodes, err := u.joined(ctx)
	if err != nil {
		return true, 0, err
	}
	listed := slices.IndexFunc(inventory.Instances, func(i cloudprovider.Instance) bool { return strings.EqualFold(i.Hostname, node.Name) })
	return slices.ContainsFunc(all, func(n v1alpha1.VPSieNode) bool {
		switch {
		case n.Status.InstanceID != "":
			return strings.EqualFold(n.Status.Hostname, node.Name)
		case n.Status.Order == nil || !u.owed(&n):
			return false
		default:
			return listed < 0 || mayBe(n, inventory.Instances[listed], nodes)
		}
	}), 0, nil
}

func (u unregisteredNodes) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("unregistered-nodes").
		For(&corev1.Node{}).
		WithEventFilter(predicate.NewPredicateFuncs(unregistered)).
		Complete(u)
}

// Unregistered returns the part of the Reconciler that takes the taint of an unregistered machine off Nodes that nobody ordered. Its requests
// name Nodes.
func (r *Reconciler) Unregistered() reconcile.Reconciler { return unregisteredNodes{r} }
