// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// Reasons of the events on a VPSieNode between its machine and its Node.
const (
	EventRegistered  = "Registered"          // labels, taints and the rest were put on the Node
	EventInitialized = "Initialized"         // pods may run
	EventSmaller     = "SmallerThanPromised" // the Node offers less than the plan counted on
)

const (
	reasonWaitingForNode      = "WaitingForNode"
	reasonRegistered          = "Registered"
	reasonNotReady            = "NodeNotReady"
	reasonStartupTaints       = "StartupTaints"
	reasonAwaitingPlan        = "AwaitingPlan"
	reasonResourcesMissing    = "ResourcesMissing"
	reasonInitialized         = "Initialized"
	reasonRegistrationTimeout = "RegistrationTimeout"
	reasonInstanceGone        = "InstanceGone"
	reasonNodeGone            = "NodeGone"
)

// join waits for the Node, makes it ours, and waits until pods may run on it. Nothing of that asks VPSie: whether it still lists the machine is
// looked at when nothing else happened, so that an outage keeps no Node from its pods.
func (r *Reconciler) join(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	node, err := r.node(ctx, vn)
	if err != nil {
		return 0, err
	}
	before := vn.DeepCopy()
	wait, err := r.enter(ctx, vn, node)
	if err != nil || vn.Status.Phase == v1alpha1.PhaseFailed || !equality.Semantic.DeepEqual(before.Status, vn.Status) {
		return wait, err
	}
	gone, sooner, err := r.watch(ctx, vn, node)
	if err != nil || gone {
		return 0, err
	}
	if sooner > 0 {
		wait = min(wait, sooner)
	}
	return wait, nil
}

// enter brings the machine's Node as far as it comes now.
func (r *Reconciler) enter(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (time.Duration, error) {
	if node == nil {
		return r.awaitNode(vn)
	}
	vn.Status.NodeName = node.Name
	// A Node that was deleted and came back is a new one: without our labels and taints.
	if !meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionRegistered) || node.Labels[v1alpha1.VPSieNodeLabel] != vn.Name {
		if err := r.register(ctx, vn, node); err != nil {
			return 0, err
		}
	}
	vn.Status.Allocatable = node.Status.Allocatable
	return r.initialize(ctx, vn, node)
}

// node returns the Node that the machine joined as, nil where there is none yet.
func (r *Reconciler) node(ctx context.Context, vn *v1alpha1.VPSieNode) (*corev1.Node, error) {
	name := cmp.Or(vn.Status.NodeName, strings.ToLower(vn.Status.Hostname))
	if name == "" {
		return nil, nil //nolint:nilnil // no name, no Node
	}
	node := &corev1.Node{}
	err := r.kube.Get(ctx, client.ObjectKey{Name: name}, node)
	if apierrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // not there yet, or not any more
	}
	if err != nil {
		return nil, fmt.Errorf("reading node %q: %w", name, err)
	}
	return node, nil
}

func (r *Reconciler) awaitNode(vn *v1alpha1.VPSieNode) (time.Duration, error) {
	if meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionRegistered) {
		setCondition(vn, v1alpha1.ConditionInitialized, metav1.ConditionFalse, reasonNodeGone, fmt.Sprintf("node %q was deleted and has not come back", vn.Status.NodeName))
		vn.Status.Phase = v1alpha1.PhaseJoining
	} else {
		vn.Status.Phase = v1alpha1.PhaseProvisioned
		setCondition(vn, v1alpha1.ConditionRegistered, metav1.ConditionFalse, reasonWaitingForNode, fmt.Sprintf("waiting for node %q to join", vn.Status.Hostname))
	}
	return r.bounded(vn, fmt.Sprintf("node %q did not join within %s of the machine's appearance", vn.Status.Hostname, r.options.RegistrationTimeout))
}

// bounded fails the VPSieNode when the time to join is over: counted from when the machine appeared, and once it joined, from the last time that its Node
// began to be waited for. Not from what the inventory says: a list that lacks the machine now and then would put it off for ever.
func (r *Reconciler) bounded(vn *v1alpha1.VPSieNode, message string) (time.Duration, error) {
	since := vn.CreationTimestamp.Time
	for _, kind := range []string{v1alpha1.ConditionRegistered, v1alpha1.ConditionInitialized} {
		at := meta.FindStatusCondition(vn.Status.Conditions, kind)
		if pending := unstamped(); at != nil && at.LastTransitionTime.Equal(&pending) {
			since = r.options.Clock.Now()
		} else if at != nil && at.LastTransitionTime.After(since) {
			since = at.LastTransitionTime.Time
		}
	}
	left := r.options.RegistrationTimeout - r.options.Clock.Since(since)
	if left > 0 {
		return min(left, r.options.InventoryInterval*6), nil
	}
	r.fail(vn, reasonRegistrationTimeout, message)
	return 0, nil
}

