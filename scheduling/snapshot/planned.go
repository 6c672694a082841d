// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// VPSie's CSI driver attaches at most seven volumes to a machine and says where one lives by the label "region", whose value is the
// datacenter's identifier.
const (
	vpsieVolumeLimit    = 7
	vpsieTopologyLabel  = "region"
	vpsieDriver         = "vpsie.csi.vpsie.com"
	vpsieDriverFormerly = "vpsie.csi"
)

// AsRegistered returns a copy of a planned node with what only a registered node shows, as far as its like tells: the kubelet's
// declared features, without which pods that need one are refused, and the topology labels of CSI drivers, without
// which pods with a volume are.
func (s *Snapshot) AsRegistered(node *corev1.Node) *corev1.Node {
	node = node.DeepCopy()
	like := s.Like(node)
	if len(node.Status.DeclaredFeatures) == 0 && like != nil {
		node.Status.DeclaredFeatures = slices.Clone(like.Status.DeclaredFeatures)
	}
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	learn(node, s.Twin(node))
	if s.vpsieDriver() != "" {
		setMissing(node.Labels, vpsieTopologyLabel, node.Labels[v1alpha1.DatacenterLabel])
	}
	if like == nil || s.facts.csiNodes[like.Name] == nil {
		return node
	}
	for _, driver := range s.facts.csiNodes[like.Name].Spec.Drivers {
		for _, key := range driver.TopologyKeys {
			switch value := like.Labels[key]; {
			case value == like.Name:
				setMissing(node.Labels, key, node.Name)
			case like.Labels[corev1.LabelTopologyZone] == node.Labels[corev1.LabelTopologyZone]:
				setMissing(node.Labels, key, value)
			}
		}
	}
	return node
}

func setMissing(labels map[string]string, key, value string) {
	if _, present := labels[key]; !present && value != "" {
		labels[key] = value
	}
}

// CSINode returns the CSINode of a node. A planned node has none yet, and its absence would mean "any number of volumes", or
// "driver not installed" for drivers that ask for it; so it gets the drivers of its like.
func (s *Snapshot) CSINode(node string) (*storagev1.CSINode, bool) {
	if csiNode, known := s.facts.csiNodes[node]; known {
		return csiNode, true
	}
	if !s.Planned(node) {
		return nil, false
	}
	csiNode, made := s.csiPlan[node]
	if !made {
		at, _ := s.index.get(node)
		csiNode = s.planCSINode(s.list[at].Node())
		s.csiPlan[node] = csiNode
	}
	return csiNode, true
}

func (s *Snapshot) planCSINode(node *corev1.Node) *storagev1.CSINode {
	plan := &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node.Name}}
	like := s.Like(node)
	if like != nil && s.facts.csiNodes[like.Name] != nil && len(s.facts.csiNodes[like.Name].Spec.Drivers) > 0 {
		plan.Spec = *s.facts.csiNodes[like.Name].Spec.DeepCopy()
		for i := range plan.Spec.Drivers {
			plan.Spec.Drivers[i].NodeID = node.Name
		}
		return plan
	}
	for _, driver := range s.facts.objects.CSIDrivers {
		if driver.Name != s.vpsieDriver() {
			plan.Spec.Drivers = append(plan.Spec.Drivers, storagev1.CSINodeDriver{Name: driver.Name, NodeID: node.Name})
		}
	}
	if name := s.vpsieDriver(); name != "" {
		plan.Spec.Drivers = append(plan.Spec.Drivers, storagev1.CSINodeDriver{
			Name: name, NodeID: node.Name, TopologyKeys: []string{vpsieTopologyLabel},
			Allocatable: &storagev1.VolumeNodeResources{Count: ptr.To[int32](vpsieVolumeLimit)},
		})
	}
	return plan
}

// vpsieDriver returns the name under which VPSie's CSI driver is installed, or nothing. Who plans from manifests may have left out the CSIDriver, which
// nobody writes by hand: a StorageClass of it tells as much.
func (s *Snapshot) vpsieDriver() string {
	ours := func(name string) bool { return name == vpsieDriver || name == vpsieDriverFormerly }
	for _, driver := range s.facts.objects.CSIDrivers {
		if ours(driver.Name) {
			return driver.Name
		}
	}
	for _, class := range s.facts.objects.StorageClasses {
		if ours(class.Provisioner) {
			return class.Provisioner
		}
	}
	return ""
}
