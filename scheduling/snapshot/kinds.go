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
	apart  map[*Shape]bool // those of on that keep others off their domains
	shared bool            // on and apart belong to clones as well
	own    map[*Shape]bool // the counts that no clone has; nil: all of them
}

func newKinds() kinds { return kinds{on: map[*Shape]map[string]int{}, apart: map[*Shape]bool{}} }

func (k *kinds) copy() kinds {
	k.shared, k.own = true, map[*Shape]bool{}
	return kinds{on: k.on, apart: k.apart, shared: true, own: map[*Shape]bool{}}
}

func (k *kinds) count(shape *Shape, node string, by int) {
	if k.shared {
		k.on, k.apart, k.shared = maps.Clone(k.on), maps.Clone(k.apart), false
	}
	on := k.on[shape]
	switch {
	case on == nil:
		on = map[string]int{}
		k.on[shape] = on
		if len(shape.AntiAffinity()) > 0 {
			k.apart[shape] = true
		}
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
			delete(k.apart, shape)
			delete(k.own, shape)
		}
	}
}

// Kinds returns the shapes of the pods that are on nodes in the picture, with the number of such pods on each node that has any. The
// maps must not be changed, and hold only until the snapshot changes.
func (s *Snapshot) Kinds() map[*Shape]map[string]int { return s.kinds.on }

// Apart returns those of the kinds that have a required anti-affinity, under the same terms.
func (s *Snapshot) Apart() map[*Shape]bool { return s.kinds.apart }

func (s *Snapshot) countKind(pod fwk.PodInfo, node string, by int) {
	if shape, ours := ShapeOf(pod); ours { // nobody else makes them
		s.kinds.count(shape, node, by)
	}
}
