// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package memory is a whole cloud in memory. It turns orders and releases into machines that appear, boot and go as its
// clock passes, into the same faults and into the same ledger as the simulated VPSie has, and so makes thousands of runs a
// minute. It starts no goroutine, never sleeps, and makes the same machines from the same seed and calls.
package memory

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// DefaultSetAside is how long an offering is not available after it could not be had.
const DefaultSetAside = 10 * time.Minute

// Range is how long something takes: at least Min, at most Max.
type Range struct{ Min, Max time.Duration }

// Options of a Cloud. Its zero value sells three sizes, to anybody and at once.
type Options struct {
	// Clock is read, and never waited on. Left out: the real one.
	Clock clock.PassiveClock
	// Seed decides identifiers, hostnames and delays.
	Seed int64
	// Offerings are what is sold, in one datacenter. Their identifiers are numbers above 0, as VPSie's are. Left out: three.
	Offerings []scheduling.Offering
	// VisibleDelay is from the order to the listed machine, IPDelay on to its address, BootDelay on to its joining.
	VisibleDelay, IPDelay, BootDelay Range
	// DeleteDelay is from the release until the machine is gone.
	DeleteDelay time.Duration
	// SetAside is how long an offering is not available after it could not be had.
	SetAside time.Duration
}

// Cloud is one account with one cluster, and the Provider of it. It is safe for concurrent use.
type Cloud struct {
	options Options
	sizes   map[string]size // by offering

	mu       sync.Mutex
	limit    int
	machines []*machine // oldest first
	ledger   ledger.Ledger
	faults   fault.Queue
	hiding   fault.Hiding
	aside    map[string]refusal
}

var _ cloudprovider.Provider = (*Cloud)(nil)

type size struct {
	id       int
	offering scheduling.Offering
}

// everyOffering in Cloud.aside stands for all offerings: a limit of the account knows no sizes.
const everyOffering = ""

type refusal struct {
	err   *cloudprovider.Error
	until time.Time
}

// New checks the options and makes a cloud without machines.
func New(o Options) (*Cloud, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if len(o.Offerings) == 0 {
		o.Offerings = someOfferings()
	}
	o.SetAside = cmp.Or(o.SetAside, DefaultSetAside)
	for name, r := range map[string]Range{"VisibleDelay": o.VisibleDelay, "IPDelay": o.IPDelay, "BootDelay": o.BootDelay} {
		if r.Min < 0 || r.Max < r.Min {
			return nil, fmt.Errorf("making a cloud in memory: option %s: %v to %v is not a range", name, r.Min, r.Max)
		}
	}
	if o.DeleteDelay < 0 || o.SetAside < 0 {
		return nil, fmt.Errorf("making a cloud in memory: options DeleteDelay %v and SetAside %v must not be negative", o.DeleteDelay, o.SetAside)
	}
	c := &Cloud{options: o, sizes: map[string]size{}, limit: math.MaxInt, aside: map[string]refusal{}}
	for _, offering := range o.Offerings {
		id, err := strconv.Atoi(offering.ID)
		if _, twice := c.sizes[offering.ID]; err != nil || id <= 0 || twice {
			return nil, fmt.Errorf("making a cloud in memory: offering %q: want a number above 0 that no other offering has", offering.ID)
		}
		if offering.Datacenter != o.Offerings[0].Datacenter || offering.Price <= 0 {
			return nil, fmt.Errorf("making a cloud in memory: offering %q: want a price, and the datacenter of the first offering", offering.ID)
		}
		c.sizes[offering.ID] = size{id: id, offering: offering}
	}
	return c, nil
}

func someOfferings() []scheduling.Offering {
	make := func(id, name string, cpus, gib int64, perMonth float64) scheduling.Offering {
		return scheduling.Offering{
			ID: id, Name: name, Category: "general", Datacenter: "memory", Zone: "memory", Region: "memory", Arch: "amd64",
			CPUMilli: 1000 * cpus, MemoryMiB: 1024 * gib, DiskGiB: 40 * cpus, Price: scheduling.PerMonth(perMonth),
		}
	}
	// Neither names nor identifiers are in the order of the prices, so that nobody can mistake one for the other.
	return []scheduling.Offering{make("7", "Zebra", 2, 4, 24), make("3", "Yak", 4, 8, 48), make("5", "Ant", 8, 16, 96)}
}

// Offerings that two sizes of machine cannot be told apart by have the same size.
func (s size) alike(other size) bool {
	a, b := s.offering, other.offering
	return a.CPUMilli == b.CPUMilli && a.MemoryMiB == b.MemoryMiB && a.DiskGiB == b.DiskGiB
}

// candidates are the offerings that a machine of the size may have been bought as: VPSie tells the size only.
func (c *Cloud) candidates(s size) []string {
	var ids []string
	for id, other := range c.sizes {
		if s.alike(other) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return ids
}

// Script queues faults, after those that wait already. Latency and what only concerns the form of an answer never strike
// here.
func (c *Cloud) Script(faults ...fault.Fault) error {
	for i := range faults {
		faults[i].Times = cmp.Or(faults[i].Times, 1)
	}
	mix := fault.Mix{}
	for _, f := range faults {
		mix.Chances = append(mix.Chances, fault.Chance{Fault: f})
	}
	if err := mix.Validate(); err != nil {
		return fmt.Errorf("scripting faults: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.Add(faults)
	return nil
}

// Mix lets faults strike by chance from now on, for example fault.Harsh(seed, 1).
func (c *Cloud) Mix(mix fault.Mix) error {
	if err := mix.Validate(); err != nil {
		return fmt.Errorf("mixing faults: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.SetMix(mix)
	return nil
}

// Calm withdraws all faults, scripted and mixed. Machines that are spoiled stay so.
func (c *Cloud) Calm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults.Clear()
}

// Faults tells which faults wait and how many have struck.
func (c *Cloud) Faults() fault.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults.Report()
}

// LimitTo lets the account have so many machines and no more.
func (c *Cloud) LimitTo(machines int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = machines
}

// Ledger is the whole book as of now. Its methods Owned, Leaked, Strays, BoughtTwice and ForeignTouched answer an audit.
func (c *Cloud) Ledger() ledger.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.settle()
	return c.ledger.Report(now)
}

// AddForeign adds a machine as a person does in VPSie's console.
func (c *Cloud) AddForeign(offeringID string) (Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sizes[offeringID]
	if !ok {
		return Machine{}, fmt.Errorf("adding a foreign machine: want one of the offerings %v, got %q", slices.Sorted(maps.Keys(c.sizes)), offeringID)
	}
	now := c.settle()
	m := c.draw(s, now)
	c.enter(m, ledger.Order{Origin: ledger.Foreign}, now)
	return m.seen(now), nil
}

// errNoMachine is what Destroy fails with.
var errNoMachine = errors.New("there is no such machine")

// Destroy ends a machine at once, as a person does in VPSie's console or a broken host by itself.
func (c *Cloud) Destroy(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.settle()
	m := c.find(id, now)
	if m == nil {
		return fmt.Errorf("destroying machine %q: %w", id, errNoMachine)
	}
	m.gone = now
	c.settle()
	return nil
}
