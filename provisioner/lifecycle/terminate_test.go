// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// running brings the VPSieNode as far as a Node that is registered.
func running(t *testing.T, ready corev1.ConditionStatus) *world {
	t.Helper()
	w := newWorld(t, vpsieNode())
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(ready)
	w.steps(1)
	return w
}

func TestRefusesToReleaseAFailedMachineUnderItsPods(t *testing.T) {
	w := running(t, corev1.ConditionTrue) // its startup taint is never taken off
	w.busy = true
	if _, err := w.step(21 * time.Minute); err != nil {
		t.Fatal(err)
	}
	w.wantPhase(v1alpha1.PhaseFailed)
	w.steps(3)
	if len(w.drains) == 0 || len(w.cloud.releases) != 0 {
		t.Fatalf("drained %v, released %v: want the pods moved first", w.drains, w.cloud.releases)
	}
	w.wantPhase(v1alpha1.PhaseFailed)
	if got := disrupting(w.node()).Reason; got != reasonDraining {
		t.Errorf("reason is %s, want it to say that it drains", got)
	}
	w.busy = false
	w.steps(4)
	if len(w.cloud.machines) != 0 || w.theNode() != nil {
		t.Errorf("machines %v, Node %v: want both gone", w.cloud.machines, w.theNode())
	}
}

func TestRefusesToReleaseAMachineWhoseDrainFails(t *testing.T) {
	for name, leave := range map[string]func(*world){
		"of a VPSieNode that is deleted": func(w *world) { w.delete() },
		"of a VPSieNode that failed": func(w *world) {
			w.clock.Step(21 * time.Minute) // its startup taint is never taken off
			w.steps(1)
			w.wantPhase(v1alpha1.PhaseFailed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := running(t, corev1.ConditionTrue)
			leave(w)
			w.broken = errors.New("evicting pod \"shop/cart-1\": the API server is shutting down")
			for range 10 {
				if _, err := w.step(6 * time.Second); !errors.Is(err, w.broken) {
					t.Fatalf("error is %v, want the drain's", err)
				}
			}
			if len(w.drains) != 10 || len(w.cloud.releases) != 0 || w.theNode() == nil || w.phase() == "gone" {
				t.Fatalf("drained %d times, released %v, Node %v, phase %s: want nothing but tries", len(w.drains), w.cloud.releases, w.theNode(), w.phase())
			}
			w.broken = nil
			w.steps(6)
			if len(w.cloud.machines) != 0 || w.theNode() != nil {
				t.Errorf("machines %v, Node %v: want both gone once it succeeds", w.cloud.machines, w.theNode())
			}
		})
	}
}

func TestRefusesToBelieveAnEmptyListThatContradictsTheRecords(t *testing.T) {
	other := vpsieNode()
	other.Name, other.UID = "general-2", "uid-2"
	other.Status = v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady, InstanceID: "y", Hostname: "hel-slave-y"}
	w := newWorld(t, vpsieNode(), other)
	w.cloud.appear("y", "2")
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.delete()
	w.cloud.keep = true
	w.steps(2)
	machines := w.cloud.machines
	w.cloud.machines = nil // an empty list, though y runs and x was not destroyed
	w.steps(10)
	if got := w.phase(); got == "gone" {
		t.Fatal("let go of a machine because a list came back empty")
	}
	w.cloud.machines = machines[:1]
	w.steps(25)
	if got := w.phase(); got != "gone" {
		t.Errorf("phase is %s, want gone once a list with others lacks it; %s", got, w.explain())
	}
}

func TestHowLongALateMachineIsRecognised(t *testing.T) {
	cases := map[string]struct {
		lost     bool
		after    time.Duration
		released bool
	}{
		"an order that may not have been sent, within the launch timeout": {lost: true, after: 14 * time.Minute, released: true},
		"refuses a machine that came after it: it may be somebody else's": {lost: true, after: 16 * time.Minute},
		"an accepted order, long after the launch timeout":                {after: 40 * time.Minute, released: true},
		"refuses a machine when it is no longer owed":                     {after: 46 * time.Minute},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vpsieNode())
			recorder := events.NewFakeRecorder(100)
			w.r.recorder = recorder
			if tc.lost {
				w.cloud.refuse, w.cloud.lost = []error{errLost}, true
			}
			w.steps(2)
			if _, err := w.step(tc.after - 12*time.Second); err != nil {
				t.Fatal(err)
			}
			w.cloud.appear("x", "2")
			w.steps(6)
			if got := len(w.cloud.machines) == 0; got != tc.released {
				t.Fatalf("released is %v, want %v; %s", got, tc.released, w.explain())
			}
			if got := told(recorder, EventLate); got != tc.released {
				t.Errorf("told of the late machine: %v, want %v", got, tc.released)
			}
		})
	}
}

