// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// Reasons of the events on a VPSieNode whose machine VPSie no longer lists.
const (
	EventMissing = "MachineMissing" // VPSie does not list the machine; what is made of that, and what a person can do
	EventFound   = "MachineFound"   // the machine was taken for gone and is there
)

// absence is a machine that an inventory does not list.
type absence struct {
	vn        *v1alpha1.VPSieNode
	node      *corev1.Node // nil where there is none
	inventory cloudprovider.Inventory
	since     time.Time // of the first inventory without it
	now       time.Time
	settle    time.Duration
}

// doubts are what keeps a machine from being taken for gone, in this order: the first that has something to say is obeyed. What they
// say stays the same while nothing changes.
func doubts() []func(absence) string {
	return []func(absence) string{kubeletAnswers, nothingListed, tooSoon}
}

// kubeletAnswers: a list can be short, a heartbeat cannot be made up.
func kubeletAnswers(a absence) string {
	if a.node == nil || !ready(a.node) {
		return ""
	}
	return fmt.Sprintf("VPSie does not list machine %s, but node %q is Ready: nothing is done while its kubelet answers", a.vn.Status.InstanceID, a.node.Name)
}

// nothingListed: no list, or that of an account that lost sight of its cluster, looks the same as one of which all machines are gone.
func nothingListed(a absence) string {
	if !a.inventory.Contradicts(1) {
		return ""
	}
	return fmt.Sprintf("VPSie lists no machine at all, which proves nothing about machine %s; if it is gone, run: kubectl delete vpsienode %s", a.vn.Status.InstanceID, a.vn.Name)
}

func tooSoon(a absence) string {
	if a.now.Sub(a.since) >= a.settle {
		return ""
	}
	return fmt.Sprintf("VPSie does not list machine %s; looking again for %s", a.vn.Status.InstanceID, a.settle)
}

func (a absence) doubt() string {
	for _, ask := range doubts() {
		if why := ask(a); why != "" {
			return why
		}
	}
	return ""
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}

// watch looks whether VPSie still lists the machine. One that is missing is reported; it is taken for gone, and the VPSieNode fails, when no
// doubt is left and not too many go at once.
func (r *Reconciler) watch(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (gone bool, wait time.Duration, err error) {
	missing, known := r.missed(ctx, vn, node)
	if !known || missing == nil {
		return false, 0, nil
	}
	why := missing.doubt()
	if why == "" {
		all, err := r.all(ctx)
		if err != nil {
			return false, 0, err
		}
		if r.verdicts.give(vn.UID, all, missing.now, r.options) {
			r.failAs(vn, v1alpha1.ConditionLaunched, reasonInstanceGone, fmt.Sprintf("machine %s is gone from VPSie's inventory and was not released by us", vn.Status.InstanceID))
			return true, 0, nil
		}
		why = fmt.Sprintf("VPSie does not list machine %s, nor others: no more of them are taken for gone at once; this one's turn comes", vn.Status.InstanceID)
	}
	r.doubtful(vn, why)
	if missing.now.Sub(missing.since) < r.options.OrderSettle {
		return false, r.options.InventoryInterval, nil
	}
	return false, r.options.InventoryInterval * 6, nil
}

// missed compares the machine with an inventory and notes in the condition Launched when it is missing, and when it is back. Known is false
// while there is no inventory to compare with: an outage of the cloud changes nothing.
func (r *Reconciler) missed(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (missing *absence, known bool) {
	launched := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionLaunched)
	if launched == nil || vn.Status.InstanceID == "" {
		return nil, false
	}
	inventory, wait, err := r.inventories.after(ctx, launched.LastTransitionTime.Time)
	if err != nil || wait > 0 {
		return nil, false
	}
	if _, found := inventory.Find(vn.Status.InstanceID); found {
		if launched.Status != metav1.ConditionTrue {
			setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionTrue, reasonLaunched, fmt.Sprintf("machine %s, identifier %s", vn.Status.Hostname, vn.Status.InstanceID))
		}
		return nil, true
	}
	if node != nil && belongsToAnother(node, vn) {
		node = nil
	}
	now := r.options.Clock.Now()
	a := &absence{vn: vn, node: node, inventory: inventory, since: launched.LastTransitionTime.Time, now: now, settle: r.options.OrderSettle}
	if launched.Status != metav1.ConditionUnknown || launched.Reason != reasonInstanceGone {
		a.since = now
		r.doubtful(vn, a.doubt())
		setTransition(vn, v1alpha1.ConditionLaunched, now)
	}
	return a, true
}

