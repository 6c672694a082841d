// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Step is one thing that the controller does to the world in the life of a machine.
type Step string

// The steps, in the order of a life.
const (
	createNode      Step = "create the VPSieNode"
	noteRecord      Step = "write the order down"
	sendOrder       Step = "send the order"
	noteAccepted    Step = "note that it was accepted"
	noteUnknown     Step = "note that its outcome is unknown"
	noteRefused     Step = "note that it was refused"
	noteClaim       Step = "note the machine"
	registerNode    Step = "register the Node"
	noteRegistered  Step = "note the registration"
	openNode        Step = "open the Node"
	noteReady       Step = "note that it is ready"
	noteLooking     Step = "note that the machine is missing"
	noteFailed      Step = "note that it failed"
	deleteVPSieNode Step = "delete the VPSieNode"
	taintNode       Step = "taint the Node for its drain"
	evictPod        Step = "evict a pod"
	noteDraining    Step = "note what the drain waits for"
	noteAwaiting    Step = "note that an order is still waited for"
	sendRelease     Step = "send the release"
	noteReleasing   Step = "note the release"
	noteConfirming  Step = "note that one inventory lacks the machine"
	noteReleased    Step = "note that it is gone"
	removeNode      Step = "remove the Node"
	dropFinalizer   Step = "drop the finalizer"
	recoverNode     Step = "write a lost VPSieNode again"
	noteOther       Step = "write any other status"
)

// Moment is before or after the step took effect.
type Moment string

// The moments.
const (
	Before Moment = "before"
	After  Moment = "after"
)

// Point is where the controller can be killed.
type Point struct {
	Step   Step
	Moment Moment
}

// String names the point with its number.
func (p Point) String() string {
	return fmt.Sprintf("%2d %s: %s", slices.Index(Points(), p)+1, p.Moment, p.Step)
}

// Points lists every point, numbered from 1.
func Points() []Point {
	steps := []Step{
		createNode, noteRecord, sendOrder, noteAccepted, noteUnknown, noteRefused, noteClaim, registerNode, noteRegistered, openNode, noteReady,
		noteLooking, noteFailed, deleteVPSieNode, taintNode, evictPod, noteDraining, noteAwaiting, sendRelease, noteReleasing, noteConfirming,
		noteReleased, removeNode, dropFinalizer, recoverNode, noteOther,
	}
	points := make([]Point, 0, 2*len(steps))
	for _, step := range steps {
		points = append(points, Point{step, Before}, Point{step, After})
	}
	return points
}

// noteOf says which step the write of a status is.
func noteOf(vn *v1alpha1.VPSieNode) Step {
	conditions := vn.Status.Conditions
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionDisrupting); c != nil {
		if step, ok := map[string]Step{
			"Draining": noteDraining, "AwaitingOrder": noteAwaiting, "Releasing": noteReleasing, "Confirming": noteConfirming, "Released": noteReleased,
		}[c.Reason]; ok {
			return step
		}
	}
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionLaunched); c != nil && c.Reason == "InstanceGone" && c.Status == "Unknown" {
		return noteLooking
	}
	switch vn.Status.Phase {
	case v1alpha1.PhaseFailed:
		return noteFailed
	case v1alpha1.PhaseProvisioned:
		return noteClaim
	case v1alpha1.PhaseJoining:
		return noteRegistered
	case v1alpha1.PhaseReady:
		return noteReady
	default:
	}
	switch order := vn.Status.Order; {
	case order == nil && len(vn.Status.Refusals) > 0:
		return noteRefused
	case order == nil:
		return noteOther
	case order.State == v1alpha1.OrderAccepted:
		return noteAccepted
	case order.State == v1alpha1.OrderUnknown:
		return noteUnknown
	default:
		return noteRecord
	}
}

// changeOf says which step the write of an object itself is.
func changeOf(object client.Object) Step {
	node, ok := object.(*corev1.Node)
	switch {
	case !ok:
		return dropFinalizer
	case slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.DisruptingTaint }):
		return taintNode
	case slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.UnregisteredTaint }):
		return registerNode
	default:
		return openNode
	}
}
