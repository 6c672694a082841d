// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

func at(offset time.Duration) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(offset)
}

// TestAnOrderIsChargedByTheSecondUntilItIsGone orders a machine for 72 a month, 0.1 an hour.
func TestAnOrderIsChargedByTheSecondUntilItIsGone(t *testing.T) {
	for name, test := range map[string]struct {
		lives func(*ledger.Ledger)
		now   time.Duration
		spent float64
		rate  float64
	}{
		"at once":                    {nil, 0, 0, 0.1},
		"before a second has passed": {nil, 999 * time.Millisecond, 0, 0.1},
		"after a second":             {nil, time.Second, 0.000028, 0.1},
		"after an hour":              {nil, time.Hour, 0.1, 0.1},
		"after a month":              {nil, 720 * time.Hour, 72, 0.1},
		"a clock that was set back":  {nil, -time.Hour, 0, 0.1},
		"joined makes no difference": {func(l *ledger.Ledger) { l.Joined(1, at(time.Minute)) }, time.Hour, 0.1, 0.1},
		"while it is being deleted":  {func(l *ledger.Ledger) { l.DeleteRequested(1, at(time.Minute)) }, time.Hour, 0.1, 0.1},
		"gone after half an hour":    {func(l *ledger.Ledger) { l.Left(1, at(30*time.Minute)) }, 5 * time.Hour, 0.05, 0},
		"gone, then something late":  {func(l *ledger.Ledger) { l.Left(1, at(30*time.Minute)); l.Joined(1, at(time.Hour)) }, 5 * time.Hour, 0.05, 0},
		"another order that never came": {func(l *ledger.Ledger) {
			l.Accept(ledger.Order{State: ledger.Lost, PricePerMonth: 720, OrderedAt: at(0)})
		}, time.Hour, 0.1, 0.1},
		"another that costs ten times": {func(l *ledger.Ledger) { l.Accept(ledger.Order{PricePerMonth: 720, OrderedAt: at(time.Hour / 2)}) }, time.Hour, 0.6, 1.1},
	} {
		t.Run(name, func(t *testing.T) {
			book := &ledger.Ledger{}
			book.Accept(ledger.Order{PricePerMonth: 72, OrderedAt: at(0)})
			if test.lives != nil {
				test.lives(book)
			}
			spend := book.Spend(at(test.now))
			if spend.Spent != test.spent || spend.RatePerHour != test.rate {
				t.Errorf("spent %v at %v an hour, want %v at %v", spend.Spent, spend.RatePerHour, test.spent, test.rate)
			}
		})
	}
}

func TestStatesOnlyGoForward(t *testing.T) {
	book := &ledger.Ledger{}
	states := []ledger.State{}
	enter := func(step func()) {
		step()
		states = append(states, book.Orders(at(0))[0].State)
	}
	enter(func() { book.Accept(ledger.Order{}) })
	enter(func() { book.Appeared(1, at(1)) })
	enter(func() { book.Joined(1, at(2)) })
	enter(func() { book.DeleteRequested(1, at(3)) })
	enter(func() { book.Joined(1, at(4)) })
	enter(func() { book.Left(1, at(5)) })
	enter(func() { book.DeleteRequested(1, at(6)) })
	want := []ledger.State{ledger.Ordered, ledger.Visible, ledger.Joined, ledger.Deleting, ledger.Deleting, ledger.Gone, ledger.Gone}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
}

func TestAReportSharesNothingWithTheBook(t *testing.T) {
	book := &ledger.Ledger{}
	if report := book.Report(at(0)); report.Orders == nil || report.Refused == nil {
		t.Error("an empty book has no lists")
	}
	book.Accept(ledger.Order{Faults: []fault.Kind{fault.NeverJoins}})
	book.Refuse(ledger.Refusal{Message: "no"})
	report := book.Report(at(0))
	report.Orders[0].Faults[0], report.Orders[0].State, report.Refused[0].Message = "x", "y", "z"
	again := book.Report(at(0))
	if again.Orders[0].Faults[0] != fault.NeverJoins || again.Orders[0].State != ledger.Ordered || again.Refused[0].Message != "no" {
		t.Errorf("the book was changed through a report: %+v", again)
	}
	if again.Orders[0].Sequence != 1 || book.Next() != 2 {
		t.Errorf("the first order has number %d, the next %d", again.Orders[0].Sequence, book.Next())
	}
}
