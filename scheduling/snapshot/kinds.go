// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"

	fwk "k8s.io/kube-scheduler/framework"
)

// kinds counts, of the pods on nodes in the picture, how many of a shape are on which node.
type kinds struct {
	on     map[*Shape]map[string]int
	shared bool            // on belongs to clones as well
	own    map[*Shape]bool // the counts that no clone has; nil: all of them
}

func newKinds() kinds { return kinds{on: map[*Shape]map[string]int{}} }

func (k *kinds) copy() kinds {
	k.shared, k.own = true, map[*Shape]bool{}
	return kinds{on: k.on, shared: true, own: map[*Shape]bool{}}
}

func (k *kinds) count(shape *Shape, node string, by int) {
	if k.shared {
		k.on, k.shared = maps.Clone(k.on), false
	}
	on := k.on[shape]
	switch {
	case on == nil:
		on = map[string]int{}
		k.on[shape] = on
	case k.own != nil && !k.own[shape]:
		on = maps.Clone(on)
		k.on[shape] = on
	}
	if k.own != nil {
		k.own[shape] = true
	}
	if on[node] += by; on[node] == 0 {
		if delete(on, node); len(on) == 0 {
			delete(k.on, shape)
			delete(k.own, shape)
		}
	}
}

// Kinds returns the shapes of the pods that are on nodes in the picture, with the number of such pods on each node that has any. The
// maps must not be changed, and hold only until the snapshot changes.
func (s *Snapshot) Kinds() map[*Shape]map[string]int { return s.kinds.on }

func (s *Snapshot) countKind(pod fwk.PodInfo, node string, by int) {
	if shape, ours := ShapeOf(pod); ours { // nobody else makes them
		s.kinds.count(shape, node, by)
	}
}
