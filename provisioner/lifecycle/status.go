// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// setCondition notes a condition. summarise stamps the time of those that changed.
func setCondition(vn *v1alpha1.VPSieNode, kind string, status metav1.ConditionStatus, reason, message string) {
	previous := meta.FindStatusCondition(vn.Status.Conditions, kind)
	condition := metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: shorten(message), ObservedGeneration: vn.Generation,
		LastTransitionTime: unstamped(),
	}
	if previous != nil && previous.Status == status {
		condition.LastTransitionTime = previous.LastTransitionTime
	}
	meta.SetStatusCondition(&vn.Status.Conditions, condition)
}

// unstamped marks a transition whose time is not known yet: the clock is read once, at the end of a reconciliation.
func unstamped() metav1.Time { return metav1.NewTime(time.Unix(1, 0)) }

// setTransition gives a condition a new time although its status did not change: what follows is counted from it. Rounded up, as the API
// keeps whole seconds: an inventory that was read within the second before must not pass for a younger one.
func setTransition(vn *v1alpha1.VPSieNode, kind string, now time.Time) {
	if condition := meta.FindStatusCondition(vn.Status.Conditions, kind); condition != nil {
		condition.LastTransitionTime = metav1.NewTime(now.Add(time.Second - 1).Truncate(time.Second))
	}
}

// summarise sums the conditions up in Ready and stamps transitions.
func summarise(vn *v1alpha1.VPSieNode, now time.Time) {
	status, reason, message := metav1.ConditionTrue, "Ready", "pods may run"
	for _, kind := range []string{v1alpha1.ConditionLaunched, v1alpha1.ConditionRegistered, v1alpha1.ConditionInitialized} {
		condition := meta.FindStatusCondition(vn.Status.Conditions, kind)
		if condition == nil {
			status, reason, message = metav1.ConditionFalse, string(v1alpha1.PhasePending), "not started"
			break
		}
		if condition.Status != metav1.ConditionTrue {
			status, reason, message = metav1.ConditionFalse, condition.Reason, condition.Message
			break
		}
	}
	if vn.Status.Phase == "" {
		vn.Status.Phase = v1alpha1.PhasePending
	}
	switch {
	case !vn.DeletionTimestamp.IsZero():
		status, reason, message = metav1.ConditionFalse, string(vn.Status.Phase), "the machine is being removed"
	case status == metav1.ConditionTrue && vn.Status.Phase != v1alpha1.PhaseReady:
		status, reason, message = metav1.ConditionFalse, reasonNotReady, "the node is not Ready"
	}
	setCondition(vn, v1alpha1.ConditionReady, status, reason, message)
	vn.Status.ObservedGeneration = vn.Generation
	pending := unstamped()
	for i := range vn.Status.Conditions {
		if vn.Status.Conditions[i].LastTransitionTime.Equal(&pending) {
			vn.Status.Conditions[i].LastTransitionTime = metav1.NewTime(now)
		}
	}
}
