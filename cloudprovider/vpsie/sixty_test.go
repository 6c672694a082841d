// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
)

// direct carries requests to the simulator without a network, so that time can be faked around both, and keeps when each came.
type direct struct {
	handler http.Handler
	takes   time.Duration

	mu    sync.Mutex
	times []time.Time
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	d.times = append(d.times, time.Now())
	d.mu.Unlock()
	time.Sleep(d.takes)
	if r = r.Clone(r.Context()); r.Body == nil {
		r.Body = http.NoBody // as servers promise their handlers
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// busiestMinute is the most requests in any window of a minute.
func (d *direct) busiestMinute() int {
	most := 0
	for i, from := range d.times {
		count := 0
		for _, at := range d.times[i:] {
			if at.Sub(from) < time.Minute {
				count++
			}
		}
		most = max(most, count)
	}
	return most
}

// TestSixtyOrdersInFlight orders 90 machines of three sizes at once, reads the inventory as often as a life cycle does, and
// releases them all, at VPSie's rate limit and a latency of 300 ms.
func TestSixtyOrdersInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const machines, limit = 90, 100
		exactly := func(d time.Duration) vpsiesim.Range { return vpsiesim.Range{Min: d, Max: d} }
		sim, err := vpsiesim.New(vpsiesim.Options{
			Seed: 1, Token: "good-token", WorkerLimit: machines, VisibleDelay: exactly(3 * time.Minute), IPDelay: exactly(time.Second), DeleteDelay: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		line := &direct{handler: sim.Handler(), takes: 300 * time.Millisecond}
		client, err := api.New(api.Options{Credentials: api.Static(api.Credentials{Token: "good-token"}), Transport: line, RequestsPerMinute: limit})
		if err != nil {
			t.Fatal(err)
		}
		provider, err := vpsie.New(client, vpsie.Options{})
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		var work sync.WaitGroup
		for i := range machines {
			work.Go(func() {
				order := cloudprovider.Order{Name: fmt.Sprintf("vn-%d", i), OfferingID: strconv.Itoa(2 + i%3)}
				if err := provider.Order(t.Context(), order); err != nil {
					t.Errorf("order %d: %v", i, err)
				}
			})
		}
		work.Wait()
		if took := time.Since(started); took > 80*time.Second {
			t.Errorf("%d orders took %v", machines, took)
		}
		// All are accepted, and none has appeared: so many are in flight. One inventory serves them all.
		var inventory cloudprovider.Inventory
		for range 40 {
			if inventory, err = provider.Inventory(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		if len(inventory.Instances) != machines {
			t.Errorf("%d machines appeared", len(inventory.Instances))
		}
		releasing := time.Now()
		for _, instance := range inventory.Instances {
			work.Go(func() {
				if err := provider.Release(t.Context(), instance.ID); err != nil {
					t.Errorf("releasing %s: %v", instance.ID, err)
				}
			})
		}
		work.Wait()
		t.Logf("%d orders and releases, %d requests, %d in the busiest minute; the releases took %v", machines, len(line.times), line.busiestMinute(), time.Since(releasing))
		if most := line.busiestMinute(); most > limit {
			t.Errorf("%d requests in one minute", most)
		}
	})
}
