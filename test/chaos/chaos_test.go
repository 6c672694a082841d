// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/series"
)

func TestNothingLeaksWhateverGoesWrong(t *testing.T) {
	report, err := Run(t.Context(), Options{Runs: series.Length(40), Seed: 1}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(&report)
	for _, failure := range report.Failures {
		t.Errorf("run %d: %s", failure.Run, failure.Message)
	}
	if report.Failed() || report.Faults < report.Runs || report.Kills < report.Runs {
		t.Errorf("%s: want nothing to have happened that must never happen, and more than a fault and a kill in each run", &report)
	}
}

func TestTheSameSeedMakesTheSameRun(t *testing.T) {
	runs := series.Length(20)
	once, err := Run(t.Context(), Options{Runs: runs, Seed: 7, Parallel: 1}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Run(t.Context(), Options{Runs: runs, Seed: 7, Parallel: 3}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(once, again); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}

func TestARunNotices(t *testing.T) {
	cases := map[string]struct {
		sabotage func(*world)
		counted  func(Report) int
		says     string
	}{
		"a controller that sends an order twice": {
			func(w *world) {
				w.sendOrder = func(ctx context.Context, o cloudprovider.Order) error {
					_ = w.process.provider.Order(ctx, o)
					return w.process.provider.Order(ctx, o)
				}
			},
			func(r Report) int { return r.BoughtTwice }, "bought twice",
		},
		"a machine that is ordered and not written down": {
			func(w *world) {
				w.sendOrder = func(ctx context.Context, o cloudprovider.Order) error {
					o.Name = "nobody"
					_ = w.process.provider.Order(ctx, o)
					return cloudprovider.Errorf(cloudprovider.TryElsewhere, "OutOfStock", "no stock")
				}
			},
			func(r Report) int { return r.Leaked }, "leaked",
		},
		"a controller that releases what is not its own": {
			func(w *world) {
				foreign, _ := w.account.addForeign(w.offerings[0].ID)
				w.sendRelease = func(ctx context.Context, id string) error {
					_ = w.process.provider.Release(ctx, foreign)
					return w.process.provider.Release(ctx, id)
				}
			},
			func(r Report) int { return r.ForeignTouched }, "touched",
		},
		"a machine that nobody can get rid of": {
			func(w *world) { w.sendRelease = func(context.Context, string) error { return nil } },
			func(r Report) int { return r.Stuck }, "are left",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for number := range 2 { // in memory, and over HTTP
				report, err := Run(t.Context(), Options{Runs: 1, First: number, Seed: 3, sabotage: tc.sabotage, patience: 10 * time.Minute}, func(int) {})
				if err != nil {
					t.Fatal(err)
				}
				if tc.counted(report) == 0 || !report.Failed() || len(report.Failures) == 0 {
					t.Fatalf("%s: run %d noticed nothing", &report, number)
				}
				said := ""
				for _, failure := range report.Failures {
					said += failure.Message
				}
				if !strings.Contains(said, tc.says) {
					t.Errorf("run %d said %q, want %q in it", number, said, tc.says)
				}
			}
		})
	}
}

func TestTheTargetIsStruckAlsoWhenAllIsCalm(t *testing.T) {
	target, other := Point{recoverNode, Before}, Point{recoverNode, After}
	w := &world{target: target, passes: 1, kills: map[Point]int{}}
	var struck []bool
	for _, at := range []Point{other, target, other, target, target} {
		struck = append(struck, w.strikes(at))
	}
	if diff := cmp.Diff([]bool{false, false, false, true, false}, struck); diff != "" {
		t.Errorf("struck, at the second pass and once (-want +got):\n%s", diff)
	}
	if w.kills[target] != 1 {
		t.Errorf("kills are %v", w.kills)
	}
}
