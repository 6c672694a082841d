// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
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

// admitWithPlan opens the Node together with the others of its plan, and waits a bounded time for those that are not Ready: kube-scheduler
// puts pods on whatever is open, also those that were planned for a machine that opens a second later, and what was planned there no longer
// fits. It returns how long to wait and for whom; zero when the Node is open.
func (r *Reconciler) admitWithPlan(ctx context.Context, own door) (wait time.Duration, late []string, err error) {
	ready, late, err := r.companions(ctx, own)
	if err != nil {
		return 0, nil, err
	}
	if left := r.options.OpenTogether - r.options.Clock.Since(readySince(own.node)); left > 0 && len(late) > 0 && !r.heldTooLong(own.vn) {
		return left, late, nil
	}
	return 0, nil, r.admit(ctx, ready)
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

// admit opens Nodes for pods. Those that they were bought for are nominated first: kube-scheduler then tries them on their Node before
// any other, and keeps their room free from pods of the same or a lower priority. Without that, whoever comes first takes it, and the
// plan has to be made again for the others. Who was tried too early is nominated again.
func (r *Reconciler) admit(ctx context.Context, doors []door) error {
	r.nominateAll(ctx, doors)
	var opened errgroup.Group // all at once: each moment between them, pods go where they were not planned
	for _, d := range doors {
		opened.Go(func() error { return r.open(ctx, d.node) })
	}
	err := opened.Wait()
	r.nominateAll(ctx, doors)
	return err
}

// waitsFor says for whom a Node that is Ready is kept closed.
func waitsFor(late []string) string {
	const most = 3
	names := strings.Join(late[:min(most, len(late))], ", ")
	if len(late) > most {
		names += ", ..."
	}
	return names
}
