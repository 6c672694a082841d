// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

const (
	// pollAfter is when to look again at what no watch tells of.
	pollAfter = 5 * time.Second
	// waitingAfter is when to check again a decision that has to wait for its turn: each check looks at the whole cluster.
	waitingAfter = 10 * time.Second
	// proposedAfter is when to look again whether a decision that waits for a person is still right.
	proposedAfter = 30 * time.Second
	// longestMessage is what the API server accepts.
	longestMessage = 2048
)

// advance makes the step that the phase asks for and returns when to come back. The next phase is written before anything is done
// in it, so that whoever finds the Disruption after a crash knows what may have been touched.
func (r *Reconciler) advance(ctx context.Context, d *v1alpha1.Disruption) (time.Duration, error) {
	switch d.Status.Phase {
	case v1alpha1.DisruptionApproved:
		return r.begin(ctx, d)
	case v1alpha1.DisruptionLaunching:
		return r.launch(ctx, d)
	case v1alpha1.DisruptionDraining:
		return r.drain(ctx, d)
	case v1alpha1.DisruptionVerifying:
		return r.verify(ctx, d)
	default:
		return r.propose(ctx, d)
	}
}

// propose waits for the approval, and drops a decision that ceased to be right meanwhile.
func (r *Reconciler) propose(ctx context.Context, d *v1alpha1.Disruption) (time.Duration, error) {
	no, err := r.judge.Recheck(ctx, d)
	switch {
	case err != nil:
		return 0, err
	case no != nil && !no.Rule.Temporary():
		r.finish(d, v1alpha1.DisruptionRejected, describe(no.VPSieNode, no.Message))
		return 0, nil
	case d.Spec.Approved == v1alpha1.ApprovedYes:
		enter(d, v1alpha1.DisruptionApproved, "")
		return 0, nil
	}
	enter(d, v1alpha1.DisruptionProposed, "waits until a person sets spec.approved to Yes")
	return proposedAfter, nil
}

// begin checks the decision for the last time before anything is touched.
func (r *Reconciler) begin(ctx context.Context, d *v1alpha1.Disruption) (time.Duration, error) {
	no, err := r.judge.Recheck(ctx, d)
	switch {
	case err != nil:
		return 0, err
	case no != nil && no.Rule.Temporary():
		enter(d, v1alpha1.DisruptionApproved, describe(no.VPSieNode, no.Message))
		return waitingAfter, nil
	case no != nil:
		r.finish(d, v1alpha1.DisruptionRejected, describe(no.VPSieNode, no.Message))
		return 0, nil
	}
	d.Status.StartedAt = new(metav1.NewTime(r.o.Clock.Now()))
	enter(d, v1alpha1.DisruptionLaunching, "")
	return 0, nil
}

// launch keeps new pods away from the leaving nodes and waits for the replacements.
func (r *Reconciler) launch(ctx context.Context, d *v1alpha1.Disruption) (time.Duration, error) {
	leaving, err := r.leaving(ctx, d)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, m := range leaving {
		if m.Node != nil { // without one the check below refuses
			errs = append(errs, r.drainer.Taint(ctx, m.Node))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}
	if no, err := r.judge.Recheck(ctx, d); err != nil {
		return 0, err
	} else if no != nil {
		return 0, r.rollBack(ctx, d, describe(no.VPSieNode, no.Message))
	}
	waiting, failure, err := r.replacements(ctx, d)
	switch {
	case err != nil:
		return 0, err
	case failure != "":
		return 0, r.rollBack(ctx, d, failure)
	case len(waiting) == 0:
		enter(d, v1alpha1.DisruptionDraining, "")
		return 0, nil
	case r.elapsed(d) >= r.o.LaunchTimeout:
		return 0, r.rollBack(ctx, d, fmt.Sprintf("replacements were not Ready within %s: %s", r.o.LaunchTimeout, strings.Join(waiting, "; ")))
	}
	enter(d, v1alpha1.DisruptionLaunching, "waits for replacements: "+strings.Join(waiting, "; "))
	return pollAfter, nil
}

// drain makes one pass over each leaving node and deletes the VPSieNodes of those that are drained. The machines were read before the
// check and are deleted only as they were read.
func (r *Reconciler) drain(ctx context.Context, d *v1alpha1.Disruption) (time.Duration, error) {
	leaving, err := r.leaving(ctx, d)
	if err != nil {
		return 0, err
	}
	if no, err := r.judge.Recheck(ctx, d); err != nil {
		return 0, err
	} else if no != nil {
		return 0, r.rollBack(ctx, d, describe(no.VPSieNode, no.Message))
	}
	var waiting []string
	var errs []error
	wait := pollAfter
	for _, m := range leaving {
		if m.Node == nil {
			waiting = append(waiting, m.VPSieNode.Name+": its Node")
			continue
		}
		progress, err := r.drainer.Drain(ctx, m.Node, deadline(d, m.VPSieNode))
		if err != nil {
			errs = append(errs, err)
		} else if progress.Done {
			errs = append(errs, r.remove(ctx, d, m.VPSieNode))
		} else {
			waiting = append(waiting, progress.Waiting...)
			wait = min(wait, max(progress.RetryAfter, time.Second))
		}
	}
	switch err := errors.Join(errs...); {
	case err != nil:
		return 0, err
	case len(waiting) == 0:
		enter(d, v1alpha1.DisruptionVerifying, "")
		return 0, nil
	case savesMoney(d.Spec.Reason) && r.elapsed(d) >= r.o.GiveUpAfter:
		return 0, r.rollBack(ctx, d, fmt.Sprintf("the nodes were not drained within %s: %s", r.o.GiveUpAfter, strings.Join(waiting, "; ")))
	}
	enter(d, v1alpha1.DisruptionDraining, "waits for "+strings.Join(waiting, "; "))
	return wait, nil
}

// savesMoney says whether not carrying the decision out costs nothing but money.
func savesMoney(reason v1alpha1.DisruptionReason) bool {
	return reason == v1alpha1.ReasonEmpty || reason == v1alpha1.ReasonCheaper
}

func deadline(d *v1alpha1.Disruption, vn *v1alpha1.VPSieNode) time.Time {
	if vn.Spec.TerminationGracePeriod == nil || d.Status.StartedAt == nil {
		return time.Time{}
	}
	return d.Status.StartedAt.Add(vn.Spec.TerminationGracePeriod.Duration)
}

// remove deletes the VPSieNode if it is still exactly what was read. Its finalizer releases the machine.
func (r *Reconciler) remove(ctx context.Context, d *v1alpha1.Disruption, vn *v1alpha1.VPSieNode) error {
	err := r.kube.Delete(ctx, vn, client.Preconditions{UID: &vn.UID, ResourceVersion: &vn.ResourceVersion})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("deleting VPSieNode %q: %w", vn.Name, err)
	}
	r.o.Recorder.Eventf(vn, d, corev1.EventTypeNormal, EventRemoved, actionExecute, "Disruption %s (%s) removes this machine", d.Name, d.Spec.Reason)
	return nil
}

