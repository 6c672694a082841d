// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

var (
	errLost    = cloudprovider.Errorf(cloudprovider.LookFirst, "ReplyLost", "connection reset")
	errNoStock = cloudprovider.Errorf(cloudprovider.TryElsewhere, "OutOfStock", "no stock")
	errQuota   = cloudprovider.Errorf(cloudprovider.GiveUp, "QuotaExceeded", "worker nodes count exceeds the allowed limit")
	errDown    = cloudprovider.Errorf(cloudprovider.TryLater, "Unreachable", "no route")
)

func TestAMachineFromOrderToPodsAndBack(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(1)
	if len(w.cloud.orders) != 0 || w.node().Status.Order.State != v1alpha1.OrderRecorded {
		t.Fatal("money was spent before the intent was durable")
	}
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseProvisioning)
	if got := w.cloud.orders; len(got) != 1 || got[0].OfferingID != "2" || got[0].Datacenter != "hel" {
		t.Fatalf("orders are %+v, want one of the cheapest offering", got)
	}
	w.steps(2)
	w.wantPhase(v1alpha1.PhaseProvisioning)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseProvisioned)
	w.join(corev1.ConditionFalse)
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseJoining)
	node := w.theNode()
	wantLabels := map[string]string{
		"team": "shop", corev1.LabelInstanceTypeStable: "Professional", corev1.LabelHostname: "hel-slave-x",
		v1alpha1.ManagedLabel: "true", v1alpha1.NodeGroupLabel: "general", v1alpha1.VPSieNodeLabel: "general-1",
	}
	if diff := cmp.Diff(wantLabels, node.Labels); diff != "" {
		t.Errorf("labels of the Node (-want +got):\n%s", diff)
	}
	wantTaints := []corev1.Taint{
		{Key: "foreign", Effect: corev1.TaintEffectNoSchedule},
		{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoSchedule}, // until it is Ready
		{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule},
		{Key: "cni", Effect: corev1.TaintEffectNoExecute},
	}
	if diff := cmp.Diff(wantTaints, node.Spec.Taints); diff != "" {
		t.Errorf("taints of the Node (-want +got):\n%s", diff)
	}
	if node.Spec.ProviderID != "vpsie://hel/x" || node.Annotations[v1alpha1.VPSIDAnnotation] != "x" {
		t.Errorf("provider ID %q, annotations %v", node.Spec.ProviderID, node.Annotations)
	}
	w.change(func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue })
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseJoining) // the startup taint is still there
	if held(w.theNode()) {
		t.Error("a Node that is Ready is still held back from pods that tolerate its startup taints")
	}
	w.change(func(n *corev1.Node) { n.Spec.Taints = n.Spec.Taints[:2] })
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseReady)
	if !meta.IsStatusConditionTrue(w.node().Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("condition Ready is not True: %s", w.explain())
	}

	w.delete()
	w.busy = true
	w.steps(2)
	w.wantPhase(v1alpha1.PhaseTerminating)
	if len(w.cloud.releases) != 0 {
		t.Fatal("the machine was released before its pods had moved")
	}
	w.busy = false
	w.cloud.keep = true
	w.steps(2)
	w.wantPhase(v1alpha1.PhaseDeleting)
	if diff := cmp.Diff([]string{"x"}, w.cloud.releases); diff != "" {
		t.Errorf("releases (-want +got):\n%s", diff)
	}
	if w.theNode() == nil {
		t.Error("the Node was deleted before its machine was gone")
	}
	gone := w.cloud.machines
	w.cloud.machines = nil
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseDeleting) // one inventory that lacks it is no proof
	w.cloud.machines = gone
	w.steps(1)
	if diff := cmp.Diff([]string{"x", "x"}, w.cloud.releases); diff != "" || w.theNode() == nil {
		t.Errorf("a machine that is listed again is not released again (-want +got):\n%s", diff)
	}
	w.cloud.machines = nil
	w.steps(4)
	w.wantPhase(v1alpha1.PhaseDeleting) // VPSie was not seen destroying it, and its kubelet answers
	w.falls(corev1.ConditionFalse)
	w.steps(2)
	if got := w.phase(); got != "gone" || w.theNode() != nil {
		t.Errorf("phase %s, Node %v: want both gone", got, w.theNode())
	}
	if len(w.cloud.orders) != 1 {
		t.Errorf("%d machines were bought, want 1", len(w.cloud.orders))
	}
}

