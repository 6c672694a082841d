// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/workload"
)

func TestAPlanDependsOnNothingButItsInput(t *testing.T) {
	in := scenario{
		objects: workload.Cluster(1, 20, 10), pods: workload.Mixed(1, 300, 15), offerings: workload.Offerings(1, 30),
		groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
	}.input(t)
	before := picture(in.Cluster)
	first := asJSON(t, solve(t, in))
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, processors := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(processors)
		for range 10 {
			if diff := cmp.Diff(first, asJSON(t, solve(t, in))); diff != "" {
				t.Fatalf("with %d processors another plan (-first +now):\n%s", processors, diff)
			}
		}
	}
	if diff := cmp.Diff(before, picture(in.Cluster)); diff != "" {
		t.Errorf("the picture is another one (-before +after):\n%s", diff)
	}
}

// TestPlansAreCloseToTheCheapest holds the gap of generated workloads to what docs/performance.md promises.
func TestPlansAreCloseToTheCheapest(t *testing.T) {
	for name, c := range map[string]struct {
		pods []*corev1.Pod
		gap  float64
	}{
		"pods without relations":              {workload.Pending(1, 3000, 60), 0.02},
		"others":                              {workload.Pending(2, 2000, 30), 0.02},
		"a fifth each spread, near and apart": {workload.Mixed(1, 5000, 100), 0.05},
		"the same from another seed":          {workload.Mixed(2, 5000, 100), 0.05},
	} {
		t.Run(name, func(t *testing.T) {
			plan := solve(t, scenario{
				pods: c.pods, offerings: workload.Offerings(1, 100),
				groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
			}.input(t))
			t.Logf("gap %.2f %%, %d machines", 100*plan.Gap, len(plan.Launches))
			if len(plan.Rejections) > 0 || len(plan.Placements) != len(c.pods) {
				t.Errorf("%d rejected, %d placed", len(plan.Rejections), len(plan.Placements))
			}
			if plan.Gap > c.gap {
				t.Errorf("gap %.4f, want at most %.2f", plan.Gap, c.gap)
			}
		})
	}
}
