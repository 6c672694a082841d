// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie_test

import (
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/conformance"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/simadmin"
)

// simulated is the real client and Provider in front of the simulated VPSie, over HTTP, on a clock that only the test moves.
type simulated struct {
	admin *simadmin.Client
	url   string
	clock *clocktesting.FakeClock
}

func simulate(t *testing.T) *simulated {
	t.Helper()
	clock := clocktesting.NewFakeClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	between := func(low, high time.Duration) vpsiesim.Range { return vpsiesim.Range{Min: low, Max: high} }
	sim, err := vpsiesim.New(vpsiesim.Options{
		Clock: clock, Seed: 3, Token: "good-token", ClientID: "id", ClientSecret: "good-secret",
		VisibleDelay: between(5*time.Second, time.Minute), IPDelay: between(time.Second, 20*time.Second),
		BootDelay: between(time.Minute, 4*time.Minute), DeleteDelay: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	front, admin := httptest.NewServer(sim.Handler()), httptest.NewServer(sim.AdminHandler())
	t.Cleanup(front.Close)
	t.Cleanup(admin.Close)
	return &simulated{admin: simadmin.New(admin.URL, admin.Client()), url: front.URL, clock: clock}
}

func (s *simulated) provider(t *testing.T, credentials api.Credentials) *vpsie.Provider {
	t.Helper()
	client, err := api.New(api.Options{
		Credentials: api.Static(credentials), BaseURL: s.url, Clock: s.clock, RequestsPerMinute: 60_000, ReadAttempts: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	provider, err := vpsie.New(client, vpsie.Options{Clock: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	return provider
}

func (s *simulated) inject(t *testing.T, faults ...fault.Fault) {
	t.Helper()
	if _, err := s.admin.AddFaults(t.Context(), faults...); err != nil {
		t.Fatal(err)
	}
}

func (s *simulated) harness(t *testing.T, good, bad api.Credentials) conformance.Harness {
	t.Helper()
	onChange := func(kind fault.Kind) func() {
		return func() {
			s.inject(t, fault.Fault{Kind: kind, Call: fault.AddSlaveToGroup}, fault.Fault{Kind: kind, Call: fault.DeleteSlave})
		}
	}
	return conformance.Harness{
		Provider: s.provider(t, good), Refused: s.provider(t, bad), Advance: s.clock.Step,
		Patience: 3 * time.Minute, SetAside: vpsie.DefaultSetAsideTTL,
		Faults: conformance.Faults{
			OutOfStock: func(id string) {
				size, err := strconv.Atoi(id)
				if err != nil {
					t.Fatal(err)
				}
				s.inject(t, fault.Fault{Kind: fault.NoStock, SizeID: size})
			},
			AtLimit: func() {
				if _, err := s.admin.SetOptions(t.Context(), vpsiesim.Settings{WorkerLimit: new(0)}); err != nil {
					t.Fatal(err)
				}
			},
			LoseReplyAfterEffect:  onChange(fault.LostReplyAfterEffect),
			LoseReplyBeforeEffect: onChange(fault.LostReplyBeforeEffect),
			IgnoreRelease:         func() { s.inject(t, fault.Fault{Kind: fault.DeleteLies, Call: fault.DeleteSlave}) },
			Unreadable:            func() { s.inject(t, fault.Fault{Kind: fault.Status, Call: fault.GetCluster, Status: 502}) },
			Throttle:              func() { s.inject(t, fault.Fault{Kind: fault.RateLimited, Call: fault.AddSlaveToGroup}) },
			AnswerUnknown: func() {
				s.inject(t, fault.Fault{Kind: fault.Error200, Call: fault.AddSlaveToGroup, Message: "Mercury is in retrograde"})
			},
			AddForeign: func(id string) {
				size, err := strconv.Atoi(id)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.admin.AddForeign(t.Context(), size); err != nil {
					t.Error(err)
				}
			},
			Destroy: func(id string) {
				if err := s.admin.Destroy(t.Context(), id); err != nil {
					t.Error(err)
				}
			},
		},
	}
}

func TestConformance(t *testing.T) {
	for name, credentials := range map[string]struct{ good, bad api.Credentials }{
		"with a static token":       {api.Credentials{Token: "good-token"}, api.Credentials{Token: "bad-token"}},
		"with a client's secret":    {api.Credentials{ClientID: "id", ClientSecret: "good-secret"}, api.Credentials{ClientID: "id", ClientSecret: "bad-secret"}},
		"refused: a client unknown": {api.Credentials{Token: "good-token"}, api.Credentials{ClientID: "nobody", ClientSecret: "good-secret"}},
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Run(t, func(t *testing.T) conformance.Harness {
				return simulate(t).harness(t, credentials.good, credentials.bad)
			})
		})
	}
}

// TestLedgerAfterEveryFault orders and releases under each fault in turn, and lets the simulator's books tell whether anything
// was bought that the Provider did not admit it may have bought.
func TestLedgerAfterEveryFault(t *testing.T) {
	for name, test := range map[string]struct {
		fault  fault.Fault
		want   string // reaction and reason of the order
		bought int
	}{
		"no fault":                  {fault.Fault{}, "", 1},
		"502 before the effect":     {fault.Fault{Kind: fault.Status, Call: fault.AddSlaveToGroup, Status: 502}, "LookFirst ReplyLost", 0},
		"lost after the effect":     {fault.Fault{Kind: fault.LostReplyAfterEffect, Call: fault.AddSlaveToGroup}, "LookFirst ReplyLost", 1},
		"lost before the effect":    {fault.Fault{Kind: fault.LostReplyBeforeEffect, Call: fault.AddSlaveToGroup}, "LookFirst ReplyLost", 0},
		"429":                       {fault.Fault{Kind: fault.RateLimited, Call: fault.AddSlaveToGroup}, "TryLater RateLimited", 0},
		"429 with a pause":          {fault.Fault{Kind: fault.RateLimited, Call: fault.AddSlaveToGroup, RetryAfterSeconds: 20}, "TryLater RateLimited", 0},
		"a locked cluster":          {fault.Fault{Kind: fault.ClusterLocked, Call: fault.AddSlaveToGroup}, "TryLater ClusterLocked", 0},
		"an unknown refusal":        {fault.Fault{Kind: fault.Error200, Call: fault.AddSlaveToGroup, Message: "?"}, "TryLater Unrecognised", 0},
		"a lost reply for a group":  {fault.Fault{Kind: fault.LostReplyAfterEffect, Call: fault.AddNodeGroup}, "", 1},
		"a lost group":              {fault.Fault{Kind: fault.LostReplyBeforeEffect, Call: fault.AddNodeGroup}, "TryLater NoNodeGroup", 0},
		"a machine in upper case":   {fault.Fault{Kind: fault.UpperCaseHostname}, "", 1},
		"a machine that never came": {fault.Fault{Kind: fault.NeverAppears}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t)
			p := s.provider(t, api.Credentials{Token: "good-token"})
			if test.fault.Kind != "" {
				s.inject(t, test.fault)
			}
			err := p.Order(t.Context(), cloudprovider.Order{Name: "vn", OfferingID: "7"})
			got := ""
			if err != nil {
				got = string(cloudprovider.ReactionTo(err)) + " " + cloudprovider.ReasonOf(err)
			}
			orders, listErr := s.admin.Orders(t.Context())
			if listErr != nil {
				t.Fatal(listErr)
			}
			if got != test.want || len(orders) != test.bought {
				t.Errorf("order ended in %q with %d machines bought; want %q with %d: %v", got, len(orders), test.want, test.bought, err)
			}
			s.clock.Step(5 * time.Minute)
			inventory, err := p.Inventory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, instance := range inventory.Instances {
				if !instance.Matches("7") || instance.Hostname != strings.ToLower(instance.Hostname) || instance.IP == "" {
					t.Errorf("got %+v", instance)
				}
			}
		})
	}
}

// TestSizesThatCannotBeToldApart: VPSie tells a machine's size only, and two offerings share one.
func TestSizesThatCannotBeToldApart(t *testing.T) {
	s := simulate(t)
	p := s.provider(t, api.Credentials{Token: "good-token"})
	for _, offering := range []string{"9", "2", "12"} {
		if err := p.Order(t.Context(), cloudprovider.Order{OfferingID: offering}); err != nil {
			t.Fatal(err)
		}
	}
	s.clock.Step(5 * time.Minute)
	inventory, err := p.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, instance := range inventory.Instances {
		got[strings.Join(instance.OfferingIDs, " ")]++
	}
	if diff := cmp.Diff(map[string]int{"2 9": 2, "12": 1}, got); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
}
