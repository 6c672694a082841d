// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestAPoolWhoseMachinesFailIsLeftAlone(t *testing.T) {
	cases := map[string]struct {
		machines []state.Machine
		after    time.Duration // since noon
		want     string        // until when it is held
	}{
		"without failures it may grow":           {machines: []state.Machine{member("a", v1alpha1.PhaseReady)}},
		"one failure holds it for half a minute": {machines: []state.Machine{member("a", v1alpha1.PhaseFailed, refusal(0))}, after: 29 * time.Second, want: "12:00:30"},
		"and no longer":                          {machines: []state.Machine{member("a", v1alpha1.PhaseFailed, refusal(0))}, after: 30 * time.Second},
		"what else is not true of a machine does not hold it longer": {
			machines: []state.Machine{member("a", v1alpha1.PhaseFailed, refusal(0), metav1.Condition{
				Type: v1alpha1.ConditionDrifted, Status: metav1.ConditionFalse, Reason: "Same", LastTransitionTime: metav1.NewTime(noon.Add(time.Minute)),
			})},
			after: 30 * time.Second,
		},
		"each further failure doubles it": {
			machines: []state.Machine{member("a", v1alpha1.PhaseFailed, refusal(0)), member("b", v1alpha1.PhaseFailed, refusal(time.Minute)), member("c", v1alpha1.PhaseFailed, refusal(-time.Minute))},
			after:    2 * time.Minute, want: "12:03:00",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			picture := &state.Picture{NodeGroups: []*v1alpha1.NodeGroup{nodeGroup(nil)}, Machines: tc.machines}
			groups, held := withoutHeld(picture, noon.Add(tc.after))
			got := ""
			for _, h := range held {
				got += h.until.Format(time.TimeOnly)
				if h.group.NodeGroup.Name != "general" || h.why != "QuotaExceeded" {
					t.Errorf("held is %s because of %s, want general because of QuotaExceeded", h.group.NodeGroup.Name, h.why)
				}
			}
			if got != tc.want {
				t.Errorf("held until %q, want %q", got, tc.want)
			}
			if len(groups)+len(held) != 1 {
				t.Errorf("%d groups may grow and %d are held, want one in all", len(groups), len(held))
			}
		})
	}
}

func TestTheHoldIsBounded(t *testing.T) {
	var machines []state.Machine
	for name := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
		machines = append(machines, member(name, v1alpha1.PhaseFailed, refusal(0)))
	}
	until, _ := holdUntil(&state.Picture{Machines: machines}, "general")
	if want := noon.Add(10 * time.Minute); !until.Equal(want) {
		t.Errorf("held until %s, want %s", until, want)
	}
}

func failed(name, group string, at time.Duration) *v1alpha1.VPSieNode {
	vn := member(name, v1alpha1.PhaseFailed, refusal(at)).VPSieNode
	vn.Spec.NodeGroup = group
	return vn
}

func TestWhoHearsOfAHold(t *testing.T) {
	const hears = `waits for node group "special", which is on hold because a machine of it failed (QuotaExceeded; ` +
		`kubectl describe nodegroup,vpsienode tells more); it tries again by itself, at the latest after 10m0s`
	special := build.MakeNodeGroup("special").Label("pool", "special").Obj()
	other := build.MakeNodeGroup("z-other").Label("pool", "other").MaxNodes(1).Obj()
	objects := func(pods ...client.Object) []client.Object {
		return append(pods, special.DeepCopy(), other.DeepCopy(), failed("special-1", "special", 0))
	}
	offers := shop{offering("1", "Small", 100, true)}
	cases := map[string]struct {
		pods []client.Object
		want []string
	}{
		"a pod that only the held pool would help": {
			pods: []client.Object{waiting(build.MakePod("a").CPU("1").NodeSelector("pool", "special"))}, want: []string{"a NotPlanned: " + hears},
		},
		"not a pod that it would not help": {
			pods: []client.Object{waiting(build.MakePod("a").CPU("9"))},
			want: []string{`a NotPlanned: needs 9 cpu; the largest offering of node group "special" is Small with 1.9 cpu allocatable`},
		},
		"not a pod that another pool helps, but the one that this leaves out": {
			pods: []client.Object{waiting(build.MakePod("a").CPU("1500m").Priority(1)), waiting(build.MakePod("b").CPU("1500m"))},
			want: []string{"a Planned: will run on a new Small at 0.0000 per hour in node group z-other: VPSieNode z-other-", "b NotPlanned: " + hears},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := newWorld(t, offers, objects(tc.pods...)...).plan(t)
			for i := range got {
				if at := strings.Index(got[i], "z-other-"); at >= 0 {
					got[i] = got[i][:at+len("z-other-")] // a hash follows
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAHoldIsNewsOnce(t *testing.T) {
	w := newWorld(t, shop{offering("1", "Small", 100, true)}, build.MakeNodeGroup("special").Obj(), failed("special-1", "special", 0),
		waiting(build.MakePod("a").CPU("1")))
	if got := w.plan(t); len(got) != 1 {
		t.Fatalf("said %q, want one thing", got)
	}
	next := failed("special-2", "special", 2*time.Second)
	next.Status.Conditions[0].Message = "the worker limit is reached (request 2)"
	if err := w.kube.Create(context.Background(), next); err != nil {
		t.Fatal(err)
	}
	if got := w.plan(t); len(got) != 0 {
		t.Errorf("said %q again although only the time of the hold is another", got)
	}
	w.clock.SetTime(noon.Add(2*time.Second + 2*holdFirst))
	if got := w.plan(t); len(got) != 1 || !strings.HasPrefix(got[0], "a Planned: ") {
		t.Errorf("said %q after the hold, want what is bought, once", got)
	}
}
