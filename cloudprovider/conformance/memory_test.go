// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// defect is a way in which the provider in memory breaks a promise.
type defect string

const (
	sound              defect = "sound"
	neverReady         defect = "never ready"
	unsorted           defect = "offerings by name"
	unpriced           defect = "an offering without a price"
	sharedOfferings    defect = "offerings shared with the caller"
	buysTwice          defect = "two machines per order"
	buysCheapest       defect = "the cheapest machine, whatever was ordered"
	buysOnce           defect = "no second machine of a size"
	upperCase          defect = "hostnames in upper case"
	buysNonsense       defect = "a machine for an empty order"
	buysAnyplace       defect = "a machine in whatever datacenter"
	buysForLeavers     defect = "a machine for a caller that left"
	forgetsTime        defect = "no time of reading"
	releasesFirst      defect = "releases the first machine"
	releasesUnknown    defect = "takes an unknown machine for released"
	releasesNothing    defect = "releases the first machine when none is named"
	takesCredentials   defect = "takes refused credentials for an outage"
	keepsOffering      defect = "keeps an offering without stock"
	keepsAside         defect = "keeps an offering aside for ever"
	limitIsElsewhere   defect = "takes the account's limit for one of the offering"
	repeatsOrder       defect = "repeats an order whose reply was lost"
	lostIsLater        defect = "takes a lost order for a refusal"
	lostReleaseIsDone  defect = "takes a lost release for done"
	ignoredIsGone      defect = "hides a machine whose release was accepted"
	unreadableIsEmpty  defect = "an empty inventory where none can be read"
	noReason           defect = "errors without a reason"
	machinesNeverCome  defect = "accepts orders and forgets them"
	machinesOutOfOrder defect = "machines by age"
)

// memory is a cloud and its Provider in one, with one defect at most.
type memory struct {
	defect    defect
	now       time.Time
	bad       bool // its credentials are refused
	cloud     *cloud
	offerings []scheduling.Offering
	aside     map[string]time.Time
}

// cloud is what exists; orders become machines a minute later.
type cloud struct {
	count    int
	machines []machine
	fault    string
	limit    bool
}

type machine struct {
	cloudprovider.Instance
	from, until time.Time // until is zero while nobody released it
	hidden      bool
}

const (
	dc       = "dc"
	patience = 5 * time.Minute
	setAside = 10 * time.Minute
)

func newHarness(d defect) Harness {
	offering := func(id, name string, price scheduling.Price, cpu int64) scheduling.Offering {
		return scheduling.Offering{
			ID: id, Name: name, Datacenter: dc, Zone: dc, Region: "here", Arch: "amd64", CPUMilli: cpu, MemoryMiB: 1024 * cpu, Price: price, Available: true,
		}
	}
	provider := &memory{
		defect: d, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), cloud: &cloud{}, aside: map[string]time.Time{},
		offerings: []scheduling.Offering{offering("9", "z", 1, 1), offering("3", "y", 2, 2), offering("5", "a", 3, 2)},
	}
	provider.cloud.machines = []machine{{Instance: cloudprovider.Instance{ID: "a-before", Hostname: "old", OfferingIDs: []string{"9"}}}}
	refused := *provider
	refused.bad = true
	fault := func(name string) func() { return func() { provider.cloud.fault = name } }
	return Harness{
		Provider: provider, Refused: &refused, Advance: func(d time.Duration) { provider.now = provider.now.Add(d) },
		Patience: patience, SetAside: setAside,
		Faults: Faults{
			OutOfStock: func(string) { provider.cloud.fault = "stock" }, AtLimit: func() { provider.cloud.limit = true },
			LoseReplyAfterEffect: fault("after"), LoseReplyBeforeEffect: fault("before"), IgnoreRelease: fault("ignore"), Unreadable: fault("unreadable"),
		},
	}
}

func (m *memory) takeFault(names ...string) string {
	if !slices.Contains(names, m.cloud.fault) {
		return ""
	}
	taken := m.cloud.fault
	m.cloud.fault = ""
	return taken
}

func (m *memory) fail(reaction cloudprovider.Reaction, text string) error {
	if m.defect == noReason {
		return &cloudprovider.Error{Reaction: reaction, Err: fmt.Errorf("%s", text)}
	}
	return cloudprovider.Errorf(reaction, "Reason", "%s", text)
}

func (m *memory) credentials() error {
	switch {
	case m.bad && m.defect == takesCredentials:
		return m.fail(cloudprovider.TryLater, "credentials")
	case m.bad:
		return m.fail(cloudprovider.GiveUp, "credentials")
	}
	return nil
}

func (m *memory) Ready(context.Context) error {
	if m.defect == neverReady {
		return m.fail(cloudprovider.TryLater, "down")
	}
	return m.credentials()
}

func (m *memory) Offerings(context.Context) ([]scheduling.Offering, error) {
	if err := m.credentials(); err != nil {
		return nil, err
	}
	if m.defect == sharedOfferings {
		return m.offerings, nil
	}
	offerings := slices.Clone(m.offerings)
	for i, o := range offerings {
		until, aside := m.aside[o.ID]
		offerings[i].Available = !aside || m.defect == keepsOffering || m.defect != keepsAside && !m.now.Before(until)
	}
	if m.defect == unsorted {
		slices.SortFunc(offerings, func(a, b scheduling.Offering) int { return cmp.Compare(a.Name, b.Name) })
	}
	if m.defect == unpriced {
		offerings[0].Price = 0
	}
	return offerings, nil
}

