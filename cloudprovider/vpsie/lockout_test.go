// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

// TestNothingIsOnSaleWhileTheCredentialsAreRefused: prices are known for minutes, but what is planned on them cannot be bought.
func TestNothingIsOnSaleWhileTheCredentialsAreRefused(t *testing.T) {
	w := newWorld(t, map[string][]string{addSlave: {pleaseLogIn, ok}})
	offerings := func() string {
		all, err := w.Offerings(t.Context())
		if err == nil && len(all) != 3 {
			t.Errorf("%d offerings", len(all))
		}
		return verdict(err)
	}
	if got := offerings(); got != "" {
		t.Fatal(got)
	}
	if got := verdict(w.buy(t, "3")); got != "GiveUp Unauthorized" {
		t.Fatal(got)
	}
	if got := w.refused(t); got != 1 {
		t.Errorf("the metric is %v while the credentials are refused", got)
	}
	w.set(datacenters, pleaseLogIn)
	for range 2 {
		if got := offerings(); got != "GiveUp Unauthorized" {
			t.Errorf("locked out, the offerings are %q", got)
		}
	}
	w.set(datacenters, badGateway)
	if got := offerings(); got != "TryLater ServerError" {
		t.Errorf("locked out in an outage, the offerings are %q", got)
	}
	w.set(datacenters, defaults()[datacenters])
	before := len(w.requests(datacenters))
	for range 3 {
		if got := offerings(); got != "" {
			t.Errorf("let in again, the offerings are %q", got)
		}
	}
	if asked := len(w.requests(datacenters)) - before; asked != 1 {
		t.Errorf("asked %d times whether the credentials are taken", asked)
	}
	if got := w.refused(t); got != 0 {
		t.Errorf("the metric is %v while the credentials are taken", got)
	}
	if got := verdict(w.buy(t, "3")); got != "" {
		t.Errorf("the order afterwards ended in %q", got)
	}
}

// refused is the metric that says whether the credentials are.
func (w *world) refused(t *testing.T) float64 {
	t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "vpsie_autoscaler_cloudprovider_credentials_refused" {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("the metric is missing")
	return 0
}

// TestAVPSieThatIsNotReachableIsToldWithItsHostAndWhatToDo: this is what a NodeGroup shows, at first and once the breaker is open.
func TestAVPSieThatIsNotReachableIsToldWithItsHostAndWhatToDo(t *testing.T) {
	client, err := api.New(api.Options{
		Credentials: api.Static(api.Credentials{Token: "s3cret-token", URL: "https://vpsie.example:8443"}),
		Transport:   newScript(map[string][]string{clusters: {lost}}), ReadAttempts: 1, BreakerFailures: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	provider, err := New(client, Options{Secret: "cloud/credentials"})
	if err != nil {
		t.Fatal(err)
	}
	const (
		failure = "listClusters: no answer from VPSie at vpsie.example:8443: connection reset by peer"
		advice  = "; check the key url of the Secret cloud/credentials (left out: https://api.vpsie.com), and that the controller's pod can reach that host"
	)
	for _, want := range []struct{ verdict, text string }{
		{"TryLater Unreachable", "asking whether VPSie is ready: " + failure + advice},
		{"TryLater BreakerOpen", "asking whether VPSie is ready: listClusters: " + api.ErrBreakerOpen.Error() + "; the last failure: " + failure + advice},
	} {
		if err := provider.Ready(t.Context()); verdict(err) != want.verdict || err.Error() != want.text {
			t.Errorf("got  %s: %v\nwant %s: %s", verdict(err), err, want.verdict, want.text)
		}
	}
}

func TestAnOutageIsNotAskedAboutByEachPlan(t *testing.T) {
	w := newWorld(t, map[string][]string{offersList: {defaults()[offersList], badGateway}})
	var asked []int
	for _, pass := range []time.Duration{0, 5 * time.Minute, time.Second, 13 * time.Second, time.Second, time.Second} {
		w.clock.Step(pass)
		if all, err := w.Offerings(t.Context()); err != nil || len(all) != 3 {
			t.Errorf("%d offerings, %v", len(all), err)
		}
		asked = append(asked, len(w.requests(offersList)))
	}
	if diff := cmp.Diff([]int{1, 2, 2, 2, 3, 3}, asked); diff != "" {
		t.Errorf("readings after each plan (-want +got):\n%s", diff)
	}
}

// TestReleasesShareALook: what an inventory just showed need not be looked for again, and anything else must be.
func TestReleasesShareALook(t *testing.T) {
	w := newWorld(t, map[string][]string{
		oneCluster: {nodes(`{"identifier":"a"}`, `{"identifier":"b"}`, `{"identifier":"c","status":"deleting"}`)},
	})
	looks := func() int { return len(w.requests(oneCluster)) }
	if _, err := w.Inventory(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, machine, want string
		pass                time.Duration
		looks, deletions    int
	}{
		{"just seen", "a", "", 0, 1, 1},
		{"just released", "a", "", 0, 2, 2},
		{"just seen by that", "b", "", 0, 2, 3},
		{"being deleted", "c", "", 0, 3, 3},
		{"never seen", "x", "LookFirst NotFound", 0, 4, 3},
		{"seen too long ago", "b", "", lookFor, 5, 4},
	} {
		w.clock.Step(step.pass)
		if got := verdict(w.Release(t.Context(), step.machine)); got != step.want || looks() != step.looks || len(w.requests(deleteSlave)) != step.deletions {
			t.Errorf("%s: %q after %d looks and %d deletions, want %+v", step.name, got, looks(), len(w.requests(deleteSlave)), step)
		}
	}
}

// TestAMachineToldByItsGuestsMemoryIsRecognised: a balloon makes the memory smaller than any size that is sold.
func TestAMachineToldByItsGuestsMemoryIsRecognised(t *testing.T) {
	w := newWorld(t, map[string][]string{oneCluster: {nodes(
		`{"identifier":"a","cpu":1,"ram":2048,"disk":50}`, `{"identifier":"b","cpu":1,"ram":1024,"disk":50}`, `{"identifier":"c","cpu":3,"ram":1024,"disk":50}`,
	)}})
	inventory, err := w.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	for _, instance := range inventory.Instances {
		got = append(got, instance.OfferingIDs)
	}
	if diff := cmp.Diff([][]string{{"12"}, {"12"}, nil}, got); diff != "" {
		t.Errorf("offerings of a, b and c (-want +got):\n%s", diff)
	}
}
