// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"testing"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

const gibi = int64(1) << 30

// full is a shop at its fullest. Names sort against prices; one pod runs elsewhere than planned.
func full() scene {
	joined := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return scene{
		At: 21400 * time.Millisecond,
		Pods: []pod{
			{Name: "shop/cart-1", Workload: "cart", CPU: 250, Memory: gibi / 4, Node: "w2", Machine: "general-aa", Running: true},
			{Name: "shop/logs-1", Workload: "logs", Kind: daemonSet, CPU: 50, Memory: gibi / 8, Node: "w1", Running: true},
			{Name: "shop/search-1", Workload: "search", CPU: 750, Memory: 6 * gibi, Node: "w2", Machine: "general-zz", Running: true, Wishes: "only where memory > 12 GiB"},
			{Name: "shop/search-2", Workload: "search", CPU: 750, Memory: 6 * gibi, Node: "w2", Machine: "general-zz", Running: true, Wishes: "only where memory > 12 GiB"},
		},
		Machines: []machine{
			{Name: "general-aa", Offering: "Starter", Price: 0.033333333, CPU: 2000, Memory: 4 * gibi, Node: "w1", Phase: v1alpha1.PhaseReady, Why: "nothing cheaper holds shop/cart-1"},
			{Name: "general-zz", Offering: "Memory-S", Price: 0.111111111, CPU: 2000, Memory: 16 * gibi, Node: "w2", Phase: v1alpha1.PhaseReady, Why: "it holds both pods of search at $0.1111 per hour; " +
				"the next size that would do is Advanced at $0.1333 per hour, and two of anything smaller have too little memory for one of them"},
		},
		Nodes: []node{
			{Name: "w1", Machine: "general-aa", CPU: 1900, Memory: 15 * gibi / 4},
			{Name: "w2", Machine: "general-zz", CPU: 1900, Memory: 63 * gibi / 4},
		},
		Books: ledger.Report{
			Spend: ledger.Spend{Spent: 0.0021, RatePerHour: 0.144444},
			Orders: []ledger.Order{
				{Sequence: 1, Hostname: "w2", SizeName: "Memory-S", State: ledger.Joined, JoinedAt: joined},
				{Sequence: 2, Hostname: "w1", SizeName: "Starter", State: ledger.Joined, JoinedAt: joined},
			},
		},
	}
}

// closed is the same shop after it closed.
func closed() scene {
	s := full()
	s.Pods, s.Machines, s.Nodes = nil, nil, nil
	s.Books.Spend = ledger.Spend{Spent: 0.0043} // 0.00428, of which the account tells 0.0015 and 0.0027
	for i, cost := range []float64{0.00154, 0.00274} {
		s.Books.Orders[i].State, s.Books.Orders[i].Cost = ledger.Gone, cost
	}
	return s
}

func TestTables(t *testing.T) {
	s := full()
	for name, text := range map[string]string{
		"workloads.golden": workloadTable(s.shopPods()),
		"plan.golden":      planTable(s) + "\n" + reasons(s),
		"nodes.golden":     nodeTable(s),
		"summary.golden":   summaryTable(outcome{Wanted: 3, LastPod: s.At, Plan: s, Full: s, End: closed()}),
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, text+"\n") })
	}
}

func TestMachinesWithOneReasonAreNamedTogether(t *testing.T) {
	s := scene{Machines: []machine{{Name: "a", Why: "x", Price: 1}, {Name: "b", Why: "y", Price: 2}, {Name: "c", Why: "x", Price: 1}, {Name: "d"}}}
	if got, want := reasons(s), "  b\n    y\n  a, c\n    x\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAMachineWithoutANodeHasNoRow(t *testing.T) {
	s := full()
	s.Nodes = s.Nodes[:1]
	golden(t, "node-missing.golden", nodeTable(s)+"\n")
}

func TestAmountsAreWrittenAsPeopleSayThem(t *testing.T) {
	for got, want := range map[string]string{
		cores(250): "0.25", cores(4000): "4", cores(1900): "1.9",
		bytesText(384 << 20): "384 MiB", bytesText(gibi): "1 GiB", bytesText(5 * gibi / 4): "1.25 GiB", bytesText(64 * gibi): "64 GiB",
		money(0.033333333): "$0.0333", monthly(0.033333333): "$24.00",
		plural(1, "pod"): "1 pod", plural(0, "pod"): "0 pods", share(1, 3): "33%", share(1, 0): "-",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