func told(recorder *events.FakeRecorder, reason string) bool {
	for {
		select {
		case text := <-recorder.Events:
			if strings.HasPrefix(text, "Warning "+reason) {
				return true
			}
		default:
			return false
		}
	}
}

func request(node string) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Name: node}}
}

func TestATransitionIsNeverBeforeTheTimeThatItStandsFor(t *testing.T) {
	vn := vpsieNode()
	setCondition(vn, v1alpha1.ConditionDisrupting, metav1.ConditionTrue, reasonConfirming, "")
	setTransition(vn, v1alpha1.ConditionDisrupting, noon.Add(900*time.Millisecond))
	got := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionDisrupting).LastTransitionTime
	if want := noon.Add(time.Second); !got.Time.Equal(want) {
		t.Errorf("got %s, want %s: the API keeps whole seconds, and an inventory of that second would pass for a younger one", got, want)
	}
}

func TestAnOrderThatIsStillToBeSentGetsNoMachine(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(1)
	if vn := w.node(); !w.r.cannotBeAnswered(*vn) {
		t.Error("an order that this process has still to send would get the machine of another")
	}
	w.restart()
	if vn := w.node(); w.r.cannotBeAnswered(*vn) {
		t.Error("an order that may have been sent before a restart would not get its machine")
	}
	w.steps(1)
	if vn := w.node(); w.r.cannotBeAnswered(*vn) {
		t.Error("an order that was sent would not get its machine")
	}
}

func TestUnregisteredNodes(t *testing.T) {
	another := func(change func(*v1alpha1.VPSieNode)) *v1alpha1.VPSieNode {
		vn := waiting("another", "2", v1alpha1.OrderAccepted, 0)
		change(&vn)
		return &vn
	}
	cases := map[string]struct {
		another *v1alpha1.VPSieNode
		listed  string // the size as which the inventory lists the machine
		down    bool
		keeps   bool
	}{
		"opens the Node of a machine that nobody waits for":               {listed: "2"},
		"opens the Node of a machine of another size than is waited for":  {listed: "3", another: another(func(*v1alpha1.VPSieNode) {})},
		"opens a Node that was there before the order":                    {listed: "2", another: another(func(n *v1alpha1.VPSieNode) { n.Status.Order.Seen = []string{"x"} })},
		"opens the Node when the order is too old to be answered":         {listed: "2", another: another(func(n *v1alpha1.VPSieNode) { n.Status.Order.Time = metav1.NewMicroTime(noon.Add(-time.Hour)) })},
		"refuses while it may be the answer to an order":                  {listed: "2", another: another(func(*v1alpha1.VPSieNode) {}), keeps: true},
		"refuses while the inventory does not list it and somebody waits": {another: another(func(*v1alpha1.VPSieNode) {}), keeps: true},
		"opens a Node that no inventory lists and nobody waits for":       {},
		"refuses when its VPSieNode is about to register it":              {listed: "2", another: another(func(n *v1alpha1.VPSieNode) { n.Status.InstanceID, n.Status.Hostname = "x", "HEL-slave-x" }), keeps: true},
		"refuses while the inventory cannot be read":                      {listed: "2", down: true, keeps: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.another != nil {
				if err := w.kube.Create(t.Context(), tc.another); err != nil {
					t.Fatal(err)
				}
			}
			if tc.listed != "" {
				w.cloud.appear("x", tc.listed)
			}
			if tc.down {
				w.cloud.down = errDown
			}
			w.join(corev1.ConditionTrue)
			w.clock.Step(time.Minute)
			_, err := unregisteredNodes{w.r}.Reconcile(t.Context(), request("hel-slave-x"))
			if got := cloudprovider.ReactionTo(err); (got == cloudprovider.TryLater) != tc.down {
				t.Errorf("error is %v", err)
			}
			if got := held(w.theNode()); got != tc.keeps {
				t.Errorf("the Node is held: %v, want %v", got, tc.keeps)
			}
			if got := len(w.theNode().Spec.Taints); !tc.keeps && got != 1 {
				t.Errorf("%d taints are left, want the foreign one", got)
			}
		})
	}
	t.Run("refuses to touch a Node that is registered and held until it is Ready", func(t *testing.T) {
		w := running(t, corev1.ConditionFalse)
		if _, err := (unregisteredNodes{w.r}).Reconcile(t.Context(), request("hel-slave-x")); err != nil || !held(w.theNode()) {
			t.Errorf("error %v, held %v", err, held(w.theNode()))
		}
	})
}
