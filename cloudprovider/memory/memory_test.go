// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/memory"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a cloud whose machines take 10 s to be listed, 5 s for an address, 60 s to boot and 20 s to go.
type world struct {
	*memory.Cloud
	t     *testing.T
	clock *clocktesting.FakePassiveClock
}

func newWorld(t *testing.T, change func(*memory.Options)) *world {
	t.Helper()
	exactly := func(d time.Duration) memory.Range { return memory.Range{Min: d, Max: d} }
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(start)}
	o := memory.Options{
		Clock: w.clock, Seed: 7, VisibleDelay: exactly(10 * time.Second), IPDelay: exactly(5 * time.Second),
		BootDelay: exactly(time.Minute), DeleteDelay: 20 * time.Second,
	}
	if change != nil {
		change(&o)
	}
	var err error
	if w.Cloud, err = memory.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) pass(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func (w *world) order(name string) error {
	return w.Order(w.t.Context(), cloudprovider.Order{Name: name, OfferingID: "3"})
}

func (w *world) script(faults ...fault.Fault) {
	w.t.Helper()
	if err := w.Script(faults...); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) instances() []cloudprovider.Instance {
	w.t.Helper()
	inventory, err := w.Inventory(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return inventory.Instances
}

func verdict(err error) string {
	if err == nil {
		return "accepted"
	}
	return string(cloudprovider.ReactionTo(err)) + " " + cloudprovider.ReasonOf(err)
}

// TestAMachineLivesItsLifeByTheClock orders one machine and looks at it at each turn of its life.
func TestAMachineLivesItsLifeByTheClock(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.order("vn-1"); err != nil {
		t.Fatal(err)
	}
	id := w.Machines()[0].ID
	for _, step := range []struct {
		name       string
		pass       time.Duration
		listed, ip bool
		joins      int
		state      ledger.State
	}{
		{"just ordered", 0, false, false, 0, ledger.Ordered},
		{"a moment before it is listed", 10*time.Second - 1, false, false, 0, ledger.Ordered},
		{"listed", 1, true, false, 0, ledger.Visible},
		{"with an address", 5 * time.Second, true, true, 0, ledger.Visible},
		{"booted", time.Minute, true, true, 1, ledger.Joined},
	} {
		w.pass(step.pass)
		instances := w.instances()
		machine, order := w.Machines()[0], w.Ledger().Orders[0]
		if listed := len(instances) == 1; listed != step.listed || (machine.IP != "") != step.ip || machine.Joins != step.joins || order.State != step.state {
			t.Errorf("%s: instances %+v, machine %+v, ledger %s", step.name, instances, machine, order.State)
		}
	}
	if err := w.Release(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if instances := w.instances(); len(instances) != 1 || !instances[0].Deleting {
		t.Errorf("while it is being deleted: %+v", instances)
	}
	w.pass(20 * time.Second)
	if left := w.Machines(); len(left) != 0 || len(w.instances()) != 0 {
		t.Errorf("gone, and still there: %+v", left)
	}
	want := ledger.Order{
		Sequence: 1, State: ledger.Gone, Origin: ledger.Ours, For: "vn-1", Call: fault.AddSlaveToGroup, GroupID: 3, GroupName: "group-3",
		SizeID: 3, SizeName: "Yak", Datacenter: "memory", PricePerMonth: 48, PricePerHour: 0.066667, Identifier: id, Hostname: w.Ledger().Orders[0].Hostname,
		OrderedAt: start, VisibleAt: start.Add(10 * time.Second), JoinedAt: start.Add(75 * time.Second),
		DeleteRequestedAt: start.Add(75 * time.Second), GoneAt: start.Add(95 * time.Second), ReleasesAsked: 1, Cost: 0.001759,
	}
	if diff := cmp.Diff(want, w.Ledger().Orders[0]); diff != "" {
		t.Error(diff)
	}
}

// TestFaults runs one order into each fault, lets two hours pass, and asks what is there.
func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault   fault.Fault
		want    string // of the order
		machine string // what is left in the end, with what the ledger says
	}{
		"a gateway's page":            {fault.Fault{Kind: fault.Status, Status: 502}, "LookFirst ReplyLost", ""},
		"a status of refusal":         {fault.Fault{Kind: fault.Status, Status: 418}, "TryLater Unrecognised", ""},
		"an error nobody has seen":    {fault.Fault{Kind: fault.Error200, Message: "?"}, "TryLater Unrecognised", ""},
		"lost before the effect":      {fault.Fault{Kind: fault.LostReplyBeforeEffect}, "LookFirst ReplyLost", ""},
		"lost after the effect":       {fault.Fault{Kind: fault.LostReplyAfterEffect}, "LookFirst ReplyLost", "joined 1 ours 8192"},
		"too many requests":           {fault.Fault{Kind: fault.RateLimited}, "TryLater RateLimited", ""},
		"a token that expired":        {fault.Fault{Kind: fault.ExpiredToken}, "GiveUp Unauthorized", ""},
		"a locked cluster":            {fault.Fault{Kind: fault.ClusterLocked}, "TryLater ClusterLocked", ""},
		"no stock":                    {fault.Fault{Kind: fault.NoStock, SizeID: 3}, "TryElsewhere OutOfStock", ""},
		"no stock of another size":    {fault.Fault{Kind: fault.NoStock, SizeID: 5}, "accepted", "joined 1 ours 8192"},
		"the wrong package":           {fault.Fault{Kind: fault.WrongPackage}, "TryElsewhere OfferingRefused", ""},
		"a quota":                     {fault.Fault{Kind: fault.Quota}, "GiveUp QuotaExceeded", ""},
		"it never appears":            {fault.Fault{Kind: fault.NeverAppears}, "accepted", ""},
		"it appears late":             {fault.Fault{Kind: fault.SlowAppear, DelaySeconds: 7190}, "accepted", "visible 0 ours 8192"},
		"it never joins":              {fault.Fault{Kind: fault.NeverJoins}, "accepted", "visible 0 ours 8192"},
		"it joins twice":              {fault.Fault{Kind: fault.JoinsTwice, DelaySeconds: 60}, "accepted", "joined 2 ours 8192"},
		"it vanishes":                 {fault.Fault{Kind: fault.Vanishes, DelaySeconds: 60}, "accepted", ""},
		"it is listed in upper case":  {fault.Fault{Kind: fault.UpperCaseHostname}, "accepted", "joined 1 ours 8192"},
		"it comes with less memory":   {fault.Fault{Kind: fault.BalloonMemory}, "accepted", "joined 1 ours 2048"},
		"it comes with so much":       {fault.Fault{Kind: fault.BalloonMemory, MemoryMB: 1500}, "accepted", "joined 1 ours 1500"},
		"it comes twice":              {fault.Fault{Kind: fault.Duplicate}, "accepted", "joined 1 ours 8192, joined 1 duplicate 8192"},
		"a form that nobody sees":     {fault.Fault{Kind: fault.ObjectReply}, "accepted", "joined 1 ours 8192"},
		"a fault of a deletion":       {fault.Fault{Kind: fault.DeleteLies}, "accepted", "joined 1 ours 8192"},
		"a fault of another machine":  {fault.Fault{Kind: fault.SlowDelete, Identifier: "x", DelaySeconds: 1}, "accepted", "joined 1 ours 8192"},
		"a fault of a read, not this": {fault.Fault{Kind: fault.Status, Call: fault.GetCluster, Status: 502}, "accepted", "joined 1 ours 8192"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.script(test.fault)
			if got := verdict(w.order("vn")); got != test.want {
				t.Errorf("the order ended in %q, want %q", got, test.want)
			}
			w.pass(2 * time.Hour)
			var left []string
			orders := w.Ledger().Orders
			for _, m := range w.Machines() {
				i := slices.IndexFunc(orders, func(o ledger.Order) bool { return o.Identifier == m.ID })
				left = append(left, fmt.Sprintf("%s %d %s %d", orders[i].State, m.Joins, m.Origin, m.MemoryMiB))
			}
			if got := strings.Join(left, ", "); got != test.machine {
				t.Errorf("left is %q, want %q", got, test.machine)
			}
			w.Calm()
			for _, i := range w.instances() {
				if i.Hostname != strings.ToLower(i.Hostname) {
					t.Errorf("hostname %q is not in lower case", i.Hostname)
				}
			}
		})
	}
}

