// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// depot has two nodes in two zones, each with one device and room for two volumes, and claims for them.
func depot() snapshot.Objects {
	objects := snapshot.Objects{
		Nodes:          []*corev1.Node{build.MakeNode("hel").Zone("hel").Obj(), build.MakeNode("ams").Zone("ams").Obj()},
		StorageClasses: []*storagev1.StorageClass{class("made", driver), class("by-hand", "kubernetes.io/no-provisioner")},
		CSINodes:       []*storagev1.CSINode{limit("hel", 2), limit("ams", 2)},
		PersistentVolumes: []*corev1.PersistentVolume{
			volume("static-hel", "by-hand", "hel", ""), volume("static-ams", "by-hand", "ams", ""), volume("single", "made", "hel", "single"),
		},
		PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{claim("single", "made", "single")},
		DeviceClasses:          []*resourceapi.DeviceClass{build.MakeDeviceClass("gpu", "gpu.example.com")},
		ResourceSlices: []*resourceapi.ResourceSlice{
			build.MakeResourceSlice("hel", "gpu.example.com", "gpu-0"), build.MakeResourceSlice("ams", "gpu.example.com", "gpu-0"),
		},
	}
	objects.PersistentVolumeClaims[0].Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
	objects.DeviceClasses[0].Spec.ExtendedResourceName = new("example.com/gpu")
	for _, name := range []string{"a", "b", "c"} {
		objects.PersistentVolumeClaims = append(objects.PersistentVolumeClaims, claim("made-"+name, "made", ""), claim("hand-"+name, "by-hand", ""))
		objects.ResourceClaims = append(objects.ResourceClaims, build.MakeResourceClaim("gpu-"+name, "gpu"))
	}
	return objects
}

type put struct {
	pod  *build.Pod
	node string
}

// A pod with volumes or devices must be accepted again where it is, for these are its own, unless others that came later are in its way. Nothing
// may be left of the question.
func TestFitsAgain(t *testing.T) {
	pod := func(name string) *build.Pod { return build.MakePod(name).Label("app", "web").CPU("1") }
	for name, c := range map[string]struct {
		placed []put  // by the plugins, in this order
		later  []put  // whatever they say
		plugin string // that refuses the first of the placed
	}{
		"a volume to be made":                   {placed: []put{{pod("p").Claim("made-a"), "hel"}}},
		"the last volumes of a node":            {placed: []put{{pod("p").Claim("made-a"), "hel"}, {pod("q").Claim("made-b"), "hel"}}},
		"one volume more than a node has":       {placed: []put{{pod("p").Claim("made-a"), "hel"}, {pod("q").Claim("made-b"), "hel"}}, later: []put{{pod("r").Claim("made-c"), "hel"}}, plugin: "NodeVolumeLimits"},
		"the only volume of a zone":             {placed: []put{{pod("p").Claim("hand-a"), "hel"}}},
		"a volume that one pod may use":         {placed: []put{{pod("p").Claim("single"), "hel"}}},
		"a volume that two pods use":            {placed: []put{{pod("p").Claim("single"), "hel"}}, later: []put{{pod("q").Claim("single"), "hel"}}, plugin: "VolumeRestrictions"},
		"a device":                              {placed: []put{{pod("p").DeviceClaim("gpu-a"), "hel"}}},
		"a device that two pods share":          {placed: []put{{pod("p").DeviceClaim("gpu-a"), "hel"}, {pod("q").DeviceClaim("gpu-a"), "hel"}}},
		"a device by the name of a resource":    {placed: []put{{pod("p").Request("example.com/gpu", "1"), "hel"}}},
		"a volume and an even spread":           {placed: []put{{pod("p").Claim("made-a").Spread(corev1.LabelHostname, "web"), "hel"}}, later: []put{{pod("q"), "ams"}}},
		"a volume and a spread that is broken":  {placed: []put{{pod("p").Claim("made-a").Spread(corev1.LabelHostname, "web"), "hel"}}, later: []put{{pod("q"), "hel"}}, plugin: "PodTopologySpread"},
		"a volume and others to keep away from": {placed: []put{{pod("p").Claim("made-a").Apart(corev1.LabelHostname, "web"), "hel"}}, later: []put{{pod("q"), "hel"}}, plugin: "InterPodAffinity"},
		"a device and others to keep away from": {placed: []put{{pod("p").DeviceClaim("gpu-a").Apart(corev1.LabelHostname, "web"), "hel"}}, later: []put{{pod("q"), "hel"}}, plugin: "InterPodAffinity"},
		"a volume and a port that is taken":     {placed: []put{{pod("p").Claim("made-a").HostPort(80), "hel"}}, later: []put{{pod("q").HostPort(80), "hel"}}, plugin: "NodePorts"},
	} {
		t.Run(name, func(t *testing.T) {
			e := engine(t, depot())
			mustPlace(t, e, c.placed...)
			for _, p := range c.later {
				if err := e.Snapshot().AddPod(p.pod.Obj(), p.node); err != nil {
					t.Fatal(err)
				}
			}
			first := c.placed[0]
			for range 2 { // what is taken away is put back
				verdict, err := e.FitsAgain(first.pod.Obj(), first.node)
				if err != nil {
					t.Fatal(err)
				}
				if verdict.Plugin != c.plugin || verdict.Fits != (c.plugin == "") {
					t.Errorf("got %q, want plugin %q", verdict, c.plugin)
				}
			}
			if _, err := e.FitsAgain(pod("absent").Obj(), "hel"); err == nil {
				t.Error("a pod was taken from a node that does not have it")
			}
		})
	}
}

