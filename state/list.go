// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
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
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
)

// listed is what a Picture is made of, each list by namespace and name.
type listed struct {
	snapshot.Objects
	nodeGroups  []*v1alpha1.NodeGroup
	vpsieNodes  []*v1alpha1.VPSieNode
	disruptions []*v1alpha1.Disruption
}

// kind is one kind of object, and how to get at its list.
type kind struct {
	example client.Object
	read    func(context.Context, client.Reader, *listed) error
	follow  func(Informer) (*followed, error)
}

func kindOf[T object](example T, list func() client.ObjectList, items func(*listed) *[]T) kind {
	return kind{
		example: example,
		read: func(ctx context.Context, reader client.Reader, l *listed) error {
			return read(ctx, reader, list(), items(l))
		},
		follow: func(informer Informer) (*followed, error) { return follow(informer, items) },
	}
}

// The kinds that every cluster has.
func kinds() []kind {
	return []kind{
		kindOf(&v1alpha1.NodeGroup{}, func() client.ObjectList { return &v1alpha1.NodeGroupList{} }, func(l *listed) *[]*v1alpha1.NodeGroup { return &l.nodeGroups }),
		kindOf(&v1alpha1.VPSieNode{}, func() client.ObjectList { return &v1alpha1.VPSieNodeList{} }, func(l *listed) *[]*v1alpha1.VPSieNode { return &l.vpsieNodes }),
		kindOf(&v1alpha1.Disruption{}, func() client.ObjectList { return &v1alpha1.DisruptionList{} }, func(l *listed) *[]*v1alpha1.Disruption { return &l.disruptions }),
		kindOf(&corev1.Node{}, func() client.ObjectList { return &corev1.NodeList{} }, func(l *listed) *[]*corev1.Node { return &l.Nodes }),
		kindOf(&corev1.Pod{}, func() client.ObjectList { return &corev1.PodList{} }, func(l *listed) *[]*corev1.Pod { return &l.Pods }),
		kindOf(&corev1.Namespace{}, func() client.ObjectList { return &corev1.NamespaceList{} }, func(l *listed) *[]*corev1.Namespace { return &l.Namespaces }),
		kindOf(&corev1.PersistentVolume{}, func() client.ObjectList { return &corev1.PersistentVolumeList{} },
			func(l *listed) *[]*corev1.PersistentVolume { return &l.PersistentVolumes }),
		kindOf(&corev1.PersistentVolumeClaim{}, func() client.ObjectList { return &corev1.PersistentVolumeClaimList{} },
			func(l *listed) *[]*corev1.PersistentVolumeClaim { return &l.PersistentVolumeClaims }),
		kindOf(&appsv1.DaemonSet{}, func() client.ObjectList { return &appsv1.DaemonSetList{} }, func(l *listed) *[]*appsv1.DaemonSet { return &l.DaemonSets }),
		kindOf(&policyv1.PodDisruptionBudget{}, func() client.ObjectList { return &policyv1.PodDisruptionBudgetList{} },
			func(l *listed) *[]*policyv1.PodDisruptionBudget { return &l.PodDisruptionBudgets }),
		kindOf(&schedulingv1.PriorityClass{}, func() client.ObjectList { return &schedulingv1.PriorityClassList{} },
			func(l *listed) *[]*schedulingv1.PriorityClass { return &l.PriorityClasses }),
		kindOf(&storagev1.StorageClass{}, func() client.ObjectList { return &storagev1.StorageClassList{} },
			func(l *listed) *[]*storagev1.StorageClass { return &l.StorageClasses }),
		kindOf(&storagev1.CSINode{}, func() client.ObjectList { return &storagev1.CSINodeList{} }, func(l *listed) *[]*storagev1.CSINode { return &l.CSINodes }),
		kindOf(&storagev1.CSIDriver{}, func() client.ObjectList { return &storagev1.CSIDriverList{} }, func(l *listed) *[]*storagev1.CSIDriver { return &l.CSIDrivers }),
		kindOf(&storagev1.CSIStorageCapacity{}, func() client.ObjectList { return &storagev1.CSIStorageCapacityList{} },
			func(l *listed) *[]*storagev1.CSIStorageCapacity { return &l.CSIStorageCapacities }),
		kindOf(&storagev1.VolumeAttachment{}, func() client.ObjectList { return &storagev1.VolumeAttachmentList{} },
			func(l *listed) *[]*storagev1.VolumeAttachment { return &l.VolumeAttachments }),
	}
}

// The kinds that an API server may have.
func optionalKinds() []kind {
	optional := []kind{
		kindOf(&resourceapi.ResourceClaim{}, func() client.ObjectList { return &resourceapi.ResourceClaimList{} },
			func(l *listed) *[]*resourceapi.ResourceClaim { return &l.ResourceClaims }),
		kindOf(&resourceapi.ResourceSlice{}, func() client.ObjectList { return &resourceapi.ResourceSliceList{} },
			func(l *listed) *[]*resourceapi.ResourceSlice { return &l.ResourceSlices }),
		kindOf(&resourceapi.DeviceClass{}, func() client.ObjectList { return &resourceapi.DeviceClassList{} },
			func(l *listed) *[]*resourceapi.DeviceClass { return &l.DeviceClasses }),
	}
	if simulate.Gangs() {
		optional = append(optional, kindOf(&schedulingv1beta1.PodGroup{}, func() client.ObjectList { return &schedulingv1beta1.PodGroupList{} },
			func(l *listed) *[]*schedulingv1beta1.PodGroup { return &l.PodGroups }))
	}
	return optional
}

// Watched returns one object of each kind that every Picture is made of.
func Watched() (examples []client.Object) {
	for _, kind := range kinds() {
		examples = append(examples, kind.example)
	}
	return examples
}

// Optional returns one object of each further kind that a Picture shows where the API server has it.
func Optional() (examples []client.Object) {
	for _, kind := range optionalKinds() {
		examples = append(examples, kind.example)
	}
	return examples
}

// IncludeOptional makes every later Picture that is read show the Optional kinds too: the reader must know them. Without them pods that
// claim a device are refused for want of their claim. A Cluster that follows includes those that there are by itself.
func (c *Cluster) IncludeOptional() { c.whole = true }

// list reads everything.
func (c *Cluster) list(ctx context.Context) (*listed, error) {
	l, all := &listed{}, kinds()
	if c.whole {
		all = append(all, optionalKinds()...)
	}
	for _, kind := range all {
		if err := kind.read(ctx, c.reader, l); err != nil {
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

// read lists one kind into items, by namespace and name. The objects are the reader's own.
func read[T object](ctx context.Context, reader client.Reader, list client.ObjectList, items *[]T) error {
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
	slices.SortFunc(*items, roster.Compare)
	return err
}
