// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

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
