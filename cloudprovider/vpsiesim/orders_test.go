// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

func TestOrdersBeyondTheWorkerLimitAreRefused(t *testing.T) {
	w := newWorld(t, func(o *vpsiesim.Options) { o.WorkerLimit = 2 })
	group := w.groups()[0].ID
	w.mustOrder(group)
	w.mustOrder(group) // still invisible, counts all the same
	refused := func(when string) {
		t.Helper()
		if got := w.order(group); got.Message != "Worker nodes count exceeds the allowed limit" || got.status != 200 {
			t.Errorf("%s: the answer is %s", when, got.raw)
		}
	}
	refused("with two machines ordered")
	w.pass(75)
	w.remove(w.workers()[0].Identifier)
	refused("with one machine being deleted")
	w.pass(20)
	w.mustOrder(group)
	if spend := w.book().Spend; spend.Orders != 3 || spend.Refused != 2 {
		t.Errorf("the ledger has %d orders and %d refused, want 3 and 2", spend.Orders, spend.Refused)
	}
}

func TestOrdersThatNameNothingAreRefusedAndCounted(t *testing.T) {
	w := newWorld(t, nil)
	if got := w.order(9999); got.Message != "Node group not found" {
		t.Errorf("the answer is %s", got.raw)
	}
	book := w.book()
	want := []ledger.Refusal{{At: start(), Call: "addSlaveToGroup", Message: "Node group not found"}}
	if diff := cmp.Diff(want, book.Refused); diff != "" || len(book.Orders) != 0 {
		t.Errorf("%s with %d orders", diff, len(book.Orders))
	}
}

func TestAddSlaveWithoutAGroupOrdersForTheClustersOwn(t *testing.T) {
	w := newWorld(t, nil)
	w.addGroup(3)
	w.call("POST", "/apps/v2/k8s/cluster/byId/"+w.cluster+"/add/slave", "")
	w.pass(10)
	if groups := w.groups(); groups[0].Nodes != 1 || groups[1].Nodes != 0 {
		t.Errorf("the groups are %+v", groups)
	}
}

func TestADeletionRefusesToGuess(t *testing.T) {
	w := newWorld(t, nil)
	group := w.groups()[0].ID
	w.mustOrder(group)
	w.pass(75)
	master := decode[struct {
		Nodes []node `json:"nodes"`
	}](t, w.call("GET", "/apps/v2/k8s/cluster/byId/"+w.cluster, "")).Nodes[0].Identifier
	path, worker := "/apps/v2/k8s/cluster/byId/"+w.cluster+"/", w.workers()[0].Identifier
	for name, test := range map[string]struct{ path, body, want string }{
		"no body":                     {path + "delete/slave", "", "identifier is required"},
		"an empty identifier":         {path + "delete/slave", `{"identifier":""}`, "identifier is required"},
		"the field in another case":   {path + "delete/slave", `{"Identifier":"` + worker + `"}`, "identifier is required"},
		"an unknown identifier":       {path + "delete/slave", `{"identifier":"nobody"}`, "Node not found"},
		"a hostname":                  {path + "delete/slave", `{"identifier":"` + w.workers()[0].Hostname + `"}`, "Node not found"},
		"the master":                  {path + "delete/slave", `{"identifier":"` + master + `"}`, "Node not found"},
		"another cluster":             {"/apps/v2/k8s/cluster/byId/other/delete/slave", `{"identifier":"` + worker + `"}`, "Cluster not found"},
		"reduce without a group":      {path + "reduce/slave", "", "groupId is required"},
		"reduce of an unknown group":  {path + "reduce/slave", `{"groupId":9999}`, "Node group has no nodes"},
		"reduce with a group in text": {path + "reduce/slave", fmt.Sprintf(`{"groupId":"%d"}`, group), "groupId is required"},
	} {
		if got := w.call("DELETE", test.path, test.body); !got.Error || got.Message != test.want {
			t.Errorf("%s: the answer is %s, want %q", name, got.raw, test.want)
		}
	}
	w.pass(1000)
	if w.statuses() != "running" {
		t.Errorf("the worker is %q, want it running", w.statuses())
	}
}

