// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNothingLeaksWhateverGoesWrong(t *testing.T) {
	report, err := Run(t.Context(), Options{Runs: 2 * len(Points()), Seed: 1}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	for _, failure := range report.Failures {
		t.Errorf("run %d: %s", failure.Run, failure.Message)
	}
	if report.Failed() || report.Faults < report.Runs || report.Kills < report.Runs {
		t.Errorf("%s: want nothing to have happened that must never happen, and more than a fault and a kill in each run", report)
	}
}

func TestTheSameSeedMakesTheSameRun(t *testing.T) {
	once, err := Run(t.Context(), Options{Runs: 6, Seed: 7, Parallel: 1}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Run(t.Context(), Options{Runs: 6, Seed: 7, Parallel: 3}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(once, again); diff != "" {
		t.Errorf("(-first +second):\n%s", diff)
	}
}
