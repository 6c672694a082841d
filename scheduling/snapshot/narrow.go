// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	fwk "k8s.io/kube-scheduler/framework"
)

// narrowed is a node that shows only some of its pods.
type narrowed struct {
	fwk.NodeInfo
	pods []fwk.PodInfo
}

func (n *narrowed) GetPods() []fwk.PodInfo { return n.pods }

// Narrow hides from the list of all nodes the pods that matter to nobody who asks, until Widen is called; a node that is asked for by
// name is whole. Plugins that count pods all over the cluster look at every pod of the list: a million selectors to find a hundred pods.
func (s *Snapshot) Narrow(matters func(*Shape) bool) {
	if s.bare == nil {
		s.bare, s.views = make([]fwk.NodeInfo, len(s.list)), make([]*narrowed, len(s.list))
		for i, info := range s.list {
			s.views[i] = &narrowed{NodeInfo: info}
			s.bare[i] = s.views[i]
		}
	}
	for shape, on := range s.kinds.on {
		if !matters(shape) {
			continue
		}
		twin := &podInfo{shape.Pod, shape}
		for node, pods := range on {
			at, _ := s.index.get(node)
			n := s.views[at]
			for range pods {
				n.pods = append(n.pods, twin)
			}
			s.touched = append(s.touched, n)
		}
	}
	s.narrow = true
}

// Widen ends what Narrow began.
func (s *Snapshot) Widen() {
	for _, n := range s.touched {
		n.pods = n.pods[:0]
	}
	s.touched, s.narrow = s.touched[:0], false
}
