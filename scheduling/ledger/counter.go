// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// nowhere is the domain of a node that lacks the topology's label.
const nowhere = -1

// ownSeat is the key of the topology in which every node is a domain. No label has it.
const ownSeat = ""

// topology tells which domain each node is in.
type topology struct {
	key    string
	values map[string]int32
	domain []int32 // by seat
}

func (l *Ledger) topology(key string) *topology {
	t, known := l.topologies[key]
	if !known {
		t = &topology{key: key, values: map[string]int32{}}
		l.topologies[key] = t
		for number, seat := range l.seats {
			t.add(seat.node, number)
		}
	}
	return t
}

func (t *topology) add(node *corev1.Node, number int) {
	value, has := node.Name, true
	if t.key != ownSeat {
		value, has = node.Labels[t.key]
	}
	domain := int32(nowhere)
	if has {
		var known bool
		if domain, known = t.values[value]; !known {
			domain = int32(len(t.values)) //nolint:gosec // a cluster has no two billion nodes
			t.values[value] = domain
		}
	}
	t.domain = append(t.domain[:number], domain)
}

// counter counts in each domain of a topology the pods that one constraint, or several equal ones, minds.
type counter struct {
	*topology
	counts []int32
	total  int64
	// minds says whether it counts pods of that shape.
	minds func(*snapshot.Shape) bool
	// spread, where the constraint is a topology spread.
	spread  *spread
	binding bool // of an affinity or a spread
}

// spread is what a topology spread knows beside the counts: the domains that count are those of nodes that the pod could go to.
type spread struct {
	eligible func(*corev1.Node) bool
	seats    []bool  // by seat: eligible
	present  []int32 // eligible nodes by domain
	domains  int     // with any
	levels   []int32 // by count: domains that have it
	lowest   int     // a lower bound of the least count
}

func (c *counter) addSeat(node *corev1.Node, number int) {
	domain := c.domain[number]
	for int(domain) >= len(c.counts) {
		c.counts = append(c.counts, 0)
		if c.spread != nil {
			c.spread.present = append(c.spread.present, 0)
		}
	}
	if c.spread == nil {
		return
	}
	s := c.spread
	eligible := domain != nowhere && s.eligible(node)
	s.seats = append(s.seats[:number], eligible)
	if !eligible {
		return
	}
	if s.present[domain]++; s.present[domain] == 1 {
		s.domains++
		s.level(c.counts[domain], 1)
	}
}

func (c *counter) removeSeat(number int) {
	if c.spread == nil || !c.spread.seats[number] {
		return
	}
	domain := c.domain[number]
	if c.spread.present[domain]--; c.spread.present[domain] == 0 {
		c.spread.domains--
		c.spread.level(c.counts[domain], -1)
	}
	c.spread.seats[number] = false
}

// count adds pods on a node.
func (c *counter) count(number int, pods int32) {
	domain := c.domain[number]
	if domain == nowhere {
		return
	}
	if s := c.spread; s != nil {
		if !s.seats[number] {
			return
		}
		s.level(c.counts[domain], -1)
		s.level(c.counts[domain]+pods, 1)
	}
	c.counts[domain] += pods
	c.total += int64(pods)
}

func (s *spread) level(count, by int32) {
	for int(count) >= len(s.levels) {
		s.levels = append(s.levels, 0)
	}
	s.levels[count] += by
	if by > 0 {
		s.lowest = min(s.lowest, int(count))
	}
}

// least returns the least count of any domain, or 0 where there are fewer domains than wanted.
func (s *spread) least(minDomains int32) int32 {
	if s.domains < int(minDomains) || s.domains == 0 {
		return 0
	}
	for s.levels[s.lowest] == 0 {
		s.lowest++
	}
	return int32(s.lowest) //nolint:gosec // it came from an int32
}

// at returns the count in the domain of a node.
func (c *counter) at(number int) int32 {
	if domain := c.domain[number]; domain != nowhere {
		return c.counts[domain]
	}
	return 0
}
