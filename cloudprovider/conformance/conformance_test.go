// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import "testing"

func TestASoundProviderPasses(t *testing.T) {
	Run(t, func(t *testing.T) Harness { t.Helper(); return newHarness(t, sound) })
}

// TestBrokenPromisesAreSeen gives the suite a provider with one defect at a time: the case that promises the opposite must
// fail. Every case must catch something.
func TestBrokenPromisesAreSeen(t *testing.T) {
	caught := map[string]bool{}
	for broken, promise := range map[defect]string{
		neverReady:          "a cloud that works is ready",
		unsorted:            "offerings are sorted, priced and complete",
		unpriced:            "offerings are sorted, priced and complete",
		sharedOfferings:     "offerings belong to the caller",
		buysTwice:           "an order becomes one machine of its offering",
		machinesNeverCome:   "an order becomes one machine of its offering",
		buysCheapest:        "an order becomes one machine of its offering",
		upperCase:           "an order becomes one machine of its offering",
		buysOnce:            "each order becomes a machine",
		machinesOutOfOrder:  "each order becomes a machine",
		buysNonsense:        "an order that makes no sense buys nothing",
		buysAnyplace:        "an order that makes no sense buys nothing",
		buysForLeavers:      "an order whose caller has left buys nothing",
		forgetsTime:         "an inventory tells when it was read",
		releasesFirst:       "a released machine goes, and no other",
		releasesUnknown:     "the release of an unknown machine deletes nothing",
		releasesNothing:     "the release of an unknown machine deletes nothing",
		takesCredentials:    "refused credentials are for a person to mend",
		noReason:            "refused credentials are for a person to mend",
		keepsOffering:       "an offering out of stock is set aside and comes back",
		keepsAside:          "an offering out of stock is set aside and comes back",
		limitIsElsewhere:    "an account at its limit buys nothing",
		repeatsOrder:        "an order with a lost reply is never repeated",
		lostIsLater:         "a lost order is not repeated either",
		lostReleaseIsDone:   "a release with a lost reply is not taken for done",
		ignoredIsGone:       "a release that did nothing shows in the inventory",
		unreadableIsEmpty:   "an inventory that cannot be read is not an empty one",
		dropsOrdersAtOnce:   "orders at the same time each become a machine",
		refusesSecond:       "a release that is asked for twice is one release",
		throttledIsNowhere:  "a throttled order buys nothing and may be sent later",
		ordersWhenThrottled: "a throttled order buys nothing and may be sent later",
		unknownIsGiveUp:     "a refusal that nobody understands is for later",
		hidesForeign:        "a machine that nobody ordered is listed",
		remembersMachines:   "a machine that is destroyed from outside leaves the inventory",
	} {
		t.Run(string(broken), func(t *testing.T) {
			found := false
			for _, c := range cases() {
				if c.promise != promise {
					continue
				}
				found = true
				err := c.check(t.Context(), newHarness(t, broken))
				if err == nil {
					t.Errorf("%q does not see it", promise)
				}
				t.Logf("%v", err)
			}
			if !found {
				t.Errorf("there is no case %q", promise)
			}
			caught[promise] = true
		})
	}
	for _, c := range cases() {
		if !caught[c.promise] {
			t.Errorf("no defect breaks %q", c.promise)
		}
	}
}
