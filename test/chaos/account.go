// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/memory"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// account is VPSie's side of the world, whoever simulates it.
type account interface {
	books
	mischief
	// provider returns the way to it of a controller that has just been started, which has learned nothing yet.
	provider() (cloudprovider.Provider, error)
	// machines returns those that exist. Some have not joined yet.
	machines(ctx context.Context) []memory.Machine
	// addForeign adds a machine as a person does in VPSie's console, and returns its identifier.
	addForeign(offering string) (id string, err error)
}

type books interface {
	Faults() fault.Report
	Ledger() ledger.Report
}

type mischief interface {
	// mix lets faults strike by chance from now on.
	mix(fault.Mix) error
	// cutOff has every call fail to reach VPSie; nil ends that.
	cutOff(unreachable error)
}

// What takes time at both, and how long.
var (
	visible = memory.Range{Min: time.Second, Max: 30 * time.Second}
	ip      = memory.Range{Max: 10 * time.Second}
	boot    = memory.Range{Min: 5 * time.Second, Max: 40 * time.Second}
)

const (
	deleteDelay = 8 * time.Second
	setAside    = 2 * time.Minute
)

// inMemory is the cloud in memory, which is its own provider and remembers over the controller's death what was set aside.
type inMemory struct {
	*memory.Cloud

	unreachable error
}

func newInMemory(clock *testingclock.FakeClock, seed int64) (account, error) {
	c, err := memory.New(memory.Options{
		Clock: clock, Seed: seed, DeleteDelay: deleteDelay, SetAside: setAside,
		VisibleDelay: visible, IPDelay: ip, BootDelay: boot,
	})
	return &inMemory{Cloud: c}, err
}

func (a *inMemory) provider() (cloudprovider.Provider, error) { return reached{a}, nil }

func (a *inMemory) cutOff(unreachable error) { a.unreachable = unreachable }

func (a *inMemory) machines(context.Context) []memory.Machine { return a.Machines() }

func (a *inMemory) addForeign(offering string) (string, error) {
	m, err := a.AddForeign(offering)
	return m.ID, err
}

func (a *inMemory) mix(mix fault.Mix) error { return a.Mix(mix) }

// reached is the cloud in memory as far as it can be reached.
type reached struct{ *inMemory }

func (r reached) reach() error {
	if r.unreachable == nil {
		return nil
	}
	return cloudprovider.Errorf(cloudprovider.TryLater, "Unreachable", "%w", r.unreachable)
}

func (r reached) Ready(ctx context.Context) error {
	return cmp.Or(r.reach(), r.Cloud.Ready(ctx))
}

func (r reached) Offerings(ctx context.Context) ([]scheduling.Offering, error) {
	if err := r.reach(); err != nil {
		return nil, err
	}
	return r.Cloud.Offerings(ctx)
}

func (r reached) Inventory(ctx context.Context) (cloudprovider.Inventory, error) {
	if err := r.reach(); err != nil {
		return cloudprovider.Inventory{}, err
	}
	return r.Cloud.Inventory(ctx)
}

func (r reached) Order(ctx context.Context, order cloudprovider.Order) error {
	if err := r.reach(); err != nil {
		return err
	}
	return r.Cloud.Order(ctx, order)
}

func (r reached) Release(ctx context.Context, id string) error {
	if err := r.reach(); err != nil {
		return err
	}
	return r.Cloud.Release(ctx, id)
}

// overHTTP is the simulated VPSie, to which each life of the controller has a client of its own: it logs in, finds its cluster and its
// node groups, and meets every fault in the form in which VPSie sends it.
type overHTTP struct {
	*vpsiesim.Server

	clock       *testingclock.FakeClock
	unreachable error

	mu     sync.Mutex
	joined map[string]memory.Machine // by identifier
	joins  map[string]int            // likewise, of machines that have gone too
}

const clientID, clientSecret = "chaos", "nobody-will-guess"

