// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

const makeMicro = addGroup + ` {"KubeSizeID":12,"clusterIdentifier":"` + clusterID + `","groupName":"autoscaler-567ee954-12"}`

func TestOrder(t *testing.T) {
	for name, test := range map[string]struct {
		answers  map[string][]string
		offering string
		want     string
		changes  []string // the requests that change something, in order
	}{
		"goes into the oldest living group of its size": {
			offering: "3", changes: []string{addSlave + "71"},
		},
		"makes the group that is missing": {
			answers: map[string][]string{groupsList: {advancedOnly, advancedOnly, bothGroups}}, offering: "12",
			changes: []string{makeMicro, addSlave + "80"},
		},
		"a group that somebody else made meanwhile is used": {
			answers:  map[string][]string{groupsList: {advancedOnly, advancedOnly, bothGroups}, addGroup: {sameSize}},
			offering: "12", changes: []string{makeMicro, addSlave + "80"},
		},
		"the group in the way is used although its size is not told": {
			answers: map[string][]string{
				groupsList: {`{"error":false,"data":[{"id":71,"group_name":"GRP-Advanced-c745","dcIdentifier":"` + helsinki + `"}]}`}, addGroup: {sameSize},
			},
			offering: "12", changes: []string{makeMicro, addSlave + "71"},
		},
		"a group whose making got no reply is used if it is there": {
			answers:  map[string][]string{groupsList: {advancedOnly, advancedOnly, bothGroups}, addGroup: {lost}},
			offering: "12", changes: []string{makeMicro, addSlave + "80"},
		},
		"a group whose making got no reply and that is not there buys nothing": {
			answers: map[string][]string{addGroup: {lost}}, offering: "12", want: "TryLater NoNodeGroup", changes: []string{makeMicro},
		},
		"a group that VPSie says it made but does not list buys nothing": {
			offering: "12", want: "TryLater NoNodeGroup", changes: []string{makeMicro},
		},
		"a group that VPSie refuses to make buys nothing": {
			answers: map[string][]string{addGroup: {`{"error":true,"message":"Cluster is locked"}`}}, offering: "12",
			want: "TryLater ClusterLocked", changes: []string{makeMicro},
		},
		"groups that cannot be listed buy nothing": {
			answers: map[string][]string{groupsList: {advancedOnly, badGateway}}, offering: "3", want: "TryLater ServerError",
		},
		"a list of groups that is no list makes no group": {
			answers: map[string][]string{groupsList: {advancedOnly, `{"error":false,"data":false}`}}, offering: "12", want: "TryLater Malformed",
		},
		"a lost reply is not repeated": {
			answers: map[string][]string{addSlave: {lost, ok}}, offering: "3", want: "LookFirst ReplyLost", changes: []string{addSlave + "71"},
		},
		"a gateway's page is not repeated": {
			answers: map[string][]string{addSlave: {badGateway, ok}}, offering: "3", want: "LookFirst ReplyLost", changes: []string{addSlave + "71"},
		},
		"words of a refusal with a status that refuses nothing are not repeated": {
			answers: map[string][]string{addSlave: {`500 {"error":true,"message":"Worker nodes count exceeds the allowed limit"}`, ok}}, offering: "3",
			want: "LookFirst ReplyLost", changes: []string{addSlave + "71"},
		},
		"refused credentials with a status that refuses nothing are not repeated": {
			answers: map[string][]string{addSlave: {`502 {"error":true,"message":"Please authenticate"}`, ok}}, offering: "3",
			want: "LookFirst ReplyLost", changes: []string{addSlave + "71"},
		},
		"data false is not success": {
			answers: map[string][]string{addSlave: {`{"error":false,"data":false}`}}, offering: "3", want: "LookFirst ReplyLost", changes: []string{addSlave + "71"},
		},
		"a refusal is not repeated": {
			answers: map[string][]string{addSlave: {`429 {}`, ok}}, offering: "3", want: "TryLater RateLimited", changes: []string{addSlave + "71"},
		},
		"bad credentials buy nothing": {
			answers: map[string][]string{clusters: {pleaseLogIn}}, offering: "3", want: "GiveUp Unauthorized",
		},
		"offerings that cannot be read buy nothing": {
			answers: map[string][]string{offersList: {lost}}, offering: "3", want: "TryLater Unreachable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, test.answers)
			if got := verdict(w.buy(t, test.offering)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(test.changes, w.requests(addGroup, addSlave)); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGroupsAreRememberedUntilARefusal(t *testing.T) {
	w := newWorld(t, map[string][]string{addSlave: {ok, ok, `404 {"error":true,"message":"Node group not found"}`, ok}})
	lists := func() int { return len(w.requests(groupsList)) }
	var got []int
	for range 4 {
		_ = w.buy(t, "3")
		got = append(got, lists())
	}
	// One list tells the datacenter, one the group; after the refusal the group is looked for again.
	if diff := cmp.Diff([]int{2, 2, 2, 3}, got); diff != "" {
		t.Errorf("lists of groups after each order (-want +got):\n%s", diff)
	}
}

func TestOrdersOfOneSizeMakeOneGroup(t *testing.T) {
	w := newWorld(t, nil)
	var mu sync.Mutex
	flying, most := 0, 0
	w.slow = func() {
		mu.Lock()
		flying++
		most = max(most, flying)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		made := len(w.requests(addGroup)) > 0
		mu.Lock()
		flying--
		mu.Unlock()
		if made {
			w.set(groupsList, bothGroups)
		}
	}
	if _, err := w.Offerings(t.Context()); err != nil {
		t.Fatal(err)
	}
	var orders sync.WaitGroup
	for range 12 {
		orders.Go(func() {
			if err := w.Order(t.Context(), cloudprovider.Order{OfferingID: "12"}); err != nil {
				t.Error(err)
			}
		})
	}
	orders.Wait()
	if groups, machines := len(w.requests(addGroup)), len(w.requests(addSlave)); groups != 1 || machines != 12 || most != 1 {
		t.Errorf("%d groups, %d machines, %d requests at once", groups, machines, most)
	}
}

func TestAnOrderWaitingBehindAnotherCanLeave(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.buy(t, "3"); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	inside := make(chan struct{}, 1)
	w.script.mu.Lock()
	w.slow = func() { inside <- struct{}{}; <-release }
	w.script.mu.Unlock()
	var first sync.WaitGroup
	first.Go(func() { _ = w.Order(t.Context(), cloudprovider.Order{OfferingID: "3"}) })
	<-inside
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := verdict(w.Order(ctx, cloudprovider.Order{OfferingID: "3"})); got != "TryLater Canceled" {
		t.Errorf("got %s", got)
	}
	close(release)
	first.Wait()
	if got := len(w.requests(addSlave)); got != 2 {
		t.Errorf("%d machines were ordered, want 2", got)
	}
}

func TestGroupNamesAreTheSameAfterARestart(t *testing.T) {
	for want, cluster := range map[string]string{"autoscaler-567ee954-3": clusterID, "autoscaler-k-3": "k"} {
		if got := groupName(cluster, 3); got != want || strings.Contains(got, " ") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
