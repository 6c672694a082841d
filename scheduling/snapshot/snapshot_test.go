// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// picture writes down everything that plugins can see.
func picture(t *testing.T, s *snapshot.Snapshot) string {
	t.Helper()
	var b strings.Builder
	for _, node := range s.Nodes() {
		info, err := s.NodeInfos().Get(node.Name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s cpu=%d pods=%d ports=%d:", node.Name, info.GetRequested().GetMilliCPU(), len(info.GetPods()), len(info.GetUsedPorts()))
		for _, pod := range s.PodsOn(node.Name) {
			fmt.Fprintf(&b, " %s", pod.Name)
			if on, _ := s.NodeOf(pod); on != node.Name {
				t.Errorf("pod %s is listed on %s and known on %s", pod.Name, node.Name, on)
			}
		}
		b.WriteString("\n")
	}
	for _, list := range []func() ([]fwk.NodeInfo, error){
		s.NodeInfos().HavePodsWithAffinityList, s.NodeInfos().HavePodsWithRequiredAntiAffinityList,
	} {
		infos, err := list()
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, info := range infos {
			names = append(names, info.Node().Name)
		}
		slices.Sort(names)
		fmt.Fprintf(&b, "%v\n", names)
	}
	for i := range 4 {
		fmt.Fprintf(&b, "claim-%d %v\n", i, s.StorageInfos().IsPVCUsedByPods(fmt.Sprintf("default/claim-%d", i)))
	}
	return b.String()
}

func mustNew(t *testing.T, objects snapshot.Objects) *snapshot.Snapshot {
	t.Helper()
	s, err := snapshot.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names(pods []*corev1.Pod) []string {
	got := []string{}
	for _, pod := range pods {
		got = append(got, pod.Name)
	}
	return got
}

func TestPodsArePlacedWhereTheyRunOrAreAboutTo(t *testing.T) {
	finished := build.MakePod("finished").On("a").Obj()
	finished.Status.Phase = corev1.PodSucceeded
	nominated := build.MakePod("nominated").Obj()
	nominated.Status.NominatedNodeName = "a"
	nowhere := build.MakePod("nominated-to-nowhere").Obj()
	nowhere.Status.NominatedNodeName = "gone"
	s := mustNew(t, snapshot.Objects{
		Nodes: []*corev1.Node{build.MakeNode("a").Obj()},
		Pods: []*corev1.Pod{
			build.MakePod("running").On("a").Obj(), build.MakePod("pending").Obj(),
			finished, nominated, nowhere, build.MakePod("stray").On("unknown").Obj(),
		},
	})
	if diff := cmp.Diff([]string{"nominated", "running"}, names(s.PodsOn("a"))); diff != "" {
		t.Errorf("pods on a (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"stray"}, names(s.PodsOn("unknown"))); diff != "" {
		t.Errorf("pods on a node that is not in the picture (-want +got):\n%s", diff)
	}
	if s.Has("unknown") {
		t.Error("a pod brought its node into the picture")
	}
}

func TestAPodWhoseNodeIsUnknownComesBackWithTheNode(t *testing.T) {
	pod := build.MakePod("stray").CPU("1").Claim("claim-1").On("late").Obj()
	s := mustNew(t, snapshot.Objects{Pods: []*corev1.Pod{pod}})
	if s.StorageInfos().IsPVCUsedByPods("default/claim-1") {
		t.Error("kube-scheduler does not count the claims of such a pod")
	}
	if err := s.AddNode(build.MakeNode("late").Obj()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"stray"}, names(s.PodsOn("late"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !s.StorageInfos().IsPVCUsedByPods("default/claim-1") {
		t.Error("its claim is not counted")
	}
}

func TestAPodOfARemovedNodeCanBePlacedElsewhere(t *testing.T) {
	pod := build.MakePod("p").CPU("1").On("a").Obj()
	s := mustNew(t, snapshot.Objects{
		Nodes: []*corev1.Node{build.MakeNode("a").Obj(), build.MakeNode("b").Obj()}, Pods: []*corev1.Pod{pod},
	})
	before := picture(t, s)
	s.Fork()
	if err := s.RemoveNode("a"); err != nil {
		t.Fatal(err)
	}
	if err := s.AddPod(pod, "b"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"p"}, names(s.PodsOn("b"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.Revert()
	if diff := cmp.Diff(before, picture(t, s)); diff != "" {
		t.Errorf("after Revert (-before +after):\n%s", diff)
	}
}

func TestContradictionsAreErrors(t *testing.T) {
	pod := build.MakePod("p").On("a").Obj()
	s := mustNew(t, snapshot.Objects{
		Nodes: []*corev1.Node{build.MakeNode("a").Obj(), build.MakeNode("b").Obj()}, Pods: []*corev1.Pod{pod},
	})
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a node twice":      {s.AddNode(build.MakeNode("a").Obj()), `adding node "a": it is already in the snapshot`},
		"an unknown node":   {s.RemoveNode("c"), `removing node "c": it is not in the snapshot`},
		"a pod twice":       {s.AddPod(pod, "b"), `placing pod "default/p" on node "b": it is already on node "a"`},
		"a pod not present": {s.RemovePod(build.MakePod("q").Obj()), `removing pod "default/q": it is on no node`},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("%s: got error %v, want %s", name, c.err, c.want)
		}
	}
}

// TestRevertRestoresEverything drives random changes through nested forks and compares all that plugins can see.
func TestRevertRestoresEverything(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		var objects snapshot.Objects
		for i := range 5 {
			objects.Nodes = append(objects.Nodes, build.MakeNode(fmt.Sprintf("node-%d", i)).Obj())
		}
		for i := range 20 {
			objects.Pods = append(objects.Pods, randomPod(random, i))
		}
		s := mustNew(t, objects)
		var befores []string
		for range 200 {
			switch action := random.IntN(10); {
			case action == 0:
				befores = append(befores, picture(t, s))
				s.Fork()
			case action == 1 && len(befores) > 0:
				s.Revert()
				last := len(befores) - 1
				if diff := cmp.Diff(befores[last], picture(t, s)); diff != "" {
					t.Fatalf("seed %d: after Revert (-before +after):\n%s", seed, diff)
				}
				befores = befores[:last]
			case action == 2 && len(befores) > 0:
				s.Commit()
				befores = befores[:len(befores)-1]
			case action <= 4:
				node := fmt.Sprintf("node-%d", random.IntN(7))
				if s.Has(node) {
					_ = s.RemoveNode(node)
				} else {
					_ = s.AddNode(build.MakeNode(node).Obj())
				}
			default:
				pod := objects.Pods[random.IntN(len(objects.Pods))]
				if _, placed := s.NodeOf(pod); placed && random.IntN(2) == 0 {
					_ = s.RemovePod(pod)
				} else {
					_ = s.AddPod(pod, fmt.Sprintf("node-%d", random.IntN(7))) // refused where it is placed: also a case
				}
			}
		}
	}
}

func randomPod(random *rand.Rand, i int) *corev1.Pod {
	pod := build.MakePod(fmt.Sprintf("pod-%d", i)).CPU(fmt.Sprintf("%dm", 10*random.IntN(50)))
	switch random.IntN(5) {
	case 0:
		pod.Apart(corev1.LabelHostname, "x")
	case 1:
		pod.Near(corev1.LabelTopologyZone, "x")
	case 2:
		pod.Claim(fmt.Sprintf("claim-%d", random.IntN(4)))
	case 3:
		pod.HostPort(int32(8000 + i))
	}
	if random.IntN(3) > 0 {
		pod.On(fmt.Sprintf("node-%d", random.IntN(7)))
	}
	return pod.Obj()
}

func TestACloneIsIndependent(t *testing.T) {
	pod := build.MakePod("p").CPU("1").On("a").Obj()
	s := mustNew(t, snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}, Pods: []*corev1.Pod{pod}})
	before := picture(t, s)
	clone := s.Clone()
	if err := clone.RemovePod(pod); err != nil {
		t.Fatal(err)
	}
	if err := clone.AddNode(build.MakeNode("b").Obj()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, picture(t, s)); diff != "" {
		t.Errorf("changing the clone changed the original (-before +after):\n%s", diff)
	}
}

func TestAPodWithoutUIDCanBePlacedAndRemoved(t *testing.T) {
	pod := build.MakePod("p").With(func(p *corev1.Pod) { p.UID = "" }).Obj()
	s := mustNew(t, snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}})
	before := picture(t, s)
	if err := s.AddPod(pod, "a"); err != nil {
		t.Fatal(err)
	}
	if err := s.RemovePod(pod); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, picture(t, s)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestAVirtualNodeLosesAgainstTheRegisteredOne(t *testing.T) {
	s := mustNew(t, snapshot.Objects{
		Nodes:        []*corev1.Node{build.MakeNode("a").Allocatable("4", "8Gi", "110").Obj()},
		VirtualNodes: []*corev1.Node{build.MakeNode("a").Allocatable("1", "1Gi", "1").Obj(), build.MakeNode("v").Obj()},
	})
	if got := s.Nodes()[0].Status.Allocatable.Cpu().String(); got != "4" {
		t.Errorf("cpu of a: got %s, want the registered node's 4", got)
	}
	if s.Planned("a") || !s.Planned("v") {
		t.Errorf("planned: a %v, v %v; want only v", s.Planned("a"), s.Planned("v"))
	}
}

func TestAPlannedNodeLooksLikeItsLike(t *testing.T) {
	csiNode := func(node string, limit int32, keys ...string) *storagev1.CSINode {
		return &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{
			Name: "disk", NodeID: "id-" + node, TopologyKeys: keys, Allocatable: &storagev1.VolumeNodeResources{Count: new(limit)},
		}}}}
	}
	features := func(features ...string) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Status.DeclaredFeatures = features }
	}
	s := mustNew(t, snapshot.Objects{
		Nodes: []*corev1.Node{
			build.MakeNode("control-plane").With(features("Old")).Obj(),
			build.MakeNode("other").Group("other").With(features("Other")).Obj(),
			build.MakeNode("same").Group("general").Label("rack", "r1").Label("self", "same").With(features("Same")).Obj(),
		},
		CSINodes: []*storagev1.CSINode{csiNode("other", 3), csiNode("same", 5, "rack", "self")},
	})
	planned := s.AsRegistered(build.MakeNode("new-1").Group("general").Obj())
	if diff := cmp.Diff([]string{"Same"}, planned.Status.DeclaredFeatures); diff != "" {
		t.Errorf("declared features (-want +got):\n%s", diff)
	}
	if planned.Labels["rack"] != "r1" || planned.Labels["self"] != "new-1" {
		t.Errorf("topology labels: rack %q, self %q; want r1 and its own name", planned.Labels["rack"], planned.Labels["self"])
	}
	if far := s.AsRegistered(build.MakeNode("new-2").Group("general").Zone("ams").Obj()); far.Labels["rack"] != "" {
		t.Errorf("a node in another zone got rack %q", far.Labels["rack"])
	}
	if err := s.AddNode(planned); err != nil {
		t.Fatal(err)
	}
	csi, known := s.CSINode("new-1")
	if !known || *csi.Spec.Drivers[0].Allocatable.Count != 5 || csi.Spec.Drivers[0].NodeID != "new-1" {
		t.Errorf("CSINode of the planned node: %v", csi)
	}
	if _, known := s.CSINode("control-plane"); known {
		t.Error("a registered node without CSINode got one")
	}
}

