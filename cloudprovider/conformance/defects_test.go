// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/memory"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// defect is a way in which a provider breaks a promise.
type defect string

const (
	sound               defect = "sound"
	neverReady          defect = "never ready"
	unsorted            defect = "offerings by name"
	unpriced            defect = "an offering without a price"
	sharedOfferings     defect = "offerings shared with the caller"
	buysTwice           defect = "two machines per order"
	buysCheapest        defect = "the cheapest machine, whatever was ordered"
	buysOnce            defect = "no second machine of a size"
	upperCase           defect = "hostnames in upper case"
	buysNonsense        defect = "a machine for an empty order"
	buysAnyplace        defect = "a machine in whatever datacenter"
	buysForLeavers      defect = "a machine for a caller that left"
	dropsOrdersAtOnce   defect = "one machine for all orders at the same time"
	forgetsTime         defect = "no time of reading"
	releasesFirst       defect = "releases the first machine"
	releasesUnknown     defect = "takes an unknown machine for released"
	releasesNothing     defect = "releases the first machine when none is named"
	refusesSecond       defect = "gives up on a machine that is being released"
	takesCredentials    defect = "takes refused credentials for an outage"
	keepsOffering       defect = "keeps an offering without stock"
	keepsAside          defect = "keeps an offering aside for ever"
	limitIsElsewhere    defect = "takes the account's limit for one of the offering"
	repeatsOrder        defect = "repeats an order whose reply was lost"
	lostIsLater         defect = "takes a lost order for a refusal"
	lostReleaseIsDone   defect = "takes a lost release for done"
	ignoredIsGone       defect = "hides a machine whose release was accepted"
	unreadableIsEmpty   defect = "an empty inventory where none can be read"
	noReason            defect = "errors without a reason"
	machinesNeverCome   defect = "accepts orders and forgets them"
	machinesOutOfOrder  defect = "machines in another order"
	throttledIsNowhere  defect = "gives up when it is throttled"
	unknownIsGiveUp     defect = "gives up on what it does not understand"
	hidesForeign        defect = "hides what it did not order"
	remembersMachines   defect = "lists machines that are gone"
	ordersWhenThrottled defect = "repeats a throttled order"
)

// defective is the cloud in memory with one defect at most.
type defective struct {
	*memory.Cloud
	defect defect
	// strange is the same cloud with credentials that it refuses.
	strange bool

	mu        sync.Mutex
	shared    []scheduling.Offering
	aside     map[string]bool
	hidden    map[string]bool
	ordered   map[string]int // by offering
	remembers []cloudprovider.Instance
}

const (
	patience = 5 * time.Minute
	setAside = memory.DefaultSetAside
)

