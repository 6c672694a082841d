// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// line is one thing that happened.
type line struct {
	At      time.Duration
	Subject string // the object that it happened to
	Text    string
	Colour  colour
	Planned bool // it only says that a machine is wanted
}

// milestone is a point in the life of a machine. A glance that comes too late to see one state still tells of it, because
// every later state implies it.
type milestone struct {
	reached func(machine) bool
	text    func(machine) string
	colour  colour
	// merges says that the next milestone tells of this one too when one glance sees both.
	merges bool
}

// milestones are in the order of life.
func milestones() []milestone {
	return []milestone{
		{reached: func(m machine) bool { return m.Ordered }, text: func(m machine) string {
			return fmt.Sprintf("VPSie accepted the order: %s at %s per hour", m.Offering, money(m.Price))
		}},
		{reached: func(m machine) bool { return m.Appeared }, text: func(m machine) string { return "appeared at VPSie as host " + m.Host }},
		{reached: func(m machine) bool { return m.Joined }, text: func(m machine) string { return "joined the cluster as node " + m.Host }, merges: true},
		{reached: func(m machine) bool { return m.Registered }, text: func(m machine) string {
			return fmt.Sprintf("node %s has its labels and taints", m.Host)
		}},
		{reached: func(m machine) bool { return m.Ready }, text: func(machine) string { return "is ready for pods" }, colour: green},
		{reached: func(m machine) bool { return m.Leaving }, text: func(machine) string { return "is being drained" }, merges: true},
		{reached: func(m machine) bool { return m.Returned }, text: func(machine) string { return "is given back to VPSie" }},
	}
}

// changes tells what happened between two glances: decisions first, then machines, then what VPSie refused and what
// nothing could be done for.
func changes(before, now scene) []line {
	lines := decisionChanges(before, now)
	lines = append(lines, machineChanges(before, now)...)
	for _, refusal := range now.Books.Refused[min(len(before.Books.Refused), len(now.Books.Refused)):] {
		lines = append(lines, line{Subject: "VPSie", Text: "refused an order: " + refusal.Message, Colour: red})
	}
	lines = append(lines, helpless(before, now)...)
	if now.Hindrance != "" && now.Hindrance != before.Hindrance {
		lines = append(lines, line{Subject: "node group", Text: now.Hindrance, Colour: red})
	}
	for i := range lines {
		lines[i].At = now.At
	}
	return lines
}

func machineChanges(before, now scene) []line {
	var lines []line
	for _, m := range now.Machines {
		old, known := before.machine(m.Name)
		if !known {
			lines = append(lines, line{Subject: m.Name, Text: "is wanted: " + cmp.Or(m.Why, m.Offering), Planned: true})
		}
		for _, refusal := range m.Refusals[min(len(old.Refusals), len(m.Refusals)):] {
			lines = append(lines, line{Subject: m.Name, Text: "VPSie cannot deliver it: " + refusal, Colour: red})
		}
		lines = append(lines, passed(old, m)...)
		if m.Phase == v1alpha1.PhaseFailed && old.Phase != v1alpha1.PhaseFailed {
			lines = append(lines, line{Subject: m.Name, Text: "failed: " + m.Message, Colour: red})
		}
	}
	for _, m := range before.Machines {
		if _, still := now.machine(m.Name); still {
			continue
		}
		text, c := "is gone; no machine was ever bought for it", plain
		if order, ok := now.order(m.Host); ok && order.State == ledger.Gone {
			text, c = "is gone from VPSie; it cost "+money(order.Cost), green
		} else if ok {
			text, c = fmt.Sprintf("is gone from the cluster, but not from VPSie's books: they say %s", order.State), red
		}
		lines = append(lines, line{Subject: m.Name, Text: text, Colour: c})
	}
	return lines
}

// passed tells which milestones a machine has passed.
func passed(old, m machine) []line {
	var lines []line
	stones := milestones()
	is := func(i int) bool { return stones[i].reached(m) && !stones[i].reached(old) }
	for i, stone := range stones {
		if is(i) && (!stone.merges || !is(i+1)) {
			lines = append(lines, line{Subject: m.Name, Text: stone.text(m), Colour: stone.colour})
		}
	}
	return lines
}

// helpless tells which pods no machine would help, in one line for all of a workload that have the same reason.
func helpless(before, now scene) []line {
	var lines []line
	type cause struct{ workload, reason string }
	pods := map[cause]int{}
	var causes []cause
	for _, p := range now.Pods {
		old, _ := find(before.Pods, func(o pod) bool { return o.Name == p.Name })
		if p.NotPlanned == "" || p.NotPlanned == old.NotPlanned {
			continue
		}
		c := cause{p.Workload, p.NotPlanned}
		if pods[c] == 0 {
			causes = append(causes, c)
		}
		pods[c]++
	}
	for _, c := range causes {
		lines = append(lines, line{Subject: c.workload, Text: fmt.Sprintf("no machine is planned for %s: %s", plural(pods[c], "pod"), c.reason), Colour: red})
	}
	return lines
}

// decisionChanges tells of decisions when they are made, and of those that end badly. Those that end well are told by their machines.
func decisionChanges(before, now scene) []line {
	var lines []line
	for _, d := range now.Decisions {
		old, known := find(before.Decisions, func(o decision) bool { return o.Name == d.Name })
		what := "remove " + strings.Join(d.Removes, ", ")
		if !known {
			lines = append(lines, line{Subject: "disruption", Text: fmt.Sprintf("%s: %s, saves %s per hour", what, d.Reason, money(d.Savings))})
		}
		if d.Phase != old.Phase && d.Phase.Finished() && d.Phase != v1alpha1.DisruptionSucceeded {
			lines = append(lines, line{Subject: "disruption", Text: fmt.Sprintf("%s: %s: %s", what, d.Phase, d.Message), Colour: red})
		}
	}
	return lines
}

// status sums a scene up. The key is the part of it that is worth a new line: what was spent grows with every second.
type status struct{ key, text string }

// opening is the status while the shop starts.
func opening(wanted int) func(scene) status {
	return func(s scene) status {
		text := fmt.Sprintf("%d of %d pods run, %d of %s ready; VPSie charges %s per hour",
			s.running(), wanted, s.readyMachines(), plural(len(s.Machines), "machine"), money(s.Books.Spend.RatePerHour))
		return status{text, fmt.Sprintf("%s, %s so far", text, money(s.spent()))}
	}
}

// closing is the status while the shop closes.
func closing(s scene) status {
	text := fmt.Sprintf("%s left, %s left; VPSie charges %s per hour",
		plural(len(s.shopPods()), "pod"), plural(len(s.Machines), "machine"), money(s.Books.Spend.RatePerHour))
	return status{text, fmt.Sprintf("%s, %s so far", text, money(s.spent()))}
}

// unplanned are the pods that nobody has planned for yet.
func (s scene) unplanned() []pod {
	return slices.DeleteFunc(s.shopPods(), func(p pod) bool { return p.Machine != "" || p.NotPlanned != "" || p.Node != "" })
}