// verify waits until every VPSieNode is gone, and with it its machine.
func (r *Reconciler) verify(ctx context.Context, d *v1alpha1.Disruption) (time.Duration, error) {
	var waiting []string
	for _, removal := range d.Spec.Remove {
		vn, err := r.vpsieNode(ctx, removal.VPSieNode)
		if err != nil {
			return 0, err
		}
		if vn != nil && string(vn.UID) == removal.UID {
			waiting = append(waiting, fmt.Sprintf("%s: %s", vn.Name, vn.Status.Phase))
		}
	}
	if len(waiting) == 0 {
		r.finish(d, v1alpha1.DisruptionSucceeded, "")
		return 0, nil
	}
	enter(d, v1alpha1.DisruptionVerifying, "waits for VPSieNodes to disappear: "+strings.Join(waiting, "; "))
	return pollAfter, nil
}

// leaving reads the machines that are still to be removed, with their Nodes where there are any. Namesakes and machines that are being
// deleted are not among them.
func (r *Reconciler) leaving(ctx context.Context, d *v1alpha1.Disruption) ([]state.Machine, error) {
	var machines []state.Machine
	for _, removal := range d.Spec.Remove {
		vn, err := r.vpsieNode(ctx, removal.VPSieNode)
		if err != nil {
			return nil, err
		}
		if vn == nil || string(vn.UID) != removal.UID || !vn.DeletionTimestamp.IsZero() {
			continue
		}
		m := state.Machine{VPSieNode: vn}
		if m.Node, err = r.node(ctx, state.NodeName(vn)); err != nil {
			return nil, fmt.Errorf("reading the Node of VPSieNode %q: %w", vn.Name, err)
		}
		machines = append(machines, m)
	}
	return machines, nil
}

// vpsieNode returns the VPSieNode of that name, nil when there is none.
func (r *Reconciler) vpsieNode(ctx context.Context, name string) (*v1alpha1.VPSieNode, error) {
	var vn v1alpha1.VPSieNode
	if err := r.reader.Get(ctx, client.ObjectKey{Name: name}, &vn); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading VPSieNode %q: %w", name, err)
	}
	return &vn, nil
}

// node returns the Node of that name, nil when there is none.
func (r *Reconciler) node(ctx context.Context, name string) (*corev1.Node, error) {
	if name == "" {
		return nil, nil
	}
	var node corev1.Node
	if err := r.reader.Get(ctx, client.ObjectKey{Name: name}, &node); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return &node, nil
}

func (r *Reconciler) elapsed(d *v1alpha1.Disruption) time.Duration {
	if d.Status.StartedAt == nil {
		return 0
	}
	return r.o.Clock.Since(d.Status.StartedAt.Time)
}

func enter(d *v1alpha1.Disruption, phase v1alpha1.DisruptionPhase, message string) {
	d.Status.Phase = phase
	d.Status.Message = shorten(message, longestMessage)
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-3], "") + "..."
}

func (r *Reconciler) finish(d *v1alpha1.Disruption, phase v1alpha1.DisruptionPhase, message string) {
	enter(d, phase, message)
	d.Status.FinishedAt = new(metav1.NewTime(r.o.Clock.Now()))
}

func describe(vpsieNode, message string) string {
	return fmt.Sprintf("VPSieNode %q %s", vpsieNode, message)
}

func setReady(d *v1alpha1.Disruption) {
	condition := metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: string(d.Status.Phase), Message: d.Status.Message,
		ObservedGeneration: d.Generation,
	}
	if d.Status.Phase == v1alpha1.DisruptionSucceeded {
		condition.Status = metav1.ConditionTrue
	}
	meta.SetStatusCondition(&d.Status.Conditions, condition)
}
