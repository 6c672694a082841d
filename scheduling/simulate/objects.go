// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// fill puts the objects that plugins read into the indexers of informers that never run: the listers, and the volume binder's caches,
// read the indexers. Pods and nodes are not needed there: plugins take them from the snapshot.
func fill(factory informers.SharedInformerFactory, objects *snapshot.Objects) error {
	core, storage := factory.Core().V1(), factory.Storage().V1()
	for _, err := range []error{
		add(core.Namespaces().Informer().GetIndexer(), objects.Namespaces),
		add(core.PersistentVolumes().Informer().GetIndexer(), objects.PersistentVolumes),
		add(core.PersistentVolumeClaims().Informer().GetIndexer(), objects.PersistentVolumeClaims),
		add(storage.StorageClasses().Informer().GetIndexer(), objects.StorageClasses),
		add(storage.CSINodes().Informer().GetIndexer(), objects.CSINodes),
		add(storage.CSIDrivers().Informer().GetIndexer(), objects.CSIDrivers),
		add(storage.CSIStorageCapacities().Informer().GetIndexer(), append(slices.Clone(objects.CSIStorageCapacities), expectedCapacities(objects)...)),
		add(storage.VolumeAttachments().Informer().GetIndexer(), objects.VolumeAttachments),
		add(factory.Policy().V1().PodDisruptionBudgets().Informer().GetIndexer(), objects.PodDisruptionBudgets),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func add[T any](indexer cache.Indexer, objects []T) error {
	for _, object := range objects {
		if err := indexer.Add(object); err != nil {
			return fmt.Errorf("indexing a %T: %w", object, err)
		}
	}
	return nil
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
