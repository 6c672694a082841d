// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

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

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// TestWhatComesLaterDoesNotMakeAPlacementImpossible has what is placed or opened later change what a spread or an affinity admits. That no
// placement is refused in the last check, solve asserts; that there is an order in which all are possible, the course.
func TestWhatComesLaterDoesNotMakeAPlacementImpossible(t *testing.T) {
	small, large := build.MakeOffering("Small", 4, 16, 20), build.MakeOffering("Large", 8, 32, 24)
	replicas := func(app string, n int, cpu string, change func(*build.Pod)) (pods []*build.Pod) {
		for i := range n {
			pod := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(cpu)
			change(pod)
			pods = append(pods, pod)
		}
		return pods
	}
	overHosts := func(p *build.Pod) { p.Spread(corev1.LabelHostname, "web") }
	leaving := func(p *build.Pod) { overHosts(p); p.On("gone") }
	lone := func(*build.Pod) {}
	withVolume := func(p *build.Pod) { p.Claim("data") }
	node := func(name, cpu string) *corev1.Node { return build.MakeNode(name).Allocatable(cpu, "16Gi", "20").Obj() }
	for name, tc := range map[string]struct {
		nodes, virtual []*corev1.Node
		pods           [][]*build.Pod
		offerings      []*build.Offering
		group          *build.NodeGroup
		want           map[string]int // pods, by app and the node or the offering of the machine that they go to
	}{
		"pods that kube-scheduler places now do not wait for a machine that is for another": {
			nodes: []*corev1.Node{node("a", "2")}, offerings: []*build.Offering{small},
			pods: [][]*build.Pod{replicas("web", 3, "300m", overHosts), replicas("batch", 1, "3", lone)},
			want: map[string]int{"web on a": 3, "batch on Small": 1},
		},
		"nor do those for a machine that was ordered earlier": {
			virtual: []*corev1.Node{node("v", "2")}, offerings: []*build.Offering{small},
			pods: [][]*build.Pod{replicas("web", 3, "300m", overHosts), replicas("batch", 1, "3", lone)},
			want: map[string]int{"web on v": 3, "batch on Small": 1},
		},
		"nor where the plugins are asked about every step because of a volume": {
			nodes: []*corev1.Node{node("a", "2")}, offerings: []*build.Offering{small},
			pods: [][]*build.Pod{replicas("web", 3, "300m", overHosts), replicas("batch", 1, "3", lone), replicas("db", 1, "3", withVolume)},
			want: map[string]int{"web on a": 3, "batch on Small": 1, "db on Small": 1},
		},
		"pods that leave a node go when the machines are there, which count": {
			nodes: []*corev1.Node{node("a", "2")}, offerings: []*build.Offering{small},
			pods: [][]*build.Pod{replicas("web", 3, "300m", leaving), replicas("batch", 1, "3", lone)},
			want: map[string]int{"web on a": 2, "web on Small": 1, "batch on Small": 1},
		},
		"and one of them is left out where no more are admitted beside a machine that is not for them": {
			nodes: []*corev1.Node{node("a", "2")}, offerings: []*build.Offering{small},
			pods:  [][]*build.Pod{replicas("web", 2, "300m", leaving), replicas("batch", 1, "3", func(p *build.Pod) { p.Tolerate("team") })},
			group: build.MakeNodeGroup("general").Taint("team", "a"),
			want:  map[string]int{"web on a": 1, "batch on Small": 1},
		},
		"pods that a spread counts and that do not have it come last, wherever they go": {
			nodes: []*corev1.Node{node("a", "2"), node("b", "1")},
			pods: [][]*build.Pod{
				replicas("watch", 1, "100m", func(p *build.Pod) { p.Spread(corev1.LabelHostname, "web").Priority(2) }),
				replicas("web", 3, "600m", func(p *build.Pod) { p.Priority(1) }),
			},
			want: map[string]int{"watch on b": 1, "web on a": 3},
		},
		"a pod that may be the first of its kind is beside those that follow it": {
			nodes: []*corev1.Node{node("a", "1"), node("b", "3")},
			pods: [][]*build.Pod{
				replicas("first", 1, "500m", func(p *build.Pod) { p.Label("app", "web").Near(corev1.LabelHostname, "web").Priority(2) }),
				replicas("web", 1, "2", func(p *build.Pod) { p.Priority(1) }),
			},
			want: map[string]int{"first on b": 1, "web on b": 1},
		},
		"a machine does not shrink to a type that its pods keep off": {
			offerings: []*build.Offering{small, large},
			pods:      [][]*build.Pod{replicas("web", 2, "1", func(p *build.Pod) { p.Apart(corev1.LabelInstanceTypeStable, "web") })},
			want:      map[string]int{"web on Small": 1, "web on Large": 1},
		},
		"nor away from the type that its pods are to share": {
			offerings: []*build.Offering{small, large},
			pods: [][]*build.Pod{
				replicas("first", 1, "5", func(p *build.Pod) { p.Label("app", "web") }),
				replicas("web", 3, "1900m", func(p *build.Pod) { p.Near(corev1.LabelInstanceTypeStable, "web") }),
			},
			want: map[string]int{"first on Large": 1, "web on Large": 3},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := trial.Trial{Groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}}}
			if tc.group != nil {
				s.Groups[0].NodeGroup = tc.group.Obj()
			}
			s.Objects = snapshot.Objects{
				Nodes: tc.nodes, VirtualNodes: tc.virtual, CSIDrivers: []*storagev1.CSIDriver{build.MakeCSIDriver(build.VPSieDriver).Obj()},
				Namespaces:             []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}},
				StorageClasses:         []*storagev1.StorageClass{build.MakeStorageClass("vpsie", build.VPSieDriver).Obj()},
				PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{build.MakePVC("data", "vpsie").Obj()},
			}
			for _, pods := range tc.pods {
				for _, p := range pods {
					s.Pods = append(s.Pods, p.Obj())
				}
			}
			for _, o := range tc.offerings {
				s.Offerings = append(s.Offerings, o.Obj())
			}
			cluster, err := snapshot.New(s.Objects)
			if err != nil {
				t.Fatal(err)
			}
			plan := solve(t, scheduling.Input{Cluster: cluster, Pods: s.Pods, Groups: s.Groups, Offerings: s.Offerings})
			if _, err := s.CourseOf(plan); err != nil {
				t.Error(err)
			}
			got := map[string]int{}
			for _, p := range plan.Placements {
				node := p.Node
				for _, launch := range plan.Launches {
					if launch.Name == node {
						node = launch.Offerings[0].Name
					}
				}
				name, _, _ := strings.Cut(p.Pod.Name, "-")
				got[name+" on "+node]++
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s\n%s", diff, asJSON(t, plan))
			}
		})
	}
}