func TestNeverBuysTwice(t *testing.T) {
	cases := map[string]func(w *world){
		"after a reply that was lost although the order was taken": func(w *world) {
			w.cloud.refuse, w.cloud.lost = []error{errLost}, true
			w.steps(2)
		},
		"after a crash between the order and the note of its outcome": func(w *world) {
			w.steps(1)
			before := w.node()
			w.steps(1)
			after := w.node()
			after.Status = before.Status // the note was never written
			if err := w.kube.Status().Update(t.Context(), after); err != nil {
				t.Fatal(err)
			}
			w.restart()
		},
		"after a restart while the machine boots": func(w *world) {
			w.steps(2)
			w.restart()
		},
	}
	for name, prepare := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vpsieNode())
			prepare(w)
			w.steps(5)
			if got := len(w.cloud.orders); got != 1 {
				t.Fatalf("%d machines were bought, want 1; %s", got, w.explain())
			}
			w.cloud.appear("x", "2")
			w.steps(2)
			w.wantPhase(v1alpha1.PhaseProvisioned)
			if got := len(w.cloud.orders); got != 1 {
				t.Errorf("%d machines were bought, want 1", got)
			}
		})
	}
}

func TestAnOrderThatWasNeverTakenFailsAfterTheSettleTime(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.cloud.refuse = []error{errLost}
	w.steps(2)
	w.wantPhase(v1alpha1.PhaseProvisioning)
	if _, err := w.step(time.Minute); err != nil {
		t.Fatal(err)
	}
	w.wantPhase(v1alpha1.PhaseProvisioning)
	if _, err := w.step(2 * time.Minute); err != nil {
		t.Fatal(err)
	}
	w.wantPhase(v1alpha1.PhaseFailed)
	if got := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionLaunched).Reason; got != "OrderLost" {
		t.Errorf("reason is %s, want OrderLost", got)
	}
}

func TestAMachineThatAppearsForAFailedOrderIsReleased(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.cloud.refuse, w.cloud.lost = []error{errLost}, true
	w.steps(2)
	if _, err := w.step(3 * time.Minute); err != nil {
		t.Fatal(err)
	}
	w.wantPhase(v1alpha1.PhaseFailed)
	w.cloud.appear("x", "2")
	w.steps(4)
	if len(w.cloud.machines) != 0 {
		t.Fatalf("the late machine leaked; %s", w.explain())
	}
	w.wantPhase(v1alpha1.PhaseFailed) // kept to be read
	if _, err := w.step(31 * time.Minute); err != nil {
		t.Fatal(err)
	}
	w.steps(3)
	if got := w.phase(); got != "gone" {
		t.Errorf("phase is %s after the TTL, want the object gone; %s", got, w.explain())
	}
}

func TestRefusals(t *testing.T) {
	t.Run("an offering without stock is followed by the next", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.cloud.refuse = []error{errNoStock}
		w.steps(4)
		if got := w.cloud.orders; len(got) != 1 || got[0].OfferingID != "3" {
			t.Fatalf("orders are %+v, want one of offering 3", got)
		}
		if got := w.node().Status.Order.Attempt; got != 2 {
			t.Errorf("attempt is %d, want 2", got)
		}
	})
	t.Run("no stock anywhere fails and says why", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.cloud.refuse = []error{errNoStock, errNoStock}
		w.steps(5)
		w.wantPhase(v1alpha1.PhaseFailed)
		message := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionLaunched).Message
		if !strings.Contains(message, "2: no stock; 3: no stock") {
			t.Errorf("message is %q", message)
		}
	})
	t.Run("a quota fails at once and is not asked again", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.cloud.refuse = []error{errQuota}
		w.steps(5)
		w.wantPhase(v1alpha1.PhaseFailed)
		if len(w.cloud.orders) != 0 {
			t.Errorf("orders are %+v, want none", w.cloud.orders)
		}
		if got := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionLaunched).Reason; got != "QuotaExceeded" {
			t.Errorf("reason is %s", got)
		}
	})
	t.Run("a cloud that is down is asked again later", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.cloud.refuse = []error{errDown}
		w.steps(1)
		if _, err := w.step(6 * time.Second); err == nil {
			t.Fatal("want an error, so that the next try waits longer")
		}
		w.steps(2)
		if len(w.cloud.orders) != 1 {
			t.Errorf("%d orders, want 1", len(w.cloud.orders))
		}
	})
}