// uninitialized is on a Node whose kubelet was told to wait for a cloud controller manager.
const uninitialized = "node.cloudprovider.kubernetes.io/uninitialized"

// register puts on the Node what VPSie cannot: labels, annotations, taints and provider ID, and lifts the taint that kept pods away
// until now, all in one write.
func (r *Reconciler) register(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) error {
	if other := node.Labels[v1alpha1.VPSieNodeLabel]; other != "" && other != vn.Name {
		return fmt.Errorf("registering node %q: it already belongs to VPSieNode %q", node.Name, other)
	}
	if err := r.change(ctx, node, func(n *corev1.Node) { dress(n, vn) }); err != nil {
		return fmt.Errorf("registering node %q: %w", node.Name, err)
	}
	vn.Status.Phase = v1alpha1.PhaseJoining
	vn.Status.ProviderID = node.Spec.ProviderID
	setCondition(vn, v1alpha1.ConditionRegistered, metav1.ConditionTrue, reasonRegistered, fmt.Sprintf("node %q carries its labels and taints", node.Name))
	r.event(vn, corev1.EventTypeNormal, EventRegistered, "Register", "Node %s joined and carries its labels and taints", node.Name)
	r.logOnce(ctx, vn, "registered node", "vpsieNode", klog.KObj(vn), "node", klog.KObj(node))
	return nil
}

// change writes a Node that its kubelet writes all the time too: what somebody else changed meanwhile is read again and kept.
func (r *Reconciler) change(ctx context.Context, node *corev1.Node, change func(*corev1.Node)) error {
	first := true
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		if !first {
			if err := r.kube.Get(ctx, client.ObjectKeyFromObject(node), node); err != nil {
				return err
			}
		}
		first = false
		before := node.DeepCopy()
		change(node)
		return r.kube.Patch(ctx, node, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
}

// dress gives the Node everything that its VPSieNode promises to the scheduler, and labels that say whose it is. Not an owner reference: were
// the VPSieNode removed by force, Kubernetes would collect the Node, with its pods, and with it the only record of a machine that is paid for.
func dress(node *corev1.Node, vn *v1alpha1.VPSieNode) {
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	if node.Annotations == nil {
		node.Annotations = map[string]string{}
	}
	hostname := node.Labels[corev1.LabelHostname]
	maps.Copy(node.Labels, chosen(vn).Labels)
	maps.Copy(node.Labels, vn.Spec.Labels)
	node.Labels[corev1.LabelHostname] = cmp.Or(hostname, node.Name)
	node.Labels[v1alpha1.ManagedLabel] = v1alpha1.ManagedValue
	node.Labels[v1alpha1.NodeGroupLabel] = vn.Spec.NodeGroup
	node.Labels[v1alpha1.VPSieNodeLabel] = vn.Name
	maps.Copy(node.Annotations, vn.Spec.Annotations)
	node.Annotations[v1alpha1.CreationReasonAnnotation] = string(vn.Spec.CreationReason)
	node.Annotations[v1alpha1.VPSIDAnnotation] = vn.Status.InstanceID
	node.Spec.ProviderID = cmp.Or(node.Spec.ProviderID, providerID(vn))
	// Whoever sets the provider ID takes this taint off; VPSie's cloud controller manager knows no instances.
	node.Spec.Taints = slices.DeleteFunc(withoutHold(node.Spec.Taints), func(t corev1.Taint) bool { return t.Key == uninitialized })
	node.Spec.Taints = append(node.Spec.Taints, hold())
	for _, taint := range slices.Concat(vn.Spec.Taints, vn.Spec.StartupTaints) {
		want := corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: taint.Effect}
		if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&want) }) {
			node.Spec.Taints = append(node.Spec.Taints, want)
		}
	}
}

