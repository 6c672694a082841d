// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build performance

package perf

import (
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/workload"
)

// BenchmarkRearrange decides which of about 200 machines stay, go and are replaced, of which a third of the 7,500 pods they were bought
// for has left.
func BenchmarkRearrange(b *testing.B) {
	for _, c := range []struct {
		name   string
		pods   []*corev1.Pod
		change func(*scheduling.Input)
	}{
		{"all of 5000 pods 100 classes", workload.Pending(seed, 7500, 100), func(*scheduling.Input) {}},
		{"all of 5000 related pods 100 classes", workload.Mixed(seed, 7500, 100), func(*scheduling.Input) {}},
		{"all of 5000 pods, nothing to buy", workload.Pending(seed, 7500, 100), func(in *scheduling.Input) { in.Groups = nil }},
		{"all of 5000 pods, moves weigh", workload.Pending(seed, 7500, 100), func(in *scheduling.Input) { in.MoveCost = scheduling.PerMonth(0.1) }},
		{"20 of 1200 nodes", workload.Pending(seed, 40_000, 100), func(in *scheduling.Input) { in.Optional = in.Optional[:20] }},
	} {
		b.Run(c.name, func(b *testing.B) { rearrange(b, c.pods, c.change) })
	}
}

func rearrange(b *testing.B, pods []*corev1.Pod, change func(*scheduling.Input)) {
	b.Helper()
	in := fragmented(b, pods)
	change(&in)
	before := scheduling.Price(0)
	for _, o := range in.Optional {
		before += o.Price
	}
	plan := solve(b, in)
	b.ReportAllocs()
	began := processTime(b)
	for b.Loop() {
		plan = solve(b, in)
	}
	b.ReportMetric(float64((processTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms")
	b.ReportMetric(float64(len(in.Optional)), "machines")
	b.ReportMetric(float64(len(plan.Removed)), "removed")
	b.ReportMetric(float64(len(plan.Launches)), "launched")
	b.ReportMetric(float64(len(plan.Placements)), "moved")
	b.ReportMetric(100*(1-plan.Cost.Float()/before.Float()), "saved-%")
	b.ReportMetric(100*plan.Gap, "gap-%")
}

// fragmented is a cluster that was bought for the pods, of which one in three has left.
func fragmented(b *testing.B, pods []*corev1.Pod) scheduling.Input {
	b.Helper()
	empty, err := snapshot.New(snapshot.Objects{})
	if err != nil {
		b.Fatal(err)
	}
	catalogue := workload.Offerings(seed, offerings)
	group := scheduling.Group{NodeGroup: build.MakeNodeGroup("general").Requirement(v1alpha1.CPULabel, corev1.NodeSelectorOpLt, "17").Obj()}
	plan := solve(b, scheduling.Input{Cluster: empty, Pods: pods, Offerings: catalogue, Groups: []scheduling.Group{group}})
	objects, optional := snapshot.Objects{}, map[string]*scheduling.OptionalNode{}
	in := scheduling.Input{Offerings: catalogue}
	for _, launch := range plan.Launches {
		o := launch.Offerings[0]
		group = group.With(o)
		objects.Nodes = append(objects.Nodes, scheduling.TemplateNode(group.NodeGroup, o, launch.Name))
		optional[launch.Name] = &scheduling.OptionalNode{
			Name: launch.Name, Price: o.Price, Group: "general", CPUMilli: o.CPUMilli, MemoryMiB: o.MemoryMiB,
		}
	}
	nodes := map[string]string{}
	for _, p := range plan.Placements {
		nodes[p.Pod.Name] = p.Node
	}
	r := rand.New(rand.NewPCG(seed, 17))
	for _, pod := range pods {
		if node := nodes[pod.Name]; node != "" && r.IntN(3) > 0 {
			pod = new(*pod)
			pod.Spec.NodeName, pod.Status.Phase = node, corev1.PodRunning
			objects.Pods = append(objects.Pods, pod)
			optional[node].Movable = append(optional[node].Movable, pod)
		}
	}
	for _, node := range objects.Nodes {
		in.Optional = append(in.Optional, *optional[node.Name])
	}
	if in.Cluster, err = snapshot.New(objects); err != nil {
		b.Fatal(err)
	}
	in.Groups = []scheduling.Group{group}
	return in
}