func TestRefusesToOrderWithoutAnInventory(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.cloud.down = errDown
	for range 3 {
		if _, err := w.step(6 * time.Second); !errors.Is(err, errDown) {
			t.Fatalf("error is %v, want the cloud's", err)
		}
	}
	if len(w.cloud.orders) != 0 {
		t.Error("ordered without knowing what is there")
	}
}

func TestRefusesToLetGo(t *testing.T) {
	ordered := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t, vpsieNode())
		w.steps(2)
		return w
	}
	t.Run("of an order that may still show a machine", func(t *testing.T) {
		w := ordered(t)
		w.delete()
		w.steps(5)
		if got := w.phase(); got == "gone" {
			t.Fatal("the object is gone and nobody knows of the machine")
		}
		w.cloud.appear("x", "2")
		w.steps(5)
		if got := w.phase(); got != "gone" || len(w.cloud.machines) != 0 {
			t.Errorf("phase %s with machines %v, want both gone", got, w.cloud.machines)
		}
	})
	t.Run("while the cloud cannot be asked", func(t *testing.T) {
		w := ordered(t)
		w.cloud.appear("x", "2")
		w.steps(1)
		w.delete()
		w.steps(1)
		w.cloud.down = errDown
		for range 3 {
			_, _ = w.step(6 * time.Second) // the error is the cloud's
		}
		if got := w.phase(); got == "gone" {
			t.Fatal("let go without having seen that the machine is gone")
		}
		w.cloud.down = nil
		w.steps(3)
		if got := w.phase(); got != "gone" {
			t.Errorf("phase is %s, want gone; %s", got, w.explain())
		}
	})
	t.Run("while the machine is still listed, and asks again", func(t *testing.T) {
		w := ordered(t)
		w.cloud.appear("x", "2")
		w.steps(1)
		w.delete()
		w.cloud.keep = true // says yes and does nothing
		w.steps(30)
		if got := w.phase(); got == "gone" {
			t.Fatal("let go of a machine that is still there")
		}
		if len(w.cloud.releases) < 2 {
			t.Errorf("released %d times in three minutes, want it asked again", len(w.cloud.releases))
		}
	})
	t.Run("but does when nothing was ever ordered", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.delete()
		w.steps(1)
		if got := w.phase(); got != "gone" || len(w.cloud.releases) != 0 {
			t.Errorf("phase %s, releases %v", got, w.cloud.releases)
		}
	})
}

func TestRefusesToTouchStrangers(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.cloud.appear("stranger", "2") // there before the order
	w.steps(4)
	w.wantPhase(v1alpha1.PhaseProvisioning)
	w.delete()
	w.steps(100)
	if got := disrupting(w.node()).Reason; got != reasonAwaiting {
		t.Errorf("reason is %s, want it to say what is waited for", got)
	}
	w.steps(400) // longer than the launch timeout and the time for which failed ones are kept
	if got := w.phase(); got != "gone" {
		t.Fatalf("phase is %s, want gone", got)
	}
	if len(w.cloud.releases) != 0 || len(w.cloud.machines) != 1 {
		t.Errorf("releases %v: a machine that is not ours was touched", w.cloud.releases)
	}
}