// initialize waits until the Node is Ready, its startup taints are gone and what was planned with can be allocated.
func (r *Reconciler) initialize(ctx context.Context, vn *v1alpha1.VPSieNode, node *corev1.Node) (time.Duration, error) {
	initialized := meta.IsStatusConditionTrue(vn.Status.Conditions, v1alpha1.ConditionInitialized)
	reason, message := missing(vn, node)
	if d := (door{vn, node}); held(node) && r.openable(d) {
		wait, what, err := r.admitWithPlan(ctx, d)
		if err != nil {
			return 0, err
		}
		if wait > 0 && (what == "" || initialized) { // what has been a Node before has joined
			return wait, nil
		}
		if wait > 0 {
			vn.Status.Phase = v1alpha1.PhaseJoining
			setCondition(vn, v1alpha1.ConditionInitialized, metav1.ConditionFalse, reasonAwaitingPlan, fmt.Sprintf(
				"node %q is Ready and opens together with the others of its plan, at most %s later: waiting for %s", node.Name, r.options.OpenTogether+settleWithin, what))
			return wait, nil
		}
	}
	if reason == "" && !initialized && !r.heldTooLong(vn) {
		reason, message = lacking(vn, node)
	}
	if reason != "" {
		if initialized && reason == reasonNotReady {
			// It has been a Node and may be one again; what is to become of it is the disruption loop's to say.
			vn.Status.Phase = v1alpha1.PhaseJoining
			return r.options.InventoryInterval * 6, nil
		}
		if initialized {
			return r.options.InventoryInterval * 6, nil
		}
		vn.Status.Phase = v1alpha1.PhaseJoining
		setCondition(vn, v1alpha1.ConditionInitialized, metav1.ConditionFalse, reason, message)
		return r.bounded(vn, fmt.Sprintf("node %q was not ready for pods within %s: %s", node.Name, r.options.RegistrationTimeout, message))
	}
	vn.Status.Phase = v1alpha1.PhaseReady
	if !initialized {
		setCondition(vn, v1alpha1.ConditionInitialized, metav1.ConditionTrue, reasonInitialized, fmt.Sprintf("node %q is ready for pods", node.Name))
		r.event(vn, corev1.EventTypeNormal, EventInitialized, "Initialize", "Node %s is ready for pods", node.Name)
		if smaller := shortfall(vn, node); smaller != "" {
			r.event(vn, corev1.EventTypeWarning, EventSmaller, "Initialize", "Node %s offers less than %s promised: %s", node.Name, vn.Status.Offering, smaller)
		}
		r.metrics.ready(r.options.Clock.Since(vn.CreationTimestamp.Time))
		r.logOnce(ctx, vn, "initialized node", "vpsieNode", klog.KObj(vn), "node", klog.KObj(node))
	}
	if r.keepNominated(ctx, door{vn, node}) {
		return nominationsSettle, nil
	}
	return r.options.InventoryInterval * 12, nil
}

// missing says what the Node lacks before pods may run on it.
func missing(vn *v1alpha1.VPSieNode, node *corev1.Node) (reason, message string) {
	if !ready(node) {
		return reasonNotReady, fmt.Sprintf("node %q is not Ready", node.Name)
	}
	// Opened before that, it would open to pods later than the others of its plan, and by a write that conflicts.
	if i := slices.IndexFunc(node.Spec.Taints, state.Transient); i >= 0 {
		return reasonNotReady, fmt.Sprintf("node %q is Ready, and Kubernetes has not yet taken its taint %q off", node.Name, node.Spec.Taints[i].Key)
	}
	for _, startup := range vn.Spec.StartupTaints {
		want := corev1.Taint{Key: startup.Key, Effect: startup.Effect}
		if slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&want) }) {
			return reasonStartupTaints, fmt.Sprintf("startup taint %q is still on node %q", startup.Key, node.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(vn.Spec.Resources)) {
		have := node.Status.Allocatable[name]
		if have.IsZero() && !vn.Spec.Resources.Name(name, "").IsZero() {
			return reasonResourcesMissing, fmt.Sprintf("node %q does not offer any %s yet", node.Name, name)
		}
	}
	return "", ""
}

// lacking says what the Node does not offer of what its pods request. Devices come one by one. Memory that a machine got less of than was sold
// does not, so this is waited for only as long as a Node may be held: the pods that fit run, and the others are planned for anew.
func lacking(vn *v1alpha1.VPSieNode, node *corev1.Node) (reason, message string) {
	for _, name := range slices.Sorted(maps.Keys(vn.Spec.Resources)) {
		have, want := node.Status.Allocatable[name], vn.Spec.Resources[name]
		if have.Cmp(want) < 0 {
			return reasonResourcesMissing, fmt.Sprintf("node %q offers %s %s yet, and its pods request %s", node.Name, have.String(), name, want.String())
		}
	}
	return "", ""
}

// shortfall says by how much the Node is smaller than the plan counted on. A shared-CPU machine may show less memory than was sold.
func shortfall(vn *v1alpha1.VPSieNode, node *corev1.Node) string {
	var short []string
	promised := chosen(vn).Allocatable
	for _, name := range slices.Sorted(maps.Keys(promised)) {
		have, want := node.Status.Allocatable[name], promised[name]
		if have.Cmp(want) < 0 {
			short = append(short, fmt.Sprintf("%s %s instead of %s", name, have.String(), want.String()))
		}
	}
	return strings.Join(short, ", ")
}
