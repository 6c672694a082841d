// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simadmin_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/simadmin"
)

func serve(t *testing.T) (*vpsiesim.Server, *simadmin.Client) {
	t.Helper()
	sim, err := vpsiesim.New(vpsiesim.Options{Token: "static-token"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.AdminHandler())
	t.Cleanup(server.Close)
	return sim, simadmin.New(server.URL+"/", server.Client())
}

func TestTheClientReadsWhatItWrote(t *testing.T) {
	sim, admin := serve(t)
	added, err := admin.AddFaults(t.Context(), fault.Fault{Kind: fault.Latency, DelaySeconds: 1.5, Times: 3, Skip: 2, Call: fault.GetCluster})
	if err != nil {
		t.Fatal(err)
	}
	want := fault.Report{
		Pending: []fault.Fault{{ID: 1, Kind: fault.Latency, DelaySeconds: 1.5, Times: 3, Skip: 2, Call: fault.GetCluster}},
		Fired:   map[fault.Kind]int{},
	}
	report, err := admin.Faults(t.Context())
	if diff := cmp.Diff(want, report); diff != "" || err != nil || !cmp.Equal(added, report.Pending) {
		t.Errorf("%s (%v)", diff, err)
	}
	health, err := admin.Health(t.Context())
	wantHealth := vpsiesim.Health{Status: "ok", ClusterIdentifier: sim.ClusterIdentifier(), ClusterName: "HEL-Kubernetes-49ab", DatacenterCode: "HEL"}
	if diff := cmp.Diff(wantHealth, health); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
}

func TestTheClientPassesOnWhatTheServerRefused(t *testing.T) {
	_, admin := serve(t)
	_, err := admin.AddFaults(t.Context(), fault.Fault{Kind: "fire"})
	if want := `400 Bad Request: field "[0].kind": "fire" is not a kind of fault`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want one with %q", err, want)
	}
	if want := `404 Not Found: field "id": no fault 5 is pending`; !strings.Contains(admin.RemoveFault(t.Context(), 5).Error(), want) {
		t.Errorf("removing a fault that is not there was not refused with %q", want)
	}
}

func TestTheClientSaysThatNobodyAnswers(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	if _, err := simadmin.New(closed.URL, nil).Spend(t.Context()); err == nil || !strings.Contains(err.Error(), "admin API") {
		t.Errorf("the error is %v", err)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	if _, err := simadmin.New(other.URL, nil).Spend(t.Context()); err == nil || !strings.Contains(err.Error(), "GET /spend: 404 Not Found") {
		t.Errorf("the error is %v", err)
	}
}
