// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// overHosts are workloads of a few replicas each, of which some are spread over hosts. Every other one is a StatefulSet, of which no two pods are equal.
func overHosts(seed uint64, workloads int, spread func(workload int) bool) scenario {
	r := rand.New(rand.NewPCG(seed, 11))
	pick := func(from ...int) int { return from[r.IntN(len(from))] }
	s := scenario{
		groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
		offerings: []scheduling.Offering{
			build.MakeOffering("Small", 2, 16, 7.2).Obj(), build.MakeOffering("Medium", 4, 32, 14.4).Obj(), build.MakeOffering("Large", 8, 64, 28).Obj(),
		},
	}
	for w := range workloads {
		app := fmt.Sprintf("w%d", w)
		replicas, cpu, memory := pick(3, 4, 5, 6, 8, 10), pick(200, 300, 500, 700, 900, 1200), pick(256, 512, 1024, 2048, 3072)
		for i := range replicas {
			pod := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(fmt.Sprintf("%dm", cpu)).Memory(fmt.Sprintf("%dMi", memory))
			if w%4 >= 2 {
				pod.Label("name", fmt.Sprint(i))
			}
			if spread(w) {
				pod.Spread(corev1.LabelHostname, app)
			}
			s.pods = append(s.pods, pod.Obj())
		}
	}
	s.objects.Pods = s.pods
	return s
}

func TestWhicheverWorkloadsAreSpreadOverHostsAPlanComesCloseToItsBound(t *testing.T) {
	const workloads, tolerance = 16, 0.05
	kinds := map[string]func(workload int) bool{
		"all are":         func(int) bool { return true },
		"three of four":   func(w int) bool { return w%4 != 3 },
		"every other one": func(w int) bool { return w%2 == 0 },
		"one of four":     func(w int) bool { return w%4 == 0 },
	}
	for seed := range uint64(8) {
		costs := map[string]scheduling.Price{}
		for _, name := range slices.Sorted(maps.Keys(kinds)) {
			spread := kinds[name]
			plan := solve(t, overHosts(seed, workloads, spread).input(t))
			costs[name] = plan.Cost
			t.Logf("seed %d, %s: %s, gap %.3f", seed, name, plan.Cost, plan.Gap)
			if len(plan.Rejections) > 0 || plan.Gap > tolerance {
				t.Errorf("seed %d, %s: %d rejections, and the plan costs %.1f %% more than its bound", seed, name, len(plan.Rejections), 100*plan.Gap)
			}
		}
		for name, cost := range costs {
			if float64(cost) > float64(costs["all are"])*(1+tolerance) {
				t.Errorf("seed %d, %s: costs %s, and with more constraints %s", seed, name, cost, costs["all are"])
			}
		}
	}
}