// TestPlansOverAnyTopologyAreAccepted has relations between pods reach over whatever machines differ in, and count pods that do not have them.
func TestPlansOverAnyTopologyAreAccepted(t *testing.T) {
	for seed := range uint64(scenarios) {
		s := trial.Plain(seed)
		if seed%3 == 0 {
			s.AddPolicies(seed)
			for i := range s.Groups { // the course knows of no share
				s.Groups[i].NodeGroup.Spec.MaxWorkloadShare = nil
			}
		}
		overAnyTopology(s, seed)
		plan := solve(t, scenario{objects: s.Objects, pods: s.Pods, groups: s.Groups, offerings: s.Offerings}.input(t))
		if _, err := s.CourseOf(plan); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

func overAnyTopology(s *trial.Trial, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 171))
	keys, counted := map[string]string{}, map[string]metav1.LabelSelector{}
	for i, pod := range s.Pods {
		app := pod.Labels["app"]
		if keys[app] == "" {
			keys[app] = []string{corev1.LabelInstanceTypeStable, v1alpha1.CategoryLabel, corev1.LabelTopologyZone, corev1.LabelHostname}[r.IntN(4)]
			counted[app] = []metav1.LabelSelector{{}, {MatchLabels: map[string]string{"app": "app-0"}}, {MatchLabels: map[string]string{"app": app}}}[r.IntN(3)]
		}
		changed := pod.DeepCopy()
		for j := range changed.Spec.TopologySpreadConstraints {
			constraint := &changed.Spec.TopologySpreadConstraints[j]
			constraint.TopologyKey, constraint.LabelSelector = keys[app], new(counted[app])
		}
		if affinity := changed.Spec.Affinity; affinity != nil && affinity.PodAffinity != nil {
			for j := range affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
				affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[j].TopologyKey = keys[app]
			}
		}
		if affinity := changed.Spec.Affinity; affinity != nil && affinity.PodAntiAffinity != nil {
			for j := range affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
				affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[j].TopologyKey = keys[app]
			}
		}
		at := slices.IndexFunc(s.Objects.Pods, func(other *corev1.Pod) bool { return other.Name == pod.Name })
		s.Objects.Pods[at], s.Pods[i] = changed, changed
	}
}
