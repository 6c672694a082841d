// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// VPSieDriver is the name of VPSie's CSI driver.
const VPSieDriver = "vpsie.csi.vpsie.com"

// PV is a PersistentVolume in the making.
type PV struct{ volume corev1.PersistentVolume }

// MakePV makes an available volume of 10 GiB that one node at a time may mount, of VPSie's driver.
func MakePV(name, class string) *PV {
	return &PV{corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("pv-" + name)},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")},
			AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			StorageClassName:       class,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: VPSieDriver, VolumeHandle: name}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}}
}

// Obj returns the volume.
func (v *PV) Obj() *corev1.PersistentVolume { return v.volume.DeepCopy() }

// In lets only nodes with that label reach the volume.
func (v *PV) In(key string, values ...string) *PV {
	v.volume.Spec.NodeAffinity = &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: corev1.NodeSelectorOpIn, Values: values}},
	}}}}
	return v
}

// BoundTo binds the volume to a claim in the namespace "default".
func (v *PV) BoundTo(claim string) *PV {
	v.volume.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: claim, UID: types.UID("pvc-" + claim)}
	v.volume.Status.Phase = corev1.VolumeBound
	return v
}

// Mode sets the access mode.
func (v *PV) Mode(mode corev1.PersistentVolumeAccessMode) *PV {
	v.volume.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{mode}
	return v
}

// PVC is a PersistentVolumeClaim in the making.
type PVC struct{ claim corev1.PersistentVolumeClaim }

// MakePVC makes an unbound claim of 10 GiB in the namespace "default" for one node at a time.
func MakePVC(name, class string) *PVC {
	return &PVC{corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("pvc-" + name)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}}
}

// Obj returns the claim.
func (c *PVC) Obj() *corev1.PersistentVolumeClaim { return c.claim.DeepCopy() }

// BoundTo binds the claim to a volume.
func (c *PVC) BoundTo(volume string) *PVC {
	c.claim.Spec.VolumeName = volume
	c.claim.Status.Phase = corev1.ClaimBound
	metav1.SetMetaDataAnnotation(&c.claim.ObjectMeta, "pv.kubernetes.io/bind-completed", "yes")
	return c
}

// Mode sets the access mode.
func (c *PVC) Mode(mode corev1.PersistentVolumeAccessMode) *PVC {
	c.claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{mode}
	return c
}

// StorageClass is a StorageClass in the making.
type StorageClass struct{ class storagev1.StorageClass }

// MakeStorageClass makes a class whose volumes are made when a pod has a node.
func MakeStorageClass(name, provisioner string) *StorageClass {
	return &StorageClass{storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
	}}
}

// Obj returns the class.
func (c *StorageClass) Obj() *storagev1.StorageClass { return c.class.DeepCopy() }

// AllowedTopology makes volumes only where nodes have that label.
func (c *StorageClass) AllowedTopology(key string, values ...string) *StorageClass {
	c.class.AllowedTopologies = append(c.class.AllowedTopologies, corev1.TopologySelectorTerm{
		MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: key, Values: values}},
	})
	return c
}

// CSIDriver is a CSIDriver in the making.
type CSIDriver struct{ driver storagev1.CSIDriver }

// MakeCSIDriver makes a driver.
func MakeCSIDriver(name string) *CSIDriver {
	return &CSIDriver{storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: name}}}
}

// Obj returns the driver.
func (d *CSIDriver) Obj() *storagev1.CSIDriver { return d.driver.DeepCopy() }

// TracksCapacity makes kube-scheduler ask whether there is room for a new volume.
func (d *CSIDriver) TracksCapacity() *CSIDriver { d.driver.Spec.StorageCapacity = new(true); return d }

// MustBeInstalled makes kube-scheduler refuse nodes without the driver.
func (d *CSIDriver) MustBeInstalled() *CSIDriver {
	d.driver.Spec.PreventPodSchedulingIfMissing = new(true)
	return d
}

// CSINode is a CSINode in the making.
type CSINode struct{ node storagev1.CSINode }

// MakeCSINode makes the CSINode of a node without drivers.
func MakeCSINode(node string) *CSINode {
	return &CSINode{storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node}}}
}

// Obj returns the CSINode.
func (n *CSINode) Obj() *storagev1.CSINode { return n.node.DeepCopy() }

// Driver installs a driver that attaches at most so many volumes.
func (n *CSINode) Driver(name string, limit int32, topologyKeys ...string) *CSINode {
	n.node.Spec.Drivers = append(n.node.Spec.Drivers, storagev1.CSINodeDriver{
		Name: name, NodeID: n.node.Name, TopologyKeys: topologyKeys, Allocatable: &storagev1.VolumeNodeResources{Count: &limit},
	})
	return n
}

// MakeCapacity makes the free space that a driver has for a class where nodes have that label.
func MakeCapacity(name, class, size, key, value string) *storagev1.CSIStorageCapacity {
	return &storagev1.CSIStorageCapacity{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name}, StorageClassName: class,
		NodeTopology: &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}, Capacity: new(resource.MustParse(size)),
	}
}

// MakeDeviceClass makes a class of all devices of a driver.
func MakeDeviceClass(name, driver string) *resourceapi.DeviceClass {
	return &resourceapi.DeviceClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: resourceapi.DeviceClassSpec{
		Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: `device.driver == "` + driver + `"`}}},
	}}
}

// MakeResourceSlice makes the devices of a node.
func MakeResourceSlice(node, driver string, devices ...string) *resourceapi.ResourceSlice {
	slice := &resourceapi.ResourceSlice{ObjectMeta: metav1.ObjectMeta{Name: node + "-" + driver}, Spec: resourceapi.ResourceSliceSpec{
		Driver: driver, NodeName: &node, Pool: resourceapi.ResourcePool{Name: node, ResourceSliceCount: 1},
	}}
	for _, name := range devices {
		slice.Spec.Devices = append(slice.Spec.Devices, resourceapi.Device{Name: name})
	}
	return slice
}

// MakeResourceClaim makes a claim in the namespace "default" for one device of a class.
func MakeResourceClaim(name, class string) *resourceapi.ResourceClaim {
	return &resourceapi.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("claim-" + name)},
		Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
			Name: "device", Exactly: &resourceapi.ExactDeviceRequest{
				DeviceClassName: class, AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1,
			},
		}}}},
	}
}
