// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// TestFaultsOfOneCallStrikeOnce runs an order into each fault that can hit a call, then another order.
func TestFaultsOfOneCallStrikeOnce(t *testing.T) {
	const gateway = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>\n"
	for name, test := range map[string]struct {
		fault   fault.Fault
		want    string // status, Retry-After, body; or how the call failed
		bought  int
		refused string
	}{
		"a gateway's page": {
			fault.Fault{Kind: fault.Status, Status: 502}, "502 [] " + gateway, 0, "502 Bad Gateway",
		},
		"a page of one's own": {
			fault.Fault{Kind: fault.Status, Status: 503, Body: "<h1>closed</h1>"}, "503 [] <h1>closed</h1>", 0, "503 Service Unavailable",
		},
		"an error with HTTP 200": {
			fault.Fault{Kind: fault.Error200, Message: "quota exceeded"},
			`200 [] {"error":true,"code":200,"message":"quota exceeded","stack":""}` + "\n", 0, "quota exceeded",
		},
		"a reply lost before the effect": {
			fault.Fault{Kind: fault.LostReplyBeforeEffect}, "EOF", 0, "the connection was closed before the effect",
		},
		"a reply lost after the effect": {
			fault.Fault{Kind: fault.LostReplyAfterEffect}, "EOF", 1, "",
		},
		"too many requests": {
			fault.Fault{Kind: fault.RateLimited}, `429 [] {"error":true,"code":429,"message":"Too many requests","stack":""}` + "\n", 0, "Too many requests",
		},
		"too many requests, and when to come back": {
			fault.Fault{Kind: fault.RateLimited, RetryAfterSeconds: 30},
			`429 [30] {"error":true,"code":429,"message":"Too many requests","stack":""}` + "\n", 0, "Too many requests",
		},
		"no stock": {
			fault.Fault{Kind: fault.NoStock, SizeID: 3},
			`200 [] {"error":true,"code":200,"message":"Selected size is out of stock in this datacenter","stack":""}` + "\n",
			0, "Selected size is out of stock in this datacenter",
		},
		"a locked cluster": {
			fault.Fault{Kind: fault.ClusterLocked}, `200 [] {"error":true,"code":200,"message":"Cluster is locked","stack":""}` + "\n", 0, "Cluster is locked",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			group := w.addGroup(3)
			w.inject(test.fault)
			got, err := w.try("POST", w.orderPath(group), "")
			text := fmt.Sprintf("%d %s %s", got.status, got.header.Values("Retry-After"), got.raw)
			if err != nil {
				text = errors.Unwrap(err).Error()
			}
			if text != test.want {
				t.Errorf("the answer is %q, want %q", text, test.want)
			}
			if html := strings.HasPrefix(got.contentType, "text/html"); html != (test.fault.Kind == fault.Status) {
				t.Errorf("the content type is %q", got.contentType)
			}
			book := w.book()
			if len(book.Orders) != test.bought {
				t.Errorf("%d machines were bought, want %d", len(book.Orders), test.bought)
			}
			var refused []ledger.Refusal
			if test.refused != "" {
				refused = []ledger.Refusal{{At: start(), Call: fault.AddSlaveToGroup, GroupID: group, SizeID: 3, Message: test.refused}}
			}
			if diff := cmp.Diff(refused, book.Refused); diff != "" && len(book.Refused)+len(refused) > 0 {
				t.Error(diff)
			}
			w.mustOrder(group)
			report, err := w.admin.Faults(t.Context())
			if want := (fault.Report{Pending: []fault.Fault{}, Fired: map[fault.Kind]int{test.fault.Kind: 1}}); err != nil || !cmp.Equal(want, report) {
				t.Errorf("the faults are %+v (%v), want %+v", report, err, want)
			}
		})
	}
}

func TestReadsAndDeletionsLoseRepliesToo(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.groups()[0].ID)
	w.pass(75)
	identifier := w.workers()[0].Identifier
	path := "/apps/v2/k8s/cluster/byId/" + w.cluster
	body := `{"identifier":"` + identifier + `"}`
	w.inject(
		fault.Fault{Kind: fault.LostReplyAfterEffect, Call: fault.GetCluster},
		fault.Fault{Kind: fault.LostReplyBeforeEffect, Call: fault.DeleteSlave},
		fault.Fault{Kind: fault.LostReplyAfterEffect, Call: fault.DeleteSlave},
	)
	lost := func(method, path, body, status string) {
		t.Helper()
		if got, err := w.try(method, path, body); !errors.Is(err, io.EOF) {
			t.Errorf("%s was answered %s, %v, want a lost reply", method, got.raw, err)
		}
		if got := w.statuses(); got != status {
			t.Errorf("after %s the worker is %q, want %q", method, got, status)
		}
	}
	lost("GET", path, "", "running")
	lost("DELETE", path+"/delete/slave", body, "running")
	lost("DELETE", path+"/delete/slave", body, "deleting")
}

func TestAReplyIsNotLostAfterAnEffectThatDidNotHappen(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.LostReplyAfterEffect, Call: fault.AddSlaveToGroup})
	if got := w.order(9999); got.Message != "Node group not found" {
		t.Errorf("the answer is %s", got.raw)
	}
	if _, err := w.try("POST", w.orderPath(w.groups()[0].ID), ""); err == nil {
		t.Error("the fault did not wait for an order with an effect")
	}
}

func TestAMachineWithAFaultGoesWrong(t *testing.T) {
	for name, test := range map[string]struct {
		fault    fault.Fault
		statuses string
		joiner   string
		state    ledger.State
		check    func(t *testing.T, w *world)
	}{
		"it never appears": {
			fault.Fault{Kind: fault.NeverAppears}, "", "", ledger.Lost,
			func(t *testing.T, w *world) {
				if spend := w.book().Spend; spend.Spent != 0 || spend.Machines != 0 || spend.RatePerHour != 0 {
					t.Errorf("a lost order costs: %+v", spend)
				}
			},
		},
		"it never joins, and costs": {
			fault.Fault{Kind: fault.NeverJoins}, "provisioning", "", ledger.Visible,
			func(t *testing.T, w *world) {
				if spend := w.book().Spend; spend.Machines != 1 || spend.RatePerHour != 0.133333 {
					t.Errorf("a machine that never joins is not paid for: %+v", spend)
				}
			},
		},
		"its name is in upper case": {
			fault.Fault{Kind: fault.UpperCaseHostname}, "running", "join", ledger.Joined,
			func(t *testing.T, w *world) {
				shown, joined := w.workers()[0].Hostname, w.joiner.joined[0].Hostname
				if !strings.HasPrefix(shown, "HEL-KUBERNETES-49AB-SLAVE-") || joined != strings.ToLower(shown) {
					t.Errorf("it is listed as %q and joined as %q", shown, joined)
				}
			},
		},
		"its memory balloons": {
			fault.Fault{Kind: fault.BalloonMemory}, "running", "join", ledger.Joined,
			func(t *testing.T, w *world) {
				if sold, seen := w.workers()[0].RAM, w.joiner.joined[0].MemoryMB; sold != 16384 || seen != 2048 {
					t.Errorf("%d MB were sold and %d are seen, want 16384 and 2048", sold, seen)
				}
			},
		},
		"its memory balloons to more than was sold": {
			fault.Fault{Kind: fault.BalloonMemory, MemoryMB: 50000}, "running", "join", ledger.Joined,
			func(t *testing.T, w *world) {
				if seen := w.joiner.joined[0].MemoryMB; seen != 16384 {
					t.Errorf("%d MB are seen, want no more than the 16384 that were sold", seen)
				}
			},
		},
		"its memory balloons to a size": {
			fault.Fault{Kind: fault.BalloonMemory, MemoryMB: 5000, SizeID: 3}, "running", "join", ledger.Joined,
			func(t *testing.T, w *world) {
				if seen := w.joiner.joined[0].MemoryMB; seen != 5000 {
					t.Errorf("%d MB are seen, want 5000", seen)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			group := w.addGroup(3)
			w.inject(test.fault)
			w.mustOrder(group)
			w.pass(75)
			if w.statuses() != test.statuses || w.joiner.did() != test.joiner {
				t.Errorf("the workers are %q and the joiner did %q, want %q and %q", w.statuses(), w.joiner.did(), test.statuses, test.joiner)
			}
			order := w.book().Orders[0]
			if diff := cmp.Diff([]fault.Kind{test.fault.Kind}, order.Faults); diff != "" || order.State != test.state {
				t.Errorf("the ledger says %q and %s", order.State, diff)
			}
			test.check(t, w)
			w.mustOrder(group)
			w.pass(75)
			if got := w.workers()[len(w.workers())-1]; got.Status != "running" || got.Hostname != strings.ToLower(got.Hostname) {
				t.Errorf("the machine after it went wrong too: %+v", got)
			}
		})
	}
}

func TestAMachineThatNeverJoinsCanBeDeleted(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.NeverJoins})
	w.mustOrder(w.groups()[0].ID)
	w.pass(10000)
	w.remove(w.workers()[0].Identifier)
	w.pass(20)
	if w.statuses() != "" || w.joiner.did() != "" || w.book().Spend.Machines != 0 {
		t.Errorf("the workers are %q, the joiner did %q, %d are paid for", w.statuses(), w.joiner.did(), w.book().Spend.Machines)
	}
}

func TestADeletionThatLiesDoesNothing(t *testing.T) {
	w := newWorld(t, nil)
	group := w.groups()[0].ID
	w.mustOrder(group)
	w.mustOrder(group)
	w.pass(75)
	spared, other := w.workers()[1].Identifier, w.workers()[0].Identifier
	w.inject(fault.Fault{Kind: fault.DeleteLies, Identifier: spared})
	for _, identifier := range []string{other, spared} {
		if got := w.remove(identifier); string(got.Data) != "true" || got.Error {
			t.Errorf("the deletion was answered %s", got.raw)
		}
	}
	if got := w.statuses(); got != "deleting running" {
		t.Errorf("the workers are %q", got)
	}
	w.pass(1000)
	order := w.book().Orders[1]
	if w.statuses() != "running" || order.State != ledger.Joined || !order.DeleteRequestedAt.IsZero() || !cmp.Equal(order.Faults, []fault.Kind{fault.DeleteLies}) {
		t.Errorf("the workers are %q and the ledger says %+v", w.statuses(), order)
	}
	w.remove(spared)
	w.pass(20)
	if w.statuses() != "" {
		t.Errorf("the second deletion did nothing either: %q", w.statuses())
	}
}

