// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

func TestAMachineLivesItsLifeStepByStep(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.addGroup(3))
	var identifier string
	for _, step := range []struct {
		name    string
		pass    int // seconds since the step before
		delete  bool
		status  string
		hasIP   bool
		joiner  string
		state   ledger.State
		running bool // the meter
	}{
		{"nobody sees it at first", 9, false, "", false, "", ledger.Ordered, true},
		{"it is listed without an address", 1, false, "provisioning", false, "", ledger.Visible, true},
		{"it still has no address", 4, false, "provisioning", false, "", ledger.Visible, true},
		{"it has an address", 1, false, "provisioning", true, "", ledger.Visible, true},
		{"it still boots", 59, false, "provisioning", true, "", ledger.Visible, true},
		{"it joins", 1, false, "running", true, "join", ledger.Joined, true},
		{"it stays", 10000, false, "running", true, "join", ledger.Joined, true},
		{"it is being deleted", 0, true, "deleting", true, "join", ledger.Deleting, true},
		{"deletion takes its time", 19, false, "deleting", true, "join", ledger.Deleting, true},
		{"it is gone", 1, false, "", false, "join, leave", ledger.Gone, false},
		{"it does not come back", 10000, false, "", false, "join, leave", ledger.Gone, false},
	} {
		if step.delete {
			if got := w.remove(identifier); string(got.Data) != "true" {
				t.Fatalf("%s: the deletion was answered %s", step.name, got.raw)
			}
		}
		w.pass(step.pass)
		if got := w.statuses(); got != step.status {
			t.Errorf("%s: status %q, want %q", step.name, got, step.status)
		}
		for _, n := range w.workers() {
			identifier = n.Identifier
			if (n.IP != "") != step.hasIP || n.IP != n.DefaultIP {
				t.Errorf("%s: the addresses are %q and %q", step.name, n.IP, n.DefaultIP)
			}
		}
		if got := w.joiner.did(); got != step.joiner {
			t.Errorf("%s: the joiner did %q, want %q", step.name, got, step.joiner)
		}
		book := w.book()
		if got := book.Orders[0].State; got != step.state || (book.Spend.Machines == 1) != step.running {
			t.Errorf("%s: the ledger says %q and %d machines paid for", step.name, got, book.Spend.Machines)
		}
	}
	at := func(seconds int) time.Time { return start().Add(time.Duration(seconds) * time.Second) }
	want := ledger.Order{
		Sequence: 1, State: ledger.Gone, Origin: ledger.Ours, ReleasesAsked: 1, Call: "addSlaveToGroup", GroupID: w.groups()[1].ID, GroupName: "pool", SizeID: 3, SizeName: "Advanced",
		Datacenter: "HEL", PricePerMonth: 96, PricePerHour: 0.133333, Identifier: identifier,
		OrderedAt: at(0), VisibleAt: at(10), JoinedAt: at(75), DeleteRequestedAt: at(10075), GoneAt: at(10095),
		Cost: 0.373889, // 96 / 720 / 3600 * 10095
	}
	if diff := cmp.Diff(want, w.book().Orders[0], cmpopts.IgnoreFields(ledger.Order{}, "Hostname")); diff != "" {
		t.Error(diff)
	}
}

func TestTheMachineThatJoinsIsTheOneThatWasOrdered(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.addGroup(3))
	w.pass(75)
	row, joined := w.workers()[0], w.joiner.joined[0]
	want := vpsiesim.Machine{
		Identifier: row.Identifier, Hostname: row.Hostname, IP: row.IP, SizeID: 3, SizeName: "Advanced",
		CPU: 8, MemoryMB: 16384, DiskGB: 320,
		DatacenterID: "fb9c432d-72e0-52b5-b0d7-b4f151bdb763", DatacenterCode: "HEL",
	}
	if diff := cmp.Diff(want, joined); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(row.Hostname, "hel-kubernetes-49ab-slave-") || row.CPU != 8 || row.RAM != 16384 || row.Disk != 320 {
		t.Errorf("the row is %+v", row)
	}
}

