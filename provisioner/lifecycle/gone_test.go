// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// serving brings the VPSieNode to a Node that runs pods. Another machine, which is nobody's, is listed as well.
func serving(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, vpsieNode())
	w.cloud.appear("other", "3")
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionTrue)
	w.steps(1)
	w.change(func(n *corev1.Node) { n.Spec.Taints = nil })
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseReady)
	return w
}

func (w *world) launchedSays() string {
	w.t.Helper()
	c := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionLaunched)
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

func (w *world) wantUntouched() {
	w.t.Helper()
	if len(w.drains) > 0 || len(w.cloud.releases) > 0 || w.theNode() == nil {
		w.t.Fatalf("drained %v, released %v, Node %v: want nothing touched", w.drains, w.cloud.releases, w.theNode())
	}
}

func TestRefusesToTakeAMachineForGone(t *testing.T) {
	cases := map[string]struct {
		shown []string
		ready corev1.ConditionStatus
		steps int
		phase v1alpha1.VPSieNodePhase
		says  string
	}{
		"while its kubelet answers, however long a list lacks it": {
			shown: []string{"other"}, ready: corev1.ConditionTrue, steps: 400, phase: v1alpha1.PhaseReady,
			says: `Unknown InstanceGone: VPSie does not list machine x, but node "hel-slave-x" is Ready`,
		},
		"while its kubelet answers and the list is empty": {
			ready: corev1.ConditionTrue, steps: 400, phase: v1alpha1.PhaseReady,
			says: `Unknown InstanceGone: VPSie does not list machine x, but node "hel-slave-x" is Ready`,
		},
		"because a list is empty, also when its kubelet is silent": {
			ready: corev1.ConditionFalse, steps: 400, phase: v1alpha1.PhaseJoining,
			says: "Unknown InstanceGone: VPSie lists no machine at all, which proves nothing about machine x; if it is gone, run: kubectl delete vpsienode general-1",
		},
		"before the settle time is over": {
			shown: []string{"other"}, ready: corev1.ConditionUnknown, steps: 15, phase: v1alpha1.PhaseJoining,
			says: "Unknown InstanceGone: VPSie does not list machine x; looking again for 2m0s",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := serving(t)
			recorder := events.NewFakeRecorder(1000)
			w.r.recorder = recorder
			w.falls(tc.ready)
			w.cloud.short, w.cloud.shown = true, tc.shown
			w.steps(tc.steps)
			w.wantPhase(tc.phase)
			w.wantUntouched()
			if got := w.launchedSays(); !strings.HasPrefix(got, tc.says) {
				t.Errorf("Launched is %q, want %q", got, tc.says)
			}
			if got := len(recorder.Events); got == 0 || got > 2 || !told(recorder, EventMissing) {
				t.Errorf("%d events, want one or two that tell of it", got)
			}
			w.cloud.short = false
			w.falls(corev1.ConditionTrue)
			w.steps(7)
			w.wantPhase(v1alpha1.PhaseReady)
			w.wantUntouched()
			if got, want := w.launchedSays(), "True Launched: machine hel-slave-x, identifier x"; got != want {
				t.Errorf("Launched is %q, want %q", got, want)
			}
		})
	}
}

func TestAMachineThatIsGoneFailsAndTakesItsNodeAlong(t *testing.T) {
	w := serving(t)
	w.busy = true // its pods would terminate for ever
	w.cloud.machines = w.cloud.machines[:1]
	w.steps(2)
	w.falls(corev1.ConditionUnknown)
	w.steps(30)
	w.wantPhase(v1alpha1.PhaseFailed)
	if len(w.drains) != 0 || len(w.cloud.releases) != 0 || w.theNode() != nil {
		t.Errorf("drained %v, released %v, Node %v: want the Node gone, so that its pods are made again elsewhere", w.drains, w.cloud.releases, w.theNode())
	}
	if _, err := w.step(31 * time.Minute); err != nil {
		t.Fatal(err)
	}
	w.steps(2)
	if got := w.phase(); got != "gone" {
		t.Errorf("phase is %s, want gone", got)
	}
}