func newHarness(t *testing.T, d defect) Harness {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	minute := memory.Range{Min: time.Minute, Max: time.Minute}
	cloud, err := memory.New(memory.Options{Clock: clock, Seed: 2, VisibleDelay: minute, DeleteDelay: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	advance := func(d time.Duration) { clock.SetTime(clock.Now().Add(d)) }
	foreign := func(offering string) {
		if _, err := cloud.AddForeign(offering); err != nil {
			t.Error(err)
		}
	}
	foreign("3")
	advance(patience)
	script := func(faults ...fault.Fault) func() {
		return func() {
			if err := cloud.Script(faults...); err != nil {
				t.Error(err)
			}
		}
	}
	onChange := func(kind fault.Kind) func() {
		return script(fault.Fault{Kind: kind, Call: fault.AddSlaveToGroup}, fault.Fault{Kind: kind, Call: fault.DeleteSlave})
	}
	known := func(strange bool) *defective {
		return &defective{Cloud: cloud, defect: d, strange: strange, aside: map[string]bool{}, hidden: map[string]bool{}, ordered: map[string]int{}}
	}
	return Harness{
		Provider: known(false), Refused: known(true), Advance: advance, Patience: patience, SetAside: setAside,
		Faults: Faults{
			OutOfStock:            func(string) { script(fault.Fault{Kind: fault.NoStock})() },
			AtLimit:               func() { cloud.LimitTo(0) },
			LoseReplyAfterEffect:  onChange(fault.LostReplyAfterEffect),
			LoseReplyBeforeEffect: onChange(fault.LostReplyBeforeEffect),
			IgnoreRelease:         script(fault.Fault{Kind: fault.DeleteLies}),
			Unreadable:            script(fault.Fault{Kind: fault.Status, Call: fault.GetCluster, Status: 502}),
			Throttle:              script(fault.Fault{Kind: fault.RateLimited, Call: fault.AddSlaveToGroup}),
			AnswerUnknown:         script(fault.Fault{Kind: fault.Error200, Call: fault.AddSlaveToGroup, Message: "Mercury is in retrograde"}),
			AddForeign:            foreign,
			Destroy: func(id string) {
				if err := cloud.Destroy(id); err != nil {
					t.Error(err)
				}
			},
		},
	}
}

func (d *defective) Ready(ctx context.Context) error {
	if d.defect == neverReady {
		return cloudprovider.Errorf(cloudprovider.TryLater, "Down", "down")
	}
	if d.strange {
		return d.refuse(d.Stranger().Ready(ctx))
	}
	return d.Cloud.Ready(ctx)
}

// refuse is what becomes of the error of a stranger.
func (d *defective) refuse(err error) error {
	switch d.defect {
	case takesCredentials:
		return cloudprovider.Errorf(cloudprovider.TryLater, "Down", "%w", err)
	case noReason:
		return &cloudprovider.Error{Reaction: cloudprovider.ReactionTo(err), Err: errors.New(err.Error())}
	default: // the other defects show elsewhere
	}
	return err
}

func (d *defective) Offerings(ctx context.Context) ([]scheduling.Offering, error) {
	if d.strange {
		_, err := d.Stranger().Offerings(ctx)
		return nil, d.refuse(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shared != nil {
		return d.shared, nil
	}
	offerings, err := d.Cloud.Offerings(ctx)
	if err != nil {
		return nil, err
	}
	switch d.defect {
	case unsorted:
		slices.SortFunc(offerings, func(a, b scheduling.Offering) int { return cmp.Compare(a.Name, b.Name) })
	case unpriced:
		offerings[0].Price = 0
	case sharedOfferings:
		d.shared = offerings
	case keepsOffering, keepsAside:
		for i, o := range offerings {
			offerings[i].Available = d.defect == keepsOffering || o.Available && !d.aside[o.ID]
		}
	default: // the other defects show elsewhere
	}
	return offerings, nil
}

func (d *defective) Order(ctx context.Context, order cloudprovider.Order) error {
	if d.strange {
		return d.refuse(d.Stranger().Order(ctx, order))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.ordered[order.OfferingID]
	d.ordered[order.OfferingID]++
	const cheapest = "7"
	switch {
	case d.defect == machinesNeverCome, d.defect == buysOnce && before > 0, d.defect == dropsOrdersAtOnce && before >= 3:
		return nil
	case d.defect == buysTwice, d.defect == dropsOrdersAtOnce && before > 10:
		_ = d.Cloud.Order(ctx, order)
	case d.defect == buysCheapest && order.OfferingID != "":
		order.OfferingID = cheapest
	case d.defect == buysNonsense && order.OfferingID != "3" && order.OfferingID != "5":
		order.OfferingID = cheapest
	case d.defect == buysAnyplace:
		order.Datacenter = ""
	case d.defect == buysForLeavers:
		ctx = context.WithoutCancel(ctx)
	}
	return d.misread(ctx, order, d.Cloud.Order(ctx, order))
}

// misread is what the caller is told of an order's end.
func (d *defective) misread(ctx context.Context, order cloudprovider.Order, err error) error {
	as := func(reaction cloudprovider.Reaction) error {
		return cloudprovider.Errorf(reaction, cloudprovider.ReasonOf(err), "%w", errors.New(err.Error()))
	}
	switch reaction := cloudprovider.ReactionTo(err); {
	case d.defect == repeatsOrder && reaction == cloudprovider.LookFirst:
		_ = d.Cloud.Order(ctx, order)
	case d.defect == ordersWhenThrottled && cloudprovider.ReasonOf(err) == "RateLimited":
		_ = d.Cloud.Order(ctx, order)
	case d.defect == lostIsLater && reaction == cloudprovider.LookFirst:
		return as(cloudprovider.TryLater)
	case d.defect == limitIsElsewhere && reaction == cloudprovider.GiveUp:
		return as(cloudprovider.TryElsewhere)
	case d.defect == throttledIsNowhere && cloudprovider.ReasonOf(err) == "RateLimited",
		d.defect == unknownIsGiveUp && cloudprovider.ReasonOf(err) == "Unrecognised":
		return as(cloudprovider.GiveUp)
	case d.defect == keepsAside && reaction == cloudprovider.TryElsewhere:
		d.aside[order.OfferingID] = true
	}
	return err
}

func (d *defective) Inventory(ctx context.Context) (cloudprovider.Inventory, error) {
	if d.strange {
		_, err := d.Stranger().Inventory(ctx)
		return cloudprovider.Inventory{}, d.refuse(err)
	}
	inventory, err := d.Cloud.Inventory(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.defect == unreadableIsEmpty && err != nil:
		return cloudprovider.Inventory{}, nil
	case err != nil:
		return inventory, err
	}
	switch d.defect {
	case forgetsTime:
		inventory.ReadAt = time.Time{}
	case upperCase:
		for i := range inventory.Instances {
			inventory.Instances[i].Hostname = strings.ToUpper(inventory.Instances[i].Hostname)
		}
	case machinesOutOfOrder:
		slices.Reverse(inventory.Instances)
	case ignoredIsGone, hidesForeign:
		inventory.Instances = slices.DeleteFunc(inventory.Instances, func(i cloudprovider.Instance) bool {
			return d.hidden[i.ID] || d.defect == hidesForeign && d.isForeign(i.ID)
		})
	case remembersMachines:
		for _, i := range d.remembers {
			if _, there := inventory.Find(i.ID); !there {
				inventory.Instances = append(inventory.Instances, i)
			}
		}
		slices.SortFunc(inventory.Instances, func(a, b cloudprovider.Instance) int { return cmp.Compare(a.ID, b.ID) })
		d.remembers = slices.Clone(inventory.Instances)
	default: // the other defects show elsewhere
	}
	return inventory, nil
}

func (d *defective) isForeign(id string) bool {
	return slices.ContainsFunc(d.Machines(), func(m memory.Machine) bool { return m.ID == id && m.Origin == "foreign" })
}

func (d *defective) Release(ctx context.Context, id string) error {
	if d.strange {
		return d.refuse(d.Stranger().Release(ctx, id))
	}
	inventory, err := d.Cloud.Inventory(ctx)
	if err != nil {
		return err
	}
	instance, found := inventory.Find(id)
	if d.defect == releasesFirst && found || d.defect == releasesNothing && id == "" {
		first := slices.IndexFunc(inventory.Instances, func(i cloudprovider.Instance) bool { return !d.isForeign(i.ID) })
		id = inventory.Instances[first].ID
	}
	if d.defect == refusesSecond && instance.Deleting {
		return cloudprovider.Errorf(cloudprovider.GiveUp, "Deleting", "it is being released")
	}
	err = d.Cloud.Release(ctx, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hidden[id] = true
	if d.defect == releasesUnknown && !found && id != "" || d.defect == lostReleaseIsDone && found {
		return nil
	}
	return err
}

// String tells the defect in the name of a test.
func (d defect) String() string { return fmt.Sprintf("%q", string(d)) }
