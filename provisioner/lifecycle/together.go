// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// door is a held Node that may be opened, with its VPSieNode.
type door struct {
	vn   *v1alpha1.VPSieNode
	node *corev1.Node
}

// openable says whether a held Node may be opened: it is Ready, or has been held for so long that it may need pods to become so.
func (r *Reconciler) openable(d door) bool {
	reason, _ := missing(d.vn, d.node)
	return reason != reasonNotReady || r.heldTooLong(d.vn)
}

// nominationsSettle is how long nominations are given to reach kube-scheduler, and attempts that were under way to take them back, before it is looked
// whether they stand; settleWithin bounds how long Nodes stay closed over that.
const (
	nominationsSettle = 200 * time.Millisecond
	settleWithin      = 3 * time.Second
)

// admitWithPlan opens the Node together with the others of its plan, and waits a bounded time for those that are not Ready: kube-scheduler
// puts pods on whatever is open, also those that were planned for a machine that opens a second later, and what was planned there no longer
// fits. Before it opens any, it nominates the pods that they were bought for, and waits until each nomination stands: kube-scheduler then tries a pod
// on its Node before any other, and keeps its room free from pods of the same or a lower priority. It returns how long to wait and for what,
// if that is known; zero when the Node is open.
func (r *Reconciler) admitWithPlan(ctx context.Context, own door) (wait time.Duration, what string, err error) {
	if !r.admitting.TryLock() {
		return nominationsSettle, "", nil // another opens its plan, perhaps this one with it
	}
	defer r.admitting.Unlock()
	ready, late, err := r.companions(ctx, own)
	if err != nil {
		return 0, "", err
	}
	if left := r.options.OpenTogether - r.options.Clock.Since(readySince(own.node)); left > 0 && len(late) > 0 && !r.heldTooLong(own.vn) {
		return left, names(late), nil
	}
	// One that was tried in vain since the last look lost its nomination, and its room with it.
	if r.nominateAll(ctx, ready).changed && r.sinceReady(ready) < settleWithin && !r.heldTooLong(own.vn) {
		return nominationsSettle, "the nominations of its pods", nil
	}
	return 0, "", r.admit(ctx, ready)
}

// sinceReady is for how long all of the Nodes have been Ready.
func (r *Reconciler) sinceReady(doors []door) time.Duration {
	since := time.Duration(math.MaxInt64)
	for _, d := range doors {
		since = min(since, r.options.Clock.Since(readySince(d.node)))
	}
	return since
}

// companions returns the Nodes of the plan that may be opened, the own one among them, and the names of VPSieNodes whose Nodes may not yet.
func (r *Reconciler) companions(ctx context.Context, own door) (ready []door, late []string, err error) {
	ready = []door{own}
	plan := own.vn.Annotations[v1alpha1.PlanAnnotation]
	if plan == "" || r.options.OpenTogether <= 0 {
		return ready, nil, nil
	}
	all, err := r.all(ctx)
	if err != nil {
		return nil, nil, err
	}
	for i := range all {
		vn := &all[i]
		if vn.Annotations[v1alpha1.PlanAnnotation] != plan || vn.UID == own.vn.UID || !vn.DeletionTimestamp.IsZero() || vn.Status.Phase == v1alpha1.PhaseFailed {
			continue
		}
		node, err := r.node(ctx, vn)
		if err != nil {
			return nil, nil, err
		}
		switch other := (door{vn, node}); {
		case node == nil || node.Labels[v1alpha1.VPSieNodeLabel] != vn.Name: // not joined, or not registered
			late = append(late, vn.Name)
		case !held(node): // opened before
		case r.openable(other):
			ready = append(ready, other)
		default:
			late = append(late, vn.Name)
		}
	}
	slices.Sort(late)
	return ready, late, nil
}

// readySince is when the Node became Ready; for one that is not, long ago.
func readySince(node *corev1.Node) time.Time {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// admit opens Nodes for pods, all at once: each moment between them, pods go where they were not planned. Who was tried in that moment
// is nominated again.
func (r *Reconciler) admit(ctx context.Context, doors []door) error {
	var opened errgroup.Group
	for _, d := range doors {
		opened.Go(func() error { return r.open(ctx, d.node) })
	}
	err := opened.Wait()
	r.nominateAll(ctx, doors)
	return err
}

// names lists VPSieNodes, the first of them if they are many.
func names(late []string) string {
	const most = 3
	names := strings.Join(late[:min(most, len(late))], ", ")
	if len(late) > most {
		names += ", ..."
	}
	return names
}