func TestRefusesToTakeANodeThatBelongsToAnother(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionTrue)
	w.change(func(n *corev1.Node) { n.Labels[v1alpha1.VPSieNodeLabel] = "general-2" })
	if _, err := w.step(6 * time.Second); err == nil || !strings.Contains(err.Error(), `already belongs to VPSieNode "general-2"`) {
		t.Errorf("error is %v", err)
	}
}

func TestTimeouts(t *testing.T) {
	t.Run("a machine that never appears fails", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(2)
		if _, err := w.step(16 * time.Minute); err != nil {
			t.Fatal(err)
		}
		w.wantPhase(v1alpha1.PhaseFailed)
	})
	t.Run("a machine that never joins fails also while lists leave it out now and then", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(2)
		w.cloud.appear("x", "2")
		w.steps(2)
		for range 22 { // minutes
			w.cloud.short = !w.cloud.short
			if _, err := w.step(time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		w.wantPhase(v1alpha1.PhaseFailed)
	})
	t.Run("a machine that appears late may still join", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(2)
		if _, err := w.step(14 * time.Minute); err != nil {
			t.Fatal(err)
		}
		w.cloud.appear("x", "2")
		w.steps(2)
		if _, err := w.step(19 * time.Minute); err != nil {
			t.Fatal(err)
		}
		w.wantPhase(v1alpha1.PhaseProvisioned)
	})
	t.Run("a machine that never joins fails and is released", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(2)
		w.cloud.appear("x", "2")
		w.steps(2)
		if _, err := w.step(21 * time.Minute); err != nil {
			t.Fatal(err)
		}
		w.wantPhase(v1alpha1.PhaseFailed)
		w.steps(3)
		if len(w.cloud.machines) != 0 {
			t.Errorf("the machine leaked; %s", w.explain())
		}
	})
}

func TestAnOutageOfTheCloudChangesNothingForARunningNode(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionTrue)
	w.steps(1)
	w.change(func(n *corev1.Node) { n.Spec.Taints = nil })
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseReady)
	w.cloud.down = errDown
	w.steps(100)
	w.wantPhase(v1alpha1.PhaseReady)
	if len(w.cloud.releases) != 0 || w.theNode() == nil {
		t.Error("an outage cost a machine")
	}
}

func TestTheFinalizerComesBeforeTheOrder(t *testing.T) {
	vn := vpsieNode()
	vn.Finalizers = nil
	w := newWorld(t, vn)
	w.steps(1)
	if got := w.node(); len(got.Finalizers) != 1 || got.Status.Order != nil {
		t.Errorf("finalizers %v, order %v: want the finalizer and nothing ordered", got.Finalizers, got.Status.Order)
	}
}

func TestConditionTimesComeFromTheClock(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2)
	for _, c := range w.node().Status.Conditions {
		if c.LastTransitionTime.Before(&metav1.Time{Time: noon}) {
			t.Errorf("condition %s changed at %s, before the test began", c.Type, c.LastTransitionTime)
		}
	}
}

func TestPodsAreNominatedBeforeTheNodeOpens(t *testing.T) {
	vn := vpsieNode()
	vn.Annotations = map[string]string{v1alpha1.PodsAnnotation: "shop/cart,shop/gone,shop/elsewhere"}
	cart := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}}
	elsewhere := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "elsewhere"}, Spec: corev1.PodSpec{NodeName: "other"}}
	stranger := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "stranger"}}
	w := newWorld(t, vn, cart, elsewhere, stranger)
	nominated := func(pod *corev1.Pod) string {
		t.Helper()
		if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
			t.Fatal(err)
		}
		return pod.Status.NominatedNodeName
	}
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionFalse)
	w.steps(2)
	if got := nominated(cart); got != "" || !held(w.theNode()) {
		t.Fatalf("nominated %q, held %v: a Node that is not Ready was opened", got, held(w.theNode()))
	}
	w.change(func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue })
	w.steps(2) // nominates, and opens when that stands
	if got := nominated(cart); got != "hel-slave-x" || held(w.theNode()) {
		t.Errorf("nominated %q, held %v: want the Node open and its pod nominated", got, held(w.theNode()))
	}
	if got := nominated(elsewhere) + nominated(stranger); got != "" {
		t.Errorf("pods that run elsewhere or were not planned for were nominated: %q", got)
	}

	forget := func() {
		cart.Status.NominatedNodeName = ""
		if err := w.kube.Status().Update(t.Context(), cart); err != nil {
			t.Fatal(err)
		}
	}
	w.change(func(n *corev1.Node) {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "cni" })
	})
	for _, tc := range []struct {
		after time.Duration
		want  string
	}{{time.Second, "hel-slave-x"}, {4 * time.Second, "hel-slave-x"}, {20 * time.Second, ""}} {
		forget()
		if _, err := w.step(tc.after); err != nil {
			t.Fatal(err)
		}
		if got := nominated(cart); got != tc.want {
			t.Errorf("%s later a pod that lost its nomination is nominated to %q, want %q", tc.after, got, tc.want)
		}
	}
}

