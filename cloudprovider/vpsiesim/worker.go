// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// The words VPSie uses for the state of a worker.
const (
	statusProvisioning = "provisioning"
	statusRunning      = "running"
	statusDeleting     = "deleting"
)

// worker is a machine of the cluster. Its whole life is drawn when it is ordered; what it is at a
// moment follows from the moment alone, except for joining, which takes the Joiner.
type worker struct {
	sequence      int
	machine       Machine
	shownHostname string
	group         *group
	size          Offer

	ordered, appears, addressed, boots time.Time
	gone                               time.Time // zero until its end is decided
	rejoins                            time.Time // zero: it joins once
	released                           bool      // its deletion was asked for
	neverJoins                         bool

	listed bool // the ledger knows that it appeared
	left   bool // the ledger knows that it is gone
	joins  joinState
	busy   bool      // the Joiner is at work on it
	retry  time.Time // not before, after the Joiner failed
}

// joinState is what the Joiner has done with a machine.
type joinState int

const (
	notJoined joinState = iota
	joinTried           // it may have joined in part, so it has to leave
	joined
	leftToRejoin
)

func (w *worker) isGone(now time.Time) bool  { return !w.gone.IsZero() && !now.Before(w.gone) }
func (w *worker) visible(now time.Time) bool { return !now.Before(w.appears) && !w.isGone(now) }

func (s *Server) status(w *worker, now time.Time) string {
	switch {
	case w.released:
		return statusDeleting
	case w.joins == joined, s.joiner == nil && !w.neverJoins && !now.Before(w.boots):
		return statusRunning
	default:
		return statusProvisioning
	}
}

// order enters an accepted order and starts the life of its machine. The request's X-Request-Id, which VPSie has no known use
// for, tells the ledger what the order is for.
func (s *Server) order(g *group, target fault.Target, r *request) *worker {
	entry := ledger.Order{Call: target.Call, For: r.http.Header.Get("X-Request-Id")}
	w := s.draw(g, r.now)
	if _, lost := s.strike(target, fault.NeverAppears); lost {
		entry.State, entry.Faults = ledger.Lost, []fault.Kind{fault.NeverAppears}
		s.enter(w, entry)
		s.log.Info("Order accepted and lost", "sequence", w.sequence, "sizeID", g.size.ID)
		return w
	}
	entry.Faults = s.spoil(w, target)
	s.enter(w, entry)
	s.log.Info("Order accepted", "sequence", w.sequence, "sizeID", g.size.ID, "machine", w.machine.Hostname)
	if _, twice := s.strike(target, fault.Duplicate); twice {
		second := s.draw(g, r.now)
		s.enter(second, ledger.Order{
			Call: target.Call, For: entry.For, Origin: ledger.Duplicate, DuplicateOf: w.sequence, Faults: []fault.Kind{fault.Duplicate},
		})
		s.log.Info("Order delivered twice", "sequence", second.sequence, "machine", second.machine.Hostname)
	}
	return w
}

// enter writes a machine into the ledger and starts its life; an order that is lost has none.
func (s *Server) enter(w *worker, entry ledger.Order) {
	g := w.group
	price := s.datacenter.monthlyPrice(g.size.PricePerMonth)
	entry.GroupID, entry.GroupName, entry.SizeID, entry.SizeName = g.id, g.name, g.size.ID, g.size.Name
	entry.Datacenter, entry.PricePerMonth, entry.PricePerHour = s.datacenter.Code, price, ledger.HourlyPrice(price)
	entry.Identifier, entry.Hostname, entry.OrderedAt = w.machine.Identifier, w.machine.Hostname, w.ordered
	s.ledger.Accept(entry)
	if entry.State != ledger.Lost {
		s.workers = append(s.workers, w)
		s.nudge()
	}
}

