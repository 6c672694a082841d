// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build performance

package perf

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/watch"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/workload"
)

// BenchmarkPicture takes Pictures of a cluster with 5,000 nodes and 150,000 pods after something small has happened.
func BenchmarkPicture(b *testing.B) {
	for _, way := range []struct {
		name   string
		follow bool
	}{{"all read", false}, {"followed", true}} {
		for _, c := range []struct {
			name   string
			happen func(b *testing.B, w *busy, n int)
		}{
			{"nothing", func(*testing.B, *busy, int) {}},
			{"a pod waits", func(b *testing.B, w *busy, n int) {
				w.set(b, build.MakePod(fmt.Sprint("new-", n)).CPU("100m").With(waits).Obj())
			}},
			{"a pod is bound", func(b *testing.B, w *busy, n int) {
				w.set(b, build.MakePod(fmt.Sprint("new-", n)).CPU("100m").On(w.nodes[n%len(w.nodes)].Name).Obj())
			}},
			{"a node reports", func(b *testing.B, w *busy, n int) { w.set(b, w.nodes[n%len(w.nodes)].DeepCopy()) }},
			{"1000 pods report", func(b *testing.B, w *busy, n int) {
				for i := range 1000 {
					w.set(b, w.pods[(1000*n+i*149)%len(w.pods)].DeepCopy())
				}
			}},
		} {
			b.Run(way.name+"/"+c.name, func(b *testing.B) {
				w := newBusy(b)
				cluster := w.cluster(b, way.follow)
				take(b, cluster)
				b.ReportAllocs()
				took := time.Duration(0)
				for n := 0; b.Loop(); n++ {
					b.StopTimer()
					c.happen(b, w, n)
					w.Deliver(1 << 20)
					before := processTime(b)
					b.StartTimer()
					take(b, cluster)
					took += processTime(b) - before
				}
				b.ReportMetric(float64(took.Microseconds())/1000/float64(b.N), "cpu-ms")
			})
		}
	}
}

// BenchmarkPictureAndPlan plans for one pod that has come to wait, from the event to the plan.
func BenchmarkPictureAndPlan(b *testing.B) {
	w := newBusy(b)
	cluster := w.cluster(b, true)
	take(b, cluster)
	offerings := workload.Offerings(seed, offerings)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		pod := build.MakePod(fmt.Sprint("new-", n)).CPU("100m").With(waits).Obj()
		w.set(b, pod)
		w.Deliver(1 << 20)
		picture := take(b, cluster)
		solve(b, scheduling.Input{
			Cluster: picture.Snapshot, Pods: picture.Pending, Offerings: offerings,
			Groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
		})
		b.StopTimer()
		w.remove(b, pod)
		b.StartTimer()
	}
}

// BenchmarkPictureMemory says what the state of the cluster takes beside the objects themselves.
func BenchmarkPictureMemory(b *testing.B) {
	w := newBusy(b)
	for b.Loop() {
		before := heap()
		cluster := w.cluster(b, true)
		picture := take(b, cluster)
		b.ReportMetric(float64(heap()-before)/(1<<20), "state-MiB")
		runtime.KeepAlive(picture)
		runtime.KeepAlive(cluster)
	}
}

func heap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

func waits(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
}

// busy is a large cluster.
type busy struct {
	*watch.Cluster
	nodes []*corev1.Node
	pods  []*corev1.Pod
}

func newBusy(b *testing.B) *busy {
	b.Helper()
	objects := workload.Cluster(seed, 5000, 30)
	w := &busy{Cluster: watch.New(), nodes: objects.Nodes, pods: objects.Pods}
	for _, namespace := range objects.Namespaces {
		w.set(b, namespace)
	}
	for _, node := range objects.Nodes {
		w.set(b, node)
	}
	for _, pod := range objects.Pods {
		w.set(b, pod)
	}
	return w
}

func (w *busy) set(b *testing.B, object client.Object) {
	b.Helper()
	if object.GetUID() == "" {
		object.SetUID(types.UID("uid-" + object.GetName()))
	}
	if err := w.Set(object); err != nil {
		b.Fatal(err)
	}
}

func (w *busy) remove(b *testing.B, object client.Object) {
	b.Helper()
	if err := w.Delete(object); err != nil {
		b.Fatal(err)
	}
}

func (w *busy) cluster(b *testing.B, follow bool) *state.Cluster {
	b.Helper()
	cluster := state.New(w, testingclock.NewFakePassiveClock(time.Unix(0, 0)))
	if follow {
		if err := cluster.Follow(b.Context(), w); err != nil {
			b.Fatal(err)
		}
		w.Deliver(1 << 20)
	}
	return cluster
}

func take(b *testing.B, cluster *state.Cluster) *state.Picture {
	b.Helper()
	picture, err := cluster.Snapshot(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return picture
}
