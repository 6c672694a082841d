// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// replicated is a few equal pods, spread over hosts where skew is not 0.
type replicated struct {
	replicas, skew int
	cpu            int64
}

// onHosts are up to three workloads of a few pods, which a handful of machines holds.
func onHosts(seed uint64) (workloads []replicated, s scenario) {
	r := rand.New(rand.NewPCG(seed, 23))
	s = scenario{
		groups:    []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}},
		offerings: []scheduling.Offering{build.MakeOffering("Small", 1, 8, 7.2).Obj(), build.MakeOffering("Large", 3, 24, 14.4+float64(r.IntN(8))).Obj()},
	}
	for w := range 1 + r.IntN(3) {
		one := replicated{replicas: 1 + r.IntN(5), skew: r.IntN(3), cpu: int64(200 + 100*r.IntN(7))}
		workloads = append(workloads, one)
		app := fmt.Sprintf("w%d", w)
		for i := range one.replicas {
			pod := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(fmt.Sprintf("%dm", one.cpu))
			if r.IntN(2) == 0 { // as a StatefulSet's pods, of which no two are equal
				pod.Label("name", fmt.Sprint(i))
			}
			if one.skew > 0 {
				pod.Spread(corev1.LabelHostname, app).With(func(p *corev1.Pod) { p.Spec.TopologySpreadConstraints[0].MaxSkew = int32(one.skew) }) //nolint:gosec // 2 at most
			}
			s.pods = append(s.pods, pod.Obj())
		}
	}
	s.objects.Pods = s.pods
	return workloads, s
}

// holds says by trying all ways whether machines with so much room hold the workloads from one on.
func holds(workloads []replicated, room []int64) bool {
	if len(workloads) == 0 {
		return true
	}
	return deals(workloads, room, make([]int, len(room)), 0, workloads[0].replicas)
}

func deals(workloads []replicated, room []int64, dealt []int, host, left int) bool {
	w := workloads[0]
	if host == len(room) {
		least, most := dealt[0], dealt[0]
		for _, n := range dealt {
			least, most = min(least, n), max(most, n)
		}
		return left == 0 && (w.skew == 0 || most-least <= w.skew) && holds(workloads[1:], room)
	}
	for n := 0; n <= left && int64(n)*w.cpu <= room[host]; n++ {
		dealt[host] = n
		room[host] -= int64(n) * w.cpu
		found := deals(workloads, room, dealt, host+1, left-n)
		if room[host] += int64(n) * w.cpu; found {
			return true
		}
	}
	return false
}

// cheapestOf returns the cost of the cheapest machines that hold the workloads, of those that cost no more than a known cost.
func cheapestOf(workloads []replicated, s *scenario, known scheduling.Price) scheduling.Price {
	var room [2]int64
	for i, o := range s.offerings {
		room[i] = scheduling.TemplateNode(s.groups[0].NodeGroup, o, "any").Status.Allocatable.Cpu().MilliValue()
	}
	best := known
	small, large := s.offerings[0].Price, s.offerings[1].Price
	for a := 0; scheduling.Price(a)*small < best; a++ {
		for b := 0; scheduling.Price(a)*small+scheduling.Price(b)*large < best; b++ {
			var machines []int64
			for i := range a + b {
				machines = append(machines, room[min(i/max(a, 1), 1)])
			}
			if a == 0 {
				for i := range machines {
					machines[i] = room[1]
				}
			}
			if len(machines) > 0 && holds(workloads, machines) {
				best = scheduling.Price(a)*small + scheduling.Price(b)*large
			}
		}
	}
	return best
}

func TestTheBoundForPodsThatAreSpreadOverHostsIsBelowTheCheapestMachines(t *testing.T) {
	const seeds = 1000
	tight, cheapest := 0, 0
	for seed := range uint64(seeds) {
		workloads, s := onHosts(seed)
		plan := solve(t, s.input(t))
		if len(plan.Rejections) > 0 {
			t.Fatalf("seed %d: %v", seed, plan.Rejections)
		}
		best := cheapestOf(workloads, &s, plan.Cost)
		if plan.LowerBound > best {
			t.Errorf("seed %d: %+v: the bound is %s, and machines for %s hold the pods", seed, workloads, plan.LowerBound.Decimal(), best.Decimal())
		}
		if float64(plan.LowerBound) > float64(best)*0.999 {
			tight++
		}
		if plan.Cost == best {
			cheapest++
		}
	}
	t.Logf("of %d plans %d are the cheapest, and %d bounds are the cost of the cheapest", seeds, cheapest, tight)
	if cheapest < seeds*96/100 || tight < seeds*75/100 {
		t.Errorf("of %d plans only %d are the cheapest, and only %d bounds are the cost of the cheapest", seeds, cheapest, tight)
	}
}
