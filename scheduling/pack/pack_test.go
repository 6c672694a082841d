// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack_test

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

func all(n int) []bool {
	allowed := make([]bool, n)
	for i := range allowed {
		allowed[i] = true
	}
	return allowed
}

func free() []pack.Vector { return []pack.Vector{{pack.Unbounded}} }

func machine(price int64, room ...int64) pack.Machine {
	return pack.Machine{Room: room, Price: price, Draw: pack.Vector{1}}
}

func cost(p pack.Problem, patterns []pack.Pattern) (total int64) {
	for _, pattern := range patterns {
		total += int64(pattern.Copies) * p.Machines[pattern.Machine].Price
	}
	return total
}

func TestSolve(t *testing.T) {
	for name, c := range map[string]struct {
		problem pack.Problem
		want    []pack.Pattern
	}{
		"the cheaper of two machines that hold the pods, though it comes last": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{2}, Count: 2, Allowed: all(2)}},
				Machines: []pack.Machine{machine(9, 4), machine(5, 4)}, Pools: free(),
			},
			[]pack.Pattern{{Machine: 1, Copies: 1, Mix: []int{2}}},
		},
		"of equal machines the earlier": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{2}, Count: 2, Allowed: all(2)}},
				Machines: []pack.Machine{machine(5, 4), machine(5, 4)}, Pools: free(),
			},
			[]pack.Pattern{{Machine: 0, Copies: 1, Mix: []int{2}}},
		},
		"a machine that is not allowed is not taken, however cheap": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{2}, Count: 1, Allowed: []bool{false, true}}},
				Machines: []pack.Machine{machine(1, 4), machine(5, 4)}, Pools: free(),
			},
			[]pack.Pattern{{Machine: 1, Copies: 1, Mix: []int{1}}},
		},
		"pods that need opposite resources share a machine": {
			pack.Problem{
				Classes: []pack.Class{
					{Requests: pack.Vector{6, 1}, Count: 2, Allowed: all(1)},
					{Requests: pack.Vector{1, 6}, Count: 2, Allowed: all(1)},
				},
				Machines: []pack.Machine{machine(5, 8, 8)}, Pools: free(),
			},
			[]pack.Pattern{{Machine: 0, Copies: 2, Mix: []int{1, 1}}},
		},
		"one machine for all that is left, where that is cheaper than the best value per pod": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{1}, Count: 5, Allowed: all(2)}},
				Machines: []pack.Machine{machine(4, 4), machine(7, 6)}, Pools: free(),
			},
			[]pack.Pattern{{Machine: 1, Copies: 1, Mix: []int{5}}},
		},
		"a cap per machine spreads the pods over small machines": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{1}, Count: 3, PerMachine: 1, Allowed: all(2)}},
				Machines: []pack.Machine{machine(9, 8), machine(2, 1)}, Pools: free(),
			},
			[]pack.Pattern{{Machine: 1, Copies: 3, Mix: []int{1}}},
		},
		"a bound on the number of machines makes the large one right": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{1}, Count: 8, Allowed: all(2)}},
				Machines: []pack.Machine{machine(2, 2), machine(20, 8)}, Pools: []pack.Vector{{1}},
			},
			[]pack.Pattern{{Machine: 1, Copies: 1, Mix: []int{8}}},
		},
		"an empty budget buys nothing": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{1}, Count: 8, Allowed: all(1)}},
				Machines: []pack.Machine{machine(2, 2)}, Pools: []pack.Vector{{0}},
			},
			nil,
		},
		"no pods need no machines": {
			pack.Problem{Machines: []pack.Machine{machine(2, 2)}, Pools: free()},
			nil,
		},
		"no machines hold no pods": {
			pack.Problem{Classes: []pack.Class{{Requests: pack.Vector{1}, Count: 1, Allowed: all(0)}}},
			nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, pack.Solve(c.problem, pack.Options{}).Patterns); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBound(t *testing.T) {
	for name, c := range map[string]struct {
		problem pack.Problem
		want    int64
	}{
		"the fractional share of the cheapest unit": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{10}, Count: 15, Allowed: all(2)}},
				Machines: []pack.Machine{machine(1000, 100), machine(900, 50)},
			},
			1500,
		},
		"a pod needs a whole machine": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{1}, Count: 1, Allowed: all(1)}},
				Machines: []pack.Machine{machine(1000, 100)},
			},
			1000,
		},
		"pods larger than half a machine need one each": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{60}, Count: 5, Allowed: all(1)}},
				Machines: []pack.Machine{machine(1000, 100)},
			},
			5000,
		},
		"pods that may not share need one each, however small": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{1}, Count: 5, PerMachine: 1, Allowed: all(1)}},
				Machines: []pack.Machine{machine(1000, 100)},
			},
			5000,
		},
		"the machine that is not allowed does not lower the bound, and there are no half machines": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{10}, Count: 15, Allowed: []bool{true, false}}},
				Machines: []pack.Machine{machine(1000, 100), machine(1, 100)},
			},
			2000,
		},
		"a pod that fits nowhere says nothing about the cost": {
			pack.Problem{
				Classes:  []pack.Class{{Requests: pack.Vector{101}, Count: 1, Allowed: all(1)}},
				Machines: []pack.Machine{machine(1000, 100)},
			},
			0,
		},
		"nothing costs nothing": {pack.Problem{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			got := pack.Bound(c.problem, pack.Options{})
			if got > c.want || got < c.want-c.want/1e6-1 {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}

// random makes a small instance: few enough pods for the optimum to be found by trying everything.
func random(r *rand.Rand) pack.Problem {
	p := pack.Problem{Pools: free()}
	resources, machines := 1+r.IntN(3), 1+r.IntN(4)
	for range machines {
		room := make([]int64, resources)
		for i := range room {
			room[i] = 5 + r.Int64N(60)
		}
		p.Machines = append(p.Machines, machine(1+r.Int64N(1000), room...))
	}
	for pods := 1 + r.IntN(9); pods > 0; {
		class := pack.Class{Requests: make(pack.Vector, resources), Count: 1 + r.IntN(pods), Allowed: make([]bool, machines)}
		for i := range class.Requests {
			class.Requests[i] = r.Int64N(30)
		}
		for m := range class.Allowed {
			class.Allowed[m] = r.IntN(4) > 0
		}
		if r.IntN(4) == 0 {
			class.PerMachine = 1 + r.IntN(2)
		}
		pods -= class.Count
		p.Classes = append(p.Classes, class)
	}
	return p
}

// optimum tries every partition of the pods; -1 where no set of machines holds them.
func optimum(p pack.Problem) int64 {
	var pods []int
	for c, class := range p.Classes {
		for range class.Count {
			pods = append(pods, c)
		}
	}
	alone := make([]int64, 1<<len(pods)) // cheapest single machine for a subset
	for set := range alone {
		alone[set] = math.MaxInt64
		for m := range p.Machines {
			if set > 0 && fits(p, pods, set, m) {
				alone[set] = min(alone[set], p.Machines[m].Price)
			}
		}
	}
	best := make([]int64, len(alone))
	for set := 1; set < len(best); set++ {
		best[set] = math.MaxInt64
		first := 1 << bits.TrailingZeros(uint(set))
		for sub := set; sub > 0; sub = (sub - 1) & set {
			if sub&first != 0 && alone[sub] != math.MaxInt64 && best[set&^sub] != math.MaxInt64 {
				best[set] = min(best[set], alone[sub]+best[set&^sub])
			}
		}
	}
	if best[len(best)-1] == math.MaxInt64 {
		return -1
	}
	return best[len(best)-1]
}

func fits(p pack.Problem, pods []int, set, m int) bool {
	used, count := make([]int64, len(p.Machines[m].Room)), make([]int, len(p.Classes))
	for i, c := range pods {
		if set&(1<<i) == 0 {
			continue
		}
		if count[c]++; !p.Classes[c].Allowed[m] || (p.Classes[c].PerMachine > 0 && count[c] > p.Classes[c].PerMachine) {
			return false
		}
		for r := range used {
			if used[r] += p.Classes[c].Requests[r]; used[r] > p.Machines[m].Room[r] {
				return false
			}
		}
	}
	return true
}

func TestNoSetOfMachinesUndercutsTheBound(t *testing.T) {
	feasible, bounds, plans := 0, 0.0, 0.0
	for seed := range uint64(4000) {
		p := random(rand.New(rand.NewPCG(seed, 7)))
		best := optimum(p)
		if best < 0 {
			continue
		}
		bound, patterns := pack.Bound(p, pack.Options{}), pack.Solve(p, pack.Options{}).Patterns
		if bound > best {
			t.Fatalf("seed %d: bound %d, optimum %d: %+v", seed, bound, best, p)
		}
		if got := cost(p, patterns); got < best {
			t.Fatalf("seed %d: plan costs %d, optimum %d: %+v", seed, got, best, p)
		}
		checkHolds(t, seed, p, patterns)
		feasible++
		bounds += float64(bound) / float64(best)
		plans += float64(cost(p, patterns)) / float64(best)
	}
	if feasible < 1500 {
		t.Fatalf("only %d feasible instances", feasible)
	}
	t.Logf("%d instances; bound/optimum %.3f, plan/optimum %.3f on average", feasible, bounds/float64(feasible), plans/float64(feasible))
	if got := plans / float64(feasible); got > 1.06 {
		t.Errorf("plans cost %.3f times the optimum on average", got)
	}
}

// checkHolds checks that the patterns hold every pod of a feasible problem exactly once, within the room.
func checkHolds(t *testing.T, seed uint64, p pack.Problem, patterns []pack.Pattern) {
	t.Helper()
	placed := make([]int, len(p.Classes))
	for _, pattern := range patterns {
		var pods []int
		for c, n := range pattern.Mix {
			placed[c] += n * pattern.Copies
			for range n {
				pods = append(pods, c)
			}
		}
		if !fits(p, pods, 1<<len(pods)-1, pattern.Machine) {
			t.Fatalf("seed %d: pattern %+v does not fit: %+v", seed, pattern, p)
		}
	}
	for c, class := range p.Classes {
		if placed[c] != class.Count {
			t.Fatalf("seed %d: class %d: %d of %d placed", seed, c, placed[c], class.Count)
		}
	}
}
