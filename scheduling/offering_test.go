// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestParsePrice(t *testing.T) {
	for text, want := range map[v1alpha1.Price]scheduling.Price{
		"": 0, "0": 0, "1": 1_000_000_000, "0.0333": 33_300_000, "0.000000001": 1, "123456789.123456789": 123456789_123456789,
	} {
		got, err := scheduling.ParsePrice(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []v1alpha1.Price{"free", "-1", "0.0000000001", "1,5", "1e3"} {
		if got, err := scheduling.ParsePrice(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestParseNodeCost(t *testing.T) {
	for text, want := range map[string]scheduling.Price{"": 0, "0.01": 10_000_000, "1000000": 1_000_000_000_000_000} {
		got, err := scheduling.ParseNodeCost(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"much", "-0.01", "1000000.01"} {
		if got, err := scheduling.ParseNodeCost(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}

func TestPricesSurviveTheirText(t *testing.T) {
	for _, price := range []scheduling.Price{0, 1, 33_333_333, 1_000_000_000, 123_400_000_000} {
		got, err := scheduling.ParsePrice(price.API())
		if err != nil || got != price {
			t.Errorf("%d became %q and then %d, %v", price, price.API(), got, err)
		}
	}
	if got := scheduling.PerMonth(24).String(); got != "0.0333" {
		t.Errorf("24 a month is shown as %s an hour", got)
	}
}

func TestOfferingsHaveATotalOrder(t *testing.T) {
	cheap, dear := build.MakeOffering("Zeta", 2, 4, 10).Obj(), build.MakeOffering("Alpha", 2, 4, 20).Obj()
	same := build.MakeOffering("Beta", 2, 4, 20).Obj()
	other := build.MakeOffering("Alpha", 2, 4, 20).In("ams").Obj()
	for _, pair := range [][2]scheduling.Offering{{cheap, dear}, {dear, same}, {other, dear}} {
		if scheduling.CompareOfferings(pair[0], pair[1]) >= 0 || scheduling.CompareOfferings(pair[1], pair[0]) <= 0 {
			t.Errorf("%s in %s should come before %s in %s", pair[0].Name, pair[0].Zone, pair[1].Name, pair[1].Zone)
		}
	}
}
