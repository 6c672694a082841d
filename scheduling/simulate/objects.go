// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// fill puts the objects that plugins read into the library: the listers, and the volume binder's
// caches, read the indexers. Pods and nodes are not needed there: plugins take them from the snapshot.
func fill(l *library, snap *snapshot.Snapshot) {
	objects := snap.Objects()
	stock(l, snap, &corev1.Namespace{}, objects.Namespaces)
	stock(l, snap, &corev1.PersistentVolume{}, objects.PersistentVolumes)
	stock(l, snap, &corev1.PersistentVolumeClaim{}, objects.PersistentVolumeClaims)
	stock(l, snap, &storagev1.StorageClass{}, objects.StorageClasses)
	stock(l, snap, &storagev1.CSINode{}, objects.CSINodes)
	stock(l, snap, &storagev1.CSIDriver{}, objects.CSIDrivers)
	stock(l, snap, &storagev1.VolumeAttachment{}, objects.VolumeAttachments)
	stock(l, snap, &policyv1.PodDisruptionBudget{}, objects.PodDisruptionBudgets)
	l.put(&storagev1.CSIStorageCapacity{}, newFilled(func() []*storagev1.CSIStorageCapacity {
		return append(slices.Clone(objects.CSIStorageCapacities), expectedCapacities(objects)...)
	}))
}

// csiNodes answers from the snapshot, which knows what a planned node will have.
type csiNodes struct{ snapshot *snapshot.Snapshot }

var (
	_ fwk.CSIManager    = csiNodes{}
	_ fwk.CSINodeLister = csiNodes{}
)

func (c csiNodes) CSINodes() fwk.CSINodeLister { return c }

func (c csiNodes) List() ([]*storagev1.CSINode, error) {
	var all []*storagev1.CSINode
	for _, node := range c.snapshot.Nodes() {
		if csiNode, known := c.snapshot.CSINode(node.Name); known {
			all = append(all, csiNode)
		}
	}
	return all, nil
}

func (c csiNodes) Get(node string) (*storagev1.CSINode, error) {
	csiNode, known := c.snapshot.CSINode(node)
	if !known {
		return nil, apierrors.NewNotFound(storagev1.Resource("csinodes"), node)
	}
	return csiNode, nil
}

func keyOf(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }
