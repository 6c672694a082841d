// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTheClusterIsListedWithItsMasterAndItsOwnGroup(t *testing.T) {
	w := newWorld(t, nil)
	type row struct {
		Identifier string `json:"identifier"`
		Name       string `json:"cluster_name"`
		Version    string `json:"kube_version"`
		Lock       int    `json:"lock"`
		Masters    int    `json:"managerCount"`
		Slaves     int    `json:"slaveCount"`
		Count      int    `json:"count"`
		Nodes      []node `json:"nodes"`
	}
	want := row{Identifier: w.cluster, Name: "HEL-Kubernetes-49ab", Version: "1.34.1", Masters: 1, Count: 1}
	if diff := cmp.Diff([]row{want}, decode[[]row](t, w.call("GET", "/apps/v2/k8s/cluster/all", ""))); diff != "" {
		t.Error(diff)
	}
	got := decode[row](t, w.call("GET", "/apps/v2/k8s/cluster/byId/"+w.cluster, ""))
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(row{}, "Nodes")); diff != "" {
		t.Error(diff)
	}
	if len(got.Nodes) != 1 || got.Nodes[0].Role != "master" || got.Nodes[0].Status != "running" {
		t.Errorf("the nodes are %+v, want one running master", got.Nodes)
	}
	groups := w.groups()
	if len(groups) != 1 || groups[0].BoxSize != 1 || groups[0].DC != "fb9c432d-72e0-52b5-b0d7-b4f151bdb763" {
		t.Fatalf("the groups are %+v, want one of size 1 in Helsinki", groups)
	}
	if !regexp.MustCompile(`^GRP-Starter-[0-9a-f]{4}$`).MatchString(groups[0].Name) {
		t.Errorf("the cluster's own group is named %q", groups[0].Name)
	}
}

func TestAddGroupKeepsTheNameAndRefusesASecondGroupOfASize(t *testing.T) {
	w := newWorld(t, nil)
	id := w.addGroup(3)
	groups := w.groups()
	if len(groups) != 2 || groups[1].ID != id || groups[1].Name != "pool" || groups[1].BoxSize != 3 || groups[1].Nodes != 0 {
		t.Fatalf("the groups are %+v, want an empty one named pool with id %d", groups, id)
	}
	for name, test := range map[string]struct{ body, want string }{
		"the size of another group":      {groupBody(w.cluster, "other", 3), "Group pool has same selected Size, please select another size"},
		"the size of the cluster's own":  {groupBody(w.cluster, "other", 1), "Group " + groups[0].Name + " has same selected Size, please select another size"},
		"a size that is not sold":        {groupBody(w.cluster, "other", 77), "Kubernetes size not found"},
		"a cluster that is not there":    {groupBody("elsewhere", "other", 4), "Cluster not found"},
		"a size in text":                 {`{"clusterIdentifier":"` + w.cluster + `","KubeSizeID":"4"}`, "KubeSizeID is required"},
		"a size of null":                 {`{"clusterIdentifier":"` + w.cluster + `","KubeSizeID":null}`, "KubeSizeID is required"},
		"no size":                        {`{"clusterIdentifier":"` + w.cluster + `"}`, "KubeSizeID is required"},
		"a body that is not JSON at all": {`KubeSizeID=4`, "KubeSizeID is required"},
	} {
		if got := w.call("POST", "/apps/v2/k8s/cluster/add/group", test.body); !got.Error || got.status != 200 || got.Message != test.want {
			t.Errorf("%s: the answer is %d %s, want %q", name, got.status, got.raw, test.want)
		}
	}
	if len(w.groups()) != 2 {
		t.Errorf("a refused group was added: %+v", w.groups())
	}
}

func TestAGroupIsDeletedByNumberOrByIdentifier(t *testing.T) {
	w := newWorld(t, nil)
	number := w.addGroup(3)
	w.addGroup(4)
	for _, reference := range []string{strconv.Itoa(number), w.groups()[2].Identifier} {
		if got := w.call("DELETE", "/apps/v2/k8s/cluster/delete/group/"+reference, `{"deleteStatistic":{"reason":"r","note":"n"}}`); string(got.Data) != "true" {
			t.Errorf("deleting group %q was answered %s", reference, got.raw)
		}
	}
	if len(w.groups()) != 1 {
		t.Errorf("the groups are %+v, want the cluster's own", w.groups())
	}
	if w.addGroup(3) == number {
		t.Error("a new group got the number of a deleted one")
	}
}

func TestAGroupIsNotDeletedWhenItMustNotBe(t *testing.T) {
	w := newWorld(t, nil)
	id := w.addGroup(3)
	w.mustOrder(id)
	for name, test := range map[string]struct{ reference, want string }{
		"a group that is not there":          {"9999", "Node group not found"},
		"a group with a machine nobody sees": {strconv.Itoa(id), "Node group still has nodes"},
		"the cluster's own group":            {strconv.Itoa(w.groups()[0].ID), "The default node group cannot be deleted"},
	} {
		if got := w.call("DELETE", "/apps/v2/k8s/cluster/delete/group/"+test.reference, ""); got.Message != test.want {
			t.Errorf("%s: the answer is %s, want %q", name, got.raw, test.want)
		}
	}
	if len(w.groups()) != 2 {
		t.Errorf("a group went: %+v", w.groups())
	}
}