func TestVPSiesOwnDriverIsKnownBeforeAnyNodeIs(t *testing.T) {
	s := mustNew(t, snapshot.Objects{
		CSIDrivers: []*storagev1.CSIDriver{{ObjectMeta: metav1.ObjectMeta{Name: "vpsie.csi.vpsie.com"}}},
		VirtualNodes: []*corev1.Node{
			build.MakeNode("v").Label(v1alpha1.DatacenterLabel, "dc-hel").Obj(),
		},
	})
	if got := s.Nodes()[0].Labels["region"]; got != "dc-hel" {
		t.Errorf("label region: got %q, want the datacenter", got)
	}
	csi, known := s.CSINode("v")
	if !known || *csi.Spec.Drivers[0].Allocatable.Count != 7 {
		t.Errorf("CSINode: got %v, want a limit of 7 volumes", csi)
	}
}

func TestVPSiesOwnDriverIsKnownByItsStorageClass(t *testing.T) {
	objects := snapshot.Objects{VirtualNodes: []*corev1.Node{build.MakeNode("v").Label(v1alpha1.DatacenterLabel, "dc-hel").Obj()}}
	var series snapshot.Series
	if _, err := series.Next(objects); err != nil {
		t.Fatal(err)
	}
	objects.StorageClasses = []*storagev1.StorageClass{build.MakeStorageClass("fast", build.VPSieDriver).Obj()}
	s, err := series.Next(objects)
	if err != nil {
		t.Fatal(err)
	}
	csi, known := s.CSINode("v")
	if !known || len(csi.Spec.Drivers) != 1 || *csi.Spec.Drivers[0].Allocatable.Count != 7 || s.Nodes()[0].Labels["region"] != "dc-hel" {
		t.Errorf("CSINode %v, labels %v; want a limit of 7 volumes and the region", csi, s.Nodes()[0].Labels)
	}
}

