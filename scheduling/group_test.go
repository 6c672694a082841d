// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestAGroupAdmitsMachinesUpToEachOfItsLimits(t *testing.T) {
	offering := scheduling.Offering{ID: "1", Name: "a", CPUMilli: 2000, MemoryMiB: 4096, Price: scheduling.PerHour(0.1)}
	limited := func(limits v1alpha1.NodeGroupLimits) func(*v1alpha1.NodeGroup) {
		return func(ng *v1alpha1.NodeGroup) { ng.Spec.Limits = &limits }
	}
	cases := map[string]struct {
		change func(*v1alpha1.NodeGroup)
		want   int // machines, of 5 that are tried
		says   string
	}{
		"without limits any number":       {want: 5},
		"maxNodes":                        {change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MaxNodes = ptr.To[int32](2) }, want: 2, says: `node group "general" is at maxNodes 2`},
		"limits.nodes":                    {change: limited(v1alpha1.NodeGroupLimits{Nodes: ptr.To[int32](3)}), want: 3, says: `node group "general" is at limits.nodes 3`},
		"limits.cpu":                      {change: limited(v1alpha1.NodeGroupLimits{CPU: new(resource.MustParse("7"))}), want: 3, says: `node group "general" would exceed limits.cpu: 6 cpu of 7 cpu are in use or planned, and a adds 2 cpu`},
		"limits.memory":                   {change: limited(v1alpha1.NodeGroupLimits{Memory: new(resource.MustParse("8Gi"))}), want: 2, says: `node group "general" would exceed limits.memory: 8 GiB of 8 GiB are in use or planned, and a adds 4 GiB`},
		"limits.costPerHour":              {change: limited(v1alpha1.NodeGroupLimits{CostPerHour: ptr.To(v1alpha1.Price("0.4"))}), want: 4, says: `node group "general" would exceed limits.costPerHour: 0.4000/h of 0.4000/h are in use or planned, and a adds 0.1000/h`},
		"a limit that cannot be read":     {change: limited(v1alpha1.NodeGroupLimits{CostPerHour: ptr.To(v1alpha1.Price("cheap"))}), says: `node group "general" has a limit that cannot be read: spec.limits.costPerHour: reading price "cheap": want a decimal such as 0.0333`},
		"a pool that is paused gets none": {change: func(ng *v1alpha1.NodeGroup) { ng.Spec.Paused = v1alpha1.PauseAll }, says: `node group "general" is paused (spec.paused: All)`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ng := build.MakeNodeGroup("general")
			if tc.change != nil {
				ng = ng.With(tc.change)
			}
			group, got := scheduling.Group{NodeGroup: ng.Obj()}, 0
			for ; got < 5 && group.Refusal(offering) == ""; got++ {
				group = group.With(offering)
			}
			if got != tc.want {
				t.Errorf("%d machines are admitted, want %d", got, tc.want)
			}
			if says := group.Refusal(offering); says != tc.says {
				t.Errorf("refusal is %q, want %q", says, tc.says)
			}
		})
	}
}

func TestAMachineThatNoPodAsksForHasAsManyOfferingsAsItsGroupWants(t *testing.T) {
	const instanceType = corev1.LabelInstanceTypeStable
	sizes := func(datacenter string, first, n int) (offerings []scheduling.Offering) {
		for i := first; i < first+n; i++ {
			offerings = append(offerings, scheduling.Offering{
				ID: fmt.Sprint(i), Name: fmt.Sprintf("s%d", i), Category: fmt.Sprintf("c%d", i/8), Datacenter: datacenter,
				CPUMilli: 2000, MemoryMiB: 4096, Price: scheduling.PerHour(0.01 * float64(1+i)), Available: true,
			})
		}
		return offerings
	}
	wants := func(key string, least int32) func(*v1alpha1.NodeGroup) {
		return func(ng *v1alpha1.NodeGroup) {
			ng.Spec.Template.Requirements = []v1alpha1.Requirement{{Key: key, Operator: corev1.NodeSelectorOpExists, MinValues: new(least)}}
		}
	}
	both := func(datacenter string, more int) []scheduling.Offering {
		return append(sizes("ams", 0, 1), sizes(datacenter, 1, more)...)
	}
	soldOut := sizes("hel", 0, 2)
	for i := range soldOut {
		soldOut[i].Available = false
	}
	cases := map[string]struct {
		change func(*v1alpha1.NodeGroup)
		from   []scheduling.Offering
		want   string
		says   string
	}{
		"the cheapest eight":                            {from: sizes("hel", 0, 12), want: "s0 s1 s2 s3 s4 s5 s6 s7"},
		"only in the cheapest's place":                  {from: both("hel", 3), want: "s0"},
		"more where minValues wants it":                 {change: wants(instanceType, 10), from: sizes("hel", 0, 12), want: "s0 s1 s2 s3 s4 s5 s6 s7 s8 s9"},
		"and only other values":                         {change: wants(v1alpha1.CategoryLabel, 3), from: sizes("hel", 0, 20), want: "s0 s1 s2 s3 s4 s5 s6 s7 s8 s16"},
		"a dearer place where the cheapest has too few": {change: wants(instanceType, 2), from: both("hel", 3), want: "s1 s2 s3"},
		"none where no place has enough": {
			change: wants(instanceType, 4), from: both("hel", 3),
			says: "spec.template.requirements[0].minValues wants 4 values of node.kubernetes.io/instance-type in each order, and no more than 3 can be had in one datacenter now",
		},
		"none where all is sold out, and nothing to say": {from: soldOut},
		"what a limit refuses is no choice": {
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CostPerHour: ptr.To(v1alpha1.Price("0.025"))}
				wants(instanceType, 3)(ng)
			},
			from: sizes("hel", 0, 3),
			says: `node group "general" would exceed limits.costPerHour: 0.0000/h of 0.0250/h are in use or planned, and s2 adds 0.0300/h`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ng := build.MakeNodeGroup("general")
			if tc.change != nil {
				ng = ng.With(tc.change)
			}
			choices, says := scheduling.Group{NodeGroup: ng.Obj()}.Choices(tc.from)
			var names []string
			for _, o := range choices {
				names = append(names, o.Name)
			}
			if diff := cmp.Diff(tc.want, strings.Join(names, " ")); diff != "" {
				t.Errorf("offerings (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.says, says); diff != "" {
				t.Errorf("why there are none (-want +got):\n%s", diff)
			}
		})
	}
}
