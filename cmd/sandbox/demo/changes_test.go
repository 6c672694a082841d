// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

func texts(lines []line) []string {
	var all []string
	for _, l := range lines {
		all = append(all, l.Subject+": "+l.Text)
	}
	return all
}

func TestChanges(t *testing.T) {
	ready := machine{
		Name: "b", Offering: "Starter", Price: 0.033333, Phase: v1alpha1.PhaseReady, Host: "h1", Node: "h1",
		Ordered: true, Appeared: true, Joined: true, Registered: true, Ready: true,
	}
	leaving := ready
	leaving.Leaving, leaving.Phase = true, v1alpha1.PhaseTerminating
	returned := leaving
	returned.Returned = true
	failed := machine{Name: "b", Phase: v1alpha1.PhaseFailed, Message: "it never joined", Refusals: []string{"no stock of Starter"}}
	gone := []ledger.Order{{Hostname: "H1", State: ledger.Gone, Cost: 0.0012}}
	for name, test := range map[string]struct {
		before, now scene
		want        []string
	}{
		"nothing happens twice": {scene{Machines: []machine{ready}}, scene{Machines: []machine{ready}}, nil},
		"a machine that is new says why": {
			scene{}, scene{Machines: []machine{{Name: "b", Offering: "Starter", Why: "nothing else fits"}, {Name: "c", Offering: "Micro"}}},
			[]string{"b: is wanted: nothing else fits", "c: is wanted: Micro"},
		},
		"a glance that comes late still tells every step, in the order of life": {
			scene{}, scene{Machines: []machine{ready}},
			[]string{
				"b: is wanted: Starter", "b: VPSie accepted the order: Starter at $0.0333 per hour", "b: appeared at VPSie as host h1",
				"b: node h1 has its labels and taints", "b: is ready for pods",
			},
		},
		"only the new steps are told":            {scene{Machines: []machine{ready}}, scene{Machines: []machine{leaving}}, []string{"b: is being drained"}},
		"steps of one glance are one line":       {scene{Machines: []machine{ready}}, scene{Machines: []machine{returned}}, []string{"b: is given back to VPSie"}},
		"a step that was told is not told again": {scene{Machines: []machine{leaving}}, scene{Machines: []machine{returned}}, []string{"b: is given back to VPSie"}},
		"a machine that only joined": {
			scene{Machines: []machine{{Name: "b"}}}, scene{Machines: []machine{{Name: "b", Joined: true, Host: "h1"}}}, []string{"b: joined the cluster as node h1"},
		},
		"a refusal and a failure say why": {
			scene{Machines: []machine{{Name: "b"}}}, scene{Machines: []machine{failed}},
			[]string{"b: VPSie cannot deliver it: no stock of Starter", "b: failed: it never joined"},
		},
		"a failure is told once": {scene{Machines: []machine{failed}}, scene{Machines: []machine{failed}}, nil},
		"a machine that is gone has its price": {
			scene{Machines: []machine{leaving}}, scene{Books: ledger.Report{Orders: gone}},
			[]string{"b: is gone from VPSie; it cost $0.0012"},
		},
		"a machine that VPSie still has is not called gone": {
			scene{Machines: []machine{leaving}}, scene{Books: ledger.Report{Orders: []ledger.Order{{Hostname: "h1", State: ledger.Joined}}}},
			[]string{"b: is gone from the cluster, but not from VPSie's books: they say joined"},
		},
		"a machine that was never bought has no price": {
			scene{Machines: []machine{{Name: "b"}}}, scene{Books: ledger.Report{Orders: []ledger.Order{{State: ledger.Gone}}}},
			[]string{"b: is gone; no machine was ever bought for it"},
		},
		"a decision is told when it is made, and when it ends badly": {
			scene{Decisions: []decision{{Name: "d1", Phase: v1alpha1.DisruptionDraining}, {Name: "d2", Phase: v1alpha1.DisruptionApproved}}},
			scene{Decisions: []decision{
				{Name: "d1", Phase: v1alpha1.DisruptionSucceeded},
				{Name: "d2", Phase: v1alpha1.DisruptionRejected, Removes: []string{"c"}, Message: "a pod came"},
				{Name: "d3", Phase: v1alpha1.DisruptionProposed, Reason: v1alpha1.ReasonEmpty, Removes: []string{"a", "b"}, Savings: 0.1},
			}},
			[]string{"disruption: remove c: Rejected: a pod came", "disruption: remove a, b: Empty, saves $0.1000 per hour"},
		},
		"what VPSie refused is told once": {
			scene{Books: ledger.Report{Refused: []ledger.Refusal{{Message: "quota"}}}},
			scene{Books: ledger.Report{Refused: []ledger.Refusal{{Message: "quota"}, {Message: "no stock"}}}},
			[]string{"VPSie: refused an order: no stock"},
		},
		"pods without help are told by workload and reason, and again when the reason changes": {
			scene{Pods: []pod{{Name: "s/a1", Workload: "a", NotPlanned: "one"}, {Name: "s/b", Workload: "b", NotPlanned: "same"}}},
			scene{Pods: []pod{
				{Name: "s/a1", Workload: "a", NotPlanned: "two"}, {Name: "s/a2", Workload: "a", NotPlanned: "two"},
				{Name: "s/a3", Workload: "a", NotPlanned: "three"}, {Name: "s/b", Workload: "b", NotPlanned: "same"},
			}},
			[]string{"a: no machine is planned for 2 pods: two", "a: no machine is planned for 1 pod: three"},
		},
		"what stops the pool is told": {
			scene{}, scene{Hindrance: "general is not CloudReady: bad token"}, []string{"node group: general is not CloudReady: bad token"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, texts(changes(test.before, test.now))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestChangesCarryTheTimeOfTheirScene(t *testing.T) {
	lines := changes(scene{At: time.Second}, scene{At: 3 * time.Second, Hindrance: "x"})
	if len(lines) != 1 || lines[0].At != 3*time.Second {
		t.Errorf("got %+v", lines)
	}
}

func TestAStatusIsNewWhenMoreThanTheSumSpentChanged(t *testing.T) {
	s := scene{
		Pods:     []pod{{Name: "a", Running: true}, {Name: "b"}, {Name: "c", Kind: daemonSet, Running: true}},
		Machines: []machine{{Name: "m", Phase: v1alpha1.PhaseReady}, {Name: "n"}},
		Books:    ledger.Report{Spend: ledger.Spend{RatePerHour: 0.1}, Orders: []ledger.Order{{Cost: 0.01}}},
	}
	later := s
	later.Books.Orders = []ledger.Order{{Cost: 0.02}}
	for name, sum := range map[string]func(scene) status{
		"1 of 2 pods run, 1 of 2 machines ready; VPSie charges $0.1000 per hour, $0.0100 so far": opening(2),
		"2 pods left, 2 machines left; VPSie charges $0.1000 per hour, $0.0100 so far":           closing,
	} {
		first, second := sum(s), sum(later)
		if first.text != name || first.key != second.key || first.text == second.text {
			t.Errorf("got %+v and %+v, want %q", first, second, name)
		}
	}
}

func TestTheAccountHasNoColoursOutsideATerminal(t *testing.T) {
	var out bytes.Buffer
	a := newAccount(&out)
	a.chapter("Title", "lead")
	a.tell(line{At: 1500 * time.Millisecond, Subject: "general-1", Text: "is ready", Colour: green})
	if want := "\nTitle\nlead\n\n    1.5s  general-1         is ready\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
	coloured := account{out: &out, coloured: true}
	if text := coloured.lineText(line{Subject: "x", Text: "bad", Colour: red}); !strings.Contains(text, "\x1b[31mbad\x1b[0m") {
		t.Errorf("got %q", text)
	}
}
