// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

func TestOfferings(t *testing.T) {
	got, err := newWorld(t, nil).Offerings(t.Context())
	common := scheduling.Offering{Cluster: clusterID, Project: "71128", Datacenter: helsinki, DatacenterName: "Helsinki", Zone: helsinki, Region: "helsinki", Arch: "amd64", Available: true}
	micro, compute, advanced := common, common, common
	micro.ID, micro.Name, micro.CPUMilli, micro.MemoryMiB, micro.DiskGiB, micro.Price = "12", "Micro", 1000, 2048, 50, 16_666_667
	compute.ID, compute.Name, compute.Category = "10", "Compute-M", "compute"
	compute.CPUMilli, compute.MemoryMiB, compute.DiskGiB, compute.Price = 8000, 16384, 320, 133_333_333
	advanced.ID, advanced.Name, advanced.CPUMilli, advanced.MemoryMiB, advanced.DiskGiB, advanced.Price = "3", "Advanced", 8000, 16384, 320, 133_333_333
	if diff := cmp.Diff([]scheduling.Offering{micro, compute, advanced}, got); diff != "" || err != nil {
		t.Errorf("error %v, offerings (-want +got):\n%s", err, diff)
	}
}

func TestOffersThatCannotBeComparedAreLeftOut(t *testing.T) {
	const good = `{"id":1,"name":"good","cpu":1,"ram":1024,"price":5}`
	for name, test := range map[string]struct {
		offers string
		want   []string
		err    string
	}{
		"no price":             {good + `,{"id":2,"cpu":1,"ram":1024}`, []string{"1"}, ""},
		"a price of 0":         {good + `,{"id":2,"cpu":1,"ram":1024,"price":0}`, []string{"1"}, ""},
		"a negative price":     {good + `,{"id":2,"cpu":1,"ram":1024,"price":-5,"hourly_price":1}`, []string{"1"}, ""},
		"a price beyond sense": {good + `,{"id":2,"cpu":1,"ram":1024,"price":1e300}`, []string{"1"}, ""},
		"only a price by hour": {good + `,{"id":2,"cpu":1,"ram":1024,"hourly_price":"0.001"}`, []string{"2", "1"}, ""},
		"no memory":            {good + `,{"id":2,"cpu":1,"price":5}`, []string{"1"}, ""},
		"no cpu":               {good + `,{"id":2,"ram":1024,"price":5}`, []string{"1"}, ""},
		"an offer that is there twice": {
			good + `,{"id":1,"cpu":1,"ram":1024,"price":1}`, []string{"1"}, "",
		},
		"nothing for sale": {``, []string{}, ""},
		"none that makes sense": {
			`{"id":2,"cpu":1,"ram":1024}`, nil,
			"reading VPSie's offerings: listOffers: VPSie's answer (status 200) was not understood: none of its offers has both a size and a price",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, map[string][]string{offersList: {`{"error":false,"data":[` + test.offers + `]}`}})
			offerings, err := w.Offerings(t.Context())
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %v", err)
				}
				return
			}
			got := []string{}
			for _, o := range offerings {
				got = append(got, o.ID)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("error %v, identifiers (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		"Advanced": "Advanced", "Memory S (new!)": "Memory-S-new", " s-1vcpu-1gb ": "s-1vcpu-1gb", "Größe 5": "Gr-e-5", "!!": "", "a_.b": "a_.b",
		"x23456789012345678901234567890123456789012345678901234567890123456": "x23456789012345678901234567890123456789012345678901234567890123"[:63],
	} {
		if got := labelValue(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for want, d := range map[string]wire.Datacenter{
		"new-york":  {Name: "New York", Country: "United States"},
		"helsinki":  {Name: "Helsinki, Finland", Country: "Finland"},
		"frankfurt": {Name: "Frankfurt (Germany)", Country: "germany"},
		"singapore": {Name: "Singapore", Country: "Singapore"},
		"dc-1":      {Identifier: "dc-1"},
	} {
		if got := regionOf(d); got != want {
			t.Errorf("%+v is in region %q, want %q", d, got, want)
		}
	}
	for want, o := range map[string]wire.Offer{
		"shared":   {Category: "Shared CPU", Name: "Compute-S"},
		"compute":  {Category: "Compute Optimized"},
		"memory":   {Name: "Memory-L"},
		"general":  {Name: "general 4"},
		"bare-fun": {Category: "Bare Fun", Name: "x"},
		"":         {Name: "Computer"},
	} {
		if got := categoryOf(o); got != want {
			t.Errorf("%+v has category %q, want %q", o, got, want)
		}
	}
}

func TestOfferingsAreKeptForAWhile(t *testing.T) {
	w := newWorld(t, map[string][]string{offersList: {defaults()[offersList], badGateway}})
	read := func() (int, string) {
		offerings, err := w.Offerings(t.Context())
		return len(offerings), verdict(err)
	}
	for _, step := range []struct {
		age      time.Duration
		count    int
		verdict  string
		requests int
	}{
		{0, 3, "", 1},
		{4 * time.Minute, 3, "", 1},
		{time.Minute, 3, "", 2},                         // old, but VPSie is down
		{5 * time.Minute, 0, "TryLater ServerError", 3}, // too old to be believed
	} {
		w.clock.Step(step.age)
		count, verdict := read()
		if count != step.count || verdict != step.verdict || len(w.requests(offersList)) != step.requests {
			t.Errorf("after %v: %d offerings, %q, %d requests; want %+v", step.age, count, verdict, len(w.requests(offersList)), step)
		}
	}
	w.set(offersList, defaults()[offersList])
	if count, verdict := read(); count != 3 || verdict != "" {
		t.Errorf("after the outage: %d offerings, %q", count, verdict)
	}
	if got := testutil.CollectAndCount(w.registry, "vpsie_autoscaler_cloudprovider_offerings_age_seconds"); got != 1 {
		t.Errorf("%d series of the offerings' age", got)
	}
}

func TestCallersShareOneReading(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.findPlace(t.Context()); err != nil {
		t.Fatal(err)
	}
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			offerings, err := w.Offerings(t.Context())
			if err != nil || len(offerings) != 3 {
				t.Errorf("got %d, %v", len(offerings), err)
			}
			offerings[0].Name = "changed by a caller"
		})
	}
	calls.Wait()
	offerings, _ := w.Offerings(t.Context())
	if got := len(w.requests(offersList)); got != 1 || offerings[0].Name != "Micro" {
		t.Errorf("asked %d times, first offering %q", got, offerings[0].Name)
	}
}