func TestTheOnlyMachineThatAPersonDestroyedGoesWhenItsVPSieNodeIsDeleted(t *testing.T) {
	w := serving(t)
	w.busy = true // its pods would terminate for ever
	w.cloud.machines = nil
	w.falls(corev1.ConditionUnknown)
	w.steps(100)
	w.wantUntouched()
	w.delete()
	w.steps(100)
	if got := w.phase(); got == "gone" || w.theNode() == nil {
		t.Errorf("phase %s, Node %v: let go because a list was empty for ten minutes", got, w.theNode())
	}
	w.steps(60)
	if got := w.phase(); got != "gone" || w.theNode() != nil || len(w.drains) > 0 {
		t.Errorf("phase %s, Node %v, drained %v: want both gone without a drain; %s", got, w.theNode(), w.drains, w.explain())
	}
}

func TestAMachineThatWasTakenForGoneComesBack(t *testing.T) {
	gone := func(t *testing.T) *world {
		t.Helper()
		w := serving(t)
		w.cloud.short, w.cloud.shown = true, []string{"other"}
		w.falls(corev1.ConditionUnknown)
		for range 40 {
			w.steps(1)
			if w.phase() == v1alpha1.PhaseFailed {
				return w
			}
		}
		t.Fatalf("it never failed; %s", w.explain())
		return nil
	}
	t.Run("when VPSie lists it again", func(t *testing.T) {
		w := gone(t)
		w.cloud.short = false
		w.steps(1)
		w.wantPhase(v1alpha1.PhaseJoining)
		w.falls(corev1.ConditionTrue)
		w.steps(2)
		w.wantPhase(v1alpha1.PhaseReady)
	})
	t.Run("when its kubelet answers", func(t *testing.T) {
		w := gone(t)
		w.falls(corev1.ConditionTrue)
		w.steps(3)
		w.wantPhase(v1alpha1.PhaseReady)
	})
	t.Run("also when its Node was deleted meanwhile", func(t *testing.T) {
		w := gone(t)
		w.steps(10)
		if w.theNode() != nil {
			t.Fatal("the Node is still there")
		}
		w.cloud.short = false
		w.steps(12)
		w.wantPhase(v1alpha1.PhaseJoining)
		w.join(corev1.ConditionTrue)
		w.steps(1)
		w.change(func(n *corev1.Node) { n.Spec.Taints = nil })
		w.steps(2)
		w.wantPhase(v1alpha1.PhaseReady)
	})
	t.Run("and nothing was touched", func(t *testing.T) {
		w := gone(t)
		w.cloud.short = false
		w.steps(3)
		w.wantUntouched()
	})
}

// several are VPSieNodes with a machine each, whose Nodes have joined.
func several(t *testing.T, number int, ready corev1.ConditionStatus) *world {
	t.Helper()
	var objects []client.Object
	for i := range number {
		vn := vpsieNode()
		vn.Name, vn.UID = fmt.Sprintf("general-%02d", i), types.UID(fmt.Sprintf("uid-%02d", i))
		vn.Status = v1alpha1.VPSieNodeStatus{
			Phase: v1alpha1.PhaseReady, InstanceID: fmt.Sprintf("x%02d", i), Hostname: fmt.Sprintf("host-%02d", i), NodeName: fmt.Sprintf("host-%02d", i),
			Order: &v1alpha1.OrderRecord{Offering: "2", State: v1alpha1.OrderAccepted, Time: metav1.NewMicroTime(noon), Attempt: 1},
		}
		for _, kind := range []string{v1alpha1.ConditionLaunched, v1alpha1.ConditionRegistered, v1alpha1.ConditionInitialized} {
			setCondition(vn, kind, metav1.ConditionTrue, "Done", "")
		}
		summarise(vn, noon)
		objects = append(objects, vn, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: vn.Status.NodeName, UID: vn.UID, Labels: map[string]string{v1alpha1.VPSieNodeLabel: vn.Name}},
			Status: corev1.NodeStatus{
				Allocatable: vn.Spec.Offerings[0].Allocatable, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
			},
		})
	}
	w := newWorld(t, objects...)
	for i := range number {
		w.cloud.appear(fmt.Sprintf("x%02d", i), "2")
	}
	return w
}

// pass reconciles all of them once.
func (w *world) pass(number int) (phases map[v1alpha1.VPSieNodePhase]int) {
	w.t.Helper()
	w.clock.Step(15 * time.Second)
	phases = map[v1alpha1.VPSieNodePhase]int{}
	for i := range number {
		name := client.ObjectKey{Name: fmt.Sprintf("general-%02d", i)}
		if _, err := w.r.Reconcile(context.Background(), reconcile.Request{NamespacedName: name}); err != nil {
			w.t.Fatal(err)
		}
		vn := &v1alpha1.VPSieNode{}
		if err := w.kube.Get(context.Background(), name, vn); err != nil {
			w.t.Fatal(err)
		}
		phases[vn.Status.Phase]++
	}
	return phases
}

