// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func quantities(list corev1.ResourceList) map[string]string {
	texts := map[string]string{}
	for name, quantity := range list {
		texts[string(name)] = quantity.String()
	}
	return texts
}

func TestAllocatable(t *testing.T) {
	reserve := func(cpu, memory string) *build.NodeGroup {
		return build.MakeNodeGroup("g").With(func(g *v1alpha1.NodeGroup) {
			g.Spec.Template.Reserved = &v1alpha1.Reservation{CPU: new(resource.MustParse(cpu)), Memory: new(resource.MustParse(memory))}
			g.Spec.Template.MaxPods = ptr.To[int32](30)
		})
	}
	seen := build.MakeOffering("Seen", 4, 8, 10).Obj()
	seen.VisibleMemoryMiB, seen.ReservedCPUMilli, seen.ReservedMiB = 7000, 40, 600
	for name, c := range map[string]struct {
		group    *build.NodeGroup
		offering scheduling.Offering
		want     map[string]string
	}{
		"the default is kept back": {
			build.MakeNodeGroup("g"), build.MakeOffering("O", 4, 8, 10).Obj(),
			map[string]string{"cpu": "3900m", "memory": "7936Mi", "pods": "110", "ephemeral-storage": "72Gi"},
		},
		"the group knows better": {
			reserve("500m", "1Gi"), build.MakeOffering("O", 4, 8, 10).Obj(),
			map[string]string{"cpu": "3500m", "memory": "7Gi", "pods": "30", "ephemeral-storage": "72Gi"},
		},
		"a node that registered knows best": {
			reserve("500m", "1Gi"), seen,
			map[string]string{"cpu": "3960m", "memory": "6400Mi", "pods": "30", "ephemeral-storage": "72Gi"},
		},
		"never less than nothing": {
			reserve("64", "640Gi"), build.MakeOffering("O", 4, 8, 10).Obj(),
			map[string]string{"cpu": "0", "memory": "0", "pods": "30", "ephemeral-storage": "72Gi"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, quantities(scheduling.Allocatable(c.group.Obj(), c.offering))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTemplateNode(t *testing.T) {
	group := build.MakeNodeGroup("batch").Label("team", "a").Taint("dedicated", "batch").With(func(g *v1alpha1.NodeGroup) {
		g.Spec.Template.StartupTaints = []v1alpha1.Taint{{Key: "cni", Effect: corev1.TaintEffectNoSchedule}}
	}).Obj()
	o := build.MakeOffering("Starter", 2, 4, 24).Obj()
	node := scheduling.TemplateNode(group, o, "new-1")
	want := scheduling.OfferingLabels(o)
	maps.Copy(want, map[string]string{
		"team": "a", "kubernetes.io/hostname": "new-1", "autoscaler.vpsie.com/managed": "true", "autoscaler.vpsie.com/nodegroup": "batch",
	})
	if diff := cmp.Diff(want, node.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]corev1.Taint{{Key: "dedicated", Value: "batch", Effect: corev1.TaintEffectNoSchedule}}, node.Spec.Taints); diff != "" {
		t.Errorf("taints, without the startup taints (-want +got):\n%s", diff)
	}
}

func TestAVirtualNodeIsWhatTheTemplateWas(t *testing.T) {
	group := build.MakeNodeGroup("batch").Label("team", "a").Taint("dedicated", "batch").Obj()
	launch := scheduling.Launch{Offerings: []scheduling.Offering{
		build.MakeOffering("Starter", 2, 4, 24).Obj(), build.MakeOffering("Professional", 4, 8, 48).Obj(),
	}}
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: "batch-x"}, Spec: scheduling.NodeSpec(group, launch, v1alpha1.CreatedForPods),
	}
	for name, c := range map[string]struct {
		status v1alpha1.VPSieNodeStatus
		want   scheduling.Offering
	}{
		"before anything is ordered the first offering counts": {v1alpha1.VPSieNodeStatus{}, launch.Offerings[0]},
		"the offering that is being ordered":                   {v1alpha1.VPSieNodeStatus{Order: &v1alpha1.OrderRecord{Offering: "professional"}}, launch.Offerings[1]},
		"the offering that was bought": {
			v1alpha1.VPSieNodeStatus{Offering: "Professional", Order: &v1alpha1.OrderRecord{Offering: "starter"}}, launch.Offerings[1],
		},
		"an offering that the spec does not know": {v1alpha1.VPSieNodeStatus{Offering: "Renamed"}, launch.Offerings[0]},
	} {
		t.Run(name, func(t *testing.T) {
			vn.Status = c.status
			want := scheduling.TemplateNode(group, c.want, "batch-x")
			want.Labels[v1alpha1.VPSieNodeLabel] = "batch-x"
			if diff := cmp.Diff(want, scheduling.VirtualNode(vn)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestAVirtualNodeShowsWhatItsStatusExpects(t *testing.T) {
	vn := &v1alpha1.VPSieNode{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	vn.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}
	if diff := cmp.Diff(map[string]string{"cpu": "3", "pods": "110"}, quantities(scheduling.VirtualNode(vn).Status.Allocatable)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNodeSpec(t *testing.T) {
	group := build.MakeNodeGroup("batch").Label("team", "a").Taint("dedicated", "batch").With(func(g *v1alpha1.NodeGroup) {
		g.Spec.Template.Annotations = map[string]string{"a": "b"}
		g.Spec.Template.StartupTaints = []v1alpha1.Taint{{Key: "cni", Effect: corev1.TaintEffectNoSchedule}}
		g.Spec.Template.ExpireAfter = &metav1.Duration{Duration: time.Hour}
		g.Spec.Template.TerminationGracePeriod = &metav1.Duration{Duration: time.Minute}
	}).Obj()
	o := build.MakeOffering("Starter", 2, 4, 24).Obj()
	launch := scheduling.Launch{
		Name: "new-1", Group: "batch", Offerings: []scheduling.Offering{o}, Pods: []types.NamespacedName{{Namespace: "default", Name: "p"}},
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
	}
	got := scheduling.NodeSpec(group, launch, v1alpha1.CreatedForHeadroom)
	want := v1alpha1.VPSieNodeSpec{
		NodeGroup: "batch", Datacenter: "dc-hel", CreationReason: "headroom",
		Offerings: []v1alpha1.OfferingChoice{{
			ID: "starter", Name: "Starter", PricePerHour: "0.033333333", Labels: scheduling.OfferingLabels(o),
			Capacity: corev1.ResourceList{
				"cpu": resource.MustParse("2"), "memory": resource.MustParse("4Gi"), "ephemeral-storage": resource.MustParse("40Gi"),
			},
			Allocatable: scheduling.Allocatable(group, o),
		}},
		Labels: map[string]string{"team": "a"}, Annotations: map[string]string{"a": "b"},
		Taints:                 []v1alpha1.Taint{{Key: "dedicated", Value: "batch", Effect: "NoSchedule"}},
		StartupTaints:          []v1alpha1.Taint{{Key: "cni", Effect: "NoSchedule"}},
		Resources:              corev1.ResourceList{"cpu": resource.MustParse("1")},
		TerminationGracePeriod: &metav1.Duration{Duration: time.Minute}, ExpireAfter: &metav1.Duration{Duration: time.Hour},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got.Labels["team"] = "changed"
	if group.Spec.Template.Labels["team"] != "a" {
		t.Error("the spec shares memory with the group")
	}
}
