// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// outcome is what the demo ends with: the shop at its fullest and the scene after it closed.
type outcome struct {
	Wanted  int           // pods
	LastPod time.Duration // when all of them ran
	Plan    scene
	Full    scene
	End     scene
}

// summaryTable puts the whole account on one screen.
func summaryTable(o outcome) string {
	landed, planned := o.Full.landed()
	orders := o.End.Books.Orders
	joined := count(orders, func(order ledger.Order) bool { return !order.JoinedAt.IsZero() })
	gone := count(orders, func(order ledger.Order) bool { return order.State == ledger.Gone })
	w := newTable(table.Row{"summary", ""})
	w.AppendRows([]table.Row{
		{"pods", fmt.Sprintf("%d of %d ran", o.Full.running(), o.Wanted)},
		{"last pod running", fmt.Sprintf("%s after the shop was applied", seconds(o.LastPod))},
		{"on the planned machine", fmt.Sprintf("%d of %d pods", landed, planned)},
		{"machines", fmt.Sprintf("%d ordered, %d joined, %d released, %d still owned", len(orders), joined, gone, len(owned(orders)))},
		{"orders refused", len(o.End.Books.Refused)},
		{"price as planned", fmt.Sprintf("%s per hour, %s per month", money(o.Plan.price()), monthly(o.Plan.price()))},
		{"price while open", fmt.Sprintf("%s per hour, %s per month", money(o.Full.price()), monthly(o.Full.price()))},
		{"price now", money(o.End.Books.Spend.RatePerHour) + " per hour"},
		{"spent", money(o.End.spent())},
	})
	return render(w)
}

// verdict is nil when every pod ran and nothing is left that costs money; else it names everything that is wrong.
func verdict(o outcome) error {
	var wrong []error
	if ran := o.Full.running(); ran < o.Wanted || o.Wanted == 0 {
		wrong = append(wrong, fmt.Errorf("%d of %d pods ran%s", ran, o.Wanted, names(o.Full.idle(), podTrouble)))
	}
	if len(o.End.Books.Orders) == 0 {
		wrong = append(wrong, errors.New("no machine was ever ordered"))
	}
	for _, order := range owned(o.End.Books.Orders) {
		wrong = append(wrong, fmt.Errorf("VPSie's books still have machine %s (order %d, %s) as %s", order.Hostname, order.Sequence, order.SizeName, order.State))
	}
	for _, m := range o.End.Machines {
		wrong = append(wrong, fmt.Errorf("VPSieNode %s is still there: %s", m.Name, machineTrouble(m)))
	}
	return errors.Join(wrong...)
}

// idle are the shop's pods that do not run.
func (s scene) idle() []pod {
	var idle []pod
	for _, p := range s.shopPods() {
		if !p.Running {
			idle = append(idle, p)
		}
	}
	return idle
}

func podTrouble(p pod) string {
	if p.Node != "" {
		return fmt.Sprintf("%s is bound to %s and not ready", p.Name, p.Node)
	}
	return fmt.Sprintf("%s: %s", p.Name, cmp.Or(p.NotPlanned, p.Waiting, "kube-scheduler has not looked at it yet"))
}

func machineTrouble(m machine) string {
	return strings.Trim(fmt.Sprintf("%s, %s", cmp.Or(string(m.Phase), "Pending"), m.Message), ", ")
}

// names lists the first few of what is left, each with its trouble.
func names[T any](all []T, trouble func(T) string) string {
	const most = 5
	if len(all) == 0 {
		return ""
	}
	said := make([]string, 0, most+1)
	for _, one := range all[:min(most, len(all))] {
		said = append(said, trouble(one))
	}
	if len(all) > most {
		said = append(said, fmt.Sprintf("and %d more", len(all)-most))
	}
	return " (" + strings.Join(said, "; ") + ")"
}

// The following say what a chapter still waits for; empty when it is over.

func untilPods(wanted int) func(scene) string {
	return func(s scene) string {
		if have := len(s.shopPods()); have < wanted {
			return fmt.Sprintf("%d of %d pods exist", have, wanted)
		}
		return ""
	}
}

func untilPlanned(s scene) string {
	if waiting := s.unplanned(); len(waiting) > 0 {
		return fmt.Sprintf("%s with no plan%s", plural(len(waiting), "pod"), names(waiting, podTrouble))
	}
	if len(s.Machines) == 0 {
		return "no machine is planned" + names(s.idle(), podTrouble)
	}
	return ""
}

func untilRunning(wanted int) func(scene) string {
	return func(s scene) string {
		if running := s.running(); running < wanted {
			return fmt.Sprintf("%d of %d pods run%s", running, wanted, names(s.idle(), podTrouble))
		}
		for _, m := range s.Machines {
			if !m.Ready && !m.Leaving && m.Phase != v1alpha1.PhaseFailed {
				return fmt.Sprintf("machine %s: %s", m.Name, machineTrouble(m))
			}
		}
		for _, p := range s.daemonPods() {
			if !p.Running {
				return podTrouble(p)
			}
		}
		return ""
	}
}

func untilGone(s scene) string {
	var left []string
	if n := len(s.shopPods()); n > 0 {
		left = append(left, fmt.Sprintf("%s %s left", plural(n, "pod"), are(n)))
	}
	if n := len(s.Machines); n > 0 {
		left = append(left, fmt.Sprintf("%s %s left%s", plural(n, "VPSieNode"), are(n),
			names(s.Machines, func(m machine) string { return m.Name + ": " + machineTrouble(m) })))
	}
	if n := len(owned(s.Books.Orders)); n > 0 {
		left = append(left, fmt.Sprintf("%s %s left in VPSie's books", plural(n, "machine"), are(n)))
	}
	return strings.Join(left, "; ")
}

// waited is the error of a chapter that did not end in time.
func waited(patience time.Duration, missing, log string) error {
	return fmt.Errorf("gave up after %s: %s; the controller's log is %s", patience, missing, cmp.Or(log, "not written, as no controller runs"))
}
