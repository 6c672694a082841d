// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// excludedByDrain is the value of the load balancer label when we set it. Undo leaves any other value: a person chose it.
const excludedByDrain = "disrupting"

// Taint keeps new pods and load balancers away from the node. It is the first step of Drain, for those who want it earlier.
func (d *Drainer) Taint(ctx context.Context, node *corev1.Node) error {
	_, err := d.ensureTaint(ctx, node)
	return err
}

// Undo lets pods and load balancers come to the node again.
func (d *Drainer) Undo(ctx context.Context, node *corev1.Node) error {
	current, err := d.current(ctx, node)
	if err != nil || current == nil {
		return err
	}
	changed := current.DeepCopy()
	changed.Spec.Taints = slices.DeleteFunc(changed.Spec.Taints, isDisrupting)
	if changed.Labels[corev1.LabelNodeExcludeBalancers] == excludedByDrain {
		delete(changed.Labels, corev1.LabelNodeExcludeBalancers)
	}
	if _, err := d.patch(ctx, current, changed); err != nil {
		return fmt.Errorf("taking the taint off node %q: %w", node.Name, err)
	}
	return nil
}

// ensureTaint returns the node as it is with the taint, nil when it is gone.
func (d *Drainer) ensureTaint(ctx context.Context, node *corev1.Node) (*corev1.Node, error) {
	current, err := d.current(ctx, node)
	if err != nil || current == nil {
		return nil, err
	}
	changed := current.DeepCopy()
	if i := slices.IndexFunc(changed.Spec.Taints, isDisrupting); i < 0 {
		changed.Spec.Taints = append(changed.Spec.Taints, corev1.Taint{
			Key: v1alpha1.DisruptingTaint, Effect: corev1.TaintEffectNoSchedule, TimeAdded: new(metav1.NewTime(d.clock.Now())),
		})
	} else if changed.Spec.Taints[i].TimeAdded == nil {
		changed.Spec.Taints[i].TimeAdded = new(metav1.NewTime(d.clock.Now()))
	}
	if _, set := changed.Labels[corev1.LabelNodeExcludeBalancers]; !set {
		metav1.SetMetaDataLabel(&changed.ObjectMeta, corev1.LabelNodeExcludeBalancers, excludedByDrain)
	}
	changed, err = d.patch(ctx, current, changed)
	if err != nil {
		return nil, fmt.Errorf("tainting node %q: %w", node.Name, err)
	}
	return changed, nil
}

// current reads the node, nil when it is gone or another one bears its name.
func (d *Drainer) current(ctx context.Context, node *corev1.Node) (*corev1.Node, error) {
	if node.UID == "" {
		return nil, fmt.Errorf("reading node %q: it has no UID, so a namesake could be taken for it", node.Name)
	}
	var current corev1.Node
	err := d.reader.Get(ctx, client.ObjectKeyFromObject(node), &current)
	if apierrors.IsNotFound(err) || err == nil && current.UID != node.UID {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading node %q: %w", node.Name, err)
	}
	return &current, nil
}

// patch writes what differs, unless somebody else changed the node: the list of taints is replaced as a whole. A node that went
// meanwhile is nil.
func (d *Drainer) patch(ctx context.Context, before, after *corev1.Node) (*corev1.Node, error) {
	if len(before.Labels) == len(after.Labels) && slices.EqualFunc(before.Spec.Taints, after.Spec.Taints, sameTaint) {
		return after, nil
	}
	err := d.kube.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return after, err
}

func isDisrupting(taint corev1.Taint) bool {
	return taint.Key == v1alpha1.DisruptingTaint && taint.Effect == corev1.TaintEffectNoSchedule
}

func sameTaint(a, b corev1.Taint) bool {
	return a.MatchTaint(&b) && a.Value == b.Value && (a.TimeAdded == nil) == (b.TimeAdded == nil)
}

func taintedAt(node *corev1.Node) time.Time {
	for _, taint := range node.Spec.Taints {
		if isDisrupting(taint) && taint.TimeAdded != nil {
			return taint.TimeAdded.Time
		}
	}
	return time.Time{}
}