func TestNoStockIsForOneSizeAndLastsUntilWithdrawn(t *testing.T) {
	w := newWorld(t, nil)
	small, large := w.groups()[0].ID, w.addGroup(3)
	added := w.inject(fault.Fault{Kind: fault.NoStock, SizeID: 3, Times: fault.UntilWithdrawn})
	for range 3 {
		if got := w.order(large); !strings.Contains(got.Message, "out of stock") {
			t.Errorf("the answer is %s", got.raw)
		}
		w.mustOrder(small)
	}
	if err := w.admin.RemoveFault(t.Context(), added[0].ID); err != nil {
		t.Fatal(err)
	}
	w.mustOrder(large)
}

func TestALockedClusterRefusesEveryChangeAndSaysSo(t *testing.T) {
	w := newWorld(t, nil)
	own, other := w.groups()[0].ID, w.addGroup(3)
	w.mustOrder(own)
	w.pass(75)
	lock := func() int {
		return decode[struct {
			Lock int `json:"lock"`
		}](t, w.call("GET", "/apps/v2/k8s/cluster/byId/"+w.cluster, "")).Lock
	}
	before := lock()
	w.inject(fault.Fault{Kind: fault.ClusterLocked, Times: fault.UntilWithdrawn})
	path := "/apps/v2/k8s/cluster/byId/" + w.cluster
	for _, got := range []answer{
		w.order(own),
		w.call("POST", path+"/add/slave", ""),
		w.call("POST", "/apps/v2/k8s/cluster/add/group", groupBody(w.cluster, "g", 5)),
		w.call("DELETE", fmt.Sprintf("/apps/v2/k8s/cluster/delete/group/%d", other), ""),
		w.remove(w.workers()[0].Identifier),
		w.call("DELETE", path+"/reduce/slave", fmt.Sprintf(`{"groupId":%d}`, own)),
	} {
		if got.Message != "Cluster is locked" {
			t.Errorf("the answer is %s", got.raw)
		}
	}
	during := lock()
	if err := w.admin.ClearFaults(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := lock(); before != 0 || during != 1 || after != 0 {
		t.Errorf("lock was %d, %d, %d, want 0, 1, 0", before, during, after)
	}
	if len(w.groups()) != 2 || w.statuses() != "running" || len(w.book().Orders) != 1 {
		t.Errorf("something changed: %+v, %q", w.groups(), w.statuses())
	}
}

func TestAFaultForOneCallSparesTheOthersAndSkipsAndRepeatsAsTold(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.Status, Status: 500, Call: fault.ListDatacenters, Skip: 1, Times: 2})
	got := []int{}
	for range 5 {
		got = append(got, w.call("GET", "/apps/v2/projects", "").status, w.call("GET", "/apps/v2/datacenter?limit=1", "").status)
	}
	if diff := cmp.Diff([]int{200, 200, 200, 500, 200, 500, 200, 200, 200, 200}, got); diff != "" {
		t.Error(diff)
	}
}

func TestACallWithoutCredentialsUsesUpNoFault(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.Error200, Message: "x"})
	w.call("GET", "/apps/v2/projects", "", "Vpsie-Auth", "wrong")
	if got := w.call("GET", "/apps/v2/projects", ""); got.Message != "x" {
		t.Errorf("the fault was used up: %s", got.raw)
	}
}

func TestLatencyHoldsTheCallUpAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := vpsiesim.New(vpsiesim.Options{Token: token})
		if err != nil {
			t.Fatal(err)
		}
		inject := httptest.NewRequestWithContext(t.Context(), "POST", "/sim/v1/faults", strings.NewReader(`{"kind":"latency","call":"listProjects","delaySeconds":30}`))
		sim.AdminHandler().ServeHTTP(httptest.NewRecorder(), inject)
		took := func(path string) time.Duration {
			began := time.Now()
			request := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			request.Header.Set("Vpsie-Auth", token)
			recorder := httptest.NewRecorder()
			sim.Handler().ServeHTTP(recorder, request)
			if recorder.Code != http.StatusOK {
				t.Errorf("%s answered %d", path, recorder.Code)
			}
			return time.Since(began)
		}
		slow := make(chan time.Duration)
		go func() { slow <- took("/apps/v2/projects") }()
		synctest.Wait()
		if got := took("/apps/v2/projects"); got != 0 {
			t.Errorf("another call took %s", got)
		}
		if got := <-slow; got != 30*time.Second {
			t.Errorf("the call took %s, want 30s", got)
		}
	})
}
