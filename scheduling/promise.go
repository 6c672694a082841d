// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// keepPromises places pods on the machines that were bought for them, where they are still accepted. Without it a plan that is made
// again while machines are on their way would shuffle the pods among them, and buy more for those that no longer find room.
func (p *planner) keepPromises() error {
	if len(p.promised) == 0 {
		return nil
	}
	var wanted []promise
	for c := range p.left {
		seats := map[int][]*corev1.Pod{}
		for _, pod := range p.left[c] {
			if seat, known := p.book.Seat(p.promised[nameOf(pod)]); known && p.admits(c, seat) {
				seats[seat] = append(seats[seat], pod)
			}
		}
		for _, seat := range sortedKeys(seats) {
			wanted = append(wanted, promise{c, seat, seats[seat]})
		}
	}
	for again := true; again; {
		again = false
		for i := range wanted {
			kept, err := p.keep(&wanted[i])
			if err != nil {
				return err
			}
			again = again || kept
		}
	}
	return nil
}

// promise is a machine that was bought for pods of a class.
type promise struct {
	class, seat int
	pods        []*corev1.Pod // that do not have it yet
}

// keep places promised pods as far as they are accepted now; of pods that are bound to be even, one.
func (p *planner) keep(w *promise) (kept bool, err error) {
	done := map[types.NamespacedName]bool{}
	for len(w.pods) > 0 {
		pod := w.pods[0]
		accepted := p.book.Fits(w.class, w.seat)
		if accepted && p.classes[w.class].opaque {
			verdict, err := p.engine.Place(pod, p.nodeAt(w.seat))
			if err != nil {
				return false, err
			}
			accepted = verdict.Fits
		}
		if !accepted {
			break
		}
		if err := p.enter(w.class, w.seat, []*corev1.Pod{pod}); err != nil {
			return false, err
		}
		p.join(w.class, []*corev1.Pod{pod}, nil, p.nodeAt(w.seat))
		done[nameOf(pod)], w.pods = true, w.pods[1:]
		if p.classes[w.class].relational {
			break
		}
	}
	if len(done) > 0 {
		p.left[w.class] = slices.DeleteFunc(p.left[w.class], func(pod *corev1.Pod) bool { return done[nameOf(pod)] })
	}
	return len(done) > 0, nil
}
