// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack_test

import (
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
		"classes that exclude each other do not share a machine": {
			pack.Problem{
				Classes: []pack.Class{
					{Requests: pack.Vector{1}, Count: 2, PerMachine: 1, Allowed: all(2)}, {Requests: pack.Vector{1}, Count: 6, Allowed: all(2)},
				},
				Machines: []pack.Machine{machine(9, 8), machine(2, 1)}, Pools: free(), Limits: []pack.Limit{pack.Exclude(0, 1, 1, 6)},
			},
			[]pack.Pattern{{Machine: 0, Copies: 1, Mix: []int{0, 6}}, {Machine: 1, Copies: 2, Mix: []int{1, 0}}},
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