// doubtful reports a missing machine, and tells of it when it is news.
func (r *Reconciler) doubtful(vn *v1alpha1.VPSieNode, why string) {
	before := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionLaunched)
	news := before == nil || before.Message != why
	setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionUnknown, reasonInstanceGone, why)
	if news {
		r.event(vn, corev1.EventTypeWarning, EventMissing, "Watch", "%s", why)
	}
}

// lost says whether a Node that is to be drained has no machine any more: nobody would carry out what a drain asks for.
func (r *Reconciler) lost(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) bool {
	if ready(node) {
		return false
	}
	if takenForGone(vn) || vn.Status.Phase == v1alpha1.PhaseFailed { // for another reason, which stays to be read
		return takenForGone(vn)
	}
	missing, known := r.missed(ctx, vn, node)
	return known && missing != nil && missing.now.Sub(missing.since) >= r.options.OrderSettle
}

// takenForGone says whether the VPSieNode failed because its machine was missing for long enough.
func takenForGone(vn *v1alpha1.VPSieNode) bool {
	launched := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionLaunched)
	return launched != nil && launched.Reason == reasonInstanceGone && launched.Status == metav1.ConditionFalse
}

// reconsider takes a machine back that was taken for gone and is there: VPSie lists it again, or its kubelet answers.
func (r *Reconciler) reconsider(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (back bool) {
	if !takenForGone(vn) || !vn.DeletionTimestamp.IsZero() {
		return false
	}
	launched := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionLaunched)
	inventory, wait, err := r.inventories.after(ctx, launched.LastTransitionTime.Time)
	instance, listed := inventory.Find(vn.Status.InstanceID)
	switch {
	case err == nil && wait == 0 && listed && !instance.Deleting:
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionTrue, reasonLaunched, fmt.Sprintf("machine %s, identifier %s", vn.Status.Hostname, vn.Status.InstanceID))
	case node != nil && ready(node):
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionUnknown, reasonInstanceGone, kubeletAnswers(absence{vn: vn, node: node}))
	default:
		return false
	}
	vn.Status.Phase = v1alpha1.PhaseProvisioned
	if meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionRegistered) {
		vn.Status.Phase = v1alpha1.PhaseJoining
	}
	meta.RemoveStatusCondition(&vn.Status.Conditions, v1alpha1.ConditionDisrupting)
	r.event(vn, corev1.EventTypeNormal, EventFound, "Watch", "Machine %s was taken for gone and is there", vn.Status.InstanceID)
	return true
}

// verdicts bound how many machines are taken for gone at a time: a list that lacks many is rather wrong than right. Those of this process are
// remembered, because the objects that it reads may not show them yet.
type verdicts struct {
	mu    sync.Mutex
	given map[types.UID]time.Time
}

// give says whether one more machine may be taken for gone: within the settle time, no more than a share of all that VPSieNodes have, and at least one.
func (v *verdicts) give(uid types.UID, all []v1alpha1.VPSieNode, now time.Time, o Options) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	recent := map[types.UID]bool{}
	for other, at := range v.given {
		if now.Sub(at) >= o.OrderSettle {
			delete(v.given, other)
			continue
		}
		recent[other] = true
	}
	holders := 0
	for i := range all {
		if all[i].Status.InstanceID == "" {
			continue
		}
		holders++
		if takenForGone(&all[i]) && now.Sub(failedAt(&all[i])) < o.OrderSettle {
			recent[all[i].UID] = true
		}
	}
	delete(recent, uid)
	if len(recent) >= cloudprovider.AtOnce(o.GoneShare, holders) {
		return false
	}
	v.given[uid] = now
	return true
}