func TestReadsFailToo(t *testing.T) {
	w := newWorld(t, nil)
	for _, test := range []struct {
		fault fault.Fault
		want  string
	}{
		{fault.Fault{Kind: fault.Status, Status: 503, Times: 3}, "TryLater ServerError"},
		{fault.Fault{Kind: fault.LostReplyAfterEffect, Times: 3}, "TryLater Unreachable"},
		{fault.Fault{Kind: fault.ExpiredToken, Times: 3}, "GiveUp Unauthorized"},
		{fault.Fault{Kind: fault.Error200, Message: "?", Times: 3}, "TryLater Unrecognised"},
	} {
		w.script(test.fault)
		_, offers := w.Offerings(t.Context())
		_, list := w.Inventory(t.Context())
		for _, err := range []error{w.Ready(t.Context()), offers, list} {
			if got := verdict(err); got != test.want {
				t.Errorf("%s: got %q, want %q", test.fault.Kind, got, test.want)
			}
		}
	}
	if err := errors.Join(w.Ready(t.Context())); err != nil {
		t.Errorf("faults are left: %v", err)
	}
}

func TestReleasesThatAreSlowOrLie(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.order("vn"); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	id := w.instances()[0].ID
	w.script(fault.Fault{Kind: fault.DeleteLies}, fault.Fault{Kind: fault.SlowDelete, DelaySeconds: 600})
	if err := w.Release(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	if left := w.instances(); len(left) != 1 || left[0].Deleting {
		t.Errorf("after a lie: %+v", left)
	}
	if err := w.Release(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.pass(619 * time.Second)
	if left := w.instances(); len(left) != 1 || !left[0].Deleting {
		t.Errorf("before a slow deletion ends: %+v", left)
	}
	w.pass(time.Second)
	if left := w.instances(); len(left) != 0 {
		t.Errorf("after a slow deletion: %+v", left)
	}
}

func TestAReleaseThatIsRefusedDoesNothing(t *testing.T) {
	w := newWorld(t, nil)
	if err := w.order("vn"); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Hour)
	w.script(fault.Fault{Kind: fault.WrongPassword})
	if got := verdict(w.Release(t.Context(), w.instances()[0].ID)); got != "GiveUp InvalidCredentials" {
		t.Errorf("the release ended in %q", got)
	}
	w.pass(time.Hour)
	if left := w.instances(); len(left) != 1 || left[0].Deleting {
		t.Errorf("after a refusal: %+v", left)
	}
}

func TestAListThatIsShortForAWhile(t *testing.T) {
	w := newWorld(t, nil)
	for _, name := range []string{"a", "b", "c"} {
		if err := w.order(name); err != nil {
			t.Fatal(err)
		}
	}
	w.pass(time.Hour)
	all := w.instances()
	for _, test := range []struct {
		kind fault.Kind
		want int
	}{{fault.EmptyList, 0}, {fault.ShortList, 2}, {fault.ShortList, 1}} {
		w.script(fault.Fault{Kind: test.kind, DelaySeconds: 60})
		listed := w.instances()
		if len(listed) != test.want {
			t.Errorf("%s lists %d machines, want %d", test.kind, len(listed), test.want)
		}
		for _, i := range all {
			if slices.ContainsFunc(listed, func(l cloudprovider.Instance) bool { return l.ID == i.ID }) {
				continue
			}
			if got := verdict(w.Release(t.Context(), i.ID)); got != "LookFirst NotFound" {
				t.Errorf("a machine that %s hides was released: %q", test.kind, got)
			}
		}
		w.pass(time.Minute)
		if got := w.instances(); !cmp.Equal(all, got) {
			t.Errorf("after %s the list is %+v, want %+v", test.kind, got, all)
		}
	}
	if touched := w.Ledger().Released(); len(touched) > 0 {
		t.Errorf("released %+v", touched)
	}
}

func TestAnAuditSeesEachWrong(t *testing.T) {
	w := newWorld(t, nil)
	foreign, err := w.AddForeign("3")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "b", "c"} {
		if err := w.order(name); err != nil {
			t.Fatal(err)
		}
	}
	w.script(fault.Fault{Kind: fault.Duplicate})
	if err := w.order("d"); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	book := w.Ledger()
	c := book.Orders[4].Identifier
	if err := errors.Join(w.Release(t.Context(), c), w.Release(t.Context(), foreign.ID)); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	if err := w.order("c"); err != nil { // bought again after it was released: not twice
		t.Fatal(err)
	}
	if err := w.Destroy(book.Orders[1].Identifier); err != nil {
		t.Fatal(err)
	}
	book = w.Ledger()
	sequences := func(orders []ledger.Order) (found []int) {
		for _, o := range orders {
			found = append(found, o.Sequence)
		}
		return found
	}
	for name, test := range map[string]struct {
		got  []ledger.Order
		want []int
	}{
		"owned":           {book.Owned(), []int{3, 4, 6, 8}},
		"leaked":          {book.Leaked(book.Orders[2].Identifier, book.Orders[5].Identifier), []int{4, 8}},
		"strays":          {book.Strays(), []int{7}},
		"bought twice":    {book.BoughtTwice(), []int{4}},
		"foreign touched": {book.ForeignTouched(), []int{1}},
		"released":        {book.Released(), []int{1, 5}},
		"vanished":        {book.Vanished(), []int{2}},
	} {
		if diff := cmp.Diff(test.want, sequences(test.got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if err := w.Destroy("x"); err == nil {
		t.Error("destroyed a machine that is not there")
	}
	if _, err := w.AddForeign("x"); err == nil {
		t.Error("added a machine of no size")
	}
}

// TestTheSameSeedMakesTheSameRun plays a random game of orders and releases under a mix of all faults, twice, and another with
// another seed.
func TestTheSameSeedMakesTheSameRun(t *testing.T) {
	play := func(seed int64) (ledger.Report, fault.Report) {
		w := newWorld(t, func(o *memory.Options) {
			o.Seed, o.VisibleDelay = seed, memory.Range{Min: time.Second, Max: time.Minute}
		})
		if err := w.Mix(fault.Harsh(seed, 2)); err != nil {
			t.Fatal(err)
		}
		for i := range 1500 {
			_ = w.order(fmt.Sprintf("vn-%d", i))
			w.pass(10 * time.Second)
			if inventory, err := w.Inventory(t.Context()); err == nil && len(inventory.Instances) > 5 {
				_ = w.Release(t.Context(), inventory.Instances[i%5].ID)
			}
		}
		faults := w.Faults()
		w.Calm()
		return w.Ledger(), faults
	}
	book, faults := play(1)
	again, faultsAgain := play(1)
	if diff := cmp.Diff(book, again) + cmp.Diff(faults, faultsAgain); diff != "" {
		t.Error(diff)
	}
	if other, _ := play(2); cmp.Equal(book, other) {
		t.Error("another seed made the same run")
	}
	never := []fault.Kind{fault.Latency, fault.ObjectReply, fault.SameSize, fault.WrongPassword} // of answers and of groups, which are not here; and not in the mix
	for _, kind := range fault.Kinds() {
		if struck := faults.Fired[kind] > 0; struck == slices.Contains(never, kind) {
			t.Errorf("%s struck: %t", kind, struck)
		}
	}
	if len(book.BoughtTwice())+len(book.ForeignTouched()) > 0 {
		t.Errorf("the ledger accuses somebody who ordered each name once: %+v", book.BoughtTwice())
	}
}

func TestNewRefusesOptions(t *testing.T) {
	sold := func(change func(*scheduling.Offering)) func(*memory.Options) {
		return func(o *memory.Options) {
			o.Offerings = []scheduling.Offering{{ID: "1", Price: 1}, {ID: "2", Price: 1}}
			change(&o.Offerings[1])
		}
	}
	for name, change := range map[string]func(*memory.Options){
		"a range that ends before it begins": func(o *memory.Options) { o.IPDelay = memory.Range{Min: 2, Max: 1} },
		"a negative delay":                   func(o *memory.Options) { o.VisibleDelay = memory.Range{Min: -1} },
		"a negative deletion":                func(o *memory.Options) { o.DeleteDelay = -1 },
		"an identifier that is no number":    sold(func(o *scheduling.Offering) { o.ID = "x" }),
		"an identifier that is taken":        sold(func(o *scheduling.Offering) { o.ID = "1" }),
		"an offering without a price":        sold(func(o *scheduling.Offering) { o.Price = 0 }),
		"a second datacenter":                sold(func(o *scheduling.Offering) { o.Datacenter = "x" }),
	} {
		t.Run(name, func(t *testing.T) {
			var o memory.Options
			change(&o)
			if c, err := memory.New(o); err == nil {
				t.Errorf("made %v", c)
			}
		})
	}
	w := newWorld(t, nil)
	if err := w.Script(fault.Fault{Kind: "fire"}); err == nil {
		t.Error("took a fault of no kind")
	}
	if err := w.Mix(fault.Mix{Chances: []fault.Chance{{Probability: 2, Fault: fault.Fault{Kind: fault.NoStock}}}}); err == nil {
		t.Error("took a probability above 1")
	}
}
