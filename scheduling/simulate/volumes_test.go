// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

const driver = "disk.example.com"

func size(quantity string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(quantity)}
}

// volume is a PersistentVolume in a zone, bound to the claim if one is named.
func volume(name, class, zone, claim string) *corev1.PersistentVolume {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: size("10Gi"), AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: class,
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: name}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}},
				},
			}}}},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeAvailable},
	}
	if claim != "" {
		pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "default", Name: claim, UID: types.UID(claim)}
		pv.Status.Phase = corev1.VolumeBound
	}
	return pv
}

// claim is a PersistentVolumeClaim, bound to the volume if one is named.
func claim(name, class, volume string) *corev1.PersistentVolumeClaim {
	pvc := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: new(class), VolumeName: volume,
			Resources: corev1.VolumeResourceRequirements{Requests: size("10Gi")},
		},
	}
	if volume != "" {
		pvc.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
		pvc.Status.Phase = corev1.ClaimBound
	}
	return pvc
}

func class(name, provisioner string, zones ...string) *storagev1.StorageClass {
	c := &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: provisioner, VolumeBindingMode: new(storagev1.VolumeBindingWaitForFirstConsumer),
	}
	if len(zones) > 0 {
		c.AllowedTopologies = []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{
			{Key: corev1.LabelTopologyZone, Values: zones},
		}}}
	}
	return c
}

func limit(node string, volumes int32) *storagev1.CSINode {
	return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{
		{Name: driver, NodeID: node, Allocatable: &storagev1.VolumeNodeResources{Count: new(volumes)}},
	}}}
}

func TestVolumesDecide(t *testing.T) {
	e := engine(t, snapshot.Objects{
		Nodes: []*corev1.Node{
			build.MakeNode("hel").Zone("hel").Obj(), build.MakeNode("ams").Zone("ams").Obj(), build.MakeNode("ams-full").Zone("ams").Obj(),
		},
		Pods:           []*corev1.Pod{build.MakePod("user").Claim("used").On("ams-full").Obj()},
		StorageClasses: []*storagev1.StorageClass{class("anywhere", driver), class("ams-only", driver, "ams")},
		CSIDrivers:     []*storagev1.CSIDriver{{ObjectMeta: metav1.ObjectMeta{Name: driver}}},
		CSINodes:       []*storagev1.CSINode{limit("hel", 8), limit("ams", 8), limit("ams-full", 1)},
		PersistentVolumes: []*corev1.PersistentVolume{
			volume("pv-hel", "anywhere", "hel", "in-hel"), volume("pv-ams", "anywhere", "ams", "in-ams"), volume("pv-used", "anywhere", "ams", "used"),
		},
		PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{
			claim("in-hel", "anywhere", "pv-hel"), claim("in-ams", "anywhere", "pv-ams"), claim("used", "anywhere", "pv-used"),
			claim("new", "anywhere", ""), claim("new-ams", "ams-only", ""),
		},
	})
	for name, c := range map[string]struct{ claim, node, plugin string }{
		"a bound volume in the node's zone":            {"in-hel", "hel", ""},
		"a bound volume in another zone":               {"in-hel", "ams", "VolumeBinding"},
		"a node that may attach no further volume":     {"in-ams", "ams-full", "NodeVolumeLimits"},
		"a new volume that may be anywhere":            {"new", "hel", ""},
		"a new volume in an allowed topology":          {"new-ams", "ams", ""},
		"a new volume outside of allowed topologies":   {"new-ams", "hel", "VolumeBinding"},
		"the volume that the node has attached anyway": {"used", "ams-full", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := e.Fits(build.MakePod("p").Claim(c.claim).Obj(), c.node); got.Plugin != c.plugin || got.Fits != (c.plugin == "") {
				t.Errorf("got %q, want plugin %q", got, c.plugin)
			}
		})
	}
}

func TestOnePersistentVolumeIsPromisedOnce(t *testing.T) {
	e := engine(t, snapshot.Objects{
		Nodes:                  []*corev1.Node{build.MakeNode("hel").Obj()},
		StorageClasses:         []*storagev1.StorageClass{class("local", "kubernetes.io/no-provisioner")},
		PersistentVolumes:      []*corev1.PersistentVolume{volume("only", "local", "hel", "")},
		PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{claim("a", "local", ""), claim("b", "local", "")},
	})
	first, second := build.MakePod("first").Claim("a").Obj(), build.MakePod("second").Claim("b").Obj()
	e.Fork()
	if got, err := e.Place(first, "hel"); err != nil || !got.Fits {
		t.Fatal(got, err)
	}
	if got := e.Fits(second, "hel"); got.Plugin != "VolumeBinding" {
		t.Errorf("the only volume was promised twice: %s", got)
	}
	e.Revert()
	if got := e.Fits(second, "hel"); !got.Fits {
		t.Errorf("Revert did not give the volume back: %s", got)
	}
	if got := e.Fits(first, "hel"); !got.Fits {
		t.Errorf("Revert did not give the volume back to the first pod: %s", got)
	}
}

