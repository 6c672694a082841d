// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
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

// plan names the plan that the machine was bought by, else the machine alone.
func (d door) plan() string {
	return cmp.Or(d.vn.Annotations[v1alpha1.PlanAnnotation], string(d.vn.UID))
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
	current, ok := r.admissions.begin(own, r.options.Clock.Now())
	if !ok {
		return nominationsSettle, "", nil // another step opens the plan, this Node with it
	}
	defer r.admissions.end(current)
	ready, late, err := r.companions(ctx, own)
	if err != nil {
		return 0, "", err
	}
	if left := r.options.OpenTogether - r.options.Clock.Since(readySince(own.node)); left > 0 && len(late) > 0 && !r.heldTooLong(own.vn) {
		return left, names(late), nil
	}
	// One that was tried in vain since the last look lost its nomination, and its room with it.
	if r.nominateAll(ctx, ready).changed {
		current.nominated(r.options.Clock.Now())
	}
	if left := current.unsettled(r.options.Clock.Now()); left > 0 && !r.heldTooLong(own.vn) {
		return left, "the nominations of its pods", nil
	}
	return 0, "", r.admit(ctx, ready)
}

// admission is the opening of one plan's Nodes.
type admission struct {
	busy  bool      // a step is at it
	used  time.Time // by a step
	first time.Time // when the first of its pods were nominated; zero: not yet
	last  time.Time // when the last of them were
}

func (a *admission) nominated(now time.Time) {
	a.last = now
	if a.first.IsZero() {
		a.first = now
	}
}

// unsettled says for how long the nominations have to stand yet.
func (a *admission) unsettled(now time.Time) time.Duration {
	if a.last.IsZero() || now.Sub(a.first) >= settleWithin {
		return 0
	}
	return nominationsSettle - now.Sub(a.last)
}

// admissions are those under way, by plan.
type admissions struct {
	mu sync.Mutex
	of map[string]*admission
}

// begin lets one step at a time see to the Nodes of a plan.
func (a *admissions) begin(d door, now time.Time) (current *admission, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.of == nil {
		a.of = map[string]*admission{}
	}
	// Those that are over, or whose Nodes went.
	maps.DeleteFunc(a.of, func(_ string, other *admission) bool { return !other.busy && now.Sub(other.used) > settleWithin })
	current = a.of[d.plan()]
	if current == nil {
		current = &admission{}
		a.of[d.plan()] = current
	}
	if current.busy {
		return nil, false
	}
	current.busy, current.used = true, now
	return current, true
}

func (a *admissions) end(current *admission) {
	a.mu.Lock()
	defer a.mu.Unlock()
	current.busy = false
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
