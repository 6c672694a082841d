// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// barredFor is how long a VPSieNode that may not be ordered waits for room that others leave. A changed NodeGroup wakes it at once.
const barredFor = 15 * time.Second

// barrier is why nothing may be ordered for a VPSieNode.
type barrier struct {
	reason, message string
	final           bool // its pods are planned for anew: waiting would buy for them twice
}

// groupOf returns the NodeGroup that the VPSieNode belongs to. It must want machines: whoever makes a VPSieNode by hand must not get what
// its NodeGroup does not buy.
func (r *Reconciler) groupOf(ctx context.Context, vn *v1alpha1.VPSieNode) (*v1alpha1.NodeGroup, *barrier, error) {
	group, name := &v1alpha1.NodeGroup{}, vn.Spec.NodeGroup
	err := r.kube.Get(ctx, client.ObjectKey{Name: name}, group)
	switch {
	case apierrors.IsNotFound(err):
		return nil, &barrier{reason: v1alpha1.ReasonNodeGroupMissing, message: fmt.Sprintf("NodeGroup %q does not exist; create it, or run: kubectl delete vpsienode %s", name, vn.Name)}, nil
	case err != nil:
		return nil, nil, fmt.Errorf("reading NodeGroup %q of VPSieNode %q: %w", name, vn.Name, err)
	case !group.DeletionTimestamp.IsZero():
		return nil, &barrier{reason: v1alpha1.ReasonNodeGroupMissing, message: fmt.Sprintf("NodeGroup %q is being deleted; run: kubectl delete vpsienode %s", name, vn.Name)}, nil
	case !group.Managed():
		return nil, &barrier{reason: v1alpha1.ReasonNodeGroupNotManaged, message: fmt.Sprintf("NodeGroup %q is not managed; run: kubectl label nodegroup %s %s=%s --overwrite",
			name, name, v1alpha1.ManagedLabel, v1alpha1.ManagedValue)}, nil
	}
	return group, nil, nil
}

// permits says which offering may be ordered within the limits of the NodeGroup. One at a time: two VPSieNodes that fall back on dearer
// offerings at once would each count the other at its first price.
type permits struct {
	mu       sync.Mutex
	recorded map[types.UID]string // offerings of orders that were written down and that the watches may not show yet
}

