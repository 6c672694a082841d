// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// batch says how long to wait for more pods. A Deployment's pods arrive one after another; planning for the first of them
// would buy a small machine for each.
type batch struct {
	idle, most  time.Duration
	first, last time.Time // arrivals in the open batch; zero while none is open
	known       map[types.UID]bool
}

func newBatch(idle, most time.Duration) *batch {
	return &batch{idle: idle, most: most, known: map[types.UID]bool{}}
}

// observe takes note of the pods that wait now and returns how long to wait before planning for them. Pods that it has
// returned 0 for do not open a batch again.
func (b *batch) observe(now time.Time, pods []*corev1.Pod) time.Duration {
	present := make(map[types.UID]bool, len(pods))
	for _, pod := range pods {
		present[pod.UID] = true
		if !b.known[pod.UID] {
			b.last = now
			if b.first.IsZero() {
				b.first = now
			}
		}
	}
	b.known = present
	if b.first.IsZero() {
		return 0
	}
	wait := min(b.last.Add(b.idle).Sub(now), b.first.Add(b.most).Sub(now))
	if wait > 0 {
		return wait
	}
	b.first, b.last = time.Time{}, time.Time{}
	return 0
}
