// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
)

// Series makes snapshots of one cluster, one after the other, each at the cost of what differs from the last: the pods on a node, their
// shapes and counts are worked out once. It is for one goroutine at a time; the snapshots are independent of it and of each other.
type Series struct {
	last *Snapshot // given to nobody; nil before the first
}

// Next returns a snapshot like New does. All lists are by namespace and name and are not changed afterwards, and an object that has changed
// is another object than before.
func (s *Series) Next(objects Objects) (*Snapshot, error) {
	if s.last == nil {
		first, err := New(objects)
		if err != nil {
			return nil, err
		}
		s.last = first
		return s.last.Clone(), nil
	}
	if err := s.last.follow(&objects); err != nil {
		s.last = nil // half of the changes are in it
		return nil, err
	}
	return s.last.Clone(), nil
}

// follow brings the snapshot from the objects that it was made from to others.
func (s *Snapshot) follow(objects *Objects) error {
	before := s.facts
	nodes, pods := roster.Diff(before.nodes, objects.Nodes), roster.Diff(before.objects.Pods, objects.Pods)
	s.facts = before.next(objects, nodes, pods)
	moved, err := s.followNodes(nodes, before.objects)
	if err != nil {
		return err
	}
	for _, change := range pods {
		if err := s.followPod(change); err != nil {
			return err
		}
	}
	if moved {
		if err := s.renominate(); err != nil {
			return err
		}
	}
	s.facts.shapes = s.facts.shapes.fresh(s.facts.objects.Pods, s.kinds)
	return nil
}

// followNodes adds, replaces and removes nodes, and says whether there are other names now.
func (s *Snapshot) followNodes(changes []roster.Change[*corev1.Node], before *Objects) (moved bool, err error) {
	objects := s.facts.objects
	if len(changes) == 0 && roster.Same(before.VirtualNodes, objects.VirtualNodes) &&
		roster.Same(before.CSINodes, objects.CSINodes) && roster.Same(before.CSIDrivers, objects.CSIDrivers) &&
		roster.Same(before.StorageClasses, objects.StorageClasses) {
		return false, nil
	}
	clear(s.csiPlan)
	wanted := map[string]*corev1.Node{} // of the names that may have changed
	for name := range s.planned {
		wanted[name] = nil
	}
	for _, node := range objects.VirtualNodes {
		if wanted[node.Name] == nil && s.facts.registered(node.Name) == nil {
			wanted[node.Name] = s.AsRegistered(node)
		}
	}
	for _, change := range changes {
		name := change.Any().Name
		if change.After != nil {
			wanted[name] = change.After
		} else if _, virtual := wanted[name]; !virtual {
			wanted[name] = nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		known := s.Has(name)
		if err := s.put(name, wanted[name]); err != nil {
			return false, err
		}
		moved = moved || known != s.Has(name)
	}
	return moved, nil
}

// put makes a node look as it should, or takes it out where it is nil.
func (s *Snapshot) put(name string, node *corev1.Node) error {
	at, known := s.index.get(name)
	switch {
	case node == nil && known:
		return s.RemoveNode(name)
	case node == nil:
		return nil
	case !known:
		return s.AddNode(node)
	}
	planned := s.facts.registered(name) == nil
	if s.planned[name] && planned && equality.Semantic.DeepEqual(s.list[at].Node(), node) {
		return nil
	}
	if delete(s.planned, name); planned {
		s.planned[name] = true
	}
	info := s.changing(at)
	info.SetNode(node)
	s.track(info)
	s.record(change{kind: nodeAdded, node: name}) // what was made of the state before is not of this one
	return nil
}

func (s *Snapshot) followPod(change roster.Change[*corev1.Pod]) error {
	if before := change.Before; before != nil {
		s.facts.shapes.forget(before)
		if _, placed := s.NodeOf(before); placed {
			if err := s.RemovePod(before); err != nil {
				return err
			}
		}
	}
	if change.After == nil {
		return nil
	}
	return s.place(change.After)
}

// renominate places nominated pods whose node has come, and takes those away whose node is gone: nominations count only while the node
// is known.
func (s *Snapshot) renominate() error {
	for _, pod := range s.facts.unbound {
		if pod.Status.NominatedNodeName == "" {
			continue
		}
		if _, placed := s.NodeOf(pod); placed == s.Has(pod.Status.NominatedNodeName) {
			continue
		} else if placed {
			if err := s.RemovePod(pod); err != nil {
				return fmt.Errorf("its node is gone: %w", err)
			}
		} else if err := s.place(pod); err != nil {
			return err
		}
	}
	return nil
}
