// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

func TestTheLedgerAddsUpWhatMachinesCost(t *testing.T) {
	w := newWorld(t, func(o *vpsiesim.Options) { o.DatacenterCode = "LON" }) // 5 % dearer
	small, large := w.groups()[0].ID, w.addGroup(3)                          // 25.20 and 100.80 a month
	w.mustOrder(small)
	w.pass(3600)
	w.mustOrder(large)
	w.inject(fault.Fault{Kind: fault.NeverAppears}, fault.Fault{Kind: fault.Error200, Message: "no"})
	if got := w.order(large); got.Message != "no" { // it is refused before it can be lost
		t.Fatalf("the answer is %s", got.raw)
	}
	w.mustOrder(large)
	w.pass(1800)
	spend, err := w.admin.Spend(t.Context())
	want := ledger.Spend{
		At: start().Add(5400 * time.Second), Currency: "USD",
		Spent: 0.1225, RatePerHour: 0.175, // 1.5 h of 0.035 and 0.5 h of 0.14
		Machines: 2, Orders: 3, Refused: 1,
	}
	if diff := cmp.Diff(want, spend); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
	w.remove(w.workers()[1].Identifier)
	w.pass(20)
	w.pass(100000)
	orders, err := w.admin.Orders(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[ledger.State]float64{}
	for _, order := range orders {
		got[order.State] += order.Cost
	}
	// 1820 s of 100.80 and 105420 s of 25.20, a month being 2592000 s
	if diff := cmp.Diff(map[ledger.State]float64{ledger.Joined: 1.024917, ledger.Gone: 0.070778, ledger.Lost: 0}, got); diff != "" {
		t.Error(diff)
	}
}

func TestCallsAreCountedPerEndpoint(t *testing.T) {
	w := newWorld(t, nil)
	w.workers()
	w.workers()
	w.mustOrder(w.groups()[0].ID)
	w.call("GET", "/nowhere", "")
	w.call("GET", "/apps/v2/projects", "", "Vpsie-Auth", "wrong")
	calls, err := w.admin.Calls(t.Context())
	want := map[fault.Call]int{
		fault.GetCluster: 2, fault.ListNodeGroups: 1, fault.AddSlaveToGroup: 1, fault.ListProjects: 1,
		"unknown": 1, "unauthenticated": 1,
	}
	if diff := cmp.Diff(want, calls); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
}

func TestOptionsChangeWhatHappensFromThenOn(t *testing.T) {
	w := newWorld(t, nil)
	group := w.groups()[0].ID
	w.mustOrder(group)
	changed, err := w.admin.SetOptions(t.Context(), vpsiesim.Settings{
		WorkerLimit: new(2), VisibleDelay: &vpsiesim.Seconds{Min: 1, Max: 1}, IPDelay: &vpsiesim.Seconds{},
		BootDelay: &vpsiesim.Seconds{Min: 0.5, Max: 0.5}, DeleteDelay: new(0.0),
	})
	if err != nil {
		t.Fatal(err)
	}
	read, err := w.admin.Options(t.Context())
	if diff := cmp.Diff(changed, read); diff != "" || err != nil || *read.WorkerLimit != 2 || read.BootDelay.Max != 0.5 {
		t.Errorf("the options read are not those set: %s (%v)", diff, err)
	}
	w.mustOrder(group)
	if got := w.order(group); got.Message != "Worker nodes count exceeds the allowed limit" {
		t.Errorf("the answer is %s", got.raw)
	}
	w.pass(2)
	if got := w.statuses(); got != "running" {
		t.Errorf("only the second machine runs after 2 s, but the workers are %q", got)
	}
	w.remove(w.workers()[0].Identifier)
	if got := w.statuses(); got != "" {
		t.Errorf("a deletion without delay left %q", got)
	}
}

func TestOptionsThatAreWrongChangeNothing(t *testing.T) {
	w := newWorld(t, nil)
	before, err := w.admin.Options(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ body, want string }{
		"a field nobody knows":         {`{"workerLimit": 3, "bootdelay": 1}`, `unknown field \"bootdelay\"`},
		"a number in text":             {`{"workerLimit": "3"}`, "workerLimit"},
		"a negative limit":             {`{"workerLimit": -3}`, "option workerLimit: -3"},
		"a range turned around":        {`{"workerLimit": 3, "bootDelaySeconds": {"min": 2, "max": 1}}`, "option bootDelay: min 2s is above max 1s"},
		"a negative deletion":          {`{"deleteDelaySeconds": -1}`, "option deleteDelay"},
		"a delay of a million years":   {`{"deleteDelaySeconds": 1e300}`, "option deleteDelay"},
		"a body that is not JSON":      {`workerLimit=3`, "reading options"},
		"a range with another field":   {`{"ipDelaySeconds": {"min": 1, "most": 2}}`, `unknown field \"most\"`},
		"a limit of more than can be":  {`{"workerLimit": 10001}`, "option workerLimit: 10001"},
		"a range with nothing but max": {`{"ipDelaySeconds": {"min": 5}}`, "option ipDelay: min 5s is above max 0s"},
	} {
		status, answer := w.adminCall("POST", "/sim/v1/options", test.body)
		if status != http.StatusBadRequest || !strings.Contains(answer, test.want) {
			t.Errorf("%s: the answer is %d %s, want 400 with %q", name, status, answer, test.want)
		}
	}
	after, err := w.admin.Options(t.Context())
	if diff := cmp.Diff(before, after); diff != "" || err != nil {
		t.Errorf("something changed: %s (%v)", diff, err)
	}
}

func (w *world) adminCall(method, path, body string) (int, string) {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	w.sim.AdminHandler().ServeHTTP(recorder, httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body)))
	return recorder.Code, recorder.Body.String()
}

func TestTheAdminAPISaysWhatIsWrong(t *testing.T) {
	w := newWorld(t, nil)
	for name, test := range map[string]struct {
		method, path, body string
		status             int
		want               string
	}{
		"an unknown kind of fault":  {"POST", "/faults", `{"kind":"fire"}`, 400, `field \"kind\": \"fire\" is not a kind of fault; the kinds of faults are: status, error200, lostReplyAfterEffect`},
		"an unknown field":          {"POST", "/faults", `{"kind":"latency","delay":"3s"}`, 400, `field \"delay\": kind \"latency\" has no such field, its fields are: kind, call, times, skip, delaySeconds; the kinds of faults are: status`},
		"one wrong of two":          {"POST", "/faults", `[{"kind":"neverJoins"},{"kind":"slowDelete"}]`, 400, `field \"[1].delaySeconds\": kind \"slowDelete\" needs it`},
		"a fault that is not there": {"DELETE", "/faults?id=44", "", 404, `field \"id\": no fault 44 is pending`},
		"a fault without a number":  {"DELETE", "/faults?id=x", "", 400, `field \"id\": \"x\" is not a number`},
		"a path that is not there":  {"GET", "/invoices", "", 404, "there is no GET /sim/v1/invoices"},
		"a method that is not":      {"PUT", "/faults", "", 404, "there is no PUT /sim/v1/faults"},
		"a healthy server":          {"GET", "/healthz", "", 200, `"status":"ok"`},
	} {
		status, answer := w.adminCall(test.method, "/sim/v1"+test.path, test.body)
		if status != test.status || !strings.Contains(answer, test.want) {
			t.Errorf("%s: the answer is %d %s, want %d with %q", name, status, answer, test.status, test.want)
		}
	}
	if report, err := w.admin.Faults(t.Context()); err != nil || len(report.Pending) != 0 {
		t.Errorf("a refused fault is pending: %+v (%v)", report, err)
	}
}
