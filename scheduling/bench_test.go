// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// workloads makes pods of equal workloads. Of ten workloads, related many have a constraint between pods.
func workloads(pods, workloads, related int) []*corev1.Pod {
	r := rand.New(rand.NewPCG(1, 2))
	var all []*corev1.Pod
	for w := range workloads {
		app := fmt.Sprintf("app-%d", w)
		cpu, memory := fmt.Sprintf("%dm", 50*(1+r.IntN(30))), fmt.Sprintf("%dMi", 64*(1+r.IntN(40)))
		for i := range pods / workloads {
			pod := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(cpu).Memory(memory)
			if w%10 < related {
				switch w % 3 {
				case 0:
					pod.Spread(corev1.LabelHostname, app)
				case 1:
					pod.Apart(corev1.LabelHostname, app)
				default:
					pod.Spread(corev1.LabelTopologyZone, app)
				}
			}
			all = append(all, pod.Obj())
		}
	}
	return all
}

func cluster(nodes, podsPerNode int) snapshot.Objects {
	var objects snapshot.Objects
	for n := range nodes {
		name := fmt.Sprintf("node-%d", n)
		objects.Nodes = append(objects.Nodes, build.MakeNode(name).Allocatable("4", "8Gi", "110").Obj())
		for i := range podsPerNode {
			objects.Pods = append(objects.Pods, build.MakePod(fmt.Sprintf("old-%d-%d", n, i)).CPU("120m").Memory("200Mi").On(name).Obj())
		}
	}
	return objects
}

func BenchmarkSolve(b *testing.B) {
	for _, c := range []struct {
		name                     string
		pods, workloads, related int
		nodes, podsPerNode       int
	}{
		{"1000 pods of 50 workloads, empty cluster", 1000, 50, 0, 0, 0},
		{"1000 pods of 50 workloads, half of them related, empty cluster", 1000, 50, 5, 0, 0},
		{"1000 pods of 50 workloads, 200 nodes with 5000 pods", 1000, 50, 0, 200, 25},
		{"1000 pods of 1000 workloads, empty cluster", 1000, 1000, 0, 0, 0},
		{"10000 pods of 100 workloads, empty cluster", 10000, 100, 0, 0, 0},
		{"1 pod, 1000 nodes with 30000 pods", 1, 1, 0, 1000, 30},
	} {
		b.Run(c.name, func(b *testing.B) {
			in := scenario{
				objects:   cluster(c.nodes, c.podsPerNode),
				pods:      workloads(c.pods, c.workloads, c.related),
				groups:    []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
				offerings: build.Catalogue(),
			}.input(b)
			b.ReportAllocs()
			for b.Loop() {
				plan := solve(b, in)
				if len(plan.Rejections) > 0 {
					b.Fatalf("%d rejections: %+v", len(plan.Rejections), plan.Rejections[0])
				}
				b.ReportMetric(float64(plan.Cost)/float64(plan.LowerBound), "cost/bound")
				b.ReportMetric(float64(len(plan.Launches)), "machines")
			}
		})
	}
}