func TestAskingTwiceForADeletionChangesNothing(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.groups()[0].ID)
	w.pass(75)
	identifier := w.workers()[0].Identifier
	w.remove(identifier)
	w.pass(10)
	if got := w.remove(identifier); string(got.Data) != "true" {
		t.Errorf("the second deletion was answered %s", got.raw)
	}
	w.pass(10)
	if got := w.remove(identifier); got.Message != "Node not found" {
		t.Errorf("a deletion of a machine that is gone was answered %s", got.raw)
	}
	if got := w.book().Orders[0].GoneAt; !got.Equal(start().Add(95 * time.Second)) {
		t.Errorf("it was gone at %s", got)
	}
}

func TestReduceSlaveTakesAMachineOfTheGroupOnly(t *testing.T) {
	w := newWorld(t, nil)
	small, large := w.groups()[0].ID, w.addGroup(3)
	for range 3 {
		w.mustOrder(small)
		w.mustOrder(large)
	}
	w.pass(75)
	for range 2 {
		w.call("DELETE", "/apps/v2/k8s/cluster/byId/"+w.cluster+"/reduce/slave", fmt.Sprintf(`{"groupId":%d}`, large))
	}
	w.pass(20)
	if groups := w.groups(); groups[0].Nodes != 3 || groups[1].Nodes != 1 {
		t.Errorf("the groups are %+v, want 3 and 1 machines", groups)
	}
}

func TestParallelOrdersBuyExactlyAsManyMachines(t *testing.T) {
	w := newWorld(t, func(o *vpsiesim.Options) { o.WorkerLimit = 60 })
	group := w.groups()[0].ID
	var calls sync.WaitGroup
	for range 80 {
		calls.Go(func() {
			if got, err := w.try("POST", w.orderPath(group), ""); err != nil || got.status != http.StatusOK {
				t.Errorf("the answer is %s, %v", got.raw, err)
			}
		})
	}
	calls.Wait()
	w.pass(75)
	book := w.book()
	if book.Spend.Orders != 60 || book.Spend.Refused != 20 || len(w.workers()) != 60 || len(w.joiner.joined) != 60 {
		t.Errorf("80 orders of at most 60: %d accepted, %d refused, %d listed, %d joined",
			book.Spend.Orders, book.Spend.Refused, len(w.workers()), len(w.joiner.joined))
	}
	hostnames, addresses, identifiers := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for i, order := range book.Orders {
		if order.Sequence != i+1 {
			t.Errorf("order %d has sequence number %d", i, order.Sequence)
		}
	}
	for _, n := range w.workers() {
		hostnames[n.Hostname], addresses[n.IP], identifiers[n.Identifier] = true, true, true
	}
	if len(hostnames) != 60 || len(addresses) != 60 || len(identifiers) != 60 {
		t.Errorf("60 machines have %d hostnames, %d addresses, %d identifiers", len(hostnames), len(addresses), len(identifiers))
	}
}

func TestNoTwoMachinesShareAHostname(t *testing.T) {
	w := newWorld(t, func(o *vpsiesim.Options) { o.WorkerLimit = 1000 })
	hostnames := map[string]bool{}
	handler, path := w.sim.Handler(), w.orderPath(w.groups()[0].ID)
	for range 1000 { // with four hex digits, some of a thousand would
		request := httptest.NewRequestWithContext(t.Context(), "POST", path, nil)
		request.Header.Set("Vpsie-Auth", token)
		handler.ServeHTTP(httptest.NewRecorder(), request)
	}
	for _, order := range w.book().Orders {
		hostnames[order.Hostname] = true
	}
	if len(hostnames) != 1000 {
		t.Errorf("1000 machines have %d hostnames", len(hostnames))
	}
}