func TestSettingAside(t *testing.T) {
	available := func(t *testing.T, w *world) string {
		t.Helper()
		offerings, err := w.Offerings(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ids := ""
		for _, o := range offerings {
			if o.Available {
				ids += o.ID + " "
			}
		}
		return ids
	}
	t.Run("no stock sets one size aside, and it comes back", func(t *testing.T) {
		w := newWorld(t, map[string][]string{addSlave: {noStock, ok}})
		if got := verdict(w.buy(t, "3")); got != "TryElsewhere OutOfStock" {
			t.Fatalf("got %s", got)
		}
		if got := available(t, w); got != "12 10 " {
			t.Errorf("available: %s", got)
		}
		if got := verdict(w.buy(t, "3")); got != "TryElsewhere OutOfStock" || len(w.requests(addSlave)) != 1 {
			t.Errorf("a size that is set aside: %s, %v", got, w.requests(addSlave))
		}
		w.clock.Step(DefaultSetAsideTTL)
		if got := available(t, w); got != "12 10 3 " {
			t.Errorf("available later: %s", got)
		}
		if err := w.buy(t, "3"); err != nil {
			t.Error(err)
		}
	})
	t.Run("the worker limit sets all sizes aside until a machine is released", func(t *testing.T) {
		w := newWorld(t, map[string][]string{addSlave: {workerLimit, ok}, oneCluster: {nodes(`{"identifier":"w","hostname":"x-slave-1"}`)}})
		if got := verdict(w.buy(t, "3")); got != "GiveUp QuotaExceeded" {
			t.Fatalf("got %s", got)
		}
		if got := available(t, w); got != "" {
			t.Errorf("available: %s", got)
		}
		if got := w.catalogue.countSetAside(); got != 3 {
			t.Errorf("counted %d set aside", got)
		}
		if got := verdict(w.buy(t, "12")); got != "GiveUp QuotaExceeded" || len(w.requests(addSlave)) != 1 {
			t.Errorf("another size: %s, %v", got, w.requests(addSlave))
		}
		if err := w.Release(t.Context(), "w"); err != nil {
			t.Fatal(err)
		}
		if got := available(t, w); got != "12 10 3 " {
			t.Errorf("available after the release: %s", got)
		}
	})
	t.Run("a limit of groups sets one size aside", func(t *testing.T) {
		w := newWorld(t, map[string][]string{addGroup: {`{"error":true,"message":"Maximum number of groups"}`}})
		if got := verdict(w.buy(t, "12")); got != "TryElsewhere QuotaExceeded" {
			t.Errorf("got %s", got)
		}
		if got := available(t, w); got != "10 3 " {
			t.Errorf("available: %s", got)
		}
	})
	t.Run("nothing else sets aside", func(t *testing.T) {
		for _, answer := range []string{lost, badGateway, pleaseLogIn, `429 {}`, `{"error":true,"message":"Cluster is locked"}`, `{"error":true,"message":"?"}`} {
			w := newWorld(t, map[string][]string{addSlave: {answer}})
			if err := w.buy(t, "3"); err == nil || available(t, w) != "12 10 3 " {
				t.Errorf("%s: error %v, available %s", answer, err, available(t, w))
			}
		}
	})
}

func TestOrdersThatCannotWorkAreNotSent(t *testing.T) {
	for name, test := range map[string]struct {
		order cloudprovider.Order
		want  string
	}{
		"of nothing":                       {cloudprovider.Order{}, "GiveUp InvalidRequest"},
		"in another datacenter":            {cloudprovider.Order{OfferingID: "3", Datacenter: "ny"}, "GiveUp DatacenterNotFound"},
		"of what is not sold":              {cloudprovider.Order{OfferingID: "4", Datacenter: helsinki}, "TryElsewhere OfferingNotFound"},
		"of what is no size":               {cloudprovider.Order{OfferingID: "Advanced", Datacenter: helsinki}, "TryElsewhere OfferingNotFound"},
		"of a size with an odd spelling":   {cloudprovider.Order{OfferingID: "03", Datacenter: helsinki}, "TryElsewhere OfferingNotFound"},
		"of a size that looks like a path": {cloudprovider.Order{OfferingID: "3/../..", Datacenter: helsinki}, "TryElsewhere OfferingNotFound"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			if got := verdict(w.Order(t.Context(), test.order)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if got := w.requests(addSlave, addGroup); len(got) > 0 {
				t.Errorf("sent %v", got)
			}
		})
	}
}
