// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func machinesOf(t *testing.T, w *world) []v1alpha1.VPSieNode {
	t.Helper()
	list := &v1alpha1.VPSieNodeList{}
	if err := w.real.List(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestAPodIsNotToldOfAMachineThatCouldNotBeWrittenDown(t *testing.T) {
	away := true
	w := newWorldWith(t, shop{offering("1", "Small", 100, true)}, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if away {
				return errors.New("the API server is away")
			}
			return c.Create(ctx, object, options...)
		},
	}, build.MakeNodeGroup("general").Obj(), waiting(build.MakePod("a").CPU("1")))
	w.pass(t) // opens the batch
	if _, err := w.Reconcile(context.Background(), reconcile.Request{}); err == nil || len(w.said.notes) != 0 {
		t.Errorf("got error %v and said %q, want an error and nothing said", err, w.said.notes)
	}
	away = false
	if got := w.plan(t); len(got) != 1 || !strings.HasPrefix(got[0], "a Planned: ") || len(machinesOf(t, w)) != 1 {
		t.Errorf("said %q with %d machines, want one machine and the pod told of it", got, len(machinesOf(t, w)))
	}
}

func TestANodeCostMakesOneLargeMachineTheBetterBuy(t *testing.T) {
	large := offering("2", "Large", scheduling.PerHour(0.11), true)
	large.CPUMilli, large.MemoryMiB = 4000, 8192
	offers := shop{offering("1", "Small", scheduling.PerHour(0.05), true), large}
	for nodeCost, want := range map[scheduling.Price][]string{0: {"Small", "Small"}, scheduling.PerHour(0.02): {"Large"}} {
		w := newWorld(t, offers, build.MakeNodeGroup("general").Obj(), waiting(build.MakePod("a").CPU("1500m")), waiting(build.MakePod("b").CPU("1500m")))
		w.options.NodeCost = nodeCost
		w.plan(t)
		var got []string
		for _, vn := range machinesOf(t, w) {
			got = append(got, vn.Spec.Offerings[0].Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("for %s per machine (-want +got):\n%s", nodeCost, diff)
		}
	}
}

// TestNothingIsBoughtTwiceWhileTheWatchesAreBehind hides VPSieNodes from the Provisioner, as watches that lag do, also from one that has just
// started and created none.
func TestNothingIsBoughtTwiceWhileTheWatchesAreBehind(t *testing.T) {
	behind := true
	hide := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		if _, ok := list.(*v1alpha1.VPSieNodeList); ok && behind {
			return nil
		}
		return c.List(ctx, list, options...)
	}}
	w := newWorldWith(t, shop{offering("1", "Small", 100, true)}, hide, build.MakeNodeGroup("general").Obj(), waiting(build.MakePod("a").CPU("1")))
	w.plan(t)
	successor := w.restarted()
	successor.plan(t)
	if err := w.kube.Create(context.Background(), waiting(build.MakePod("b").CPU("500m"))); err != nil {
		t.Fatal(err)
	}
	successor.plan(t)
	if got := machinesOf(t, w); len(got) != 1 {
		t.Fatalf("%d machines while the watches are behind, want the first alone", len(got))
	}
	behind = false
	if got := successor.plan(t); len(got) != 1 || !strings.HasPrefix(got[0], "b Planned: waits for VPSieNode") {
		t.Errorf("said %q, want that the newcomer fits on the machine that is coming", got)
	}
	if got := machinesOf(t, w); len(got) != 1 {
		t.Errorf("%d machines, want the first alone: there is room for both pods", len(got))
	}
}

type closed struct{ err error }

func (c *closed) Ready(context.Context) error { return c.err }

func (c *closed) Offerings(context.Context) ([]scheduling.Offering, error) { return nil, c.err }

