// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"cmp"
	"fmt"
	"maps"
	"strings"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// Reasons of the events on pods.
const (
	EventPlanned    = "Planned"    // a machine is ordered or on its way for the pod
	EventNotPlanned = "NotPlanned" // nothing is bought for the pod now, and why
)

// EventHeadroomUnmet says on a NodeGroup which of its headroom cannot be had, and why.
const EventHeadroomUnmet = "HeadroomUnmet"

// told remembers the meaning of the last thing said to each pod and NodeGroup, so that it is said once.
type told map[types.UID]string

func (t told) forget(picture *state.Picture) {
	present := map[types.UID]bool{}
	for _, pod := range picture.Pending {
		present[pod.UID] = true
	}
	for _, ng := range picture.NodeGroups {
		present[ng.UID] = true
	}
	maps.DeleteFunc(t, func(uid types.UID, _ string) bool { return !present[uid] })
}

// tell says to each pod what is coming, or why nothing is.
func (p *Provisioner) tell(picture *state.Picture, plan scheduling.Plan, orders []order, reasons map[types.NamespacedName]reason, outage error) {
	byLaunch := lo.KeyBy(orders, func(o order) string { return o.launch.Name })
	coming := coming(picture)
	for _, placement := range plan.Placements {
		if scheduling.IsHeadroom(placement.Pod) {
			continue
		}
		if o, ok := byLaunch[placement.Node]; ok {
			offering := o.launch.Offerings[0]
			p.say(picture.Pod(placement.Pod), machine(o.name), corev1.EventTypeNormal, EventPlanned, o.name,
				fmt.Sprintf("will run on a new %s at %s per hour in node group %s: VPSieNode %s", offering.Name, offering.Price, o.group.Name, o.name))
		} else if vn := coming[placement.Node]; vn != nil && outage != nil && !ordered(vn) {
			p.say(picture.Pod(placement.Pod), machine(vn.Name), corev1.EventTypeWarning, EventNotPlanned, vn.Name+" "+cloudprovider.ReasonOf(outage),
				fmt.Sprintf("waits for VPSieNode %s, which cannot be ordered now: %v", vn.Name, outage))
		} else if vn != nil {
			p.say(picture.Pod(placement.Pod), machine(vn.Name), corev1.EventTypeNormal, EventPlanned, vn.Name,
				fmt.Sprintf("waits for VPSieNode %s, which is on its way", vn.Name))
		}
	}
	for _, rejection := range plan.Rejections {
		if !scheduling.IsHeadroom(rejection.Pod) {
			why := reasons[rejection.Pod]
			p.say(picture.Pod(rejection.Pod), nil, corev1.EventTypeWarning, EventNotPlanned, why.meaning, why.text)
		}
	}
}

// tellGroups says to each NodeGroup which of its headroom cannot be had.
func (p *Provisioner) tellGroups(groups []scheduling.Group, reasons map[types.NamespacedName]reason) {
	for _, group := range groups {
		ng := group.NodeGroup
		text := headroomText(ng, reasons)
		switch {
		case text == "":
			delete(p.told, ng.UID)
		case p.told[ng.UID] != text:
			p.told[ng.UID] = text
			p.recorder.Eventf(ng, nil, corev1.EventTypeWarning, EventHeadroomUnmet, "Provision", "%s", text)
		}
	}
}

// headroomText sums up, shape by shape, how many of the pods that stand for headroom find no room, and why the first of them does not.
func headroomText(ng *v1alpha1.NodeGroup, reasons map[types.NamespacedName]reason) string {
	var texts []string
	for _, room := range ng.Spec.Headroom {
		one := &v1alpha1.NodeGroup{ObjectMeta: ng.ObjectMeta, Spec: v1alpha1.NodeGroupSpec{Headroom: []v1alpha1.Headroom{room}}}
		pods, missing, why := scheduling.Headroom(one), 0, ""
		for _, pod := range pods {
			if reason, rejected := reasons[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]; rejected {
				missing++
				why = cmp.Or(why, reason.text)
			}
		}
		if missing > 0 {
			texts = append(texts, fmt.Sprintf("no room for %d of %d replicas of headroom %q: %s", missing, len(pods), room.Name, why))
		}
	}
	return strings.Join(texts, "; ")
}

// reason is why nothing is bought for a pod.
type reason struct {
	meaning string // it is news only when this is another
	text    string
}

// outageReasons are for pods while the cloud does not say what it sells. Its errors differ from one to the next in what means nothing to a
// pod, such as the number of a request.
func outageReasons(plan scheduling.Plan, outage error) map[types.NamespacedName]reason {
	reasons := make(map[types.NamespacedName]reason, len(plan.Rejections))
	for _, r := range plan.Rejections {
		reasons[r.Pod] = reason{"outage: " + cloudprovider.ReasonOf(outage), fmt.Sprintf("nothing can be bought now: %v", outage)}
	}
	return reasons
}

// coming returns the VPSieNodes of machines that pods cannot be bound to yet, by name in the snapshot.
func coming(picture *state.Picture) map[string]*v1alpha1.VPSieNode {
	nodes := map[string]*v1alpha1.VPSieNode{}
	for _, m := range picture.Machines {
		if !m.Initialized() {
			nodes[m.Name()] = m.VPSieNode
		}
	}
	return nodes
}

// ordered says whether VPSie may know of the machine.
func ordered(vn *v1alpha1.VPSieNode) bool {
	return vn.Status.Phase != "" && vn.Status.Phase != v1alpha1.PhasePending
}

// machine refers to a VPSieNode.
func machine(name string) runtime.Object {
	return &corev1.ObjectReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "VPSieNode", Name: name}
}

// say tells a pod something whose meaning is not what it was told last.
func (p *Provisioner) say(pod *corev1.Pod, related runtime.Object, kind, reason, meaning, note string) {
	if pod == nil || p.told[pod.UID] == meaning {
		return
	}
	p.told[pod.UID] = meaning
	p.recorder.Eventf(pod, related, kind, reason, "Provision", "%s", note)
}