func TestANodeThatComesBackIsRegisteredAgain(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionTrue)
	w.steps(1)
	if err := w.kube.Delete(t.Context(), w.theNode()); err != nil {
		t.Fatal(err)
	}
	w.join(corev1.ConditionTrue) // the kubelet registers anew, unseen
	w.steps(1)
	if got := w.theNode().Labels[v1alpha1.VPSieNodeLabel]; got != "general-1" {
		t.Errorf("the Node belongs to %q, want it registered again", got)
	}
}

func TestRefusesToDrainANodeThatBelongsToAnother(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionTrue)
	w.change(func(n *corev1.Node) { n.Labels[v1alpha1.VPSieNodeLabel] = "general-2" })
	w.delete()
	w.steps(4)
	if len(w.drains) != 0 || w.theNode() == nil {
		t.Errorf("drained %v, Node %v: the Node of another was touched", w.drains, w.theNode())
	}
}

func TestAStaleCopyDoesNotTakeBackAnAcceptedOrder(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(1)
	stale := w.node() // shows the order as written down
	w.steps(1)
	before := stale.DeepCopy()
	w.r.orderUnknown(stale, "a restart")
	if err := w.r.saveStatus(t.Context(), before, stale); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	if got := w.node().Status.Order.State; got != v1alpha1.OrderAccepted {
		t.Errorf("the order is %s, want Accepted", got)
	}
}

func TestAnEventIsToldOnceItsChangeIsWritten(t *testing.T) {
	told := 0
	a := &announcements{}
	a.add("a", func() { told++ })
	a.publish("a", errDown)
	a.publish("a", nil)
	if told != 0 {
		t.Error("told of a change that was not written")
	}
	a.add("a", func() { told++ })
	a.add("b", func() { told += 10 })
	a.publish("a", nil)
	a.publish("a", nil)
	if told != 1 {
		t.Errorf("told %d, want each event of a once and none of b", told)
	}
}

func TestANodeIsNotHeldForEver(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionFalse)
	w.steps(3)
	if !held(w.theNode()) {
		t.Fatal("the Node was opened before it was Ready")
	}
	w.steps(12)
	if held(w.theNode()) {
		t.Error("the Node is still held after a minute: what makes it Ready may be waiting for it")
	}
}

func TestWhatTheCloudFailsToDoIsTriedAgainWithoutAnError(t *testing.T) {
	unreachable := fmt.Errorf("reading: %w", cloudprovider.Errorf(cloudprovider.TryLater, "Unreachable", "connection refused"))
	answers := []error{unreachable, unreachable, unreachable, nil, unreachable, errors.New("a conflict"), unreachable}
	var waits []time.Duration
	p := patient{reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
		next := answers[0]
		answers = answers[1:]
		return reconcile.Result{}, next
	}), retries()}
	for len(answers) > 0 {
		want := answers[0]
		result, err := p.Reconcile(t.Context(), reconcile.Request{})
		if failed := want != nil && !errors.Is(want, unreachable); (err != nil) != failed {
			t.Errorf("after %v: %v", want, err)
		}
		waits = append(waits, result.RequeueAfter)
	}
	if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 0, time.Second, 0, time.Second}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
}
