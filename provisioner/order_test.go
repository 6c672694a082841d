// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

func member(name string, phase v1alpha1.VPSieNodePhase, conditions ...metav1.Condition) state.Machine {
	return state.Machine{VPSieNode: &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.VPSieNodeSpec{NodeGroup: "general"},
		Status:     v1alpha1.VPSieNodeStatus{Phase: phase, Conditions: conditions},
	}}
}

func refusal(at time.Duration) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionLaunched, Status: metav1.ConditionFalse, Reason: "QuotaExceeded", Message: "the worker limit is reached",
		LastTransitionTime: metav1.NewTime(noon.Add(at)),
	}
}

func nodeGroup(change func(*v1alpha1.NodeGroup)) *v1alpha1.NodeGroup {
	ng := &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "general", Labels: map[string]string{v1alpha1.ManagedLabel: "true"}}}
	if change != nil {
		change(ng)
	}
	return ng
}

func TestNamesFollowFromThePods(t *testing.T) {
	first := freeName("general", []string{"uid-1", "uid-2"}, map[string]bool{})
	if again := freeName("general", []string{"uid-1", "uid-2"}, map[string]bool{}); again != first {
		t.Errorf("the same pods gave %s and %s: the second plan would buy again", first, again)
	}
	if other := freeName("general", []string{"uid-1"}, map[string]bool{}); other == first {
		t.Errorf("other pods gave the same name %s", other)
	}
	if after := freeName("general", []string{"uid-1", "uid-2"}, map[string]bool{first: true}); after == first {
		t.Errorf("%s was given although it is taken", after)
	}
	if !strings.HasPrefix(first, "general-") || len(first) != len("general-")+8 {
		t.Errorf("name is %q", first)
	}
}

func offering(id, name string, price scheduling.Price, available bool) scheduling.Offering {
	return scheduling.Offering{ID: id, Name: name, Datacenter: "hel", Zone: "hel", Region: "hel", Arch: "amd64", CPUMilli: 2000, MemoryMiB: 4096, DiskGiB: 80, Price: price, Available: available}
}

func TestMinNodes(t *testing.T) {
	// The dearest sorts first by name, and the cheapest of all is out of stock.
	offerings := []scheduling.Offering{offering("1", "a", 300, true), offering("2", "b", 100, true), offering("3", "c", 50, false)}
	leaving := member("leaving", v1alpha1.PhaseReady)
	leaving.VPSieNode.DeletionTimestamp = &metav1.Time{Time: noon}
	cases := map[string]struct {
		change   func(*v1alpha1.NodeGroup)
		machines []state.Machine
		planned  int
		want     int
	}{
		"none by default": {want: 0},
		"as many as are missing": {
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes = ptr.To[int32](3) }, machines: []state.Machine{member("a", v1alpha1.PhaseProvisioning)}, want: 2,
		},
		"failed and leaving machines do not count": {
			change:   func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes = ptr.To[int32](1) },
			machines: []state.Machine{member("a", v1alpha1.PhaseFailed), leaving}, want: 1,
		},
		"machines that are bought for pods count": {
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes = ptr.To[int32](2) }, planned: 1, want: 1,
		},
		"a machine that is still leaving counts against maxNodes": {
			change:   func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes, ng.Spec.MaxNodes = ptr.To[int32](2), ptr.To[int32](2) },
			machines: []state.Machine{leaving}, want: 1,
		},
		"no more than the cost limit allows": {
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.MinNodes = ptr.To[int32](3)
				ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CostPerHour: ptr.To(v1alpha1.Price("0.000000200"))}
			},
			want: 2,
		},
		"no more than the limits of cpu and memory allow": {
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.MinNodes = ptr.To[int32](3)
				ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CPU: new(resource.MustParse("6")), Memory: new(resource.MustParse("8Gi"))}
			},
			planned: 1, want: 1,
		},
		"none where fewer sizes are in stock than minValues wants": {
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.MinNodes = ptr.To[int32](2)
				ng.Spec.Template.Requirements = []v1alpha1.Requirement{
					{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpExists, MinValues: ptr.To[int32](3)},
				}
			},
			want: 0,
		},
		"a paused pool gets none": {
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.MinNodes, ng.Spec.Paused = ptr.To[int32](2), v1alpha1.PauseProvisioning
			},
			want: 0,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			picture := &state.Picture{NodeGroups: []*v1alpha1.NodeGroup{nodeGroup(tc.change)}, Machines: tc.machines}
			planned := make([]order, tc.planned)
			for i := range planned {
				planned[i] = order{name: "planned", launch: scheduling.Launch{Group: "general", Offerings: offerings[1:2]}}
			}
			got := minNodes(picture, picture.Groups(), offerings, planned)
			if len(got) != tc.want {
				t.Fatalf("%d machines are ordered, want %d", len(got), tc.want)
			}
			names := map[string]bool{}
			for _, o := range got {
				names[o.name] = true
				if o.launch.Offerings[0].Name != "b" || o.reason != v1alpha1.CreatedForMinNodes {
					t.Errorf("ordered %s because of %s, want the cheapest in stock for min-nodes", o.launch.Offerings[0].Name, o.reason)
				}
			}
			if len(names) != len(got) {
				t.Errorf("names are %v, want them all different", names)
			}
		})
	}
}

func TestMinNodesFallsBackOnlyOnWhatItMayBuy(t *testing.T) {
	elsewhere := offering("9", "elsewhere", 150, true)
	elsewhere.Datacenter = "ams"
	large := offering("2", "large", 100, true)
	large.CPUMilli = 8000
	offerings := []scheduling.Offering{
		large, offering("3", "small", 120, true), elsewhere, offering("3", "small-too", 160, true), offering("4", "dear", 170, true), offering("5", "dearest", 900, true),
	}
	ng := nodeGroup(func(ng *v1alpha1.NodeGroup) {
		ng.Spec.MinNodes = ptr.To[int32](1)
		ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CPU: new(resource.MustParse("4")), CostPerHour: ptr.To(v1alpha1.Price("0.0000005"))}
	})
	picture := &state.Picture{NodeGroups: []*v1alpha1.NodeGroup{ng}}
	got := minNodes(picture, picture.Groups(), offerings, nil)
	if len(got) != 1 {
		t.Fatalf("%d machines are ordered, want 1", len(got))
	}
	var names []string
	for _, o := range got[0].launch.Offerings {
		names = append(names, o.Name)
	}
	// The cheapest is beyond limits.cpu and the dearest beyond limits.costPerHour; one is elsewhere, and one has an identifier that is taken.
	if diff := cmp.Diff([]string{"small", "dear"}, names); diff != "" {
		t.Errorf("offerings (-want +got):\n%s", diff)
	}
}

func TestPlanningWaitsForTheWatchesToShowTheLastPlan(t *testing.T) {
	e := expectations{"general-1": noon}
	if !e.outstanding(&state.Picture{}, noon.Add(time.Second)) {
		t.Error("a VPSieNode that the watches do not show yet was not waited for")
	}
	if e.outstanding(&state.Picture{Machines: []state.Machine{member("general-1", "")}}, noon.Add(time.Second)) {
		t.Error("waited for a VPSieNode that is there")
	}
	e = expectations{"general-1": noon}
	if e.outstanding(&state.Picture{}, noon.Add(time.Minute)) {
		t.Error("waited for ever for a VPSieNode that was deleted meanwhile")
	}
}
