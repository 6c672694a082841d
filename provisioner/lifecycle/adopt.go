// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// EventAdopted is the reason of the event on a VPSieNode whose machine was known from its Node before anything was ordered.
const EventAdopted = "Adopted"

const reasonAdopted = "Adopted"

// adopt takes over the machine of a Node that already names this VPSieNode. A VPSieNode without an order has one when its object was
// restored, from a backup or by garbage collection: ordering would buy its machine a second time.
func (r *Reconciler) adopt(ctx context.Context, vn *v1alpha1.VPSieNode) (adopted bool, wait time.Duration, err error) {
	nodes := &corev1.NodeList{}
	if err := r.kube.List(ctx, nodes, client.MatchingLabels{v1alpha1.VPSieNodeLabel: vn.Name}); err != nil {
		return false, 0, fmt.Errorf("looking for the node of VPSieNode %q: %w", vn.Name, err)
	}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		id := node.Annotations[v1alpha1.VPSIDAnnotation]
		if id == "" {
			continue
		}
		adopted, wait, err := r.adoptFrom(ctx, vn, node, id)
		if err != nil || adopted || wait > 0 {
			return adopted, wait, err
		}
	}
	return false, 0, nil
}

func (r *Reconciler) adoptFrom(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node, id string) (adopted bool, wait time.Duration, err error) {
	all, err := r.all(ctx)
	if err != nil {
		return false, 0, err
	}
	if holder, taken := owners(all)[id]; taken && holder.uid != vn.UID {
		return false, 0, nil
	}
	inventory, wait, err := r.inventories.after(ctx, node.CreationTimestamp.Time)
	if err != nil {
		return false, 0, fmt.Errorf("looking for machine %q of node %q: %w", id, node.Name, err)
	}
	if wait > 0 {
		return false, wait, nil
	}
	instance, found := inventory.Find(id)
	if !found && (ready(node) || inventory.Contradicts(1)) {
		setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionUnknown, reasonInstanceGone, fmt.Sprintf(
			"node %q says that machine %s is this one's, and VPSie does not list it now; nothing is ordered instead while that may be wrong. If the machine is gone, run: kubectl delete node %s", node.Name, id, node.Name))
		return false, r.options.InventoryInterval * 6, nil
	}
	if !found || instance.Deleting {
		return false, 0, nil
	}
	choice := choiceOf(vn, node, instance)
	vn.Status.Order = &v1alpha1.OrderRecord{Offering: choice.ID, State: v1alpha1.OrderAccepted, Time: metav1.NewMicroTime(r.options.Clock.Now()), Attempt: 1}
	r.take(vn, instance)
	vn.Status.NodeName = node.Name
	vn.Status.ProviderID = cmp.Or(node.Spec.ProviderID, providerID(vn))
	setCondition(vn, v1alpha1.ConditionLaunched, metav1.ConditionTrue, reasonAdopted, fmt.Sprintf("node %q says that machine %s is this one's", node.Name, id))
	// Its labels and taints are on it since it first joined; startup taints must not come back.
	setCondition(vn, v1alpha1.ConditionRegistered, metav1.ConditionTrue, reasonAdopted, fmt.Sprintf("node %q carries its labels and taints", node.Name))
	r.event(vn, corev1.EventTypeNormal, EventAdopted, "Launch", "Node %s says that machine %s is this one's; nothing was ordered", node.Name, id)
	r.logOnce(ctx, vn, "adopted machine", "vpsieNode", klog.KObj(vn), "node", klog.KObj(node), "instanceID", id)
	return true, 0, nil
}

// choiceOf returns the offering that the Node was bought as, else the first that the machine may have been.
func choiceOf(vn *v1alpha1.VPSieNode, node *corev1.Node, instance cloudprovider.Instance) v1alpha1.OfferingChoice {
	for _, want := range slices.Concat([]string{node.Labels[v1alpha1.OfferingLabel]}, instance.OfferingIDs) {
		for _, choice := range vn.Spec.Offerings {
			if choice.ID == want {
				return choice
			}
		}
	}
	return v1alpha1.OfferingChoice{ID: cmp.Or(node.Labels[v1alpha1.OfferingLabel], "unknown"), Name: node.Labels[corev1.LabelInstanceTypeStable]}
}
