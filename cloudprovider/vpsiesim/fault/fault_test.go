// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package fault_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// smallest has one valid fault of each kind.
func smallest() map[fault.Kind]string {
	return map[fault.Kind]string{
		fault.Status:                `{"kind":"status","status":502}`,
		fault.Error200:              `{"kind":"error200","message":"no"}`,
		fault.LostReplyAfterEffect:  `{"kind":"lostReplyAfterEffect"}`,
		fault.LostReplyBeforeEffect: `{"kind":"lostReplyBeforeEffect"}`,
		fault.Latency:               `{"kind":"latency","delaySeconds":0.5}`,
		fault.RateLimited:           `{"kind":"rateLimited"}`,
		fault.NeverAppears:          `{"kind":"neverAppears"}`,
		fault.NeverJoins:            `{"kind":"neverJoins"}`,
		fault.UpperCaseHostname:     `{"kind":"upperCaseHostname"}`,
		fault.DeleteLies:            `{"kind":"deleteLies"}`,
		fault.NoStock:               `{"kind":"noStock","sizeId":3}`,
		fault.ClusterLocked:         `{"kind":"clusterLocked"}`,
		fault.BalloonMemory:         `{"kind":"balloonMemory"}`,
		fault.Quota:                 `{"kind":"quota"}`,
		fault.WrongPackage:          `{"kind":"wrongPackage"}`,
		fault.WrongPassword:         `{"kind":"wrongPassword"}`,
		fault.SameSize:              `{"kind":"sameSize"}`,
		fault.ExpiredToken:          `{"kind":"expiredToken"}`,
		fault.ObjectReply:           `{"kind":"objectReply"}`,
		fault.Duplicate:             `{"kind":"duplicate"}`,
		fault.SlowAppear:            `{"kind":"slowAppear","delaySeconds":60}`,
		fault.Vanishes:              `{"kind":"vanishes","delaySeconds":60}`,
		fault.JoinsTwice:            `{"kind":"joinsTwice","delaySeconds":60}`,
		fault.SlowDelete:            `{"kind":"slowDelete","delaySeconds":60}`,
		fault.EmptyList:             `{"kind":"emptyList","delaySeconds":60}`,
		fault.ShortList:             `{"kind":"shortList","delaySeconds":60}`,
	}
}

func TestEveryKindIsReadAndStrikesOnceUnlessTold(t *testing.T) {
	for _, kind := range fault.Kinds() {
		faults, err := fault.Parse([]byte(smallest()[kind]))
		if err != nil || len(faults) != 1 || faults[0].Kind != kind || faults[0].Times != 1 {
			t.Errorf("%s was read as %+v (%v)", kind, faults, err)
		}
	}
	if len(smallest()) != len(fault.Kinds()) {
		t.Errorf("%d kinds are tested, there are %d", len(smallest()), len(fault.Kinds()))
	}
}

func TestAFaultReadBackIsTheSame(t *testing.T) {
	for kind, text := range smallest() {
		first, err := fault.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(first)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := fault.Parse(data); err != nil || !cmp.Equal(first, second) {
			t.Errorf("%s was read back as %+v (%v), want %+v", kind, second, err, first)
		}
	}
}

