// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

func TestInventory(t *testing.T) {
	w := newWorld(t, map[string][]string{oneCluster: {nodes(
		`{"identifier":"z","hostname":"HEL-slave-00FF","ip":"10.0.0.9","status":"running","cpu":8,"ram":16384,"disk":320}`,
		`{"identifier":"m","hostname":"hel-master-0001","ip":"10.0.0.1","cpu":8,"ram":16384}`,
		`{"identifier":"n","hostname":"hel-x","role":"master"}`,
		`{"identifier":"b","hostname":"hel-slave-0002","default_ip":"0","status":"Deleting","cpu":1,"ram":2048,"disk":50}`,
		`{"identifier":"a","hostname":"hel-slave-0003","status":"provisioning","boxsize_id":77}`,
		`{"identifier":"c","hostname":"hel-slave-0004","node_type":2}`,
		`{"identifier":"d","hostname":"hel-slave-0005","cpu":3,"ram":1000}`,
		`{"identifier":"e","hostname":"hel-slave-0006","is_deleted":1}`,
		`{"hostname":"hel-slave-0007","ip":"","status":"pending"}`,
	)}})
	w.clock.Step(time.Hour)
	got, err := w.Inventory(t.Context())
	want := cloudprovider.Inventory{ReadAt: epoch.Add(time.Hour), Cluster: clusterID, Project: "71128", Instances: []cloudprovider.Instance{
		{ID: "a", Hostname: "hel-slave-0003", OfferingIDs: []string{"77"}},
		{ID: "b", Hostname: "hel-slave-0002", OfferingIDs: []string{"12"}, Deleting: true},
		{ID: "c", Hostname: "hel-slave-0004", OfferingIDs: []string{"3", "10", "12"}},
		{ID: "d", Hostname: "hel-slave-0005"},
		{ID: "z", Hostname: "hel-slave-00ff", IP: "10.0.0.9", OfferingIDs: []string{"3", "10"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("error %v, inventory (-want +got):\n%s", err, diff)
	}
}

func TestInventoryIsReadEveryTime(t *testing.T) {
	w := newWorld(t, map[string][]string{oneCluster: {nodes(`{"identifier":"w"}`), nodes()}})
	for want := 1; want >= 0; want-- {
		if got, err := w.Inventory(t.Context()); err != nil || len(got.Instances) != want {
			t.Errorf("got %d instances, want %d, error %v", len(got.Instances), want, err)
		}
	}
}

func TestInventoryIsNeverEmptyByMistake(t *testing.T) {
	for name, test := range map[string]struct {
		answers map[string][]string
		want    string
	}{
		"a lost reply":                {map[string][]string{oneCluster: {lost}}, "TryLater Unreachable"},
		"a gateway's page":            {map[string][]string{oneCluster: {badGateway}}, "TryLater ServerError"},
		"a page with status 200":      {map[string][]string{oneCluster: {"<html>"}}, "TryLater Malformed"},
		"an empty body":               {map[string][]string{oneCluster: {""}}, "TryLater Malformed"},
		"no data":                     {map[string][]string{oneCluster: {`{"error":false}`}}, "TryLater Malformed"},
		"data that is null":           {map[string][]string{oneCluster: {`{"error":false,"data":null}`}}, "TryLater Malformed"},
		"a cluster that is gone":      {map[string][]string{oneCluster: {`{"error":false,"data":false}`}}, "GiveUp ClusterNotFound"},
		"a cluster without nodes":     {map[string][]string{oneCluster: {`{"error":false,"data":{"identifier":"` + clusterID + `"}}`}}, "TryLater Malformed"},
		"another cluster":             {map[string][]string{oneCluster: {`{"error":false,"data":{"identifier":"k","nodes":[]}}`}}, "TryLater Malformed"},
		"an error":                    {map[string][]string{oneCluster: {`{"error":true,"message":"?"}`}}, "TryLater Unrecognised"},
		"a machine without a name":    {map[string][]string{oneCluster: {nodes(`{"identifier":"w"}`, `{"hostname":"x-slave-1","ip":"10.0.0.1"}`)}}, "TryLater Malformed"},
		"bad credentials":             {map[string][]string{clusters: {pleaseLogIn}}, "GiveUp Unauthorized"},
		"sizes that were never known": {map[string][]string{offersList: {badGateway}}, "TryLater ServerError"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newWorld(t, test.answers).Inventory(t.Context())
			if verdict(err) != test.want {
				t.Errorf("got %v, %s, want %s", got, verdict(err), test.want)
			}
			if diff := cmp.Diff(cloudprovider.Inventory{}, got); diff != "" {
				t.Errorf("an error comes with a value:\n%s", diff)
			}
		})
	}
}

func TestInventoryOutlivesTheOffers(t *testing.T) {
	w := newWorld(t, map[string][]string{
		offersList: {defaults()[offersList], `{"error":false,"data":[{"id":12,"name":"Micro","cpu":1,"ram":2048,"disk":50,"price":12}]}`, badGateway},
		oneCluster: {nodes(`{"identifier":"w","cpu":8,"ram":16384,"disk":320}`)},
	})
	for range 3 { // on sale, no longer on sale, nobody knows
		got, err := w.Inventory(t.Context())
		if err != nil || len(got.Instances) != 1 || !got.Instances[0].Matches("3") {
			t.Errorf("got %+v, %v", got, err)
		}
		w.clock.Step(time.Hour)
	}
}

func TestRelease(t *testing.T) {
	running := nodes(`{"identifier":"w","hostname":"x-slave-1","ip":"10.0.0.1"}`, `{"identifier":"m","hostname":"x-master-1","ip":"10.0.0.2"}`,
		`{"identifier":"d","hostname":"x-slave-2","status":"deleting"}`)
	order := deleteSlave + ` {"identifier":"w"}`
	for name, test := range map[string]struct {
		machine string
		answers map[string][]string
		want    string
		changes []string
	}{
		"of a worker":                     {machine: "w", changes: []string{order}},
		"refuses nothing":                 {machine: "", want: "GiveUp InvalidRequest"},
		"refuses what is not there":       {machine: "x", want: "LookFirst NotFound"},
		"refuses a manager":               {machine: "m", want: "LookFirst NotFound"},
		"refuses another spelling":        {machine: "W", want: "LookFirst NotFound"},
		"is not sent twice":               {machine: "d"},
		"refuses when it cannot look":     {machine: "w", answers: map[string][]string{oneCluster: {badGateway}}, want: "TryLater ServerError"},
		"refuses when it sees nothing":    {machine: "w", answers: map[string][]string{oneCluster: {`{"error":false,"data":null}`}}, want: "TryLater Malformed"},
		"refuses with bad credentials":    {machine: "w", answers: map[string][]string{clusters: {pleaseLogIn}}, want: "GiveUp Unauthorized"},
		"of a worker that just went":      {machine: "w", answers: map[string][]string{deleteSlave: {`{"error":true,"message":"Node not found"}`}}, want: "LookFirst NotFound", changes: []string{order}},
		"whose reply was lost":            {machine: "w", answers: map[string][]string{deleteSlave: {lost}}, want: "LookFirst ReplyLost", changes: []string{order}},
		"that is refused with status 200": {machine: "w", answers: map[string][]string{deleteSlave: {`{"error":true,"message":"Cluster is locked"}`}}, want: "TryLater ClusterLocked", changes: []string{order}},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string][]string{oneCluster: {running}}
			maps.Copy(answers, test.answers)
			w := newWorld(t, answers)
			if got := verdict(w.Release(t.Context(), test.machine)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(test.changes, w.requests("DELETE")); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}
