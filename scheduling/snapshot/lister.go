// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	"k8s.io/component-helpers/storage/ephemeral"
	fwk "k8s.io/kube-scheduler/framework"
)

// An upgrade of Kubernetes that changes what plugins read fails here, not at run time.
var (
	_ fwk.SharedLister                 = (*Snapshot)(nil)
	_ fwk.NodeInfoLister               = nodeInfos{}
	_ fwk.StorageInfoLister            = storageInfos{}
	_ fwk.PodGroupStateLister          = noPodGroupStates{}
	_ fwk.PodGroupLister               = noPodGroups{}
	_ fwk.CompositePodGroupLister      = noComposites{}
	_ fwk.CompositePodGroupStateLister = noCompositeStates{}
)

// NodeInfos lists the nodes with their pods, as kube-scheduler's plugins read them.
func (s *Snapshot) NodeInfos() fwk.NodeInfoLister { return nodeInfos{s} }

// StorageInfos answers which claims are in use.
func (s *Snapshot) StorageInfos() fwk.StorageInfoLister { return storageInfos{s} }

// PodGroupStates is empty: kube-scheduler's GenericWorkload gate is off by default.
func (s *Snapshot) PodGroupStates() fwk.PodGroupStateLister { return noPodGroupStates{} }

// PodGroups is empty, like PodGroupStates.
func (s *Snapshot) PodGroups() fwk.PodGroupLister { return noPodGroups{} }

// CompositePodGroupStates is empty, like PodGroupStates.
func (s *Snapshot) CompositePodGroupStates() fwk.CompositePodGroupStateLister {
	return noCompositeStates{}
}

// CompositePodGroups is empty, like PodGroupStates.
func (s *Snapshot) CompositePodGroups() fwk.CompositePodGroupLister { return noComposites{} }

type nodeInfos struct{ *Snapshot }

func (l nodeInfos) List() ([]fwk.NodeInfo, error) {
	if l.narrow {
		return l.bare, nil
	}
	return l.list, nil
}

func (l nodeInfos) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) { return l.spread.list, nil }

func (l nodeInfos) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return l.anti.list, nil
}

// It must be empty while the gate InterPodAffinityHostnameFastPath is off, which is its default.
func (l nodeInfos) HavePodsWithRequiredNonHostScopedAntiAffinityList() ([]fwk.NodeInfo, error) {
	return nil, nil
}

func (l nodeInfos) Get(node string) (fwk.NodeInfo, error) {
	at, known := l.index.get(node)
	if !known {
		return nil, fmt.Errorf("reading node %q: it is not in the snapshot", node)
	}
	return l.list[at], nil
}

type storageInfos struct{ *Snapshot }

func (l storageInfos) IsPVCUsedByPods(key string) bool {
	used, _ := l.claims.get(key)
	return used > 0
}

func (s *Snapshot) countClaims(pod *corev1.Pod, by int) {
	for i := range pod.Spec.Volumes {
		var claim string
		switch volume := &pod.Spec.Volumes[i]; {
		case volume.PersistentVolumeClaim != nil:
			claim = volume.PersistentVolumeClaim.ClaimName
		case volume.Ephemeral != nil:
			claim = ephemeral.VolumeClaimName(pod, volume)
		default:
			continue
		}
		key := pod.Namespace + "/" + claim
		if used, _ := s.claims.get(key); used+by > 0 {
			s.claims.set(key, used+by)
		} else {
			s.claims.remove(key)
		}
	}
}

// nodeSet is a dense set of nodes in order of insertion, with removal by swapping.
type nodeSet struct {
	list []fwk.NodeInfo
	at   map[string]int
}

func (s *nodeSet) copy() nodeSet { return nodeSet{list: slices.Clone(s.list), at: maps.Clone(s.at)} }

// set says whether a node is a member. The node may be a copy of the one that the set has.
func (s *nodeSet) set(info fwk.NodeInfo, member bool) {
	node := info.Node().Name
	if !member {
		s.remove(node)
		return
	}
	if at, in := s.at[node]; in {
		s.list[at] = info
		return
	}
	if s.at == nil {
		s.at = map[string]int{}
	}
	s.at[node] = len(s.list)
	s.list = append(s.list, info)
}

func (s *nodeSet) remove(node string) {
	at, in := s.at[node]
	if !in {
		return
	}
	last := len(s.list) - 1
	s.list[at] = s.list[last]
	s.at[s.list[at].Node().Name] = at
	s.list = s.list[:last]
	delete(s.at, node)
}

type noGroupError struct{ kind, namespace, name string }

func (e noGroupError) Error() string {
	return fmt.Sprintf("reading %s %q: pod groups are not simulated", e.kind, e.namespace+"/"+e.name)
}

type noPodGroupStates struct{}

func (noPodGroupStates) Get(namespace, name string) (fwk.PodGroupState, error) {
	return nil, noGroupError{"PodGroup", namespace, name}
}

type noPodGroups struct{}

func (noPodGroups) Get(namespace, name string) (*schedulingv1beta1.PodGroup, error) {
	return nil, noGroupError{"PodGroup", namespace, name}
}

type noCompositeStates struct{}

func (noCompositeStates) Get(namespace, name string) (fwk.CompositePodGroupState, error) {
	return nil, noGroupError{"CompositePodGroup", namespace, name}
}

type noComposites struct{}

func (noComposites) Get(namespace, name string) (*schedulingv1alpha3.CompositePodGroup, error) {
	return nil, noGroupError{"CompositePodGroup", namespace, name}
}
