// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build performance

package perf

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/workload"
)

const (
	seed      = 1
	offerings = 500
)

// BenchmarkSolve plans the generated workloads that docs/performance.md lists. No case asserts on the clock.
func BenchmarkSolve(b *testing.B) {
	for _, c := range []struct {
		name  string
		pods  []*corev1.Pod
		nodes int
	}{
		{"10000 pods 100 classes cold", workload.Pending(seed, 10_000, 100), 0},
		{"10000 pods 500 classes related cold", workload.Mixed(seed, 10_000, 500), 0},
		{"100000 pods 300 classes cold", workload.Pending(seed, 100_000, 300), 0},
		{"1000 pods 50 classes related cold", workload.Mixed(seed, 1000, 50), 0},
		{"10000 pods beside 5000 nodes warm", workload.Pending(seed, 10_000, 100), 5000},
		{"10000 related pods beside 5000 nodes warm", workload.Mixed(seed, 10_000, 100), 5000},
		{"1 pod beside 5000 nodes warm", workload.Pending(seed, 1, 1), 5000},
	} {
		b.Run(c.name, func(b *testing.B) { benchmark(b, c.pods, workload.Cluster(seed, c.nodes, 30)) })
	}
	b.Run("1 pod beside 5000 nodes in use warm", func(b *testing.B) {
		benchmark(b, workload.Pending(seed, 1, 1), workload.Furnish(workload.Cluster(seed, 5000, 30)))
	})
	b.Run("1 pod with a volume beside 5000 nodes in use warm", func(b *testing.B) {
		objects := workload.Furnish(workload.Cluster(seed, 5000, 30))
		class := objects.StorageClasses[0].Name
		objects.PersistentVolumeClaims = append(objects.PersistentVolumeClaims, build.MakePVC("new", class).Obj())
		benchmark(b, []*corev1.Pod{build.MakePod("stateful").CPU("500m").Memory("500Mi").Claim("new").Obj()}, objects)
	})
}

func benchmark(b *testing.B, pods []*corev1.Pod, objects snapshot.Objects) {
	b.Helper()
	cluster, err := snapshot.New(objects)
	if err != nil {
		b.Fatal(err)
	}
	in := scheduling.Input{
		Cluster: cluster, Pods: pods, Offerings: workload.Offerings(seed, offerings),
		Groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
	}
	var plan scheduling.Plan
	if len(objects.Nodes) > 0 { // the state is warm once it was asked
		plan = solve(b, in)
	}
	peak := watchHeap()
	b.ReportAllocs()
	began := processTime(b)
	for b.Loop() {
		plan = solve(b, in)
	}
	b.ReportMetric(float64((processTime(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms")
	b.ReportMetric(float64(peak())/(1<<20), "peak-MiB")
	b.ReportMetric(float64(len(plan.Launches)), "machines")
	b.ReportMetric(float64(len(plan.Rejections)), "rejected")
	b.ReportMetric(plan.Cost.Float(), "cost/h")
	if plan.LowerBound > 0 {
		b.ReportMetric(100*(float64(plan.Cost)/float64(plan.LowerBound)-1), "gap-%")
	}
}

func solve(b *testing.B, in scheduling.Input) scheduling.Plan {
	b.Helper()
	plan, err := scheduling.Solve(in)
	if err != nil {
		b.Fatal(err)
	}
	if !plan.Verified || plan.Refused > 0 {
		b.Fatalf("verified %v, and the last check refused %d placements; want none, ever", plan.Verified, plan.Refused)
	}
	return plan
}

// processTime is the CPU time that the process has used: on a busy machine it says more than the clock.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// watchHeap samples the heap until the returned function is called, which returns the greatest size seen.
func watchHeap() func() uint64 {
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := uint64(0)
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapInuse)
			select {
			case <-stop:
				peak <- most
				return
			case <-ticker.C:
			}
		}
	}()
	return func() uint64 { close(stop); return <-peak }
}
