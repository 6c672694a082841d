// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// hold keeps pods that were not planned for it away from a Node that is registered and not Ready yet. NoSchedule, as what makes a
// Node Ready (a network plugin) tolerates that and perhaps nothing more.
func hold() corev1.Taint {
	return corev1.Taint{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoSchedule}
}

// LongestHold bounds how long a registered Node is kept closed: should a Node need something to become Ready that does not tolerate it, it gets it then.
const LongestHold = time.Minute

func withoutHold(taints []corev1.Taint) []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(taints), func(t corev1.Taint) bool { return t.Key == v1alpha1.UnregisteredTaint })
}

func held(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.UnregisteredTaint })
}

func (r *Reconciler) heldTooLong(vn *v1alpha1.VPSieNode) bool {
	registered := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionRegistered)
	return registered != nil && registered.LastTransitionTime.After(unstamped().Time) && r.options.Clock.Since(registered.LastTransitionTime.Time) > LongestHold
}

func (r *Reconciler) open(ctx context.Context, node *corev1.Node) error {
	if err := r.change(ctx, node, func(n *corev1.Node) { n.Spec.Taints = withoutHold(n.Spec.Taints) }); err != nil {
		return fmt.Errorf("opening node %q for pods: %w", node.Name, err)
	}
	return nil
}

func (r *Reconciler) nominateAll(ctx context.Context, d door) {
	for _, name := range plannedPods(d.vn) {
		if err := r.nominate(ctx, name, d.node.Name); err != nil {
			// The plan still holds without it, only less surely.
			log.FromContext(ctx).V(1).Info("could not nominate pod", "pod", klog.KRef(name.Namespace, name.Name), "node", klog.KObj(d.node), "err", err.Error())
		}
	}
}

func (r *Reconciler) nominate(ctx context.Context, name types.NamespacedName, node string) error {
	pod := &corev1.Pod{}
	if err := r.kube.Get(ctx, name, pod); err != nil {
		return client.IgnoreNotFound(err)
	}
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || pod.Status.NominatedNodeName == node {
		return nil
	}
	before := pod.DeepCopy()
	pod.Status.NominatedNodeName = node
	return client.IgnoreNotFound(r.kube.Status().Patch(ctx, pod, client.MergeFrom(before)))
}

// plannedPods reads the annotation in which the plan names the pods of a machine.
func plannedPods(vn *v1alpha1.VPSieNode) []types.NamespacedName {
	var pods []types.NamespacedName
	for key := range strings.SplitSeq(vn.Annotations[v1alpha1.PodsAnnotation], ",") {
		if namespace, name, ok := strings.Cut(key, "/"); ok {
			pods = append(pods, types.NamespacedName{Namespace: namespace, Name: name})
		}
	}
	return pods
}
