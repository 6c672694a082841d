// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// quiet remembers since when the workload of each machine has been the same. It starts anew with the process: what happened while
// nobody watched counts as a change.
type quiet struct {
	mu   sync.Mutex
	seen map[types.UID]sighting // by UID of the VPSieNode
}

type sighting struct {
	workload []types.UID // in the order of the picture, by namespace and name
	since    time.Time
}

func newQuiet() *quiet { return &quiet{seen: map[types.UID]sighting{}} }

// Observe compares the picture with what was seen before and forgets machines that are gone.
func (q *quiet) Observe(picture *state.Picture, now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	seen := make(map[types.UID]sighting, len(picture.Machines))
	for _, m := range picture.Machines {
		next := sighting{since: now}
		for _, pod := range m.Pods {
			if drain.Workload(pod) {
				next.workload = append(next.workload, pod.UID)
			}
		}
		if before, known := q.seen[m.VPSieNode.UID]; known && slices.Equal(before.workload, next.workload) {
			next.since = before.since
		}
		seen[m.VPSieNode.UID] = next
	}
	q.seen = seen
}

// Since returns, by UID of the VPSieNode, since when the workload has been the same.
func (q *quiet) Since() map[types.UID]time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	result := make(map[types.UID]time.Time, len(q.seen))
	for uid, sighting := range maps.All(q.seen) {
		result[uid] = sighting.since
	}
	return result
}