// draw decides everything about the next machine from the seed and its sequence number.
func (s *Server) draw(g *group, now time.Time) *worker {
	sequence := s.ledger.Next()
	identifier := s.identifier("machine", strconv.Itoa(sequence))
	random := rand.New(rand.NewPCG(uint64(s.seed), uint64(sequence)))
	w := &worker{sequence: sequence, group: g, size: g.size, ordered: now}
	w.appears = now.Add(s.settings.visible.draw(random))
	w.addressed = w.appears.Add(s.settings.ip.draw(random))
	w.boots = w.addressed.Add(s.settings.boot.draw(random))
	w.machine = Machine{
		Identifier: identifier, Hostname: s.freeHostname(sequence),
		IP:     address(sequence),
		SizeID: g.size.ID, SizeName: g.size.Name, CPU: g.size.CPU, MemoryMB: g.size.RAMMB, DiskGB: g.size.DiskGB,
		DatacenterID: s.datacenter.Identifier, DatacenterCode: s.datacenter.Code,
	}
	w.shownHostname = w.machine.Hostname
	return w
}

// address is in 198.18.0.0/15, which is set aside for tests. The master has number 0.
func address(number int) string {
	number++
	return fmt.Sprintf("198.%d.%d.%d", 18+(number>>16)%2, (number>>8)%256, number%256)
}

func (r Range) draw(random *rand.Rand) time.Duration {
	return r.Min + time.Duration(random.Int64N(int64(r.Max-r.Min)+1))
}

// freeHostname tries one name after another: four hex digits repeat after a few hundred machines, and
// two machines must not be one node.
func (s *Server) freeHostname(sequence int) string {
	for try := 0; ; try++ {
		name := s.hostname("slave", s.identifier("hostname", strconv.Itoa(sequence), strconv.Itoa(try)))
		if !slices.ContainsFunc(s.workers, func(w *worker) bool { return w.machine.Hostname == name }) {
			return name
		}
	}
}

func (s *Server) hostname(role, identifier string) string {
	return fmt.Sprintf("%s-%s-%s", strings.ToLower(s.cluster.name), role, identifier[:4])
}

// spoil applies the faults that wait for this machine.
func (s *Server) spoil(w *worker, target fault.Target) []fault.Kind {
	var struck []fault.Kind
	if _, ok := s.strike(target, fault.NeverJoins); ok {
		struck = append(struck, fault.NeverJoins)
		w.neverJoins = true
	}
	if _, ok := s.strike(target, fault.UpperCaseHostname); ok {
		struck = append(struck, fault.UpperCaseHostname)
		w.shownHostname = strings.ToUpper(w.shownHostname)
	}
	if slow, ok := s.strike(target, fault.SlowAppear); ok {
		struck = append(struck, fault.SlowAppear)
		late := duration(slow.DelaySeconds)
		w.appears, w.addressed, w.boots = w.appears.Add(late), w.addressed.Add(late), w.boots.Add(late)
	}
	if again, ok := s.strike(target, fault.JoinsTwice); ok {
		struck = append(struck, fault.JoinsTwice)
		w.rejoins = w.boots.Add(duration(again.DelaySeconds))
	}
	if end, ok := s.strike(target, fault.Vanishes); ok {
		struck = append(struck, fault.Vanishes)
		w.gone = w.appears.Add(duration(end.DelaySeconds))
	}
	if balloon, ok := s.strike(target, fault.BalloonMemory); ok {
		struck = append(struck, fault.BalloonMemory)
		w.machine.MemoryMB = balloonedMemory(balloon.MemoryMB, w.size.RAMMB)
	}
	return struck
}

// balloonedMemory is what was asked for, or else a quarter of what was sold, from 1 to 2 GiB: what
// guests of shared plans have been seen to get.
func balloonedMemory(asked, sold int) int {
	if asked == 0 {
		asked = max(1024, min(2048, sold/4))
	}
	return min(asked, sold)
}

// settle brings the ledger up to the moment and forgets machines that are gone and have nothing to leave.
func (s *Server) settle(now time.Time) {
	for _, w := range s.workers {
		// It may have appeared and gone since anybody last looked.
		if !w.listed && !now.Before(w.appears) && (w.gone.IsZero() || w.appears.Before(w.gone)) {
			w.listed = true
			s.ledger.Appeared(w.sequence, w.appears)
		}
		if !w.left && w.isGone(now) {
			w.left = true
			s.ledger.Left(w.sequence, w.gone)
			s.log.Info("Machine gone", "machine", w.machine.Hostname, "sequence", w.sequence)
		}
	}
	s.workers = slices.DeleteFunc(s.workers, func(w *worker) bool { return w.left && w.joins == notJoined && !w.busy })
}