func TestAPlannedNodeHasTheVolumeLimitOfItsLike(t *testing.T) {
	e := engine(t, snapshot.Objects{
		Nodes:          []*corev1.Node{build.MakeNode("old").Group("general").Cordon().Obj()},
		StorageClasses: []*storagev1.StorageClass{class("anywhere", driver)},
		CSIDrivers: []*storagev1.CSIDriver{{
			ObjectMeta: metav1.ObjectMeta{Name: driver}, Spec: storagev1.CSIDriverSpec{PreventPodSchedulingIfMissing: new(true)},
		}},
		CSINodes:               []*storagev1.CSINode{limit("old", 1)},
		PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{claim("a", "anywhere", ""), claim("b", "anywhere", "")},
	})
	if err := e.Snapshot().AddNode(build.MakeNode("new").Group("general").Obj()); err != nil {
		t.Fatal(err)
	}
	if got, err := e.Place(build.MakePod("first").Claim("a").Obj(), "new"); err != nil || !got.Fits {
		t.Fatal(got, err)
	}
	if got := e.Fits(build.MakePod("second").Claim("b").Obj(), "new"); got.Plugin != "NodeVolumeLimits" {
		t.Errorf("a second volume: got %q, want the limit of the like", got)
	}
}

func TestADeviceIsPromisedOnce(t *testing.T) {
	resourceClaim := func(name string) *resourceapi.ResourceClaim {
		return &resourceapi.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)},
			Spec: resourceapi.ResourceClaimSpec{Devices: resourceapi.DeviceClaim{Requests: []resourceapi.DeviceRequest{{
				Name: "r", Exactly: &resourceapi.ExactDeviceRequest{DeviceClassName: "gpu", AllocationMode: resourceapi.DeviceAllocationModeExactCount, Count: 1},
			}}}},
		}
	}
	pod := func(name string) *corev1.Pod {
		return build.MakePod(name).With(func(p *corev1.Pod) {
			p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "g", ResourceClaimName: new(name)}}
			p.Spec.Containers[0].Resources.Claims = []corev1.ResourceClaim{{Name: "g"}}
		}).Obj()
	}
	e := engine(t, snapshot.Objects{
		Nodes:          []*corev1.Node{build.MakeNode("with").Obj(), build.MakeNode("without").Obj()},
		ResourceClaims: []*resourceapi.ResourceClaim{resourceClaim("a"), resourceClaim("b")},
		DeviceClasses: []*resourceapi.DeviceClass{{ObjectMeta: metav1.ObjectMeta{Name: "gpu"}, Spec: resourceapi.DeviceClassSpec{
			Selectors: []resourceapi.DeviceSelector{{CEL: &resourceapi.CELDeviceSelector{Expression: `device.driver == "gpu.example.com"`}}},
		}}},
		ResourceSlices: []*resourceapi.ResourceSlice{{ObjectMeta: metav1.ObjectMeta{Name: "s"}, Spec: resourceapi.ResourceSliceSpec{
			Driver: "gpu.example.com", NodeName: new("with"), Pool: resourceapi.ResourcePool{Name: "with", ResourceSliceCount: 1},
			Devices: []resourceapi.Device{{Name: "gpu0"}},
		}}},
	})
	if got := e.Fits(pod("a"), "without"); got.Fits {
		t.Error("accepted on a node without devices")
	}
	e.Fork()
	if got, err := e.Place(pod("a"), "with"); err != nil || !got.Fits {
		t.Fatal(got, err)
	}
	if got := e.Fits(pod("b"), "with"); got.Fits {
		t.Error("the only device was promised twice")
	}
	e.Revert()
	if got := e.Fits(pod("b"), "with"); !got.Fits {
		t.Errorf("Revert did not give the device back: %s", got)
	}
}