func TestTheSameSeedMakesTheSameMachinesAndAnotherSeedDoesNot(t *testing.T) {
	made := func(seed int64) []ledger.Order {
		w := newWorld(t, func(o *vpsiesim.Options) {
			o.Seed = seed
			o.VisibleDelay = vpsiesim.Range{Min: 5 * time.Second, Max: 60 * time.Second}
		})
		for range 5 {
			w.mustOrder(w.groups()[0].ID)
		}
		w.pass(60)
		return w.book().Orders
	}
	first := made(7)
	if diff := cmp.Diff(first, made(7)); diff != "" {
		t.Errorf("the same seed made other machines: %s", diff)
	}
	second := made(8)
	delays := map[time.Duration]bool{}
	for i, order := range first {
		if order.Identifier == second[i].Identifier || order.Hostname == second[i].Hostname {
			t.Errorf("machine %d is the same with another seed", i)
		}
		delay := order.VisibleAt.Sub(order.OrderedAt)
		delays[delay] = true
		if delay < 5*time.Second || delay > 60*time.Second {
			t.Errorf("machine %d took %s to appear", i, delay)
		}
	}
	if len(delays) < 3 {
		t.Errorf("five machines took only %d different times to appear", len(delays))
	}
}

func TestADeletionBeforeTheMachineJoinedKeepsItFromJoining(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.groups()[0].ID)
	w.pass(70)
	w.remove(w.workers()[0].Identifier)
	w.pass(1000)
	if got := w.joiner.did(); got != "" || w.statuses() != "" {
		t.Errorf("the joiner did %q and the workers are %q", got, w.statuses())
	}
	if order := w.book().Orders[0]; !order.JoinedAt.IsZero() || order.State != ledger.Gone {
		t.Errorf("the ledger says %+v", order)
	}
}

func TestAJoinerThatFailsIsAskedAgain(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.groups()[0].ID)
	w.joiner.fail = 2
	w.pass(75)
	if w.statuses() != "provisioning" {
		t.Errorf("a machine that failed to join is %q", w.statuses())
	}
	w.sim.Tick(t.Context())
	if got := w.joiner.did(); got != "failed join" {
		t.Errorf("before a second had passed the joiner did %q", got)
	}
	w.pass(1)
	w.pass(1)
	if got := w.joiner.did(); got != "failed join, failed join, join" || w.statuses() != "running" {
		t.Errorf("the joiner did %q and the worker is %q", got, w.statuses())
	}
	w.joiner.fail = 1
	w.remove(w.workers()[0].Identifier)
	w.pass(20)
	if w.statuses() != "" {
		t.Errorf("a machine that is gone is listed as %q", w.statuses())
	}
	w.pass(1)
	if got := w.joiner.did(); !strings.HasSuffix(got, "join, failed leave, leave") {
		t.Errorf("the joiner did %q", got)
	}
}

func TestTheLedgerKnowsWhatNobodySaw(t *testing.T) {
	w := newWorld(t, nil)
	group := w.groups()[0].ID
	w.mustOrder(group)
	reduce := func() {
		w.call("DELETE", "/apps/v2/k8s/cluster/byId/"+w.cluster+"/reduce/slave", fmt.Sprintf(`{"groupId":%d}`, group))
	}
	reduce() // gone at 20 s, having been there from 10 s
	w.clock.Step(time.Hour)
	w.mustOrder(group)
	if _, err := w.admin.SetOptions(t.Context(), vpsiesim.Settings{DeleteDelay: new(10.0)}); err != nil {
		t.Fatal(err)
	}
	reduce() // gone the moment it would appear
	w.clock.Step(time.Hour)
	orders := w.book().Orders
	if got := orders[0].VisibleAt; !got.Equal(start().Add(10 * time.Second)) {
		t.Errorf("the first machine was visible at %s", got)
	}
	if got := orders[1].VisibleAt; !got.IsZero() {
		t.Errorf("the second machine was visible at %s", got)
	}
	if orders[0].State != ledger.Gone || orders[1].State != ledger.Gone {
		t.Errorf("the machines are %q and %q", orders[0].State, orders[1].State)
	}
}

func TestAMachineThatMayHaveJoinedInPartLeaves(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.groups()[0].ID)
	w.joiner.fail = 1
	w.pass(75)
	w.remove(w.workers()[0].Identifier)
	w.pass(20)
	if got := w.joiner.did(); got != "failed join, leave" {
		t.Errorf("the joiner did %q", got)
	}
}

func TestWithoutAJoinerMachinesBootAndNobodyJoins(t *testing.T) {
	w := newWorld(t, func(o *vpsiesim.Options) { o.Joiner = nil })
	w.mustOrder(w.groups()[0].ID)
	w.pass(74)
	before := w.statuses()
	w.pass(1)
	if before != "provisioning" || w.statuses() != "running" || w.book().Orders[0].State != ledger.Visible {
		t.Errorf("the worker went from %q to %q, in the ledger %q", before, w.statuses(), w.book().Orders[0].State)
	}
}
