// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// everything writes down all that a snapshot can be asked.
func everything(t *testing.T, s *snapshot.Snapshot) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(picture(t, s))
	for i := range 9 {
		name := fmt.Sprintf("node-%d", i)
		csi, known := s.CSINode(name)
		limit := int32(-1)
		if known && len(csi.Spec.Drivers) > 0 {
			limit = *csi.Spec.Drivers[0].Allocatable.Count
		}
		fmt.Fprintf(&b, "%s strays or pods %v, planned %v, csi %d\n", name, names(s.PodsOn(name)), s.Planned(name), limit)
	}
	for _, node := range s.Nodes() {
		fmt.Fprintf(&b, "%s %v %v %v\n", node.Name, node.Labels, node.Status.DeclaredFeatures, node.Status.Allocatable.Cpu())
	}
	for _, group := range []string{"", "general", "other"} {
		like := s.Like(build.MakeNode("new").Group(group).Obj())
		if like == nil {
			like = &corev1.Node{}
		}
		fmt.Fprintf(&b, "like of %q: %s\n", group, like.Name)
	}
	var kinds []string
	for shape, on := range s.Kinds() {
		if s.Apart()[shape] != (len(shape.AntiAffinity()) > 0) {
			t.Errorf("kind %v: it is among those that keep others off: %t", shape.Pod.Labels, s.Apart()[shape])
		}
		kinds = append(kinds, fmt.Sprintf("%s %v %v %v", shape.Pod.Namespace, shape.Pod.Labels, shape.Resources().GetMilliCPU(), on))
	}
	for shape := range s.Apart() {
		if s.Kinds()[shape] == nil {
			t.Errorf("kind %v keeps others off and is nowhere", shape.Pod.Labels)
		}
	}
	slices.Sort(kinds)
	fmt.Fprintf(&b, "%s\nunbound %v\n", strings.Join(kinds, "\n"), names(s.Unbound()))
	for _, pod := range s.Objects().Pods {
		node, _ := s.NodeOf(pod)
		shape, err := s.Shapes().Of(pod)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s on %q, %d\n", pod.Name, node, shape.Resources().GetMilliCPU())
	}
	return b.String()
}

// world is a cluster that something happens in.
type world struct {
	random  *rand.Rand
	objects snapshot.Objects
	uids    int
}

func set[T roster.Object](list []T, object T) []T {
	before := roster.Find(list, object.GetNamespace(), object.GetName())
	return roster.Patch(list, []roster.Change[T]{{Before: before, After: object}})
}

func unset[T roster.Object](list []T, name, namespace string) []T {
	var none T
	if before := roster.Find(list, namespace, name); before != none {
		return roster.Patch(list, []roster.Change[T]{{Before: before}})
	}
	return list
}

// happen changes the cluster a little.
func (w *world) happen() {
	o := &w.objects
	node := fmt.Sprintf("node-%d", w.random.IntN(9))
	made := build.MakeNode(node).Group([]string{"general", "other"}[w.random.IntN(2)]).Allocatable(fmt.Sprint(1+w.random.IntN(4)), "8Gi", "110").
		With(func(n *corev1.Node) {
			if w.random.IntN(2) == 0 {
				n.Status.DeclaredFeatures = []string{"Feature-" + node}
			}
		}).Obj()
	switch w.random.IntN(12) {
	case 0, 1:
		o.Nodes = set(o.Nodes, made)
	case 2:
		o.Nodes = unset(o.Nodes, node, "")
	case 3:
		o.VirtualNodes = set(o.VirtualNodes, made)
	case 4:
		o.VirtualNodes = unset(o.VirtualNodes, node, "")
	case 5: // it joins, or it turns out not to be ready
		if standIn := roster.Find(o.VirtualNodes, "", node); standIn != nil {
			o.VirtualNodes, o.Nodes = unset(o.VirtualNodes, node, ""), set(o.Nodes, made)
		} else {
			o.VirtualNodes, o.Nodes = set(o.VirtualNodes, made), unset(o.Nodes, node, "")
		}
	case 6:
		limit := int32(w.random.IntN(9))
		o.CSINodes = set(o.CSINodes, &storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: node}, Spec: storagev1.CSINodeSpec{
			Drivers: []storagev1.CSINodeDriver{{Name: "disk", NodeID: node, Allocatable: &storagev1.VolumeNodeResources{Count: &limit}}},
		}})
	case 7:
		o.Pods = unset(o.Pods, fmt.Sprintf("pod-%d", w.random.IntN(30)), "default")
	default:
		w.podHappens(node)
	}
}