func TestClonesOfOneStateShareWhatWasMadeOfIt(t *testing.T) {
	made := 0
	ask := func(s *snapshot.Snapshot) int {
		value, _ := s.Memo(func() any { made++; return made }).(int)
		return value
	}
	var series snapshot.Series
	objects := snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}}
	next := func() *snapshot.Snapshot {
		t.Helper()
		s, err := series.Next(objects)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first, second := next(), next()
	if ask(first) != 1 || ask(second) != 1 || ask(first.Clone()) != 1 {
		t.Error("equal clones made it more than once")
	}
	first.Fork()
	if err := first.AddPod(build.MakePod("x").CPU("1").Obj(), "a"); err != nil {
		t.Fatal(err)
	}
	if ask(first) != 2 || ask(first.Clone()) != 3 || ask(second) != 1 {
		t.Error("a changed clone got what was made of the state before, or disturbed the others")
	}
	first.Revert()
	if ask(first) != 1 {
		t.Error("a clone that is as it began made it again")
	}
	objects.Pods = []*corev1.Pod{build.MakePod("waiting").CPU("1").Obj()}
	if ask(next()) != 1 {
		t.Error("a pod that waits changes nothing about the nodes")
	}
	objects.Pods = append(objects.Pods, build.MakePod("y").CPU("1").On("a").Obj())
	if ask(next()) != 4 || ask(second) != 1 {
		t.Error("what was made of another state was passed on")
	}
}
