// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

var errConnectionLost = errors.New("connection reset by peer")

// abortable turns the simulator's way to lose a reply into what a client sees of it.
func abortable(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (response *http.Response, err error) {
		defer func() {
			switch cause := recover(); cause {
			case nil:
			case http.ErrAbortHandler: // it is panicked with as it is
				response, err = nil, errConnectionLost
			default:
				panic(cause)
			}
		}()
		return next.RoundTrip(r)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// harsh is a Provider in front of a VPSie that does everything it is feared to do.
type harsh struct {
	sim      *vpsiesim.Server
	provider *vpsie.Provider
	line     *direct
}

func newHarsh(t *testing.T, seed int64, credentials api.Credentials) *harsh {
	t.Helper()
	between := func(low, high time.Duration) vpsiesim.Range { return vpsiesim.Range{Min: low, Max: high} }
	sim, err := vpsiesim.New(vpsiesim.Options{
		Seed: seed, Token: "good-token", ClientID: "id", ClientSecret: "good-secret", TokenLifetime: 20 * time.Minute, WorkerLimit: 40,
		VisibleDelay: between(5*time.Second, time.Minute), IPDelay: between(time.Second, 20*time.Second), DeleteDelay: 30 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	sim.SetMix(fault.Harsh(seed, 1.5))
	line := &direct{handler: sim.Handler(), takes: 200 * time.Millisecond}
	client, err := api.New(api.Options{Credentials: api.Static(credentials), Transport: abortable(line)})
	if err != nil {
		t.Fatal(err)
	}
	provider, err := vpsie.New(client, vpsie.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &harsh{sim: sim, provider: provider, line: line}
}

// accepted counts the orders that VPSie accepted for a name; what it delivered twice was ordered once.
func accepted(book ledger.Report, name string) int {
	count := 0
	for _, o := range book.Orders {
		if o.For == name && o.Origin == ledger.Ours {
			count++
		}
	}
	return count
}

// TestOrdersAreHonestUnderEveryFault lets seeded luck decide what VPSie does to each of many orders and releases. Whatever comes
// back must admit what the ledger shows: accepted is one machine bought, LookFirst at most one, and everything else none. Only
// what was named may be released, and never what is foreign.
func TestOrdersAreHonestUnderEveryFault(t *testing.T) {
	for seed := range int64(8) {
		credentials := api.Credentials{Token: "good-token"}
		if seed%2 == 1 {
			credentials = api.Credentials{ClientID: "id", ClientSecret: "good-secret"}
		}
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHarsh(t, seed, credentials)
				if _, err := w.sim.AddForeign(3); err != nil {
					t.Fatal(err)
				}
				w.play(t, rand.New(rand.NewPCG(uint64(seed), 1)))
				if most := w.line.busiestMinute(); most > api.DefaultRequestsPerMinute {
					t.Errorf("%d requests in one minute", most)
				}
			})
		})
	}
}

func (w *harsh) play(t *testing.T, random *rand.Rand) {
	t.Helper()
	outcomes, named := map[string]int{}, map[string]bool{}
	for i := range 120 {
		time.Sleep(time.Duration(random.IntN(20)) * time.Second)
		name := fmt.Sprintf("vn-%d", i)
		err := w.provider.Order(t.Context(), cloudprovider.Order{Name: name, OfferingID: fmt.Sprint(2 + random.IntN(4))})
		bought, reaction := accepted(w.sim.Ledger(), name), cloudprovider.ReactionTo(err)
		outcomes[fmt.Sprintf("%s %d", reaction, bought)]++
		switch {
		case reaction == cloudprovider.NoReaction && bought != 1,
			reaction == cloudprovider.LookFirst && bought > 1,
			reaction != cloudprovider.NoReaction && reaction != cloudprovider.LookFirst && bought != 0:
			t.Errorf("order %s: %d bought, and the caller is told %q: %v", name, bought, reaction, err)
		}
		inventory, err := w.provider.Inventory(t.Context())
		if err != nil {
			continue
		}
		for _, instance := range inventory.Instances {
			if random.IntN(12) == 0 && !w.foreign(instance.ID) {
				named[instance.ID] = true
				_ = w.provider.Release(t.Context(), instance.ID)
			}
		}
	}
	book := w.sim.Ledger()
	for _, o := range book.Orders {
		if o.ReleasesAsked > 0 && !named[o.Identifier] {
			t.Errorf("machine %s was released and nobody asked for it", o.Identifier)
		}
	}
	if twice, touched := book.BoughtTwice(), book.ForeignTouched(); len(twice)+len(touched) > 0 {
		t.Errorf("bought twice %+v, foreign touched %+v", twice, touched)
	}
	if outcomes[" 1"] < 20 || len(outcomes) < 4 {
		t.Errorf("the run proves little: %v", outcomes)
	}
	t.Logf("%v; faults %v", outcomes, w.sim.Faults().Fired)
}

func (w *harsh) foreign(id string) bool {
	for _, o := range w.sim.Ledger().Orders {
		if o.Identifier == id {
			return o.Origin == ledger.Foreign
		}
	}
	return false
}