func TestEveryErrorNamesTheFieldAndListsTheKinds(t *testing.T) {
	for name, test := range map[string]struct{ text, field, problem string }{
		"no kind":                             {`{}`, "kind", `"" is not a kind of fault`},
		"an unknown kind":                     {`{"kind":"fire"}`, "kind", `"fire" is not a kind of fault`},
		"the kind in another letter case":     {`{"Kind":"neverJoins"}`, "kind", `"" is not a kind of fault`},
		"an unknown field":                    {`{"kind":"neverJoins","how":1}`, "how", "has no such field"},
		"a field of another kind":             {`{"kind":"neverJoins","message":"x"}`, "message", "its fields are: kind, call, times, skip, sizeId"},
		"a field in another letter case":      {`{"kind":"noStock","sizeId":3,"SizeID":4}`, "SizeID", "has no such field"},
		"an id of one's own":                  {`{"kind":"neverJoins","id":4}`, "id", "has no such field"},
		"a wait that is left out":             {`{"kind":"slowDelete"}`, "delaySeconds", "needs it"},
		"a token that cannot expire":          {`{"kind":"expiredToken","call":"authenticate"}`, "call", "those are: listDatacenters"},
		"a status that is left out":           {`{"kind":"status"}`, "status", "needs it"},
		"a message that is left out":          {`{"kind":"error200"}`, "message", "needs it"},
		"a message that is empty":             {`{"kind":"error200","message":""}`, "message", "it is empty"},
		"a delay that is left out":            {`{"kind":"latency"}`, "delaySeconds", "needs it"},
		"a status of success":                 {`{"kind":"status","status":200}`, "status", "200 is not an HTTP status from 400 to 599"},
		"no delay":                            {`{"kind":"latency","delaySeconds":0}`, "delaySeconds", "0 is not above 0"},
		"a delay in text":                     {`{"kind":"latency","delaySeconds":"3s"}`, "delaySeconds", "string is not a float64"},
		"an endless delay":                    {`{"kind":"latency","delaySeconds":1e300}`, "delaySeconds", "far too large"},
		"no times":                            {`{"kind":"neverJoins","times":0}`, "times", "0 is neither at least 1 nor -1"},
		"times below -1":                      {`{"kind":"neverJoins","times":-2}`, "times", "-2 is neither"},
		"a negative skip":                     {`{"kind":"neverJoins","skip":-1}`, "skip", "-1 is negative"},
		"an unknown call":                     {`{"kind":"error200","message":"x","call":"dance"}`, "call", `"dance" is not a call that kind "error200" can strike, those are: authenticate`},
		"a call that cannot be struck so":     {`{"kind":"neverJoins","call":"getCluster"}`, "call", "those are: addSlaveToGroup, addSlave"},
		"a list that is short for no time":    {`{"kind":"shortList"}`, "delaySeconds", "needs it"},
		"a list that cannot be empty":         {`{"kind":"emptyList","delaySeconds":1,"call":"listOffers"}`, "call", "those are: getCluster"},
		"a deletion that cannot be lied to":   {`{"kind":"deleteLies","call":"addSlave"}`, "call", "those are: deleteSlave, reduceSlave"},
		"memory below zero":                   {`{"kind":"balloonMemory","memoryMB":-5}`, "memoryMB", "-5 is not above 0"},
		"a time to come back that has passed": {`{"kind":"rateLimited","retryAfterSeconds":-1}`, "retryAfterSeconds", "-1 is not above 0"},
		"the second of two":                   {`[{"kind":"neverJoins"},{"kind":"fire"}]`, "[1].kind", `"fire" is not a kind of fault`},
	} {
		t.Run(name, func(t *testing.T) {
			faults, err := fault.Parse([]byte(test.text))
			wrong, ok := errors.AsType[*fault.FieldError](err)
			if !ok || wrong.Field != test.field || !strings.Contains(wrong.Problem, test.problem) {
				t.Fatalf("%+v and the error %v, want one for field %q with %q", faults, err, test.field, test.problem)
			}
			for _, kind := range fault.Kinds() {
				if !strings.Contains(err.Error(), string(kind)) {
					t.Errorf("the error does not list kind %q: %v", kind, err)
				}
			}
		})
	}
}

