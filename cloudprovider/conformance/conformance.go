// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package conformance is one suite that every cloudprovider.Provider must pass. It turns a Provider and the cloud behind it
// into a verdict on each promise of the interface: what is bought, how often, and what a caller is told when it fails. It
// knows no cloud, and judges by what the inventory shows, never by the calls that were made.
package conformance

import (
	"context"
	"testing"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// Harness is a Provider and what a test needs of the cloud behind it. Each case gets one of its own.
type Harness struct {
	Provider cloudprovider.Provider
	// Refused is a Provider of the same cloud with credentials that the cloud refuses.
	Refused cloudprovider.Provider
	// Advance lets time pass for the cloud and for both Providers. The suite never sleeps.
	Advance func(time.Duration)
	// Patience is enough for an ordered machine to be listed and for a released one to be gone.
	Patience time.Duration
	// SetAside is how long the Provider keeps an offering out that could not be had.
	SetAside time.Duration
	Faults   Faults
}

// Faults make the cloud fail, once each. The cases of one that is left out are skipped.
type Faults struct {
	// OutOfStock lets the cloud refuse the next order of that offering.
	OutOfStock func(offeringID string)
	// AtLimit lets the account have no more machines than it has now.
	AtLimit func()
	// LoseReplyAfterEffect lets the cloud accept the next order or release, and lose its reply.
	LoseReplyAfterEffect func()
	// LoseReplyBeforeEffect lets the cloud lose the next order or release.
	LoseReplyBeforeEffect func()
	// IgnoreRelease lets the cloud accept the next release and do nothing.
	IgnoreRelease func()
	// Unreadable lets the next reading of the inventory fail.
	Unreadable func()
	// Throttle lets the cloud refuse the next order for having had too many requests.
	Throttle func()
	// AnswerUnknown lets the cloud refuse the next order in words that nobody has seen.
	AnswerUnknown func()
	// AddForeign adds a machine as a person does, behind the Provider's back.
	AddForeign func(offeringID string)
	// Destroy ends a machine at once, behind the Provider's back.
	Destroy func(instanceID string)
}

// Run runs the suite. newHarness makes a cloud of its own for each case.
func Run(t *testing.T, newHarness func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.promise, func(t *testing.T) {
			h := newHarness(t)
			if c.needs != nil && !c.needs(h.Faults) {
				t.Skip("the harness cannot make the cloud fail in this way")
			}
			if err := c.check(t.Context(), h); err != nil {
				t.Error(err)
			}
		})
	}
}

// check is a promise under test: its error says how it was broken. That it is no assertion on a *testing.T lets the suite's
// own tests see it fail.
type check func(context.Context, Harness) error

type testCase struct {
	promise string
	needs   func(Faults) bool
	check   check
}

func cases() []testCase {
	return []testCase{
		{"a cloud that works is ready", nil, ready},
		{"offerings are sorted, priced and complete", nil, offeringsAreComplete},
		{"offerings belong to the caller", nil, offeringsAreCopies},
		{"an order becomes one machine of its offering", nil, orderBecomesMachine},
		{"each order becomes a machine", nil, eachOrderBecomesMachine},
		{"an order that makes no sense buys nothing", nil, senselessOrders},
		{"an order whose caller has left buys nothing", nil, canceledOrder},
		{"orders at the same time each become a machine", nil, ordersAtOnce},
		{"an inventory tells when it was read", nil, inventoryTellsTime},
		{"a released machine goes, and no other", nil, releaseRemovesOne},
		{"the release of an unknown machine deletes nothing", nil, unknownRelease},
		{"a release that is asked for twice is one release", nil, releaseTwice},
		{"refused credentials are for a person to mend", nil, refusedCredentials},
		{"an offering out of stock is set aside and comes back", func(f Faults) bool { return f.OutOfStock != nil }, outOfStock},
		{"an account at its limit buys nothing", func(f Faults) bool { return f.AtLimit != nil }, atLimit},
		{"an order with a lost reply is never repeated", func(f Faults) bool { return f.LoseReplyAfterEffect != nil }, lostReplyAfterOrder},
		{"a lost order is not repeated either", func(f Faults) bool { return f.LoseReplyBeforeEffect != nil }, lostOrder},
		{"a release with a lost reply is not taken for done", func(f Faults) bool { return f.LoseReplyBeforeEffect != nil }, lostRelease},
		{"a release that did nothing shows in the inventory", func(f Faults) bool { return f.IgnoreRelease != nil }, ignoredRelease},
		{"an inventory that cannot be read is not an empty one", func(f Faults) bool { return f.Unreadable != nil }, unreadableInventory},
		{"a throttled order buys nothing and may be sent later", func(f Faults) bool { return f.Throttle != nil }, throttledOrder},
		{"a refusal that nobody understands is for later", func(f Faults) bool { return f.AnswerUnknown != nil }, unknownAnswer},
		{"a machine that nobody ordered is listed", func(f Faults) bool { return f.AddForeign != nil }, foreignMachine},
		{"a machine that is destroyed from outside leaves the inventory", func(f Faults) bool { return f.Destroy != nil }, destroyedMachine},
	}
}
