// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// TestMachinesGoWrong runs an order into each fault of a machine's life, and tells what became of it minute by minute.
func TestMachinesGoWrong(t *testing.T) {
	for name, test := range map[string]struct {
		fault fault.Fault
		want  []string // what is listed after 1, 2 and 10 minutes, and what the joiner did by then
		books string   // state and origin of what was entered
	}{
		"nothing goes wrong": {
			fault.Fault{Kind: fault.ClusterLocked, Call: fault.DeleteSlave},
			[]string{"provisioning", "running / join", "running / join"}, "joined ours",
		},
		"it appears late": {
			fault.Fault{Kind: fault.SlowAppear, DelaySeconds: 100},
			[]string{"", "provisioning", "running / join"}, "joined ours",
		},
		"it joins twice": {
			fault.Fault{Kind: fault.JoinsTwice, DelaySeconds: 200},
			[]string{"provisioning", "running / join", "running / join, leave, join"}, "joined ours",
		},
		"it vanishes after it joined": {
			fault.Fault{Kind: fault.Vanishes, DelaySeconds: 200},
			[]string{"provisioning", "running / join", " / join, leave"}, "gone ours",
		},
		"it vanishes before it joins": {
			fault.Fault{Kind: fault.Vanishes, DelaySeconds: 55},
			[]string{"provisioning", "", ""}, "gone ours",
		},
		"it comes twice": {
			fault.Fault{Kind: fault.Duplicate},
			[]string{"provisioning provisioning", "running running / join, join", "running running / join, join"}, "joined ours, joined duplicate",
		},
		"it is confirmed with an object": {
			fault.Fault{Kind: fault.ObjectReply},
			[]string{"provisioning", "running / join", "running / join"}, "joined ours",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			group := w.addGroup(3)
			w.inject(test.fault)
			if answer := w.order(group); answer.Error {
				t.Fatalf("the order was answered %s", answer.raw)
			}
			var got []string
			for _, seconds := range []int{60, 60, 480} {
				w.pass(seconds)
				for range 3 { // leaving and joining anew are two turns
					w.sim.Tick(t.Context())
				}
				text := w.statuses()
				if did := w.joiner.did(); did != "" {
					text += " / " + did
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			var books []string
			for _, o := range w.book().Orders {
				books = append(books, string(o.State)+" "+string(o.Origin))
			}
			if got := strings.Join(books, ", "); got != test.books {
				t.Errorf("the books say %q, want %q", got, test.books)
			}
		})
	}
}

func TestAnObjectForAnAnswerNamesTheMachine(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.ObjectReply})
	named := decode[struct {
		ID                           int
		Identifier, Status, Hostname string
	}](t, w.order(w.groups()[0].ID))
	w.pass(60)
	if rows := w.workers(); len(rows) != 1 || rows[0].Identifier != named.Identifier || rows[0].Hostname != named.Hostname || named.ID == 0 || named.Status == "" {
		t.Errorf("the answer named %+v, listed is %+v", named, rows)
	}
}

func TestAQuotaIsRefusedInVPSiesWords(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.Quota})
	if got := w.order(w.groups()[0].ID); got.Message != "Worker nodes count exceeds the allowed limit" || got.status != 200 {
		t.Errorf("the order was answered %s", got.raw)
	}
	w.mustOrder(w.groups()[0].ID)
}

func TestRefusalsInVPSiesWords(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.WrongPackage})
	if got := w.order(w.groups()[0].ID); got.Message != "Please select the right package for this OS" || got.status != 200 {
		t.Errorf("the order was answered %s", got.raw)
	}
	if len(w.book().Orders) != 0 {
		t.Error("the refused order bought a machine")
	}
	w.mustOrder(w.groups()[0].ID)
	w.pass(75)
	machine := w.workers()[0].Identifier
	w.inject(fault.Fault{Kind: fault.WrongPassword})
	if got := w.remove(machine); got.Message != "You entered the wrong password" || got.status != 200 {
		t.Errorf("the deletion was answered %s", got.raw)
	}
	if !w.book().Orders[0].DeleteRequestedAt.IsZero() {
		t.Error("the refused deletion took effect")
	}
	w.remove(machine)
	if w.book().Orders[0].DeleteRequestedAt.IsZero() {
		t.Error("the deletion after it had no effect")
	}
}

