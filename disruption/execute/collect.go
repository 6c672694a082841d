// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// collect deletes finished Disruptions that were kept long enough or are too many, the oldest first, and comes back when the next
// one is due.
func (r *Reconciler) collect(ctx context.Context) (reconcile.Result, error) {
	var list v1alpha1.DisruptionList
	if err := r.kube.List(ctx, &list); err != nil {
		return reconcile.Result{}, fmt.Errorf("listing finished Disruptions: %w", err)
	}
	finished := slices.DeleteFunc(list.Items, func(d v1alpha1.Disruption) bool {
		return !d.Status.Phase.Finished() || !d.DeletionTimestamp.IsZero()
	})
	slices.SortFunc(finished, func(a, b v1alpha1.Disruption) int {
		return cmp.Or(finishedAt(&a).Compare(finishedAt(&b)), cmp.Compare(a.Name, b.Name))
	})
	var errs []error
	for i := range finished {
		d := &finished[i]
		left := r.o.KeepFor - r.o.Clock.Since(finishedAt(d))
		if left > 0 && len(finished)-i <= r.o.KeepAtMost {
			return reconcile.Result{RequeueAfter: left}, errors.Join(errs...)
		}
		if err := r.kube.Delete(ctx, d, client.Preconditions{UID: &d.UID}); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("deleting finished Disruption %q: %w", d.Name, err))
		}
	}
	return reconcile.Result{}, errors.Join(errs...)
}

// finishedAt falls back on the creation for objects whose status a person wrote.
func finishedAt(d *v1alpha1.Disruption) time.Time {
	if d.Status.FinishedAt != nil {
		return d.Status.FinishedAt.Time
	}
	return d.CreationTimestamp.Time
}