func TestRefusesToGiveUpManyMachinesBecauseOfOneList(t *testing.T) {
	const number = 20
	nodes := func(w *world) int {
		list := &corev1.NodeList{}
		if err := w.kube.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	for name, shown := range map[string][]string{"an empty one": nil, "one of two machines": {"x03", "x17"}} {
		t.Run(name+" while their kubelets answer", func(t *testing.T) {
			w := several(t, number, corev1.ConditionTrue)
			w.cloud.short, w.cloud.shown = true, shown
			for range 25 {
				w.pass(number)
			}
			if diff := cmp.Diff(map[v1alpha1.VPSieNodePhase]int{v1alpha1.PhaseReady: number}, w.pass(number)); diff != "" || nodes(w) != number || len(w.cloud.releases)+len(w.drains) > 0 {
				t.Errorf("%d Nodes, released %v, phases (-want +got):\n%s", nodes(w), w.cloud.releases, diff)
			}
		})
	}
	t.Run("an empty one while their kubelets are silent", func(t *testing.T) {
		w := several(t, number, corev1.ConditionUnknown)
		w.cloud.short = true
		for range 25 {
			w.pass(number)
		}
		if got := w.pass(number); got[v1alpha1.PhaseFailed] > 0 || nodes(w) != number || len(w.cloud.releases) > 0 {
			t.Errorf("%d Nodes, released %v, phases %v", nodes(w), w.cloud.releases, got)
		}
	})
	t.Run("one of two machines while their kubelets are silent: a tenth at a time", func(t *testing.T) {
		w := several(t, number, corev1.ConditionUnknown)
		w.cloud.short, w.cloud.shown = true, []string{"x03", "x17"}
		most, held := 0, false
		for range 16 { // four minutes: two to settle, two for the first share
			got := w.pass(number)
			most = max(most, got[v1alpha1.PhaseFailed])
			list := &v1alpha1.VPSieNodeList{}
			if err := w.kube.List(t.Context(), list); err != nil {
				t.Fatal(err)
			}
			for i := range list.Items {
				c := meta.FindStatusCondition(list.Items[i].Status.Conditions, v1alpha1.ConditionLaunched)
				held = held || strings.Contains(c.Message, "no more of them are taken for gone at once")
			}
		}
		if most != 2 || !held {
			t.Errorf("%d of %d machines were given up within the first share, want 2; the others say why they wait: %t", most, number, held)
		}
		for range 7 {
			most = max(most, w.pass(number)[v1alpha1.PhaseFailed])
		}
		if most != 4 {
			t.Errorf("%d machines were given up within the second share, want 4", most)
		}
		w.cloud.short = false
		for range 6 {
			w.pass(number)
		}
		if got := w.pass(number); got[v1alpha1.PhaseFailed] > 0 || len(w.cloud.releases) > 0 {
			t.Errorf("phases %v, released %v: want all back once the list is complete", got, w.cloud.releases)
		}
	})
}

func TestRefusesToRemoveANodeThatHasJustChanged(t *testing.T) {
	w := serving(t)
	vn, stale := w.node(), w.theNode()
	w.r.failAs(vn, v1alpha1.ConditionLaunched, reasonInstanceGone, "")
	w.falls(corev1.ConditionTrue) // it answers, and the watch does not show it yet
	if err := w.r.deleteNode(t.Context(), vn, stale); !apierrors.IsConflict(err) || w.theNode() == nil {
		t.Errorf("error %v, Node %v: want a conflict and the Node kept", err, w.theNode())
	}
}

func TestWhyAVPSieNodeFailedStaysToBeReadWhenItsMachineIsMissingToo(t *testing.T) {
	w := running(t, corev1.ConditionFalse)
	if _, err := w.step(21 * time.Minute); err != nil {
		t.Fatal(err)
	}
	before := w.launchedSays()
	w.wantPhase(v1alpha1.PhaseFailed)
	w.busy = true
	w.cloud.short = true
	w.steps(50)
	if got := w.launchedSays(); got != before || len(w.drains) == 0 || len(w.cloud.releases) != 0 {
		t.Errorf("Launched is %q, drained %v, released %v: want %q, and a drain", got, w.drains, w.cloud.releases, before)
	}
}
