// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"strings"
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

func TestVerdictPassesOnlyWhenNothingIsLeft(t *testing.T) {
	if err := verdict(outcome{Wanted: 3, Full: full(), End: closed()}); err != nil {
		t.Fatalf("a good end is called bad: %v", err)
	}
	for name, test := range map[string]struct {
		spoil func(*outcome)
		want  string
	}{
		"a pod did not run": {
			func(o *outcome) { o.Full.Pods[3].Running, o.Full.Pods[3].Node = false, "" },
			"2 of 3 pods ran (shop/search-2: kube-scheduler has not looked at it yet)",
		},
		"a pod was missing":                             {func(o *outcome) { o.Wanted = 4 }, "3 of 4 pods ran"},
		"a pod of a DaemonSet is not one of the shop's": {func(o *outcome) { o.Full.Pods[0].Kind = daemonSet }, "2 of 3 pods ran"},
		"nothing was asked for":                         {func(o *outcome) { o.Wanted = 0 }, "of 0 pods ran"},
		"nothing was bought":                            {func(o *outcome) { o.End.Books.Orders = nil }, "no machine was ever ordered"},
		"a machine was never deleted":                   {func(o *outcome) { o.End.Books.Orders[1].State = ledger.Joined }, "VPSie's books still have machine w1 (order 2, Starter) as joined"},
		"a machine is being deleted":                    {func(o *outcome) { o.End.Books.Orders[0].State = ledger.Deleting }, "machine w2 (order 1, Memory-S) as deleting"},
		"a VPSieNode is left": {
			func(o *outcome) {
				o.End.Machines = []machine{{Name: "general-aa", Phase: v1alpha1.PhaseFailed, Message: "it never joined"}}
			},
			"VPSieNode general-aa is still there: Failed, it never joined",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := outcome{Wanted: 3, Full: full(), End: closed()}
			test.spoil(&o)
			err := verdict(o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestVerdictNamesEverythingThatIsWrong(t *testing.T) {
	o := outcome{Wanted: 4, Full: full(), End: full()}
	err := verdict(o)
	for _, want := range []string{"3 of 4 pods ran", "machine w1", "machine w2", "VPSieNode general-aa", "VPSieNode general-zz"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}

func TestAnOrderThatNeverBecameAMachineIsNotOwned(t *testing.T) {
	o := outcome{Wanted: 3, Full: full(), End: closed()}
	o.End.Books.Orders[0].State = ledger.Lost
	if err := verdict(o); err != nil {
		t.Error(err)
	}
}

func TestAChapterGoesOnUntilEverythingIsThere(t *testing.T) {
	for name, test := range map[string]struct {
		missing func(scene) string
		spoil   func(*scene)
		want    string
	}{
		"everything exists":                      {untilPods(3), func(*scene) {}, ""},
		"a pod is not created":                   {untilPods(4), func(*scene) {}, "3 of 4 pods exist"},
		"everything is planned":                  {untilPlanned, func(*scene) {}, ""},
		"a pod has no plan":                      {untilPlanned, func(s *scene) { s.Pods[0].Machine, s.Pods[0].Node, s.Pods[0].Waiting = "", "", "no nodes" }, "1 pod with no plan (shop/cart-1: no nodes)"},
		"a pod is beyond help":                   {untilPlanned, func(s *scene) { s.Pods[0].Machine, s.Pods[0].Node, s.Pods[0].NotPlanned = "", "", "too large" }, ""},
		"plans without any machine":              {untilPlanned, func(s *scene) { s.Machines = nil }, "no machine is planned"},
		"everything runs":                        {untilRunning(3), func(*scene) {}, "machine general-aa: Ready"},
		"everything runs and is ready":           {untilRunning(3), func(s *scene) { s.Machines[0].Ready, s.Machines[1].Leaving = true, true }, ""},
		"nobody waits for a machine that failed": {untilRunning(3), func(s *scene) { s.Machines[0].Ready, s.Machines[1].Phase = true, v1alpha1.PhaseFailed }, ""},
		"a pod does not run":                     {untilRunning(3), func(s *scene) { s.Pods[0].Running = false }, "2 of 3 pods run (shop/cart-1 is bound to w2 and not ready)"},
		"a DaemonSet's pod does not run": {untilRunning(3), func(s *scene) {
			s.Machines[0].Ready, s.Machines[1].Ready, s.Pods[1].Running = true, true, false
		}, "shop/logs-1 is bound to w1 and not ready"},
		"nothing is left":         {untilGone, func(s *scene) { *s = closed() }, ""},
		"only the books have it":  {untilGone, func(s *scene) { *s = closed(); s.Books.Orders[0].State = ledger.Joined }, "1 machine is left in VPSie's books"},
		"only the object is left": {untilGone, func(s *scene) { *s = closed(); s.Machines = []machine{{Name: "m", Message: "draining"}} }, "1 VPSieNode is left (m: Pending, draining)"},
		"only pods are left":      {untilGone, func(s *scene) { *s = closed(); s.Pods = full().Pods }, "3 pods are left"},
	} {
		t.Run(name, func(t *testing.T) {
			s := full()
			test.spoil(&s)
			if got := test.missing(s); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestOnlyTheFirstTroublesAreNamed(t *testing.T) {
	got := names([]string{"a", "b", "c", "d", "e", "f", "g"}, func(s string) string { return s })
	if got != " (a; b; c; d; e; and 2 more)" {
		t.Errorf("got %q", got)
	}
}

// Five machines at 0.00116 are told as $0.0012 each, so that their sum must not be told as $0.0058.
func TestTheSumSpentIsThatOfTheCostsThatAreTold(t *testing.T) {
	s := scene{Books: ledger.Report{Spend: ledger.Spend{Spent: 0.0058}}}
	for range 5 {
		s.Books.Orders = append(s.Books.Orders, ledger.Order{State: ledger.Gone, Cost: 0.00116})
	}
	for name, text := range map[string]string{"summary": summaryTable(outcome{End: s}), "status": closing(s).text} {
		if !strings.Contains(text, "$0.0060") {
			t.Errorf("the %s does not say $0.0060: %s", name, text)
		}
	}
}
