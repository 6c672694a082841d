// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps the books of the simulated VPSie. It turns accepted and refused orders and the
// times in the life of each machine into what was spent and what runs now. It never reads the clock
// and never decides what happens to a machine.
package ledger

import (
	"math"
	"slices"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// HoursPerMonth is the length of a month on a VPSie bill.
const HoursPerMonth = 720

// Currency is what every price is in.
const Currency = "USD"

// State is how far an order has come.
type State string

// The states of an order. Only Gone and Lost cost nothing any more.
const (
	Ordered  State = "ordered"
	Visible  State = "visible"
	Joined   State = "joined"
	Deleting State = "deleting"
	Gone     State = "gone"
	// Lost is an accepted order that never became a machine.
	Lost State = "lost"
)

// Origin is how a machine came to be.
type Origin string

// The origins.
const (
	// Ours is a machine that was ordered.
	Ours Origin = "ours"
	// Duplicate is a second machine of one order, VPSie's mistake.
	Duplicate Origin = "duplicate"
	// Foreign is a machine that a person added by hand.
	Foreign Origin = "foreign"
)

// Order is one accepted order: one machine, unless it is lost. Machines that nobody ordered are entered likewise; their
// Origin tells.
type Order struct {
	Sequence int    `json:"sequence"`
	State    State  `json:"state"`
	Origin   Origin `json:"origin"`
	// For is what the caller said that the order was for; empty where nobody said.
	For string `json:"for,omitempty"`
	// DuplicateOf is the sequence number of the order that this is a second machine of.
	DuplicateOf   int        `json:"duplicateOf,omitempty"`
	Call          fault.Call `json:"call"`
	GroupID       int        `json:"groupId"`
	GroupName     string     `json:"groupName"`
	SizeID        int        `json:"sizeId"`
	SizeName      string     `json:"sizeName"`
	Datacenter    string     `json:"datacenter"`
	PricePerMonth float64    `json:"pricePerMonth"`
	PricePerHour  float64    `json:"pricePerHour"`
	// Identifier and Hostname are known here from the start; VPSie shows them once the machine is visible.
	Identifier        string    `json:"identifier"`
	Hostname          string    `json:"hostname"`
	OrderedAt         time.Time `json:"orderedAt"`
	VisibleAt         time.Time `json:"visibleAt,omitzero"`
	JoinedAt          time.Time `json:"joinedAt,omitzero"`
	DeleteRequestedAt time.Time `json:"deleteRequestedAt,omitzero"`
	GoneAt            time.Time `json:"goneAt,omitzero"`
	// ReleasesAsked is how many deletions named the machine, whatever came of them.
	ReleasesAsked int `json:"releasesAsked,omitempty"`
	// Faults are those that struck this machine.
	Faults []fault.Kind `json:"faults,omitempty"`
	// Cost is what this order has cost so far.
	Cost float64 `json:"cost"`
}

// Refusal is an order that was not accepted.
type Refusal struct {
	At      time.Time  `json:"at"`
	Call    fault.Call `json:"call"`
	GroupID int        `json:"groupId,omitempty"`
	SizeID  int        `json:"sizeId,omitempty"`
	Message string     `json:"message"`
}

// Spend is the bill at one moment.
type Spend struct {
	At          time.Time `json:"at"`
	Currency    string    `json:"currency"`
	Spent       float64   `json:"spent"`
	RatePerHour float64   `json:"ratePerHour"`
	// Machines is how many are paid for now, visible or not.
	Machines int `json:"machines"`
	// Orders is how many were accepted.
	Orders  int `json:"orders"`
	Refused int `json:"refused"`
}

// Report is the whole book at one moment, oldest entries first.
type Report struct {
	Spend   Spend     `json:"spend"`
	Orders  []Order   `json:"orders"`
	Refused []Refusal `json:"refused"`
}

// Ledger is the book. Its zero value is empty. It is not safe for concurrent use.
type Ledger struct {
	orders  []Order
	refused []Refusal
}

// Next is the sequence number the next accepted order gets.
func (l *Ledger) Next() int { return len(l.orders) + 1 }

// Accept enters an order under the next sequence number.
func (l *Ledger) Accept(order Order) {
	order.Sequence = l.Next()
	if order.State == "" {
		order.State = Ordered
	}
	if order.Origin == "" {
		order.Origin = Ours
	}
	l.orders = append(l.orders, order)
}

// Refuse enters an order that was not accepted.
func (l *Ledger) Refuse(refusal Refusal) { l.refused = append(l.refused, refusal) }

// Appeared enters that the machine is listed.
func (l *Ledger) Appeared(sequence int, at time.Time) {
	order := l.order(sequence)
	order.VisibleAt = at
	order.advance(Visible)
}

// Joined enters that the machine is a node of the cluster.
func (l *Ledger) Joined(sequence int, at time.Time) {
	order := l.order(sequence)
	order.JoinedAt = at
	order.advance(Joined)
}

// ReleaseAsked enters that a deletion named the machine, before anything comes of it.
func (l *Ledger) ReleaseAsked(sequence int) { l.order(sequence).ReleasesAsked++ }

// DeleteRequested enters that the machine was given back. It is paid for until it is gone.
func (l *Ledger) DeleteRequested(sequence int, at time.Time) {
	order := l.order(sequence)
	order.DeleteRequestedAt = at
	order.advance(Deleting)
}

// Left enters that the machine is gone.
func (l *Ledger) Left(sequence int, at time.Time) {
	order := l.order(sequence)
	order.GoneAt = at
	order.advance(Gone)
}

// Struck enters that a fault hit the machine.
func (l *Ledger) Struck(sequence int, kind fault.Kind) {
	order := l.order(sequence)
	order.Faults = append(order.Faults, kind)
}

func (l *Ledger) order(sequence int) *Order { return &l.orders[sequence-1] }

// advance never goes back: a machine may join after its deletion was asked for.
func (o *Order) advance(to State) {
	line := []State{Ordered, Visible, Joined, Deleting, Gone}
	if slices.Index(line, to) > slices.Index(line, o.State) {
		o.State = to
	}
}

func (o *Order) paid() bool { return o.State != Gone && o.State != Lost }

// cost charges every started machine by the second, from the order until it is gone.
func (o *Order) cost(now time.Time) float64 {
	if o.State == Lost {
		return 0
	}
	end := now
	if o.State == Gone {
		end = o.GoneAt
	}
	seconds := math.Floor(max(0, end.Sub(o.OrderedAt).Seconds()))
	return o.PricePerMonth * seconds / (HoursPerMonth * 3600)
}

// Spend adds up the bill.
func (l *Ledger) Spend(now time.Time) Spend {
	spend := Spend{At: now, Currency: Currency, Refused: len(l.refused)}
	monthly := 0.0
	for i := range l.orders {
		if l.orders[i].Origin == Ours {
			spend.Orders++
		}
		spend.Spent += l.orders[i].cost(now)
		if l.orders[i].paid() {
			spend.Machines++
			monthly += l.orders[i].PricePerMonth
		}
	}
	spend.Spent = Round(spend.Spent)
	spend.RatePerHour = HourlyPrice(monthly)
	return spend
}

// Orders copies the accepted orders with what each has cost.
func (l *Ledger) Orders(now time.Time) []Order {
	orders := make([]Order, 0, len(l.orders))
	for _, order := range l.orders {
		order.Cost = Round(order.cost(now))
		order.Faults = slices.Clone(order.Faults)
		orders = append(orders, order)
	}
	return orders
}

// Report copies the whole book.
func (l *Ledger) Report(now time.Time) Report {
	return Report{Spend: l.Spend(now), Orders: l.Orders(now), Refused: append([]Refusal{}, l.refused...)}
}

// HourlyPrice is the price of an hour of a month's price.
func HourlyPrice(perMonth float64) float64 { return Round(perMonth / HoursPerMonth) }

// Round cuts money to the six decimals VPSie's hourly prices have.
func Round(amount float64) float64 { return math.Round(amount*1e6) / 1e6 }