func TestSomebodyElseMakesTheGroupFirst(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.SameSize})
	got := w.call("POST", "/apps/v2/k8s/cluster/add/group", groupBody(w.cluster, "mine", 3))
	i := slices.IndexFunc(w.groups(), func(g nodeGroup) bool { return g.BoxSize == 3 })
	if i < 0 || w.groups()[i].Name == "mine" || got.Message != fmt.Sprintf("Group %s has same selected Size, please select another size", w.groups()[i].Name) {
		t.Errorf("the group was answered %s, the groups are %+v", got.raw, w.groups())
	}
}

func TestAnExpiredTokenVoidsTheExchangedOnes(t *testing.T) {
	w := newWorld(t, nil)
	exchange := func() string {
		t.Helper()
		got := w.call("POST", "/apps/v2/auth/from/api", `{"clientId":"id","clientSecret":"secret"}`)
		var body struct {
			Token struct{ Access struct{ Token string } }
		}
		mustUnmarshal(t, got.raw, &body)
		return body.Token.Access.Token
	}
	read := func(token string) int {
		t.Helper()
		return w.call("GET", "/apps/v2/k8s/cluster/all", "", "Vpsie-Auth", token).status
	}
	first := exchange()
	if got := read(first); got != 200 {
		t.Fatalf("a good token was answered %d", got)
	}
	w.inject(fault.Fault{Kind: fault.ExpiredToken})
	if got := []int{read(first), read(first), read(exchange()), read(token)}; !slices.Equal(got, []int{401, 401, 200, 200}) {
		t.Errorf("the answers were %v", got)
	}
}

func TestADateToComeBack(t *testing.T) {
	w := newWorld(t, nil)
	w.inject(fault.Fault{Kind: fault.RateLimited, Call: fault.AddSlaveToGroup, RetryAfterSeconds: 90, RetryAfterDate: true})
	if got := w.order(w.groups()[0].ID).header.Get("Retry-After"); got != "Sun, 01 Mar 2026 12:01:30 GMT" {
		t.Errorf("Retry-After is %q", got)
	}
}

func TestASlowDeletion(t *testing.T) {
	w := newWorld(t, nil)
	w.mustOrder(w.groups()[0].ID)
	w.pass(75)
	w.inject(fault.Fault{Kind: fault.SlowDelete, DelaySeconds: 300})
	w.remove(w.workers()[0].Identifier)
	w.pass(319)
	if got := w.statuses(); got != "deleting" {
		t.Errorf("before its end the machine is %q", got)
	}
	w.pass(1)
	if got := w.statuses(); got != "" {
		t.Errorf("at its end the machine is %q", got)
	}
}

func TestAListThatIsShortForAWhile(t *testing.T) {
	w := newWorld(t, nil)
	for range 3 {
		w.mustOrder(w.groups()[0].ID)
	}
	w.pass(75)
	for _, test := range []struct {
		kind fault.Kind
		want int
	}{{fault.EmptyList, 0}, {fault.ShortList, 2}, {fault.ShortList, 1}} {
		w.inject(fault.Fault{Kind: test.kind, DelaySeconds: 60})
		if got := len(w.workers()); got != test.want {
			t.Errorf("%s lists %d workers, want %d", test.kind, got, test.want)
		}
		w.pass(59)
		if got := len(w.workers()); got != test.want {
			t.Errorf("%s lists %d workers before its end, want %d", test.kind, got, test.want)
		}
		w.pass(1)
		if got := w.statuses(); got != "running running running" {
			t.Errorf("after %s the workers are %q", test.kind, got)
		}
	}
	if left := w.book().Owned(); len(left) != 3 {
		t.Errorf("%d machines are owned, want 3: none went", len(left))
	}
}