func TestReserves(t *testing.T) {
	for name, c := range map[string]struct {
		pod  *build.Pod
		want bool
	}{
		"a claim does":               {build.MakePod("p").Claim("c"), true},
		"cpu is counted on the node": {build.MakePod("p").CPU("1"), false},
	} {
		if got := simulate.Reserves(c.pod.Obj()); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func TestRoomForVolumesOnAPlannedNode(t *testing.T) {
	driverWithRoom := build.MakeCSIDriver(driver).TracksCapacity().Obj()
	local := func(nodes ...*corev1.Node) snapshot.Objects {
		return snapshot.Objects{
			Nodes: nodes, CSIDrivers: []*storagev1.CSIDriver{driverWithRoom},
			StorageClasses:         []*storagev1.StorageClass{class("local", driver)},
			PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{claim("c", "local", "")}, // of 10 GiB
		}
	}
	const topology = "disk.example.com/node"
	old := build.MakeNode("old").Label(topology, "old").Obj()
	zone := func(size string) []*storagev1.CSIStorageCapacity {
		return []*storagev1.CSIStorageCapacity{build.MakeCapacity("hel", "local", size, corev1.LabelTopologyZone, "hel")}
	}
	own := func(size string) []*storagev1.CSIStorageCapacity {
		return []*storagev1.CSIStorageCapacity{build.MakeCapacity("old", "local", size, topology, "old")}
	}
	full := local(old)
	full.PersistentVolumes = []*corev1.PersistentVolume{build.MakePV("taken", "local").In(topology, "old").BoundTo("other").Obj()} // 10 GiB
	for name, c := range map[string]struct {
		objects   snapshot.Objects
		published []*storagev1.CSIStorageCapacity
		zone      string
		node      string
		fits      bool
	}{
		"what is taken of a disk is free on a new one": {full, own("5Gi"), "hel", "new", true},
		"and not on the old one":                       {full, own("5Gi"), "hel", "old", false},
		"nothing is published, for there is no node":   {local(), nil, "hel", "new", true},
		"silence about a node that is there is a no":   {local(old), nil, "hel", "old", false},
		"the room of the zone counts":                  {local(old), zone("20Gi"), "hel", "new", true},
		"a full zone has no room on a new machine":     {local(old), zone("5Gi"), "hel", "new", false},
		"another zone is expected to have as much":     {local(old), zone("20Gi"), "ams", "new", true},
		"or as little": {local(old), zone("5Gi"), "ams", "new", false},
		"a disk of its own is expected to be as large": {local(old), own("20Gi"), "hel", "new", true},
		"and no larger": {local(old), own("5Gi"), "hel", "new", false},
		"the full disk of a node that is there is a no":  {local(old), own("5Gi"), "hel", "old", false},
		"the free disk of a node that is there is a yes": {local(old), own("20Gi"), "hel", "old", true},
	} {
		t.Run(name, func(t *testing.T) {
			c.objects.CSIStorageCapacities = c.published
			e := engine(t, c.objects)
			planned := build.MakeNode("new").Zone(c.zone).Label(topology, "new").Obj()
			if err := e.Snapshot().AddNode(e.Snapshot().AsRegistered(planned)); err != nil {
				t.Fatal(err)
			}
			got := e.Fits(build.MakePod("p").Claim("c").Obj(), c.node)
			if got.Fits != c.fits || !c.fits && got.Plugin != "VolumeBinding" {
				t.Errorf("got %q, want fits: %v", got, c.fits)
			}
		})
	}
}

func TestAPlannedNodeHasTheDevicesOfItsTwin(t *testing.T) {
	size := func(n *corev1.Node) { n.Labels[corev1.LabelInstanceTypeStable] = "gpu-1" }
	e := engine(t, snapshot.Objects{
		Nodes:          []*corev1.Node{build.MakeNode("old").With(size).Cordon().Obj()},
		DeviceClasses:  []*resourceapi.DeviceClass{build.MakeDeviceClass("gpu", "gpu.example.com")},
		ResourceSlices: []*resourceapi.ResourceSlice{build.MakeResourceSlice("old", "gpu.example.com", "gpu-0")},
		ResourceClaims: []*resourceapi.ResourceClaim{
			build.MakeResourceClaim("a", "gpu"), build.MakeResourceClaim("b", "gpu"), build.MakeResourceClaim("c", "gpu"),
		},
	})
	for _, node := range []*corev1.Node{
		build.MakeNode("new-1").With(size).Obj(), build.MakeNode("new-2").With(size).Obj(), build.MakeNode("new-3").Obj(),
	} {
		if err := e.Snapshot().AddNode(node); err != nil {
			t.Fatal(err)
		}
	}
	place := func(claim, node string) simulate.Verdict {
		got, err := e.Place(build.MakePod("pod-"+claim).DeviceClaim(claim).Obj(), node)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := place("a", "new-1"); !got.Fits {
		t.Errorf("the first: %s", got)
	}
	if got := place("b", "new-1"); got.Plugin != "DynamicResources" {
		t.Errorf("a second on the same machine: got %q, want a refusal", got)
	}
	if got := place("b", "new-2"); !got.Fits {
		t.Errorf("the second, on a machine of its own: %s", got)
	}
	if got := place("c", "new-3"); got.Plugin != "DynamicResources" {
		t.Errorf("on a machine of another size: got %q, want a refusal", got)
	}
}
