// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// Constraint is what a class asks of the pods in its domain, for those who want to plan ahead.
type Constraint struct {
	Key     string // topology; Node: the node itself
	Members []int  // classes whose pods are counted, in ascending order
	Mutual  bool   // every member asks the same
	// MaxSkew and MinDomains are those of a spread. Self says whether a spread counts the pod itself, and whether the
	// pods of an affinity may be the first.
	MaxSkew, MinDomains int
	Self                bool

	counter *counter
}

// Node as a Constraint's Key makes every node a domain, as the label of the host name does.
const Node = ownSeat

// Count returns the pods counted in a domain that a label's value names, and whether the domain is one.
func (c Constraint) Count(value string) (pods int, exists bool) {
	domain, known := c.counter.values[value]
	if !known || int(domain) >= len(c.counter.counts) {
		return 0, false
	}
	exists = c.counter.spread == nil || c.counter.spread.present[domain] > 0
	return int(c.counter.counts[domain]), exists
}

// Total returns the pods counted in all domains.
func (c Constraint) Total() int { return int(c.counter.total) }

// Least returns the least count of a spread's domains, and how many there are.
func (c Constraint) Least() (pods, domains int) {
	return int(c.counter.spread.least(int32(c.MinDomains))), c.counter.spread.domains //nolint:gosec // it came from an int32
}

// Includes says whether a spread counts the domain of such a node.
func (c Constraint) Includes(node *corev1.Node) bool { return c.counter.spread.eligible(node) }

// Equal says whether two constraints count the same.
func (c Constraint) Equal(other Constraint) bool { return c.counter == other.counter }

// Apart returns the constraints that admit no pod of their members beside one of the class.
func (l *Ledger) Apart(class int) []Constraint {
	var all []Constraint
	for _, counter := range l.rules[class].apart {
		if !slices.ContainsFunc(all, func(c Constraint) bool { return c.counter == counter }) {
			all = append(all, l.constraint(counter))
		}
	}
	return all
}

// Near returns the terms of the class's affinity.
func (l *Ledger) Near(class int) []Constraint {
	var all []Constraint
	for _, counter := range l.rules[class].near {
		c := l.constraint(counter)
		c.Self = l.rules[class].alone
		all = append(all, c)
	}
	return all
}

// MayFall says whether a pod of the class may come to be where it would not be admitted any more: only what a spread or an affinity
// admits can others make impossible by where they go.
func (l *Ledger) MayFall(class int) bool {
	return len(l.rules[class].spreads) > 0 || len(l.rules[class].near) > 0
}

// Spreads returns the strict topology spreads of the class.
func (l *Ledger) Spreads(class int) []Constraint {
	var all []Constraint
	for i := range l.rules[class].spreads {
		s := &l.rules[class].spreads[i]
		c := l.constraint(s.counter)
		// A spread without a selector admits a pod as if it counted it, and counts none.
		c.MaxSkew, c.MinDomains, c.Self = int(s.maxSkew), int(s.minDomains), s.self == 1 && slices.Contains(c.Members, class)
		all = append(all, c)
	}
	return all
}

// Minds says whether any constraint between pods that concerns the class counts pods of the shape.
func (l *Ledger) Minds(class int, shape *snapshot.Shape) bool {
	rule := l.rules[class]
	if !rule.related() {
		return false
	}
	fed := l.fed(shape)
	return slices.ContainsFunc(rule.near, func(c *counter) bool { return slices.Contains(fed, c) }) ||
		slices.ContainsFunc(rule.apart, func(c *counter) bool { return slices.Contains(fed, c) }) ||
		slices.ContainsFunc(rule.spreads, func(s spreading) bool { return slices.Contains(fed, s.counter) })
}

// Minded says whether an affinity or a spread of some class counts pods of this class: moving one may break a promise to another.
func (l *Ledger) Minded(class int) bool {
	return slices.ContainsFunc(l.rules[class].feeds, func(c *counter) bool { return c.binding })
}

func (l *Ledger) constraint(counter *counter) Constraint {
	c := Constraint{Key: counter.key, counter: counter, Mutual: true}
	for class, rule := range l.rules {
		if slices.Contains(rule.feeds, counter) {
			c.Members = append(c.Members, class)
			c.Mutual = c.Mutual && slices.Contains(rule.apart, counter)
		}
	}
	return c
}

// Outlook is where a node that is not there yet would be.
type Outlook struct {
	domains map[*topology]int32
	feeds   []*counter
}

// Outlook returns where a node like that would be.
func (l *Ledger) Outlook(node *corev1.Node, template *Template) Outlook {
	o := Outlook{domains: make(map[*topology]int32, len(l.topologies)), feeds: template.feeds}
	for _, t := range l.topologies {
		o.domains[t] = nowhere
		if value, has := node.Labels[t.key]; has {
			if domain, known := t.values[value]; known {
				o.domains[t] = domain
			}
		}
	}
	return o
}

func (o Outlook) at(c *counter) int32 {
	count := int32(0)
	if domain := o.domains[c.topology]; domain != nowhere && int(domain) < len(c.counts) {
		count = c.counts[domain]
	}
	for _, fed := range o.feeds {
		if fed == c {
			count++
		}
	}
	return count
}

// Barred says whether pods that are counted now keep the class off such a node for as long as they stay.
func (l *Ledger) Barred(class int, o Outlook) bool {
	return slices.ContainsFunc(l.rules[class].apart, func(c *counter) bool { return o.at(c) > 0 })
}

// Lonely says whether the class's affinity refuses such a node as things are.
func (l *Ledger) Lonely(class int, o Outlook) bool {
	rule := l.rules[class]
	total := int64(0)
	for _, c := range rule.near {
		total += c.total
	}
	if rule.alone && total == 0 {
		return false
	}
	return slices.ContainsFunc(rule.near, func(c *counter) bool { return o.at(c) == 0 })
}

// Topologies returns the labels that some constraint reads.
func (l *Ledger) Topologies() []string {
	var keys []string
	for key := range l.topologies {
		if key != ownSeat {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