func TestWhatPeopleDoByHand(t *testing.T) {
	w := newWorld(t, nil)
	foreign, err := w.admin.AddForeign(t.Context(), 3)
	if err != nil || foreign.SizeID != 3 {
		t.Fatalf("%+v, %v", foreign, err)
	}
	if _, err := w.sim.AddForeign(3); err != nil {
		t.Fatal(err)
	}
	w.pass(75)
	if got := w.statuses(); got != "running running" {
		t.Errorf("the foreign workers are %q", got)
	}
	// A deletion that has no effect was tried nevertheless.
	w.inject(fault.Fault{Kind: fault.Error200, Message: "no", Call: fault.DeleteSlave})
	w.remove(foreign.Identifier)
	book := w.book()
	if touched := book.ForeignTouched(); len(touched) != 1 || touched[0].Identifier != foreign.Identifier || len(book.Owned()) != 0 || len(book.Strays()) != 2 || book.Spend.Orders != 0 {
		t.Errorf("the books say %+v", book)
	}
	if err := w.admin.Destroy(t.Context(), foreign.Identifier); err != nil {
		t.Fatal(err)
	}
	w.sim.Tick(t.Context())
	if got := w.statuses(); got != "running" || w.joiner.did() != "join, join, leave" {
		t.Errorf("left is %q, the joiner did %q", got, w.joiner.did())
	}
	if err := w.admin.Destroy(t.Context(), foreign.Identifier); err == nil {
		t.Error("destroyed what is gone")
	}
	if _, err := w.admin.AddForeign(t.Context(), 999); err == nil || !strings.Contains(err.Error(), "no offer with id 999") {
		t.Errorf("added a worker of no size: %v", err)
	}
}

func TestTheLedgerKnowsWhatAnOrderWasFor(t *testing.T) {
	w := newWorld(t, nil)
	path := w.orderPath(w.groups()[0].ID)
	for _, name := range []string{"a", "b", "a", ""} {
		w.call("POST", path, "", "X-Request-Id", name)
	}
	w.mustOrder(w.groups()[0].ID)
	twice := w.book().BoughtTwice()
	if len(twice) != 1 || twice[0].Sequence != 3 || twice[0].For != "a" {
		t.Errorf("bought twice: %+v", twice)
	}
}

// TestTheSameMixStrikesTheSame plays the same calls twice under a mix of everything, and another time with another seed.
func TestTheSameMixStrikesTheSame(t *testing.T) {
	play := func(seed int64) (ledger.Report, fault.Report) {
		w := newWorld(t, func(o *vpsiesim.Options) { o.WorkerLimit = 1000 })
		// Nobody moves the clock while a call waits.
		if err := w.admin.Mix(t.Context(), fault.Harsh(seed, 3).Without(fault.Latency)); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			_, _ = w.try("POST", w.orderPath(4101), "")
			w.pass(5)
		}
		faults, err := w.admin.Faults(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.admin.ClearFaults(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w.book(), faults
	}
	book, faults := play(1)
	again, faultsAgain := play(1)
	if diff := cmp.Diff(book, again) + cmp.Diff(faults, faultsAgain); diff != "" {
		t.Error(diff)
	}
	if other, _ := play(2); cmp.Equal(book, other) {
		t.Error("another seed struck the same")
	}
	if len(faults.Fired) < 8 {
		t.Errorf("only %v struck", faults.Fired)
	}
}

func TestTheAdminAPIChecksAMix(t *testing.T) {
	w := newWorld(t, nil)
	for body, want := range map[string]string{
		`{"seed":1,"harsh":0.5}`: "",
		`{"chances":[{"probability":0.5,"fault":{"kind":"neverJoins"}}]}`: "",
		`{}`:                       "", // strikes nothing
		`{"seeed":1}`:              "unknown field",
		`{"harsh":-1}`:             "is negative",
		`{"harsh":1,"chances":[]}`: "leave one of the two out",
		`{"chances":[{"probability":1.5,"fault":{"kind":"neverJoins"}}]}`: `chances[0].probability`,
		`{"chances":[{"probability":1,"fault":{"kind":"fire"}}]}`:         `chances[0].fault.kind`,
	} {
		mix, err := fault.ParseMix([]byte(body))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s was read as %+v (%v), want %q", body, mix, err, want)
		}
	}
	var mix fault.Mix
	mustUnmarshal(t, `{"seed":1,"chances":[{"probability":1,"fault":{"kind":"quota"}}]}`, &mix)
	if err := w.admin.Mix(t.Context(), mix); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := w.order(w.groups()[0].ID); !got.Error {
			t.Errorf("an order was accepted: %s", got.raw)
		}
	}
	if err := w.admin.Mix(t.Context(), fault.Mix{}); err != nil {
		t.Fatal(err)
	}
	w.mustOrder(w.groups()[0].ID)
	if data, err := json.Marshal(fault.Harsh(1, 1).Without(fault.NeverJoins)); err != nil || strings.Contains(string(data), "neverJoins") {
		t.Errorf("%s, %v", data, err)
	}
}
