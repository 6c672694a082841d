// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestAMachineHoldsNoMoreOfAWorkloadThanItsGroupAllows(t *testing.T) {
	sharing := func(name string, percent int32) *build.NodeGroup {
		return build.MakeNodeGroup(name).With(func(g *v1alpha1.NodeGroup) { g.Spec.MaxWorkloadShare = &percent })
	}
	replicas := func(count int, change func(i int, p *build.Pod)) (pods []*corev1.Pod) {
		for i := range count {
			p := build.MakePod(fmt.Sprintf("web-%02d", i)).CPU("50m").Memory("64Mi").Owner("ReplicaSet", "web")
			change(i, p)
			pods = append(pods, p.Obj())
		}
		return pods
	}
	same := func(int, *build.Pod) {}
	for name, c := range map[string]struct {
		groups []*build.NodeGroup
		pods   []*corev1.Pod
		want   []int // pods of each launch, most first
	}{
		"a third of ten pods is three, so the tenth is alone": {
			[]*build.NodeGroup{sharing("general", 33)}, replicas(10, same), []int{3, 3, 3, 1},
		},
		"a share of less than a pod is one pod": {
			[]*build.NodeGroup{sharing("general", 1)}, replicas(3, same), []int{1, 1, 1},
		},
		"a group that says nothing holds all of them": {
			[]*build.NodeGroup{build.MakeNodeGroup("general")}, replicas(10, same), []int{10},
		},
		"pods of one controller that differ are one workload": {
			[]*build.NodeGroup{sharing("general", 50)},
			replicas(4, func(i int, p *build.Pod) { p.Label("apps.kubernetes.io/pod-index", fmt.Sprint(i)) }), []int{2, 2},
		},
		"equal pods of two controllers are two workloads": {
			[]*build.NodeGroup{sharing("general", 50)},
			replicas(4, func(i int, p *build.Pod) { p.Owner("ReplicaSet", fmt.Sprintf("web-%d", i%2)) }), []int{2, 2},
		},
		"pods of no controller are no workload": {
			[]*build.NodeGroup{sharing("general", 50)},
			replicas(4, func(_ int, p *build.Pod) { p.With(func(pod *corev1.Pod) { pod.OwnerReferences = nil }) }), []int{4},
		},
		"a pod that leaves does not count": {
			[]*build.NodeGroup{sharing("general", 50)},
			replicas(4, func(i int, p *build.Pod) {
				if i > 1 {
					p.With(func(pod *corev1.Pod) { pod.Status.Phase = corev1.PodSucceeded })
				}
			}), []int{1, 1},
		},
		"where two groups differ, each machine keeps to its own": {
			[]*build.NodeGroup{sharing("a-generous", 50).MaxNodes(1), sharing("b-strict", 25).MaxNodes(2)}, replicas(4, same), []int{2, 1, 1},
		},
		"where two groups differ, machines are first planned by the stricter, and then share what they may": {
			[]*build.NodeGroup{sharing("a-generous", 50), sharing("b-strict", 25)}, replicas(4, same), []int{2, 2},
		},
		"pods with volumes are bounded too": {
			[]*build.NodeGroup{sharing("general", 50)},
			replicas(4, func(i int, p *build.Pod) { p.Claim(fmt.Sprintf("data-%d", i)) }), []int{2, 2},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := scenario{pods: c.pods, offerings: build.Catalogue(), objects: snapshot.Objects{Pods: c.pods}}
			for i := range 4 {
				s.objects.PersistentVolumeClaims = append(s.objects.PersistentVolumeClaims, build.MakePVC(fmt.Sprintf("data-%d", i), "fast").Obj())
			}
			s.objects.StorageClasses = append(s.objects.StorageClasses, build.MakeStorageClass("fast", "csi.example.com").Obj())
			for _, group := range c.groups {
				s.groups = append(s.groups, scheduling.Group{NodeGroup: group.Obj()})
			}
			plan := solve(t, s.input(t))
			var got []int
			for _, launch := range plan.Launches {
				got = append(got, len(launch.Pods))
			}
			slices.SortFunc(got, func(a, b int) int { return b - a })
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("pods of the launches (-want +got):\n%s\nrejected: %+v", diff, plan.Rejections)
			}
			if plan.LowerBound > plan.Cost {
				t.Errorf("lower bound %s above cost %s", plan.LowerBound, plan.Cost)
			}
		})
	}
}
