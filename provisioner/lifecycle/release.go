// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// farewell is what VPSie has shown of a machine's end.
type farewell struct {
	accepted   bool // it said yes when it was told to destroy the machine
	answered   bool // and the machine's kubelet answered until then
	destroying bool // it listed the machine as being destroyed
}

// farewells remember what VPSie has shown. A new process knows none of it, and waits longer.
type farewells struct {
	mu sync.Mutex
	of map[types.UID]farewell
}

func (f *farewells) get(uid types.UID) farewell {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[uid]
}

func (f *farewells) note(uid types.UID, change func(*farewell)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.of[uid]
	change(&known)
	f.of[uid] = known
}

func (f *farewells) forget(uid types.UID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, uid)
}

func releasing(vn *v1alpha1.VPSieNode) bool {
	switch disrupting(vn).Reason {
	case reasonReleasing, reasonConfirming, reasonReleased:
		return true
	default:
		return false
	}
}

// released says whether the machine, if there ever was one, is gone. It asks for its destruction, and asks again when a later inventory
// still shows it. Two inventories in a row must lack it, the second at least an interval younger than the first.
func (r *Reconciler) released(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (bool, time.Duration, error) {
	if vn.Status.InstanceID == "" {
		return r.settled(ctx, vn) // a machine that is found here is drained first, as any other
	}
	condition := disrupting(vn)
	switch {
	case condition.Reason == reasonReleased:
		return true, 0, nil
	case releasing(vn):
	case takenForGone(vn):
		r.confirm(vn) // nothing is there that could be told to go; should it come back, it is
		return false, r.options.InventoryInterval, nil
	default:
		return false, r.options.InventoryInterval, r.release(ctx, vn, node)
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
		return r.missing(ctx, vn, node, inventory)
	}
	return false, r.options.InventoryInterval, r.pursue(ctx, vn, node, instance)
}

// pursue asks again for the end of a machine that is still listed, when VPSie seems to have forgotten it.
func (r *Reconciler) pursue(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node, instance cloudprovider.Instance) error {
	condition := disrupting(vn)
	if instance.Deleting {
		r.farewells.note(vn.UID, func(f *farewell) { f.destroying = true })
	}
	told := r.options.Clock.Since(condition.LastTransitionTime.Time)
	switch {
	case condition.Reason == reasonConfirming, !instance.Deleting && told > r.options.OrderSettle:
		return r.release(ctx, vn, node)
	case instance.Deleting && told > r.options.ReleaseTimeout:
		if err := r.release(ctx, vn, node); err != nil {
			return err
		}
		message := fmt.Sprintf("VPSie has been destroying machine %s for more than %s and still lists it; told it again", vn.Status.InstanceID, r.options.ReleaseTimeout)
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonReleasing, message)
		r.event(vn, corev1.EventTypeWarning, EventSlowRelease, "Release", "%s", message)
	}
	return nil
}

// confirm begins to look whether the machine stays missing.
func (r *Reconciler) confirm(vn *v1alpha1.VPSieNode) {
	setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonConfirming, "the machine is missing from VPSie's inventory; looking once more")
	setTransition(vn, v1alpha1.ConditionDisrupting, r.options.Clock.Now())
}

// missing takes the absence from an inventory for an end only when it is not the first in a row and nothing speaks against it.
func (r *Reconciler) missing(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node, inventory cloudprovider.Inventory) (bool, time.Duration, error) {
	all, err := r.all(ctx)
	if err != nil {
		return false, 0, err
	}
	vn.Status.Phase = phaseWhileLeaving(vn)
	condition := disrupting(vn)
	switch {
	case inventory.Contradicts(lo.CountBy(all, stays)):
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, condition.Reason, "VPSie lists no machine at all although others are known; nothing is concluded from that")
		return false, r.options.InventoryInterval, nil
	case condition.Reason != reasonConfirming:
		r.confirm(vn)
		return false, r.options.InventoryInterval, nil
	}
	absent := r.options.Clock.Since(condition.LastTransitionTime.Time)
	if why := r.lingers(vn, node, inventory, absent); why != "" {
		setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonConfirming, why)
		if absent > r.options.OrderSettle {
			return false, r.options.InventoryInterval * 6, nil
		}
		return false, r.options.InventoryInterval, nil
	}
	setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonReleased, "the machine is gone from VPSie's inventory")
	return true, 0, nil
}

// stays says whether the VPSieNode has a machine that nobody has told to go.
func stays(n v1alpha1.VPSieNode) bool {
	return n.Status.InstanceID != "" && !releasing(&n)
}

// lingers says why a machine that has been missing for so long may still be there. Where VPSie was seen destroying it, or its kubelet fell silent
// once VPSie had accepted to, a second look is enough; else a list that is short for a while must be outlasted: whoever looks for the machine to release it sees the same list.
func (r *Reconciler) lingers(vn *v1alpha1.VPSieNode, node *corev1.Node, inventory cloudprovider.Inventory, absent time.Duration) string {
	known, patience := r.farewells.get(vn.UID), r.options.OrderSettle
	switch empty := inventory.Contradicts(1); {
	case known.destroying:
		return ""
	case node != nil && ready(node):
		return fmt.Sprintf("VPSie does not list the machine and was not seen destroying it, and node %q is Ready: waiting until its kubelet is silent", node.Name)
	case known.answered && node != nil:
		return "" // its kubelet fell silent after VPSie was told
	case empty && !known.accepted:
		patience = r.options.LaunchTimeout
	case takenForGone(vn):
		return ""
	}
	if absent >= patience {
		return ""
	}
	return fmt.Sprintf("VPSie does not list the machine and was not seen destroying it; waiting whether it comes back within %s", patience)
}

func (r *Reconciler) release(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) error {
	err := r.cloud.Release(ctx, vn.Status.InstanceID)
	reaction := cloudprovider.ReactionTo(err)
	r.metrics.releaseAsked(reaction)
	switch reaction {
	case cloudprovider.NoReaction, cloudprovider.LookFirst:
		// LookFirst: the reply was lost, or the machine is said not to exist. The inventory decides either way.
		if reaction == cloudprovider.NoReaction {
			r.farewells.note(vn.UID, func(f *farewell) { f.accepted, f.answered = true, f.answered || node != nil && ready(node) })
		}
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
