// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

func TestNewAsksNothing(t *testing.T) {
	if w := newWorld(t, nil); len(w.requests()) != 0 {
		t.Errorf("asked %v", w.requests())
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("a Provider without client was made")
	}
	if _, err := New(&api.Client{}, Options{SetAsideTTL: -1}); err == nil {
		t.Error("a Provider with a negative duration was made")
	}
}

func TestDiscovery(t *testing.T) {
	const (
		two       = `{"error":false,"data":[{"cluster_name":"test","identifier":"aa"},{"cluster_name":"prod","identifier":"` + clusterID + `","dcIdentifier":"ny"}]}`
		elsewhere = `{"error":false,"data":[{"id":71,"boxsize_id":3,"dcIdentifier":"` + helsinki + `"},{"id":72,"boxsize_id":4,"dcIdentifier":"ny"}]}`
		untold    = `{"error":false,"data":[{"id":71,"boxsize_id":3}]}`
		oneActive = `{"error":false,"data":[{"dc_name":"Old","identifier":"old","is_active":0},{"dc_name":"New York","identifier":"ny","is_active":1}]}`
	)
	for name, test := range map[string]struct {
		answers map[string][]string
		options Options
		want    string // cluster and datacenter, or the error
	}{
		"the only cluster, in the datacenter of its groups": {want: clusterID + " " + helsinki},
		"the cluster that is named, in its own datacenter": {
			answers: map[string][]string{clusters: {two}}, options: Options{ClusterID: clusterID}, want: clusterID + " ny",
		},
		"two clusters": {
			answers: map[string][]string{clusters: {two}},
			want:    "the VPSie account has 2 Kubernetes clusters; set the cluster ID to one of prod (" + clusterID + "), test (aa)",
		},
		"a cluster that is not there": {
			answers: map[string][]string{clusters: {two}}, options: Options{ClusterID: "bb"},
			want: `the VPSie account has no Kubernetes cluster "bb"; set the cluster ID to one of prod (` + clusterID + "), test (aa)",
		},
		"no cluster": {
			answers: map[string][]string{clusters: {noGroups}}, options: Options{ClusterID: "bb"},
			want: "the VPSie account has no Kubernetes cluster; check that the credentials belong to the account that owns this one",
		},
		"the datacenter by its name":       {options: Options{Datacenter: "helsinki"}, want: clusterID + " " + helsinki},
		"the datacenter by its identifier": {options: Options{Datacenter: helsinki}, want: clusterID + " " + helsinki},
		"a datacenter that the cluster is not in": {
			options: Options{Datacenter: "New York"},
			want:    `cluster "` + clusterID + `" cannot be in the datacenter "New York"; set the datacenter to one of Helsinki (` + helsinki + ")",
		},
		"a datacenter that is not there": {
			answers: map[string][]string{groupsList: {untold}}, options: Options{Datacenter: "Atlantis"},
			want: `cluster "` + clusterID + `" cannot be in the datacenter "Atlantis"; set the datacenter to one of Helsinki (` + helsinki + "), New York (ny)",
		},
		"groups in two datacenters": {
			answers: map[string][]string{groupsList: {elsewhere}},
			want:    `VPSie does not tell which datacenter cluster "` + clusterID + `" is in; set the datacenter to one of Helsinki (` + helsinki + "), New York (ny)",
		},
		"groups in two datacenters, one of which is named": {
			answers: map[string][]string{groupsList: {elsewhere}}, options: Options{Datacenter: "ny"}, want: clusterID + " ny",
		},
		"nothing is told but only one datacenter is active": {
			answers: map[string][]string{groupsList: {untold}, datacenters: {oneActive}}, want: clusterID + " ny",
		},
		"nothing is told and an inactive datacenter is named": {
			answers: map[string][]string{groupsList: {untold}, datacenters: {oneActive}}, options: Options{Datacenter: "old"}, want: clusterID + " old",
		},
		"a datacenter that is not listed": {
			answers: map[string][]string{datacenters: {noGroups}}, want: clusterID + " " + helsinki,
		},
		"no datacenter at all": {
			answers: map[string][]string{datacenters: {noGroups}, groupsList: {untold}},
			want:    `VPSie lists no datacenter for this account; check that the credentials belong to the account that owns cluster "` + clusterID + `"`,
		},
		"a list that cannot be read": {
			answers: map[string][]string{clusters: {badGateway}}, want: "listClusters: VPSie answered 502 Bad Gateway",
		},
		"groups that cannot be read": {
			answers: map[string][]string{groupsList: {`{"error":false,"data":false}`}},
			want:    "listNodeGroups: VPSie's answer (status 200) was not understood: it has no data where a list belongs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.answers, func(o *Options) { o.ClusterID, o.Datacenter = test.options.ClusterID, test.options.Datacenter })
			got, err := w.findPlace(t.Context())
			text := got.cluster + " " + got.datacenter.Identifier
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(test.want, text); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheProjectIsThatOfTheNodeGroups(t *testing.T) {
	for name, test := range map[string]struct{ groups, want string }{
		"all in one":                 {`{"id":1,"project_id":71128},{"id":2,"project_id":"71128"}`, "71128"},
		"some tell none":             {`{"id":1},{"id":2,"project_id":71128},{"id":3,"project_id":0}`, "71128"},
		"a deleted one does not say": {`{"id":1,"project_id":5,"is_deleted":1},{"id":2,"project_id":71128}`, "71128"},
		"in two":                     {`{"id":1,"project_id":5},{"id":2,"project_id":71128}`, ""},
		"there is no group":          {``, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, map[string][]string{groupsList: {`{"error":false,"data":[` + test.groups + `]}`}}, func(o *Options) { o.Datacenter = helsinki })
			if got, err := w.findPlace(t.Context()); err != nil || got.project != test.want {
				t.Errorf("project %q, %v, want %q", got.project, err, test.want)
			}
		})
	}
}

func TestDiscoveryIsRepeatedUntilItSucceeds(t *testing.T) {
	w := newWorld(t, map[string][]string{clusters: {lost, defaults()[clusters]}})
	if _, err := w.findPlace(t.Context()); err == nil {
		t.Fatal("found a place without an answer")
	}
	for range 3 {
		if _, err := w.findPlace(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := len(w.requests(clusters)); got != 2 {
		t.Errorf("asked %d times for the clusters, want twice", got)
	}
}

func TestLongListsOfChoicesAreCut(t *testing.T) {
	names := make([]string, 20)
	got := choices(names, func(string) (string, string) { return "n", "i" })
	want := "n (i), n (i), n (i), n (i), n (i), n (i), n (i), n (i), n (i), n (i), n (i), n (i), 8 more"
	if got != want {
		t.Errorf("got %s", got)
	}
}