func TestPodsHearOfAnOutageOnce(t *testing.T) {
	shut := &closed{}
	promised, unordered := onItsWay("general-1", "4"), onItsWay("general-2", "8")
	promised.Annotations = map[string]string{v1alpha1.PodsAnnotation: "default/a"}
	unordered.Status.Phase = v1alpha1.PhasePending
	w := newWorld(t, shut, build.MakeNodeGroup("general").Obj(), waiting(build.MakePod("a").CPU("1")), promised, waiting(build.MakePod("b").CPU("9")),
		waiting(build.MakePod("c").CPU("6")), unordered)
	w.pass(t) // opens the batch
	var said []string
	for _, request := range []string{"1", "2"} {
		shut.err = cloudprovider.Errorf(cloudprovider.TryLater, "ServerError", "VPSie answered 502 (request %s)", request)
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
		if result, err := w.Reconcile(context.Background(), reconcile.Request{}); err != nil || result.RequeueAfter <= 0 {
			t.Errorf("got %+v, %v, want another look and no error: an outage is expected", result, err)
		}
		said = w.said.notes
	}
	want := []string{
		"a Planned: waits for VPSieNode general-1, which is on its way",
		"c NotPlanned: waits for VPSieNode general-2, which cannot be ordered now: reading the offerings: VPSie answered 502 (request 1)",
		"b NotPlanned: nothing can be bought now: reading the offerings: VPSie answered 502 (request 1)",
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
}

// refused sells from a list that is older than the refusal of its credentials.
type refused struct {
	shop
	err error
}

func (r *refused) Ready(context.Context) error { return r.err }

func TestNothingIsBoughtWithCredentialsThatAreRefused(t *testing.T) {
	offers := &refused{shop: shop{offering("1", "Small", 100, true)}}
	offers.err = cloudprovider.Errorf(cloudprovider.GiveUp, "Unauthorized", `VPSie refuses the token in Secret "kube-system/vpsie-secret"; replace it`)
	w := newWorld(t, offers, build.MakeNodeGroup("general").MinNodes(1).Obj(), waiting(build.MakePod("a").CPU("1")))
	want := []string{`a NotPlanned: nothing can be bought now: VPSie refuses the token in Secret "kube-system/vpsie-secret"; replace it`}
	if diff := cmp.Diff(want, w.plan(t)); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
	if got := machinesOf(t, w); len(got) != 0 {
		t.Errorf("%d machines, want none", len(got))
	}
	offers.err = cloudprovider.Errorf(cloudprovider.TryLater, "ServerError", "VPSie answered 502")
	if got := w.plan(t); len(got) != 1 || !strings.HasPrefix(got[0], "a Planned: ") || len(machinesOf(t, w)) != 1 {
		t.Errorf("said %q with %d machines, want one: orders wait for the end of an outage by themselves", got, len(machinesOf(t, w)))
	}
}

func onItsWay(name, cpu string) *v1alpha1.VPSieNode {
	vn := member(name, v1alpha1.PhaseProvisioning).VPSieNode
	vn.Spec.Offerings = []v1alpha1.OfferingChoice{{ID: "1", Name: "Small", PricePerHour: "0.05", Allocatable: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("4Gi"),
	}}}
	return vn
}

// slow takes its time to answer, as planning for many pods does.
type slow struct {
	shop
	clock *testingclock.FakePassiveClock
	asked int
}

func (s *slow) Offerings(context.Context) ([]scheduling.Offering, error) {
	s.asked++
	s.clock.SetTime(s.clock.Now().Add(5 * time.Second))
	return s.shop, nil
}

func TestPlansLeaveTimeForOthers(t *testing.T) {
	offers := &slow{shop: shop{offering("1", "Small", 100, true)}}
	w := newWorld(t, offers, build.MakeNodeGroup("general").Obj(), waiting(build.MakePod("a").CPU("9")))
	offers.clock = w.clock
	w.pass(t) // opens the batch
	begun := w.clock.Now()
	for w.clock.Now().Before(begun.Add(100 * time.Second)) { // as if a machine changed every 100ms
		result, err := w.Reconcile(context.Background(), reconcile.Request{})
		if err != nil {
			t.Fatal(err)
		}
		if result.RequeueAfter <= 0 {
			t.Fatal("it does not come back by itself")
		}
		w.clock.SetTime(w.clock.Now().Add(100 * time.Millisecond))
	}
	if offers.asked < 9 || offers.asked > 11 {
		t.Errorf("%d plans in 100s, want 10: each takes 5s and is followed by as long a rest", offers.asked)
	}
}

func TestRefusedPlacementsAreCounted(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry())
	for _, step := range []struct {
		plan           scheduling.Plan
		plans, refused float64
	}{
		{scheduling.Plan{Verified: true}, 0, 0},
		{scheduling.Plan{Verified: true, Refused: 3, Omitted: 1}, 1, 3},
		{scheduling.Plan{Verified: true, Refused: 2}, 2, 5}, // each pod found another place
		{scheduling.Plan{}, 3, 5},
	} {
		m.planned(step.plan, time.Second)
		if plans, refused := testutil.ToFloat64(m.unverified), testutil.ToFloat64(m.refused); plans != step.plans || refused != step.refused {
			t.Errorf("after %+v: %v plans and %v placements, want %v and %v", step.plan, plans, refused, step.plans, step.refused)
		}
	}
}
