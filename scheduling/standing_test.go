// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// TestWhatComesLaterDoesNotMakeAPlacementImpossible has what is placed or opened later change what a spread or an affinity admits. That no
// placement is refused in the last check, solve asserts; that there is an order in which all are possible, the course.
func TestWhatComesLaterDoesNotMakeAPlacementImpossible(t *testing.T) {
	small := build.MakeOffering("Small", 4, 16, 20)
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
