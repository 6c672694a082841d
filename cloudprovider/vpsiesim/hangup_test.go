// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// TestADelayedCallWhoseSenderHungUp runs in a bubble whose time moves when everybody waits.
func TestADelayedCallWhoseSenderHungUp(t *testing.T) {
	cases := map[string]struct {
		call, method, path string
		took               time.Duration
		ordered            int
	}{
		"takes effect if it is a change":      {call: "addSlave", method: "POST", path: "/k8s/cluster/byId/CLUSTER/add/slave", took: 30 * time.Second, ordered: 1},
		"is dropped if nobody gets to see it": {call: "listProjects", method: "GET", path: "/projects", took: 10 * time.Second},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim, err := vpsiesim.New(vpsiesim.Options{Token: token})
				if err != nil {
					t.Fatal(err)
				}
				delay := `{"kind":"latency","delaySeconds":30,"call":"` + test.call + `"}`
				sim.AdminHandler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "POST", "/sim/v1/faults", strings.NewReader(delay)))
				began := time.Now()
				sender, hangUp := context.WithTimeout(t.Context(), 10*time.Second)
				defer hangUp()
				path := "/apps/v2" + strings.ReplaceAll(test.path, "CLUSTER", sim.ClusterIdentifier())
				request := httptest.NewRequestWithContext(sender, test.method, path, strings.NewReader("{}"))
				request.Header.Set("Vpsie-Auth", token)
				request.Header.Set("X-Request-Id", "web-1")
				sim.Handler().ServeHTTP(httptest.NewRecorder(), request)
				if got := time.Since(began); got != test.took {
					t.Errorf("the call took %s, want %s", got, test.took)
				}
				orders := sim.Ledger().Orders
				if len(orders) != test.ordered {
					t.Errorf("the books have %d orders, want %d", len(orders), test.ordered)
				}
				for _, order := range orders {
					if want := (ledger.Order{For: "web-1", OrderedAt: began.Add(test.took)}); order.For != want.For || !order.OrderedAt.Equal(want.OrderedAt) {
						t.Errorf("ordered for %q at %s, want for %q at %s", order.For, order.OrderedAt, want.For, want.OrderedAt)
					}
				}
			})
		})
	}
}
