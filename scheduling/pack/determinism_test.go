// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack_test

import (
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

func TestEqualProblemsHaveEqualSolutions(t *testing.T) {
	p := relate(workload(rand.New(rand.NewPCG(3, 3)), 1500, 60, 2, 6))
	want := pack.Solve(p, pack.Options{Effort: 30})
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, threads := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(threads)
		for range 3 {
			if diff := cmp.Diff(want, pack.Solve(p, pack.Options{Effort: 30})); diff != "" {
				t.Fatalf("with %d threads (-first +now):\n%s", threads, diff)
			}
		}
	}
}

func TestSolvingChangesNothingOfTheProblem(t *testing.T) {
	made := func() pack.Problem {
		p := relate(workload(rand.New(rand.NewPCG(4, 4)), 600, 20, 2, 6))
		p.Pools[0][0] = 12
		return p
	}
	p := made()
	pack.Solve(p, pack.Options{})
	if diff := cmp.Diff(made(), p); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestAStoppedSearchStillAnswers(t *testing.T) {
	p := workload(rand.New(rand.NewPCG(5, 5)), 2000, 40, 1, 8)
	for _, after := range []int{0, 1, 5, 20} {
		asked := 0
		s := pack.Solve(p, pack.Options{Stop: func() bool { asked++; return asked > after }})
		if sum(s.Unplaced) > 0 || s.LowerBound <= 0 || s.LowerBound > s.Cost {
			t.Errorf("stopped after %d: %d unplaced, cost %d, bound %d", after, sum(s.Unplaced), s.Cost, s.LowerBound)
		}
	}
}

func TestMoreEffortIsWorthIt(t *testing.T) {
	p := workload(rand.New(rand.NewPCG(6, 6)), 2000, 80, 1, 10)
	little, much := pack.Solve(p, pack.Options{Effort: 2}), pack.Solve(p, pack.Options{Effort: 300})
	if much.Cost > little.Cost || much.LowerBound < little.LowerBound {
		t.Errorf("little effort: cost %d, bound %d; much: cost %d, bound %d", little.Cost, little.LowerBound, much.Cost, much.LowerBound)
	}
	if gap := float64(much.Cost)/float64(much.LowerBound) - 1; gap > 0.01 {
		t.Errorf("a gap of %.2f%% is left", 100*gap)
	}
}

func TestTheGapIsSmall(t *testing.T) {
	for _, c := range benchmarks()[:4] {
		t.Run(c.name, func(t *testing.T) {
			s := pack.Solve(c.problem, pack.Options{})
			gap := float64(s.Cost)/float64(s.LowerBound) - 1
			most := 0.02
			if len(c.problem.Limits) > 0 {
				most = 0.05
			}
			if gap > most || sum(s.Unplaced) > 0 {
				t.Errorf("gap %.2f%%, %d pods unplaced", 100*gap, sum(s.Unplaced))
			}
		})
	}
}
