// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package yield

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// refresh is how often a Node that has not changed is asked again: what it shows must not count as forgotten.
const refresh = 12 * time.Hour

// Reconcile learns from one Node.
func (b *Book) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	node := &corev1.Node{}
	if err := b.kube.Get(ctx, request.NamespacedName, node); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return reconcile.Result{}, fmt.Errorf("reading node %q: %w", request.Name, err)
		}
		return reconcile.Result{}, nil
	}
	offering, y, ok := Observe(node, b.clock.Now())
	if !ok {
		return reconcile.Result{}, nil
	}
	if err := b.open(ctx); err != nil { // what is kept may be worse
		return reconcile.Result{}, err
	}
	if !b.learn(offering, y) {
		return reconcile.Result{RequeueAfter: refresh}, nil
	}
	if err := b.save(ctx); err != nil {
		return reconcile.Result{}, err
	}
	log.FromContext(ctx).Info("learned what an offering yields", "offering", offering, "node", node.Name, "memoryMiB", y.MemoryMiB,
		"reservedMiB", y.ReservedMiB, "reservedCPUMilli", y.ReservedCPUMilli)
	return reconcile.Result{RequeueAfter: refresh}, nil
}

// SetupWithManager registers the Book. It runs under leader election: two would overwrite each other.
func (b *Book) SetupWithManager(mgr ctrl.Manager) error {
	teaches := func(object client.Object) bool {
		node, ok := object.(*corev1.Node)
		if !ok {
			return false
		}
		_, _, ok = Observe(node, b.clock.Now())
		return ok
	}
	changed := predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return teaches(e.Object) },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok := e.ObjectOld.(*corev1.Node)
			after, too := e.ObjectNew.(*corev1.Node)
			if !ok || !too {
				return false
			}
			now := b.clock.Now()
			was, had, taught := Observe(before, now)
			is, has, teaches := Observe(after, now)
			return teaches && (!taught || was != is || had != has)
		},
		DeleteFunc:  func(event.DeleteEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
	return ctrl.NewControllerManagedBy(mgr).Named("yield").
		For(&corev1.Node{}, builder.WithPredicates(changed)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(b)
}
