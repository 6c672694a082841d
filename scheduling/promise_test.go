// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestPromises(t *testing.T) {
	web := func(name string) *corev1.Pod {
		return build.MakePod(name).Label("app", "web").CPU("1").Memory("1Gi").Apart(corev1.LabelHostname, "web").Obj()
	}
	sized := func(name, cpu string) *corev1.Pod { return build.MakePod(name).CPU(cpu).Memory("100Mi").Obj() }
	cases := map[string]struct {
		pods     []*corev1.Pod
		promised map[string]string
		want     map[string]string // pod: node
	}{
		"without promises machines are filled by name": {
			pods: []*corev1.Pod{web("b"), web("a")}, want: map[string]string{"a": "ordered-1", "b": "ordered-2"},
		},
		"a pod goes to the machine that was bought for it": {
			pods: []*corev1.Pod{web("a"), web("b")}, promised: map[string]string{"a": "ordered-2", "b": "ordered-1"},
			want: map[string]string{"a": "ordered-2", "b": "ordered-1"},
		},
		"a newcomer does not take a promised place": {
			pods:     []*corev1.Pod{build.MakePod("newcomer").CPU("3500m").Memory("1Gi").Obj(), web("a")},
			promised: map[string]string{"a": "ordered-1"},
			want:     map[string]string{"a": "ordered-1", "newcomer": "ordered-2"},
		},
		"a promise that the plugins refuse is broken": {
			pods: []*corev1.Pod{web("a"), web("b")}, promised: map[string]string{"a": "ordered-1", "b": "ordered-1"},
			want: map[string]string{"a": "ordered-1", "b": "ordered-2"},
		},
		"two pods get what would do for a larger one, because a machine for that costs less": {
			pods: []*corev1.Pod{sized("large", "3"), sized("a", "2"), sized("b", "2"), sized("c", "2"), sized("d", "2")},
			want: map[string]string{"a": "ordered-1", "b": "ordered-1", "c": "ordered-2", "d": "ordered-2", "large": "new-1"},
		},
		"but not what was promised to the larger one": {
			pods:     []*corev1.Pod{sized("large", "3"), sized("a", "2"), sized("b", "2"), sized("c", "2"), sized("d", "2")},
			promised: map[string]string{"large": "ordered-1"},
			want:     map[string]string{"large": "ordered-1", "a": "ordered-2", "b": "ordered-2", "c": "new-1", "d": "new-1"},
		},
		"a promise of a machine that is gone is forgotten": {
			pods: []*corev1.Pod{web("a")}, promised: map[string]string{"a": "ordered-9"}, want: map[string]string{"a": "ordered-1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cluster, err := snapshot.New(snapshot.Objects{VirtualNodes: []*corev1.Node{
				build.MakeNode("ordered-1").Allocatable("4", "8Gi", "110").Obj(), build.MakeNode("ordered-2").Allocatable("4", "8Gi", "110").Obj(),
			}})
			if err != nil {
				t.Fatal(err)
			}
			promised := map[types.NamespacedName]string{}
			for pod, node := range tc.promised {
				promised[types.NamespacedName{Namespace: "default", Name: pod}] = node
			}
			plan := solve(t, scheduling.Input{
				Cluster: cluster, Pods: tc.pods, Promised: promised, Groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
				Offerings: []scheduling.Offering{build.MakeOffering("Four", 4, 8, 40).Obj(), build.MakeOffering("Five", 5, 8, 60).Obj()},
			})
			got := map[string]string{}
			for _, p := range plan.Placements {
				got[p.Pod.Name] = p.Node
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("placements (-want +got):\n%s\nrejections: %v", diff, plan.Rejections)
			}
		})
	}
}
