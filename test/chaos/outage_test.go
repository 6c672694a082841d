// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

func TestTenMinutesWithoutVPSie(t *testing.T) {
	t.Run("in memory", func(t *testing.T) { outlast(t, 0) })
	t.Run("over HTTP", func(t *testing.T) { outlast(t, 1) })
}

// outlast has VPSie unreachable for ten minutes, in which the controller is started anew, more machines are wanted, and one is to go.
func outlast(t *testing.T, number int) {
	t.Helper()
	const before, more = 5, 2
	ctx := t.Context()
	w, err := newWorld(ctx, 11, number, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.calm(); err != nil {
		t.Fatal(err)
	}
	if wrong, err := w.settle(ctx, before, settlesIn, w.asWanted); err != nil || len(wrong) > 0 {
		t.Fatalf("%v: %q", err, wrong)
	}
	nodes := slices.Sorted(maps.Keys(w.truth.nodes))

	w.account.cutOff(errors.New("connection refused"))
	leaving := w.living()[0]
	w.wanted = before + more
	if err := w.store.Delete(ctx, leaving.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	w.learn(ctx, leaving)
	for until := w.clock.Now().Add(10 * time.Minute); w.clock.Now().Before(until); {
		if err := w.tick(ctx, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if left := until.Sub(w.clock.Now()); left > 5*time.Minute && left <= 5*time.Minute+5*time.Second {
			if err := w.restart(); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(nodes, slices.Sorted(maps.Keys(w.truth.nodes))); diff != "" {
			t.Fatalf("at %s Nodes changed during the outage (-before +now):\n%s", w.clock.Now().Format(time.TimeOnly), diff)
		}
		for name, machine := range w.truth.machines {
			if machine.Status.NodeName != "" && name != leaving.Name && machine.Status.Phase != v1alpha1.PhaseReady {
				t.Fatalf("a machine that ran is no longer ready: %s", describe(name, machine))
			}
		}
	}
	if w.truth.machines[leaving.Name] == nil {
		t.Error("a VPSieNode was let go although nobody can know whether its machine is gone")
	}
	if _, err := w.process.provider.Inventory(ctx); cloudprovider.ReasonOf(err) != "Unreachable" {
		t.Errorf("VPSie was reached: %v", err)
	}
	if books := w.account.Ledger(); len(books.Owned()) != before || len(books.Released()) > 0 {
		t.Errorf("%d machines are owned and %d were released, want %d and none", len(books.Owned()), len(books.Released()), before)
	}

	w.account.cutOff(nil)
	if wrong, err := w.settle(ctx, before+more, 30*time.Minute, w.asWanted); err != nil || len(wrong) > 0 {
		t.Errorf("work did not go on: %v: %q", err, wrong)
	}
	if wrong, err := w.settle(ctx, 0, settlesIn, w.leftOver); err != nil || len(wrong) > 0 {
		t.Errorf("not all was given back: %v: %q", err, wrong)
	}
	var report Report
	w.audit(&report, t.Errorf)
	if books := w.account.Ledger(); len(books.Orders) != before+more+1 {
		t.Errorf("%d machines were bought, want %d, and one for the machine that left", len(books.Orders), before+more)
	}
}
