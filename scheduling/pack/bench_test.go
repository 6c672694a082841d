// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack_test

import (
	"math/rand/v2"
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// catalogue makes kinds of machines in several shapes and sizes and domains, with nearly linear prices. What system daemons need of each
// machine is taken off, and each costs a little by itself: without either the smallest machines are always the best.
func catalogue(r *rand.Rand, domains, sizes int) (machines []pack.Machine) {
	shapes := []struct{ memory, price int64 }{{1024, 9_000}, {2048, 12_000}, {4096, 19_000}, {8192, 33_000}, {3072, 16_000}}
	for d := range domains {
		factor := []int64{100, 100, 105, 95, 115}[d%5]
		for _, shape := range shapes {
			cores := int64(1)
			for i := range sizes {
				price := cores*shape.price*factor/100*(97+r.Int64N(6))/100 + 2_000
				machines = append(machines, pack.Machine{
					Room:   pack.Vector{cores*1000 - 100 - cores*10, (cores*shape.memory - 300 - cores*shape.memory/20) << 20, 106, (20 << 30) * cores},
					Price:  price * 1000,
					Draw:   pack.Vector{1, cores * 1000, cores * shape.memory, price * 1000},
					Domain: d,
				})
				if i%2 == 0 {
					cores += (cores + 1) / 2
				} else {
					cores += max(cores/3, 1)
				}
			}
		}
	}
	return machines
}

// workload makes classes of pods as clusters have them: most are small, a few are large.
func workload(r *rand.Rand, pods, classes, domains, sizes int) pack.Problem {
	p := pack.Problem{Machines: catalogue(r, domains, sizes), Pools: []pack.Vector{{pack.Unbounded, pack.Unbounded, pack.Unbounded, pack.Unbounded}}}
	for c := range classes {
		cpu := []int64{25, 50, 100, 150, 200, 250, 300, 500, 750, 1000, 1500, 2000}[min(r.IntN(12), r.IntN(12)+2)]
		memory := cpu * (1 + r.Int64N(6)) * (256 + r.Int64N(512)) / 512
		disk := int64(0)
		if c%4 == 0 {
			disk = (1 + r.Int64N(8)) << 30
		}
		p.Classes = append(p.Classes, pack.Class{
			Requests: pack.Vector{cpu, max(memory, 32) << 20, 1, disk}, Count: pods / classes, Allowed: all(len(p.Machines)),
		})
	}
	return p
}

// relate gives a fifth of the classes each: a spread over domains, a cap per machine, one domain for all, and repulsion in pairs.
func relate(p pack.Problem) pack.Problem {
	for c := range p.Classes {
		switch c % 5 {
		case 0:
			p.Spreads = append(p.Spreads, pack.Spread{Classes: []int{c}, MaxSkew: 1})
		case 1:
			p.Classes[c].PerMachine = 1 + c%3
		case 2:
			p.Together = append(p.Together, []int{c})
		case 3:
			p.Limits = append(p.Limits, pack.Limit{Classes: []int{c, c + 1}, PerMachine: 4})
		}
	}
	return p
}

func benchmarks() []struct {
	name    string
	problem pack.Problem
} {
	seeded := func() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }
	return []struct {
		name    string
		problem pack.Problem
	}{
		{"1000 pods, 30 classes, 50 kinds", workload(seeded(), 1000, 30, 1, 10)},
		{"10000 pods, 100 classes, 500 kinds", workload(seeded(), 10_000, 100, 10, 10)},
		{"10000 pods, 500 classes, 500 kinds", workload(seeded(), 10_000, 500, 10, 10)},
		{"10000 pods, 100 classes with relations, 150 kinds", relate(workload(seeded(), 10_000, 100, 3, 10))},
		{"10000 pods, 500 classes with relations, 150 kinds", relate(workload(seeded(), 10_000, 500, 3, 10))},
		{"10000 pods, 500 classes with relations, 500 kinds", relate(workload(seeded(), 10_000, 500, 10, 10))},
		{"100000 pods, 300 classes, 500 kinds", workload(seeded(), 100_000, 300, 10, 10)},
	}
}

func BenchmarkSolve(b *testing.B) {
	for _, c := range benchmarks() {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var s pack.Solution
			for b.Loop() {
				s = pack.Solve(c.problem, pack.Options{})
			}
			machines := 0
			for _, pattern := range s.Patterns {
				machines += pattern.Copies
			}
			b.ReportMetric(100*(float64(s.Cost)/float64(s.LowerBound)-1), "gap%")
			b.ReportMetric(float64(s.Cost)/1e9, "cost")
			b.ReportMetric(float64(machines), "machines")
		})
	}
}
