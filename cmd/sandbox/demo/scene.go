// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// scene is everything that the account speaks of, at one moment. Its lists are sorted by name.
type scene struct {
	At        time.Duration // since the shop was applied
	Pods      []pod
	Machines  []machine
	Nodes     []node
	Decisions []decision
	Books     ledger.Report
	// Hindrance is why the pool cannot be used; empty while it can.
	Hindrance string
}

// pod is one pod of the shop.
type pod struct {
	Name     string // namespace/name
	Workload string
	Kind     string // of the workload: Deployment, StatefulSet or DaemonSet
	CPU      int64  // requested, in thousandths of a core
	Memory   int64  // requested, in bytes
	Wishes   string // where it may run, in words
	Node     string
	Running  bool // and ready
	Machine  string
	// NotPlanned is why no machine would help it; empty when one is planned.
	NotPlanned string
	// Waiting is what kube-scheduler last said about it; empty once it is bound.
	Waiting string
}

// machine is one VPSieNode.
type machine struct {
	Name     string
	Offering string
	Price    float64 // per hour
	CPU      int64   // sold, in thousandths of a core
	Memory   int64   // sold, in bytes
	Pods     []string
	Why      string
	Phase    v1alpha1.VPSieNodePhase
	Host     string
	Node     string

	Ordered, Appeared, Joined, Registered, Ready, Leaving, Returned bool
	// Refusals are what VPSie said about offerings that it could not deliver.
	Refusals []string
	// Message is what it waits for, or why it failed.
	Message string
}

// node is one Node.
type node struct {
	Name    string
	Machine string
	CPU     int64 // allocatable, in thousandths of a core
	Memory  int64 // allocatable, in bytes
}

// decision is one Disruption.
type decision struct {
	Name    string
	Reason  v1alpha1.DisruptionReason
	Removes []string
	Savings float64 // per hour
	Phase   v1alpha1.DisruptionPhase
	Message string
}

const daemonSet = "DaemonSet"

// shopPods are the pods that were asked for by number. Those of a DaemonSet come and go with machines.
func (s scene) shopPods() []pod {
	return slices.DeleteFunc(slices.Clone(s.Pods), func(p pod) bool { return p.Kind == daemonSet })
}

func (s scene) daemonPods() []pod {
	return slices.DeleteFunc(slices.Clone(s.Pods), func(p pod) bool { return p.Kind != daemonSet })
}

// running counts the shop's pods that run.
func (s scene) running() int { return count(s.shopPods(), func(p pod) bool { return p.Running }) }

// readyMachines counts the machines on which pods may run.
func (s scene) readyMachines() int {
	return count(s.Machines, func(m machine) bool { return m.Phase == v1alpha1.PhaseReady })
}

func (s scene) machine(name string) (machine, bool) {
	return find(s.Machines, func(m machine) bool { return m.Name == name })
}

// price is what the VPSieNodes cost per hour.
func (s scene) price() float64 {
	total := 0.0
	for _, m := range s.Machines {
		total += m.Price
	}
	return total
}

// landed counts the pods that run on the machine that was planned for them, and those for which one was planned.
func (s scene) landed() (landed, planned int) {
	for _, p := range s.shopPods() {
		if p.Machine == "" {
			continue
		}
		planned++
		if m, ok := s.machine(p.Machine); ok && m.Node != "" && m.Node == p.Node {
			landed++
		}
	}
	return landed, planned
}

// spent adds up what the machines have cost as the account tells it of each: a bill of rounded items has the sum of them.
func (s scene) spent() float64 {
	total := 0.0
	for _, order := range s.Books.Orders {
		total += math.Round(order.Cost*moneyUnits) / moneyUnits
	}
	return total
}

// order is the entry of VPSie's books that a machine is.
func (s scene) order(host string) (ledger.Order, bool) {
	return find(s.Books.Orders, func(o ledger.Order) bool { return host != "" && strings.EqualFold(o.Hostname, host) })
}

// owned are the orders that are still paid for.
func owned(orders []ledger.Order) []ledger.Order {
	return slices.DeleteFunc(slices.Clone(orders), func(o ledger.Order) bool {
		return o.State == ledger.Gone || o.State == ledger.Lost
	})
}

func count[T any](all []T, is func(T) bool) int {
	n := 0
	for _, one := range all {
		if is(one) {
			n++
		}
	}
	return n
}

func find[T any](all []T, is func(T) bool) (found T, ok bool) {
	i := slices.IndexFunc(all, is)
	if i < 0 {
		return found, false
	}
	return all[i], true
}
