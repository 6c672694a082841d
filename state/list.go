// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// Watched returns one object of each kind that a Picture is made of: what the reader's informers must be started for.
func Watched() []client.Object {
	return []client.Object{
		&v1alpha1.NodeGroup{}, &v1alpha1.VPSieNode{}, &v1alpha1.Disruption{},
		&corev1.Node{}, &corev1.Pod{}, &corev1.Namespace{}, &corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{},
		&appsv1.DaemonSet{}, &policyv1.PodDisruptionBudget{}, &schedulingv1.PriorityClass{},
		&storagev1.StorageClass{}, &storagev1.CSINode{}, &storagev1.CSIDriver{}, &storagev1.CSIStorageCapacity{}, &storagev1.VolumeAttachment{},
	}
}

// Optional returns one object of each further kind that a Picture shows if the API server has it and Include names it.
func Optional() []client.Object {
	optional := []client.Object{&resourceapi.ResourceClaim{}, &resourceapi.ResourceSlice{}, &resourceapi.DeviceClass{}}
	if simulate.Gangs() {
		optional = append(optional, &schedulingv1beta1.PodGroup{})
	}
	return optional
}

// Include makes every later Picture show an Optional kind. Without it pods that claim a device are refused for want of their claim.
func (c *Cluster) Include(kind client.Object) { c.included = append(c.included, kind) }

// readIncluded lists the Optional kinds that are included.
func (c *Cluster) readIncluded(ctx context.Context, l *listed) error {
	for _, kind := range c.included {
		var err error
		switch kind.(type) {
		case *resourceapi.ResourceClaim:
			err = read(ctx, c.reader, &resourceapi.ResourceClaimList{}, &l.ResourceClaims)
		case *resourceapi.ResourceSlice:
			err = read(ctx, c.reader, &resourceapi.ResourceSliceList{}, &l.ResourceSlices)
		case *resourceapi.DeviceClass:
			err = read(ctx, c.reader, &resourceapi.DeviceClassList{}, &l.DeviceClasses)
		case *schedulingv1beta1.PodGroup:
			err = read(ctx, c.reader, &schedulingv1beta1.PodGroupList{}, &l.PodGroups)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

type listed struct {
	snapshot.Objects
	nodeGroups  []*v1alpha1.NodeGroup
	vpsieNodes  []*v1alpha1.VPSieNode
	disruptions []*v1alpha1.Disruption
}

func (c *Cluster) list(ctx context.Context) (*listed, error) {
	l := &listed{}
	reads := []func() error{
		func() error { return read(ctx, c.reader, &v1alpha1.NodeGroupList{}, &l.nodeGroups) },
		func() error { return read(ctx, c.reader, &v1alpha1.VPSieNodeList{}, &l.vpsieNodes) },
		func() error { return read(ctx, c.reader, &v1alpha1.DisruptionList{}, &l.disruptions) },
		func() error { return read(ctx, c.reader, &corev1.NodeList{}, &l.Nodes) },
		func() error { return read(ctx, c.reader, &corev1.PodList{}, &l.Pods) },
		func() error { return read(ctx, c.reader, &corev1.NamespaceList{}, &l.Namespaces) },
		func() error { return read(ctx, c.reader, &corev1.PersistentVolumeList{}, &l.PersistentVolumes) },
		func() error {
			return read(ctx, c.reader, &corev1.PersistentVolumeClaimList{}, &l.PersistentVolumeClaims)
		},
		func() error { return read(ctx, c.reader, &appsv1.DaemonSetList{}, &l.DaemonSets) },
		func() error { return read(ctx, c.reader, &policyv1.PodDisruptionBudgetList{}, &l.PodDisruptionBudgets) },
		func() error { return read(ctx, c.reader, &schedulingv1.PriorityClassList{}, &l.PriorityClasses) },
		func() error { return read(ctx, c.reader, &storagev1.StorageClassList{}, &l.StorageClasses) },
		func() error { return read(ctx, c.reader, &storagev1.CSINodeList{}, &l.CSINodes) },
		func() error { return read(ctx, c.reader, &storagev1.CSIDriverList{}, &l.CSIDrivers) },
		func() error { return read(ctx, c.reader, &storagev1.CSIStorageCapacityList{}, &l.CSIStorageCapacities) },
		func() error { return read(ctx, c.reader, &storagev1.VolumeAttachmentList{}, &l.VolumeAttachments) },
		func() error { return c.readIncluded(ctx, l) },
	}
	for _, read := range reads {
		if err := read(); err != nil {
			return nil, err
		}
	}
	l.Pods = slices.DeleteFunc(l.Pods, Terminated)
	return l, nil
}

// Terminated says whether the pod's containers will never run again.
func Terminated(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// read lists one kind into items, by namespace and name. The objects are the reader's own: copying every pod of a cluster for
// each Picture would cost more than planning does.
func read[T client.Object](ctx context.Context, reader client.Reader, list client.ObjectList, items *[]T) error {
	if err := reader.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing %T: %w", list, err)
	}
	err := meta.EachListItem(list, func(object runtime.Object) error {
		item, ok := object.(T)
		if !ok {
			return fmt.Errorf("listing %T: found a %T", list, object)
		}
		*items = append(*items, item)
		return nil
	})
	slices.SortFunc(*items, func(a, b T) int {
		return cmp.Or(cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
	})
	return err
}