func TestWhatIsNotJSONIsRefused(t *testing.T) {
	for _, text := range []string{"", "latency", "[", `"latency"`, `[3]`, `{"kind":"latency"`} {
		if faults, err := fault.Parse([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v", text, faults)
		}
	}
}

func TestTheQueueHandsOutFaultsInOrderToTheCallsTheyAreFor(t *testing.T) {
	queue := &fault.Queue{}
	queue.Add([]fault.Fault{
		{Kind: fault.NoStock, SizeID: 3, Times: 1},
		{Kind: fault.Error200, Call: fault.GetCluster, Times: 1, Message: "skipped one", Skip: 1},
		{Kind: fault.Error200, Times: 2, Message: "twice"},
		{Kind: fault.DeleteLies, Identifier: "a", Times: fault.UntilWithdrawn},
	})
	order := fault.Target{Call: fault.AddSlaveToGroup, SizeID: 2}
	read := fault.Target{Call: fault.GetCluster}
	for i, step := range []struct {
		target fault.Target
		kinds  []fault.Kind
		want   int // the ID, or 0
	}{
		{order, []fault.Kind{fault.NoStock}, 0},                                                       // another size
		{fault.Target{Call: fault.AddSlaveToGroup}, []fault.Kind{fault.NoStock}, 0},                   // a size that is not known yet
		{fault.Target{Call: fault.GetCluster, SizeID: 3}, []fault.Kind{fault.NoStock}, 0},             // not an order
		{fault.Target{Call: fault.AddSlave, SizeID: 3}, []fault.Kind{fault.NoStock}, 1},               // at last
		{fault.Target{Call: fault.AddSlave, SizeID: 3}, []fault.Kind{fault.NoStock}, 0},               // used up
		{read, []fault.Kind{fault.Status}, 0},                                                         // another kind
		{read, []fault.Kind{fault.Error200}, 3},                                                       // 2 lets one pass
		{read, []fault.Kind{fault.Error200}, 2},                                                       // and strikes the next
		{order, []fault.Kind{fault.Status, fault.Error200}, 3},                                        // 3 strikes any call
		{order, []fault.Kind{fault.Status, fault.Error200}, 0},                                        // twice, not more
		{fault.Target{Call: fault.DeleteSlave, Identifier: "b"}, []fault.Kind{fault.DeleteLies}, 0},   // another machine
		{fault.Target{Call: fault.DeleteSlave, Identifier: "a"}, []fault.Kind{fault.DeleteLies}, 4},   // this one
		{fault.Target{Call: fault.ReduceSlave, Identifier: "a"}, []fault.Kind{fault.DeleteLies}, 4},   // again
		{fault.Target{Call: fault.Call("dance"), Identifier: "a"}, []fault.Kind{fault.DeleteLies}, 0}, // no such call
	} {
		if got, ok := queue.Take(step.target, step.kinds...); got.ID != step.want || ok != (step.want != 0) {
			t.Errorf("step %d: fault %d struck (%t), want %d", i, got.ID, ok, step.want)
		}
	}
	want := fault.Report{
		Pending: []fault.Fault{{ID: 4, Kind: fault.DeleteLies, Identifier: "a", Times: fault.UntilWithdrawn}},
		Fired:   map[fault.Kind]int{fault.NoStock: 1, fault.Error200: 3, fault.DeleteLies: 2},
	}
	if diff := cmp.Diff(want, queue.Report()); diff != "" {
		t.Error(diff)
	}
	if !queue.Waits(fault.DeleteLies) || queue.Waits(fault.NoStock) || !queue.Remove(4) || queue.Remove(4) || queue.Waits(fault.DeleteLies) {
		t.Error("removing a fault went wrong")
	}
}

func TestTheListsOfCallsAgree(t *testing.T) {
	calls := slices.Clone(fault.Calls())
	slices.Sort(calls)
	if len(slices.Compact(calls)) != len(fault.Calls()) {
		t.Errorf("a call is listed twice: %v", fault.Calls())
	}
	for _, call := range slices.Concat(fault.Orders(), fault.Deletions(), fault.Changes()) {
		if !slices.Contains(fault.Calls(), call) {
			t.Errorf("%s is not among the calls", call)
		}
	}
}
