// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
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

// nominationsAtOnce bounds the requests that nominate pods at the same time.
const nominationsAtOnce = 8

// nominations is what became of the pods that Nodes were bought for.
type nominations struct {
	waiting bool // some pod waits to be bound
	changed bool // some pod was nominated just now
}

// nominateAll nominates the pods that the Nodes were bought for and that wait. One that is nominated already, by us or by kube-scheduler, is left
// alone.
func (r *Reconciler) nominateAll(ctx context.Context, doors []door) nominations {
	var waiting, changed atomic.Bool
	var group errgroup.Group
	group.SetLimit(nominationsAtOnce)
	for _, d := range doors {
		for _, name := range plannedPods(d.vn) {
			group.Go(func() error {
				result, err := r.nominate(ctx, name, d.node.Name)
				if err != nil {
					// The plan still holds without it, only less surely.
					log.FromContext(ctx).V(1).Info("could not nominate pod", "pod", klog.KRef(name.Namespace, name.Name), "node", klog.KObj(d.node), "err", err.Error())
				}
				if result.waiting {
					waiting.Store(true)
				}
				if result.changed {
					changed.Store(true)
				}
				return nil
			})
		}
	}
	_ = group.Wait() // none fails
	return nominations{waiting.Load(), changed.Load()}
}

func (r *Reconciler) nominate(ctx context.Context, name types.NamespacedName, node string) (nominations, error) {
	pod := &corev1.Pod{}
	if err := r.kube.Get(ctx, name, pod); err != nil {
		return nominations{}, client.IgnoreNotFound(err)
	}
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		return nominations{}, nil
	}
	if pod.Status.NominatedNodeName != "" {
		return nominations{waiting: true}, nil
	}
	before := pod.DeepCopy()
	pod.Status.NominatedNodeName = node
	err := r.kube.Status().Patch(ctx, pod, client.MergeFrom(before))
	return nominations{waiting: true, changed: err == nil}, client.IgnoreNotFound(err)
}

// keepsFor is how long pods are nominated again once their Node is open. kube-scheduler clears a nomination when it fails to place the pod, as
// it does until the pod that this one must be near is bound.
const keepsFor = 15 * time.Second

// withdrawnWithin is how long after that nominations that came to nothing are looked for.
const withdrawnWithin = time.Minute

// keepNominated nominates again who lost it, and says whether to look again soon. In the end it withdraws what came to nothing.
func (r *Reconciler) keepNominated(ctx context.Context, d door) bool {
	initialized := meta.FindStatusCondition(d.vn.Status.Conditions, v1alpha1.ConditionInitialized)
	since := initialized.LastTransitionTime.Time
	switch age := r.options.Clock.Since(since); {
	case !since.After(unstamped().Time) || age <= keepsFor:
		return r.nominateAll(ctx, []door{d}).waiting
	case age <= keepsFor+withdrawnWithin:
		r.withdraw(ctx, d)
	}
	return false
}

// withdraw takes the nominations of pods back that kube-scheduler found no room for on the Node, because it filled the room with others. Whoever plans
// takes a nominated pod for placed, so it would wait until kube-scheduler tries it again, minutes later.
func (r *Reconciler) withdraw(ctx context.Context, d door) {
	for _, name := range plannedPods(d.vn) {
		pod := &corev1.Pod{}
		err := client.IgnoreNotFound(r.kube.Get(ctx, name, pod))
		if err == nil && pod.Status.NominatedNodeName == d.node.Name && state.Unschedulable(pod) {
			before := pod.DeepCopy()
			pod.Status.NominatedNodeName = ""
			if err = client.IgnoreNotFound(r.kube.Status().Patch(ctx, pod, client.MergeFrom(before))); err == nil {
				log.FromContext(ctx).Info("withdrew a nomination that came to nothing", "pod", klog.KRef(name.Namespace, name.Name), "node", klog.KObj(d.node))
			}
		}
		if err != nil {
			log.FromContext(ctx).V(1).Info("could not withdraw nomination", "pod", klog.KRef(name.Namespace, name.Name), "node", klog.KObj(d.node), "err", err.Error())
		}
	}
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