func (w *world) podHappens(node string) {
	i := w.random.IntN(30)
	before := roster.Find(w.objects.Pods, "default", fmt.Sprintf("pod-%d", i))
	var pod *corev1.Pod
	if before == nil || w.random.IntN(6) == 0 { // made, or made again under the same name
		pod = randomPod(w.random, i)
		w.uids++
		pod.UID = types.UID(fmt.Sprint("uid-", w.uids))
	} else {
		pod = before.DeepCopy()
	}
	switch w.random.IntN(6) {
	case 0:
		pod.Spec.NodeName = node
	case 1:
		pod.Status.NominatedNodeName = node
	case 2:
		pod.Status.NominatedNodeName = ""
	case 3:
		pod.DeletionTimestamp = &metav1.Time{}
	case 4:
		pod.Labels = map[string]string{"app": fmt.Sprint(w.random.IntN(3))}
	}
	w.objects.Pods = set(w.objects.Pods, pod)
}

// disturb does to a snapshot what planning does, and more.
func disturb(random *rand.Rand, s *snapshot.Snapshot) {
	for range random.IntN(12) {
		node := fmt.Sprintf("node-%d", random.IntN(9))
		switch pods := s.Objects().Pods; {
		case random.IntN(4) == 0 && s.Has(node):
			_ = s.RemoveNode(node)
		case random.IntN(4) == 0:
			_ = s.AddNode(build.MakeNode(node).Obj()) // refused where it is there: also a case
		case len(pods) > 0:
			pod := pods[random.IntN(len(pods))]
			if s.RemovePod(pod) == nil {
				_ = s.AddPod(pod, node)
			}
		}
	}
}

// TestASeriesShowsWhatANewSnapshotShows lets a cluster live, and compares after each of its steps what a series shows with what a snapshot of
// the same objects shows. Users change the snapshots that they got, keep them, or take changes back.
func TestASeriesShowsWhatANewSnapshotShows(t *testing.T) {
	for seed := range uint64(12) {
		w := &world{random: rand.New(rand.NewPCG(seed, 5))}
		var series snapshot.Series
		var kept *snapshot.Snapshot
		var shown string
		for step := range 100 {
			for range 1 + w.random.IntN(3) {
				w.happen()
			}
			got, err := series.Next(w.objects)
			if err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			want := everything(t, mustNew(t, w.objects))
			if diff := cmp.Diff(want, everything(t, got)); diff != "" {
				t.Fatalf("seed %d, step %d (-new +series):\n%s", seed, step, diff)
			}
			if w.random.IntN(2) == 0 {
				got.Fork()
				disturb(w.random, got)
				got.Revert()
				if diff := cmp.Diff(want, everything(t, got)); diff != "" {
					t.Fatalf("seed %d, step %d: after Revert (-before +after):\n%s", seed, step, diff)
				}
			}
			if kept != nil && everything(t, kept) != shown {
				t.Fatalf("seed %d, step %d: a snapshot of before was changed:\n%s", seed, step, cmp.Diff(shown, everything(t, kept)))
			}
			if w.random.IntN(3) == 0 {
				disturb(w.random, got)
				kept, shown = got, everything(t, got)
			}
		}
	}
}

func TestTwoUsersOfOneSeriesDoNotDisturbEachOther(t *testing.T) {
	w := &world{random: rand.New(rand.NewPCG(1, 6))}
	for range 100 {
		w.happen()
	}
	var series snapshot.Series
	var users sync.WaitGroup
	for n := range uint64(30) {
		w.happen()
		s, err := series.Next(w.objects) // while others use what they got before
		if err != nil {
			t.Fatal(err)
		}
		want := everything(t, mustNew(t, w.objects))
		users.Go(func() {
			random := rand.New(rand.NewPCG(n, 7))
			for range 5 {
				s.Fork()
				disturb(random, s)
				s.Revert()
			}
			if got := everything(t, s); got != want {
				t.Errorf("user %d (-want +got):\n%s", n, cmp.Diff(want, got))
			}
		})
	}
	users.Wait()
}

func TestASeriesDoesNotKeepPodsThatAreGone(t *testing.T) {
	pods := func(round int) (pods []*corev1.Pod) {
		for i := range 10 {
			pods = append(pods, build.MakePod(fmt.Sprintf("p-%d", i)).Label("round", fmt.Sprint(round)).On("a").Obj())
		}
		return pods
	}
	var series snapshot.Series
	objects := snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}}
	most := 0
	for round := range 3000 {
		objects.Pods = pods(round)
		s, err := series.Next(objects)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, s.Shapes().Size())
	}
	if most > 2000 {
		t.Errorf("remembers %d pods and shapes of a cluster that has 10 pods of one shape at a time", most)
	}
}
