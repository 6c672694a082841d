// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// Machine is a machine as those see it who play its kubelet.
type Machine struct {
	ID string
	// Hostname is in lower case, as node names are, whatever VPSie shows.
	Hostname string
	IP       string // empty until it has one
	Offering string
	Origin   ledger.Origin
	CPUMilli int64
	// MemoryMiB is what the guest sees, less than was sold if the memory balloons.
	MemoryMiB int64
	DiskGiB   int64
	// Joins is how often its kubelet has joined the cluster. With each, its Node comes anew: without the labels and taints
	// that somebody put on the one before.
	Joins    int
	Deleting bool
}

// machine is a Machine with its whole life, which is drawn when it is ordered.
type machine struct {
	Machine

	sequence      int
	size          size
	shownHostname string

	appears, addressed, boots time.Time
	rejoins                   time.Time // zero: never
	neverJoins                bool
	gone                      time.Time // zero until its end is decided

	listed, joined bool // the ledger knows
}

func (m *machine) isGone(now time.Time) bool  { return !m.gone.IsZero() && !now.Before(m.gone) }
func (m *machine) visible(now time.Time) bool { return !now.Before(m.appears) && !m.isGone(now) }

func (m *machine) seen(now time.Time) Machine {
	seen := m.Machine
	if now.Before(m.addressed) {
		seen.IP = ""
	}
	if !m.neverJoins && !now.Before(m.boots) {
		seen.Joins = 1
		if !m.rejoins.IsZero() && !now.Before(m.rejoins) {
			seen.Joins = 2
		}
	}
	return seen
}

// Machines returns those that exist, oldest first, whether VPSie lists them yet or not. One that was in it before and is
// not any more has gone: its Node's kubelet says nothing from then on.
func (c *Cloud) Machines() []Machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.settle()
	machines := make([]Machine, 0, len(c.machines))
	for _, m := range c.machines {
		machines = append(machines, m.seen(now))
	}
	return machines
}

// draw decides everything about the next machine from the seed and its sequence number.
func (c *Cloud) draw(s size, now time.Time) *machine {
	sequence := c.ledger.Next()
	random := rand.New(rand.NewPCG(uint64(c.options.Seed), uint64(sequence)))
	// Identifiers sort neither by age nor by size.
	id := fmt.Sprintf("%08x-%04x", random.Uint32(), sequence)
	hostname := fmt.Sprintf("memory-slave-%06x", sequence^random.IntN(1<<8)<<16)
	m := &machine{
		Machine: Machine{
			ID: id, Hostname: hostname, IP: fmt.Sprintf("198.18.%d.%d", sequence>>8%256, sequence%256), Offering: s.offering.ID,
			CPUMilli: s.offering.CPUMilli, MemoryMiB: s.offering.MemoryMiB, DiskGiB: s.offering.DiskGiB,
		},
		sequence: sequence, size: s, shownHostname: hostname,
	}
	m.appears = now.Add(c.options.VisibleDelay.draw(random))
	m.addressed = m.appears.Add(c.options.IPDelay.draw(random))
	m.boots = m.addressed.Add(c.options.BootDelay.draw(random))
	return m
}

func (r Range) draw(random *rand.Rand) time.Duration {
	return r.Min + time.Duration(random.Int64N(int64(r.Max-r.Min)+1))
}

// spoil applies the faults that wait for this machine, and returns them.
func (c *Cloud) spoil(m *machine, target fault.Target) (struck []fault.Kind) {
	strike := func(kind fault.Kind, do func(fault.Fault)) {
		if f, ok := c.faults.Take(target, kind); ok {
			struck = append(struck, kind)
			do(f)
		}
	}
	strike(fault.SlowAppear, func(f fault.Fault) {
		m.appears, m.addressed, m.boots = m.appears.Add(wait(f)), m.addressed.Add(wait(f)), m.boots.Add(wait(f))
	})
	strike(fault.NeverJoins, func(fault.Fault) { m.neverJoins = true })
	strike(fault.JoinsTwice, func(f fault.Fault) { m.rejoins = m.boots.Add(wait(f)) })
	strike(fault.Vanishes, func(f fault.Fault) { m.gone = m.appears.Add(wait(f)) })
	strike(fault.UpperCaseHostname, func(fault.Fault) { m.shownHostname = strings.ToUpper(m.shownHostname) })
	strike(fault.BalloonMemory, func(f fault.Fault) {
		visible := int64(f.MemoryMB)
		if visible == 0 {
			visible = max(1024, min(2048, m.MemoryMiB/4)) // what guests of shared plans have been seen to get
		}
		m.MemoryMiB = min(visible, m.MemoryMiB)
	})
	return struck
}

func wait(f fault.Fault) time.Duration { return time.Duration(f.DelaySeconds * float64(time.Second)) }

// enter writes the machine, or the order that never becomes one, into the ledger.
func (c *Cloud) enter(m *machine, entry ledger.Order, now time.Time) {
	offering := m.size.offering
	perMonth := offering.Price.Float() * ledger.HoursPerMonth
	entry.Call = fault.AddSlaveToGroup
	entry.GroupID, entry.GroupName = m.size.id, "group-"+offering.ID
	entry.SizeID, entry.SizeName, entry.Datacenter = m.size.id, offering.Name, offering.Datacenter
	entry.PricePerMonth, entry.PricePerHour = ledger.Round(perMonth), ledger.HourlyPrice(perMonth)
	entry.Identifier, entry.Hostname, entry.OrderedAt = m.ID, m.Hostname, now
	c.ledger.Accept(entry)
	if entry.State == ledger.Lost {
		return
	}
	m.Origin = entry.Origin
	if m.Origin == "" {
		m.Origin = ledger.Ours
	}
	c.machines = append(c.machines, m)
}

// settle brings the ledger up to the moment, which it returns, and forgets machines that are gone.
func (c *Cloud) settle() time.Time {
	now := c.options.Clock.Now()
	for _, m := range c.machines {
		// It may have appeared and gone since anybody last looked.
		ended := func(at time.Time) bool { return !m.gone.IsZero() && !at.Before(m.gone) }
		if !m.listed && !now.Before(m.appears) && !ended(m.appears) {
			m.listed = true
			c.ledger.Appeared(m.sequence, m.appears)
		}
		if !m.joined && !m.neverJoins && !now.Before(m.boots) && !ended(m.boots) {
			m.joined = true
			c.ledger.Joined(m.sequence, m.boots)
		}
		if m.isGone(now) {
			c.ledger.Left(m.sequence, m.gone)
		}
	}
	c.machines = slices.DeleteFunc(c.machines, func(m *machine) bool { return m.isGone(now) })
	return now
}

// find returns the machine that VPSie lists under the identifier, nil if there is none.
func (c *Cloud) find(id string, now time.Time) *machine {
	for _, m := range c.machines {
		if m.ID == id && m.visible(now) {
			return m
		}
	}
	return nil
}

func (c *Cloud) instance(m *machine, now time.Time) cloudprovider.Instance {
	seen := m.seen(now)
	return cloudprovider.Instance{
		ID: seen.ID, Hostname: strings.ToLower(m.shownHostname), IP: seen.IP, OfferingIDs: c.candidates(m.size), Deleting: seen.Deleting,
	}
}
