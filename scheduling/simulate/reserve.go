// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
)

// reservation is a placement whose volumes or devices are spoken for.
type reservation struct {
	query *Query
	node  string
}

// booking is an entry of the journal: a reservation that was made, or one that was given back.
type booking struct {
	reservation
	back      bool
	allocated []*resourceapi.ResourceClaim // what the pod's claims had got when it was given back
}

// Fork marks the present state of the snapshot and of what is reserved. Forks nest.
func (e *Engine) Fork() {
	e.snapshot.Fork()
	e.marks = append(e.marks, len(e.bookings))
}

// Commit drops the newest mark and keeps the changes since it.
func (e *Engine) Commit() {
	e.snapshot.Commit()
	e.marks = e.marks[:len(e.marks)-1]
}

// Revert takes back every change since the newest mark.
func (e *Engine) Revert() {
	e.snapshot.Revert()
	mark := e.marks[len(e.marks)-1]
	e.marks = e.marks[:len(e.marks)-1]
	for at := len(e.bookings) - 1; at >= mark; at-- {
		b := e.bookings[at]
		if !b.back {
			e.unreserve(b.reservation)
			continue
		}
		if verdict := e.reserve(b.reservation); !verdict.Fits {
			panic("simulate: what was given back cannot be had again: " + verdict.String()) // a picture nobody can trust any more
		}
		e.devices.restore(b.allocated)
	}
	clear(e.bookings[mark:]) // let go of the pods
	e.bookings = e.bookings[:mark]
}

// Depth returns how many forks are open.
func (e *Engine) Depth() int { return len(e.marks) }

// RevertTo takes back every fork beyond a depth.
func (e *Engine) RevertTo(depth int) {
	for len(e.marks) > depth {
		e.Revert()
	}
}

// Place puts the pod on a node that Fits accepted. The verdict says no where the pod's volumes or devices cannot be had together.
func (q *Query) Place(node string) (Verdict, error) {
	e := q.engine
	if e.Reserves(q.pod) {
		r := reservation{q, node}
		if verdict := e.reserve(r); !verdict.Fits {
			e.unreserve(r)
			return verdict, nil
		}
		e.bookings = append(e.bookings, booking{reservation: r})
	}
	if err := e.snapshot.AddPod(q.pod, node); err != nil {
		return Verdict{}, err
	}
	return Verdict{Fits: true}, nil
}

// Remove takes a pod off its node, and gives back the volumes and devices that were kept for it; those that it shares stay with the others.
func (e *Engine) Remove(pod *corev1.Pod) error {
	if err := e.snapshot.RemovePod(pod); err != nil {
		return err
	}
	if r, reserved := e.reserved[nameOf(pod)]; reserved {
		e.bookings = append(e.bookings, booking{r, true, e.devices.allocated(pod)})
		e.unreserve(r)
	}
	return nil
}

// FitsAgain says whether a pod that was placed on a node could be placed there if it, and it alone, were not there yet. Nothing is left of
// the question. It is FitsInstead for pods that are no one's twins, at the price of a whole query and a placement.
func (e *Engine) FitsAgain(pod *corev1.Pod, node string) (Verdict, error) {
	e.Fork()
	defer e.Revert()
	if err := e.Remove(pod); err != nil {
		return Verdict{}, err
	}
	info, err := e.snapshot.NodeInfos().Get(node)
	if err != nil {
		return Verdict{}, err
	}
	keepPorts(info, pod)
	return e.Place(pod, node)
}

func (e *Engine) reserve(r reservation) Verdict {
	e.devices.share(r.query.pod, 1)
	status := r.query.framework.RunReservePluginsReserve(e.ctx, r.query.state, r.query.pod, r.node)
	e.reserved[nameOf(r.query.pod)] = r
	return verdictOf(status)
}

func (e *Engine) unreserve(r reservation) {
	e.devices.share(r.query.pod, -1)
	r.query.framework.RunReservePluginsUnreserve(e.ctx, r.query.state, r.query.pod, r.node)
	delete(e.reserved, nameOf(r.query.pod))
}

// Reserves says whether placing the pod takes volumes or devices that are not counted on the node, and that only Remove and Revert give
// back. Without the reservation two planned pods could be promised the same PersistentVolume.
func (e *Engine) Reserves(pod *corev1.Pod) bool { return Reserves(pod) || e.devices.offered(pod) }

// Reserves says by the pod alone whether it claims volumes or devices.
func Reserves(pod *corev1.Pod) bool {
	if len(pod.Spec.ResourceClaims) > 0 {
		return true
	}
	for i := range pod.Spec.Volumes {
		if pod.Spec.Volumes[i].PersistentVolumeClaim != nil || pod.Spec.Volumes[i].Ephemeral != nil {
			return true
		}
	}
	return false
}

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}