func newOverHTTP(clock *testingclock.FakeClock, seed int64) (account, error) {
	catalogue, err := vpsiesim.EmbeddedCatalogue()
	if err != nil {
		return nil, err
	}
	catalogue.Offers = catalogue.Offers[:3] // so that orders of one size meet
	a := &overHTTP{clock: clock, joined: map[string]memory.Machine{}, joins: map[string]int{}}
	a.Server, err = vpsiesim.New(vpsiesim.Options{
		Clock: passing{clock}, Seed: seed, ClientID: clientID, ClientSecret: clientSecret, Catalogue: catalogue, DeleteDelay: deleteDelay, Joiner: a,
		VisibleDelay: vpsiesim.Range(visible), IPDelay: vpsiesim.Range(ip), BootDelay: vpsiesim.Range(boot),
	})
	return a, err
}

func (a *overHTTP) provider() (cloudprovider.Provider, error) {
	client, err := api.New(api.Options{
		Credentials: api.Static(api.Credentials{ClientID: clientID, ClientSecret: clientSecret}),
		BaseURL:     "http://127.0.0.1", Transport: inProcess{a}, Clock: passing{a.clock},
		ReadAttempts: 1, // the time between two is not drawn from the seed
		BreakerPause: 1, // it is not measured by the clock
	})
	if err != nil {
		return nil, err
	}
	return vpsie.New(client, vpsie.Options{Clock: a.clock, SetAsideTTL: setAside})
}

func (a *overHTTP) machines(ctx context.Context) []memory.Machine {
	a.Tick(ctx)
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.SortedFunc(maps.Values(a.joined), func(x, y memory.Machine) int { return cmp.Compare(x.Hostname, y.Hostname) })
}

// Join notes that the machine's kubelet registers.
func (a *overHTTP) Join(_ context.Context, m vpsiesim.Machine) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.joins[m.Identifier]++
	a.joined[m.Identifier] = memory.Machine{
		ID: m.Identifier, Hostname: m.Hostname, CPUMilli: 1000 * int64(m.CPU), MemoryMiB: int64(m.MemoryMB), Joins: a.joins[m.Identifier],
	}
	return nil
}

// Leave notes that the machine's kubelet says nothing any more.
func (a *overHTTP) Leave(_ context.Context, m vpsiesim.Machine) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.joined, m.Identifier)
	return nil
}

func (a *overHTTP) addForeign(offering string) (string, error) {
	size, err := strconv.Atoi(offering)
	if err != nil {
		return "", fmt.Errorf("adding a foreign machine of offering %q: %w", offering, err)
	}
	m, err := a.AddForeign(size)
	return m.Identifier, err
}

func (a *overHTTP) mix(mix fault.Mix) error {
	a.SetMix(mix)
	return mix.Validate()
}

func (a *overHTTP) cutOff(unreachable error) { a.unreachable = unreachable }

// passing is a clock that lets the time pass that somebody waits for: there is nobody else to do so.
type passing struct{ *testingclock.FakeClock }

// After returns a channel that has been sent to.
func (p passing) After(d time.Duration) <-chan time.Time { return p.NewTimer(d).C() }

// NewTimer returns a timer that has fired.
func (p passing) NewTimer(d time.Duration) clock.Timer {
	timer := p.FakeClock.NewTimer(d)
	p.Step(d)
	return timer
}

// inProcess carries requests to the simulated VPSie without a network. A handler that aborts is a connection that breaks.
type inProcess struct{ account *overHTTP }

// RoundTrip returns the handler's answer.
func (t inProcess) RoundTrip(sent *http.Request) (response *http.Response, err error) {
	if t.account.unreachable != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: t.account.unreachable}
	}
	received := sent.Clone(sent.Context())
	if received.Body == nil {
		received.Body = http.NoBody
	}
	defer func() {
		switch broke := recover(); broke {
		case nil:
		case http.ErrAbortHandler:
			response, err = nil, io.ErrUnexpectedEOF
		default:
			panic(broke)
		}
	}()
	recorder := httptest.NewRecorder()
	t.account.Handler().ServeHTTP(recorder, received)
	return recorder.Result(), nil
}
