// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// ReplacementOf is the annotation on a replacement that holds the UID of its Disruption. Without it nothing is rolled back: a
// VPSieNode of the same name may be somebody else's.
const ReplacementOf = v1alpha1.Group + "/replacement-of"

// creator launches machines through the API server; lifecycle orders them.
type creator struct{ kube client.Client }

func (c creator) Launch(ctx context.Context, vn *v1alpha1.VPSieNode) error {
	return c.kube.Create(ctx, vn)
}

// replacements creates those that do not exist and says which are not Ready yet, or why the rest is not worth waiting for.
func (r *Reconciler) replacements(ctx context.Context, d *v1alpha1.Disruption) (waiting []string, failure string, err error) {
	for _, replacement := range d.Spec.Launch {
		vn, err := r.vpsieNode(ctx, replacement.Name)
		if err != nil {
			return nil, "", err
		}
		if vn == nil {
			vn = newVPSieNode(d, replacement)
			if err := r.o.Launcher.Launch(ctx, vn); apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
				return nil, fmt.Sprintf("replacement %q was refused: %v", replacement.Name, err), nil
			} else if err != nil {
				return nil, "", fmt.Errorf("launching replacement %q: %w", replacement.Name, err)
			}
		}
		switch {
		case !replaces(vn, d):
			return nil, fmt.Sprintf("a VPSieNode named %q exists that is not a replacement of this Disruption", vn.Name), nil
		case !vn.DeletionTimestamp.IsZero():
			return nil, fmt.Sprintf("replacement %q was deleted", vn.Name), nil
		case vn.Status.Phase == v1alpha1.PhaseFailed:
			return nil, fmt.Sprintf("replacement %q failed", vn.Name), nil
		case vn.Status.Phase != v1alpha1.PhaseReady:
			waiting = append(waiting, fmt.Sprintf("%s: %s", vn.Name, vn.Status.Phase))
		}
	}
	return waiting, "", nil
}

func newVPSieNode(d *v1alpha1.Disruption, replacement v1alpha1.Replacement) *v1alpha1.VPSieNode {
	return &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{
			Name:        replacement.Name,
			Labels:      map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue, v1alpha1.NodeGroupLabel: replacement.Spec.NodeGroup},
			Annotations: map[string]string{ReplacementOf: string(d.UID), v1alpha1.CreationReasonAnnotation: string(replacement.Spec.CreationReason)},
			Finalizers:  []string{v1alpha1.VPSieNodeFinalizer},
		},
		Spec: *replacement.Spec.DeepCopy(),
	}
}

func replaces(vn *v1alpha1.VPSieNode, d *v1alpha1.Disruption) bool {
	return vn.Annotations[ReplacementOf] == string(d.UID)
}

// rollBack puts everything back and says why. Until all of it succeeded the phase stays, and the next reconcile tries again.
func (r *Reconciler) rollBack(ctx context.Context, d *v1alpha1.Disruption, why string) error {
	if err := r.putBack(ctx, d); err != nil {
		return fmt.Errorf("rolling Disruption %q back because %s: %w", d.Name, why, err)
	}
	r.finish(d, v1alpha1.DisruptionRolledBack, why)
	return nil
}

// putBack takes the taints off the nodes of machines that stay, and releases replacements that run nothing.
func (r *Reconciler) putBack(ctx context.Context, d *v1alpha1.Disruption) error {
	leaving, err := r.leaving(ctx, d)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range leaving {
		if m.Node != nil {
			errs = append(errs, r.drainer.Undo(ctx, m.Node))
		}
	}
	for _, replacement := range d.Spec.Launch {
		errs = append(errs, r.releaseUnused(ctx, d, replacement.Name))
	}
	return errors.Join(errs...)
}

func (r *Reconciler) releaseUnused(ctx context.Context, d *v1alpha1.Disruption, name string) error {
	vn, err := r.vpsieNode(ctx, name)
	if err != nil || vn == nil || !replaces(vn, d) || !vn.DeletionTimestamp.IsZero() {
		return err
	}
	if used, err := r.runsWorkload(ctx, vn); used || err != nil {
		return err
	}
	err = r.kube.Delete(ctx, vn, client.Preconditions{UID: &vn.UID, ResourceVersion: &vn.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting unused replacement %q: %w", name, err)
	}
	return nil
}

func (r *Reconciler) runsWorkload(ctx context.Context, vn *v1alpha1.VPSieNode) (bool, error) {
	node := state.NodeName(vn)
	if node == "" {
		return false, nil
	}
	var pods corev1.PodList
	if err := r.reader.List(ctx, &pods, client.MatchingFields{drain.NodeNameField: node}); err != nil {
		return false, fmt.Errorf("listing the pods of replacement %q: %w", vn.Name, err)
	}
	for i := range pods.Items {
		if pods.Items[i].Spec.NodeName == node && drain.Workload(&pods.Items[i]) {
			return true, nil
		}
	}
	return false, nil
}
