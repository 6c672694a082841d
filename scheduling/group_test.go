// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"testing"

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
			for ; got < 5 && group.Admits(offering); got++ {
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