func mustPlace(t *testing.T, e *simulate.Engine, puts ...put) {
	t.Helper()
	for _, p := range puts {
		if got, err := e.Place(p.pod.Obj(), p.node); err != nil || !got.Fits {
			t.Fatalf("placing %s on %s: %s %v", p.pod.Obj().Name, p.node, got, err)
		}
	}
}

// What a pod took stays taken after it was asked about again, and is free when it is removed, until the removal is taken back.
func TestWhatIsGivenBackCanBeTakenByOthers(t *testing.T) {
	for name, c := range map[string]struct{ owner, rival *build.Pod }{
		"the only volume of a zone": {build.MakePod("p").Claim("hand-a"), build.MakePod("q").Claim("hand-b")},
		"a volume for one pod":      {build.MakePod("p").Claim("single"), build.MakePod("q").Claim("single")},
		"a device":                  {build.MakePod("p").DeviceClaim("gpu-a"), build.MakePod("q").DeviceClaim("gpu-b")},
		"a device by the name of a resource": {
			build.MakePod("p").Request("example.com/gpu", "1"), build.MakePod("q").Request("example.com/gpu", "1"),
		},
		"a device by two names": {build.MakePod("p").Request("example.com/gpu", "1"), build.MakePod("q").DeviceClaim("gpu-b")},
	} {
		t.Run(name, func(t *testing.T) {
			e := engine(t, depot())
			owner, rival := c.owner.Obj(), c.rival.Obj()
			refused := func(when string) {
				t.Helper()
				if got := e.Fits(rival, "hel"); got.Fits {
					t.Errorf("%s: the rival got what is taken", when)
				}
			}
			mustPlace(t, e, put{c.owner, "hel"})
			refused("placed")
			for range 2 {
				if got, err := e.FitsAgain(owner, "hel"); err != nil || !got.Fits {
					t.Fatal(got, err)
				}
				refused("asked again")
				e.Fork()
				if err := e.Remove(owner); err != nil {
					t.Fatal(err)
				}
				mustPlace(t, e, put{c.rival, "hel"})
				if got := e.Fits(owner, "hel"); got.Fits {
					t.Error("the owner got back what the rival has")
				}
				e.Revert()
				refused("the removal is taken back")
			}
		})
	}
}

// Pods that wait for the same claim rely on what was found for the first of them, also when that one leaves.
func TestWhatIsSharedStaysWithTheOthers(t *testing.T) {
	for name, share := range map[string]func(*build.Pod) *build.Pod{
		"a volume to be made": func(p *build.Pod) *build.Pod { return p.Claim("made-a") },
		"a device":            func(p *build.Pod) *build.Pod { return p.DeviceClaim("gpu-a") },
	} {
		t.Run(name, func(t *testing.T) {
			e := engine(t, depot())
			first, second := share(build.MakePod("first")), share(build.MakePod("second"))
			mustPlace(t, e, put{first, "hel"}, put{second, "hel"})
			elsewhere := func(want bool) {
				t.Helper()
				if got := e.Fits(share(build.MakePod("third")).Obj(), "ams"); got.Fits != want {
					t.Errorf("another pod with the claim on another node: got %s, want %v", got, want)
				}
			}
			elsewhere(false)
			if got, err := e.FitsAgain(second.Obj(), "hel"); err != nil || !got.Fits {
				t.Fatal(got, err)
			}
			elsewhere(false)
			e.Fork()
			for _, p := range []*build.Pod{first, second} {
				elsewhere(false)
				if err := e.Remove(p.Obj()); err != nil {
					t.Fatal(err)
				}
			}
			elsewhere(true)
			e.Revert()
			elsewhere(false)
		})
	}
}

// Whoever binds a pod writes into its claim for whom it is reserved. When that failed the pod waits once more, with its claim allocated.
func TestAClaimThatIsReservedForThePodAlready(t *testing.T) {
	objects := depot()
	pod := build.MakePod("p").DeviceClaim("gpu-a").Obj()
	claim := objects.ResourceClaims[0]
	claim.Status.ReservedFor = []resourceapi.ResourceClaimConsumerReference{{Resource: "pods", Name: pod.Name, UID: pod.UID}}
	claim.Status.Allocation = &resourceapi.AllocationResult{
		Devices: resourceapi.DeviceAllocationResult{Results: []resourceapi.DeviceRequestAllocationResult{
			{Request: "device", Driver: "gpu.example.com", Pool: "hel", Device: "gpu-0"},
		}},
		NodeSelector: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"hel"}},
		}}}},
	}
	e := engine(t, objects)
	if got := e.Fits(pod, "ams"); got.Plugin != "DynamicResources" {
		t.Errorf("on a node without its device: %s", got)
	}
	e.Fork()
	mustPlace(t, e, put{build.MakePod("p").DeviceClaim("gpu-a"), "hel"})
	e.Revert() // must not ask an API server to take the reservation away
	if got := e.Fits(build.MakePod("q").DeviceClaim("gpu-b").Obj(), "hel"); got.Fits {
		t.Error("what the cluster has allocated was given to another")
	}
	if claim.Status.ReservedFor[0].UID != pod.UID {
		t.Error("the cluster's object was changed")
	}
}