// choose returns the cheapest offering that VPSie has not refused and that the limits leave room for. It must be written down at once.
func (p *permits) choose(vn *v1alpha1.VPSieNode, group *v1alpha1.NodeGroup, all []v1alpha1.VPSieNode, inventory cloudprovider.Inventory) (v1alpha1.OfferingChoice, *barrier) {
	none := v1alpha1.OfferingChoice{}
	if elsewhere := scheduling.Elsewhere(group, inventory.Cluster, inventory.Project); elsewhere != "" {
		return none, &barrier{reason: v1alpha1.ReasonClusterMismatch, message: fmt.Sprintf("NodeGroup %q: %s", group.Name, elsewhere)}
	}
	if group = boundsFor(vn, group); group.Spec.Paused == v1alpha1.PauseAll || group.Spec.Paused == v1alpha1.PauseProvisioning {
		return none, &barrier{reason: v1alpha1.ReasonNodeGroupPaused, message: fmt.Sprintf("NodeGroup %q is paused (spec.paused: %s); set it to None", group.Name, group.Spec.Paused)}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	use := state.Group(group, p.before(vn, all))
	delete(p.recorded, vn.UID)
	why := ""
	for _, choice := range choices(vn) {
		offering, err := offeringOf(choice)
		if err != nil {
			return none, &barrier{reason: reasonRefused, message: fmt.Sprintf("spec.offerings: %v", err), final: true}
		}
		refusal := use.Refusal(offering)
		if refusal == "" {
			p.recorded[vn.UID] = choice.ID
			return choice, nil
		}
		why = cmp.Or(why, refusal)
	}
	b := &barrier{reason: v1alpha1.ReasonLimitReached, message: why, final: vn.Spec.CreationReason != v1alpha1.CreatedManually}
	if b.final && len(vn.Status.Refusals) > 0 {
		b.message = fmt.Sprintf("VPSie could not deliver %s, and beyond that %s", refusals(vn), why)
	} else if !b.final {
		b.message += fmt.Sprintf("; raise it, or run: kubectl delete vpsienode %s", vn.Name)
	}
	return none, b
}

// boundsFor returns the NodeGroup as the bounds of this VPSieNode. A replacement may come before what it replaces has gone, and in a pool that
// does not grow: only limits bind it.
func boundsFor(vn *v1alpha1.VPSieNode, group *v1alpha1.NodeGroup) *v1alpha1.NodeGroup {
	if vn.Spec.CreationReason != v1alpha1.CreatedAsReplacement {
		return group
	}
	group = group.DeepCopy()
	group.Spec.MaxNodes, group.Spec.Paused = nil, v1alpha1.PauseNone
	return group
}

// before returns the other VPSieNodes that count: those with an order and those that were there first, so that of two that wait for the last
// place one gets it.
func (p *permits) before(vn *v1alpha1.VPSieNode, all []v1alpha1.VPSieNode) []*v1alpha1.VPSieNode {
	present := make(map[types.UID]bool, len(all))
	var before []*v1alpha1.VPSieNode
	for i := range all {
		other := &all[i]
		present[other.UID] = true
		offering, recorded := p.recorded[other.UID]
		ordered := other.Status.Order != nil || other.Status.InstanceID != ""
		switch {
		case other.UID == vn.UID:
			continue
		case recorded && !ordered:
			other = other.DeepCopy()
			other.Status.Order = &v1alpha1.OrderRecord{Offering: offering}
		case !ordered && compareAge(vn, other) < 0:
			continue
		}
		before = append(before, other)
	}
	maps.DeleteFunc(p.recorded, func(uid types.UID, _ string) bool { return !present[uid] })
	return before
}

func compareAge(a, b *v1alpha1.VPSieNode) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func offeringOf(choice v1alpha1.OfferingChoice) (scheduling.Offering, error) {
	price, err := scheduling.ParsePrice(choice.PricePerHour)
	return scheduling.Offering{
		ID: choice.ID, Name: choice.Name, Price: price,
		CPUMilli: choice.Capacity.Cpu().MilliValue(), MemoryMiB: choice.Capacity.Memory().Value() >> 20,
	}, err
}

// bar writes down why nothing is ordered, and tells of it when it is news.
func (r *Reconciler) bar(vn *v1alpha1.VPSieNode, why *barrier) time.Duration {
	if why == nil {
		return 0
	}
	before := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionLaunched)
	news := before == nil || before.Reason != why.reason
	setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionFalse, why.reason, why.message)
	if news {
		r.event(vn, corev1.EventTypeWarning, EventNotOrdered, "Order", "%s: %s", why.reason, why.message)
	}
	return barredFor
}

// barredOf returns the VPSieNodes that wait for a NodeGroup to change.
func (r *Reconciler) barredOf(ctx context.Context, group client.Object) []reconcile.Request {
	return r.requests(ctx, func(vn *v1alpha1.VPSieNode) bool { return vn.Spec.NodeGroup == group.GetName() && vn.Barred() })
}

// unanswered returns the VPSieNodes that wait for the cloud, which may be the credentials' fault: those without a machine and those that leave.
func (r *Reconciler) unanswered(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.requests(ctx, func(vn *v1alpha1.VPSieNode) bool {
		return !vn.DeletionTimestamp.IsZero() || vn.Status.InstanceID == "" && vn.Status.Phase != v1alpha1.PhaseFailed
	})
}

// requests returns one request for each VPSieNode that is wanted.
func (r *Reconciler) requests(ctx context.Context, wanted func(*v1alpha1.VPSieNode) bool) []reconcile.Request {
	all, err := r.all(ctx)
	if err != nil {
		return nil // each looks again by itself
	}
	return lo.FilterMap(all, func(vn v1alpha1.VPSieNode, _ int) (reconcile.Request, bool) {
		return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&vn)}, wanted(&vn)
	})
}