func (m *memory) Order(ctx context.Context, order cloudprovider.Order) error {
	if err := m.refuse(ctx, order); err != nil {
		return err
	}
	fault := m.takeFault("before", "after")
	if fault != "before" {
		m.buy(order.OfferingID)
	}
	switch {
	case fault == "":
		return nil
	case m.defect == repeatsOrder:
		m.buy(order.OfferingID)
		return m.fail(cloudprovider.LookFirst, "lost")
	case m.defect == lostIsLater:
		return m.fail(cloudprovider.TryLater, "lost")
	}
	return m.fail(cloudprovider.LookFirst, "lost")
}

func (m *memory) refuse(ctx context.Context, order cloudprovider.Order) error {
	known := slices.ContainsFunc(m.offerings, func(o scheduling.Offering) bool { return o.ID == order.OfferingID })
	switch err := m.credentials(); {
	case err != nil:
		return err
	case ctx.Err() != nil && m.defect != buysForLeavers:
		return m.fail(cloudprovider.TryLater, "left")
	case order.OfferingID == "" && m.defect != buysNonsense:
		return m.fail(cloudprovider.GiveUp, "nothing ordered")
	case order.Datacenter != dc && m.defect != buysAnyplace && order.OfferingID != "":
		return m.fail(cloudprovider.GiveUp, "elsewhere")
	case !known && m.defect != buysNonsense:
		return m.fail(cloudprovider.TryElsewhere, "unknown")
	case m.cloud.limit && m.defect == limitIsElsewhere:
		return m.fail(cloudprovider.TryElsewhere, "limit")
	case m.cloud.limit:
		return m.fail(cloudprovider.GiveUp, "limit")
	case m.takeFault("stock") != "":
		m.aside[order.OfferingID] = m.now.Add(setAside)
		return m.fail(cloudprovider.TryElsewhere, "stock")
	}
	return nil
}

func (m *memory) buy(offering string) {
	copies := 1
	switch m.defect {
	case buysTwice:
		copies = 2
	case machinesNeverCome:
		copies = 0
	case buysCheapest:
		offering = m.offerings[0].ID
	case buysOnce:
		if slices.ContainsFunc(m.cloud.machines[1:], func(x machine) bool { return x.Matches(offering) }) {
			copies = 0
		}
	default: // the other defects show elsewhere
	}
	for range copies {
		m.cloud.count++
		// Later machines sort before earlier ones.
		id := fmt.Sprintf("m-%02d", 50-m.cloud.count)
		instance := cloudprovider.Instance{ID: id, Hostname: "host-" + id, OfferingIDs: []string{offering}}
		if m.defect == upperCase {
			instance.Hostname = strings.ToUpper(instance.Hostname)
		}
		m.cloud.machines = append(m.cloud.machines, machine{Instance: instance, from: m.now.Add(time.Minute)})
	}
}

func (m *memory) Inventory(context.Context) (cloudprovider.Inventory, error) {
	if err := m.credentials(); err != nil {
		return cloudprovider.Inventory{}, err
	}
	inventory := cloudprovider.Inventory{ReadAt: m.now}
	if m.defect == forgetsTime {
		inventory.ReadAt = time.Time{}
	}
	if m.takeFault("unreadable") != "" {
		if m.defect == unreadableIsEmpty {
			return inventory, nil
		}
		return cloudprovider.Inventory{}, m.fail(cloudprovider.TryLater, "unreadable")
	}
	for _, x := range m.cloud.machines {
		if m.now.Before(x.from) || x.hidden || !x.until.IsZero() && !m.now.Before(x.until) {
			continue
		}
		x.Deleting = !x.until.IsZero()
		inventory.Instances = append(inventory.Instances, x.Instance)
	}
	if m.defect != machinesOutOfOrder {
		slices.SortFunc(inventory.Instances, func(a, b cloudprovider.Instance) int { return cmp.Compare(a.ID, b.ID) })
	}
	return inventory, nil
}

func (m *memory) Release(_ context.Context, id string) error {
	if err := m.credentials(); err != nil {
		return err
	}
	gone := func(x machine) bool { return !x.until.IsZero() && !m.now.Before(x.until) }
	i := slices.IndexFunc(m.cloud.machines, func(x machine) bool { return x.ID == id && !gone(x) })
	if m.defect == releasesFirst && i >= 0 || m.defect == releasesNothing && id == "" {
		i = 1
	}
	switch {
	case i < 0 && m.defect == releasesUnknown:
		return nil
	case i < 0:
		return m.fail(cloudprovider.LookFirst, "unknown")
	}
	switch m.takeFault("before", "ignore") {
	case "before":
		if m.defect == lostReleaseIsDone {
			return nil
		}
		return m.fail(cloudprovider.LookFirst, "lost")
	case "ignore":
		m.cloud.machines[i].hidden = m.defect == ignoredIsGone
		return nil
	}
	m.cloud.machines[i].until = m.now.Add(time.Minute)
	return nil
}
