// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// restored is a cluster in which a Node says that it is the VPSieNode's, and the VPSieNode knows nothing of it.
func restored(t *testing.T, change func(*world)) *world {
	t.Helper()
	w := newWorld(t, vpsieNode())
	w.cloud.appear("x", "3")
	w.join(corev1.ConditionTrue)
	w.change(func(n *corev1.Node) {
		n.Labels[v1alpha1.VPSieNodeLabel], n.Labels[v1alpha1.OfferingLabel] = "general-1", "3"
		n.Annotations = map[string]string{v1alpha1.VPSIDAnnotation: "x"}
		n.Spec.Taints = nil
	})
	if change != nil {
		change(w)
	}
	w.steps(3)
	return w
}

func TestARestoredVPSieNodeAdoptsItsMachine(t *testing.T) {
	w := restored(t, nil)
	w.wantPhase(v1alpha1.PhaseReady)
	vn := w.node()
	if len(w.cloud.orders) != 0 {
		t.Fatalf("ordered %v: the machine was bought twice", w.cloud.orders)
	}
	if vn.Status.InstanceID != "x" || vn.Status.Offering != "Advanced" || vn.Status.NodeName != "hel-slave-x" {
		t.Errorf("status is %+v", vn.Status)
	}
	if got := w.theNode().Spec.Taints; len(got) != 0 {
		t.Errorf("taints %v came back: pods that run there would be evicted", got)
	}
}

func TestRefusesToAdopt(t *testing.T) {
	cases := map[string]func(*world){
		"a machine that VPSie does not list and whose kubelet is silent": func(w *world) {
			w.cloud.machines = nil
			w.cloud.appear("other", "3")
			w.falls(corev1.ConditionUnknown)
		},
		"a machine that is being destroyed":      func(w *world) { w.cloud.machines[0].Deleting = true },
		"a Node that names no machine":           func(w *world) { w.change(func(n *corev1.Node) { n.Annotations = nil }) },
		"a Node that belongs to another":         func(w *world) { w.change(func(n *corev1.Node) { n.Labels[v1alpha1.VPSieNodeLabel] = "general-2" }) },
		"a machine that another VPSieNode holds": func(w *world) { other := holding("general-2", "x"); w.create(&other) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := restored(t, change)
			if got := w.node().Status.InstanceID; got != "" || len(w.cloud.orders) != 1 {
				t.Errorf("instance %q, orders %v: want a machine of its own ordered", got, w.cloud.orders)
			}
		})
	}
}

func TestAVPSieNodeThatIsDeletedBeforeItCouldAdoptIsStillDrainedAndReleased(t *testing.T) {
	w := restored(t, func(w *world) { w.delete() })
	if len(w.drains) == 0 {
		t.Error("the machine was released under its pods")
	}
	w.steps(4)
	if len(w.cloud.machines) != 0 || w.phase() != "gone" {
		t.Errorf("machines %v, phase %s: want both gone", w.cloud.machines, w.phase())
	}
}

func TestNothingIsOrderedWhileAMachineOfOursCannotBeLookedFor(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.cloud.appear("x", "2")
	w.join(corev1.ConditionTrue)
	w.change(func(n *corev1.Node) {
		n.Labels[v1alpha1.VPSieNodeLabel] = "general-1"
		n.Annotations = map[string]string{v1alpha1.VPSIDAnnotation: "x"}
	})
	w.cloud.down = errDown
	if _, err := w.step(0); err == nil {
		t.Error("want the cloud's error")
	}
	if w.node().Status.Order != nil {
		t.Error("an order was written down")
	}
}

func TestRefusesToClaimAMachineThatANodeSaysIsAnothers(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2) // ordered: the machine was not there before
	w.cloud.appear("x", "2")
	w.join(corev1.ConditionTrue)
	w.change(func(n *corev1.Node) {
		n.Labels[v1alpha1.VPSieNodeLabel] = "general-2" // whose object was lost
		n.Annotations = map[string]string{v1alpha1.VPSIDAnnotation: "x"}
	})
	w.steps(3)
	if got := w.node().Status.InstanceID; got != "" {
		t.Fatalf("claimed %q, on which the pods of another run", got)
	}
	w.cloud.appear("y", "2")
	w.steps(1)
	if got := w.node().Status.InstanceID; got != "y" {
		t.Errorf("claimed %q, want its own machine", got)
	}
}

func TestNothingIsOrderedInsteadOfAMachineThatMayOnlyBeMissingFromAList(t *testing.T) {
	cases := map[string]func(*world){
		"its kubelet answers":                         func(w *world) { w.cloud.shown = []string{"other"} },
		"its kubelet is silent and the list is empty": func(w *world) { w.falls(corev1.ConditionUnknown) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := restored(t, func(w *world) {
				w.cloud.appear("other", "3")
				w.cloud.short = true
				change(w)
			})
			w.steps(100)
			if len(w.cloud.orders) != 0 || w.node().Status.Order != nil {
				t.Fatalf("ordered %v: the machine was bought twice", w.cloud.orders)
			}
			if got := w.launchedSays(); !strings.Contains(got, "If the machine is gone, run: kubectl delete node hel-slave-x") {
				t.Errorf("Launched is %q", got)
			}
			w.cloud.short = false
			w.steps(2)
			if got := w.node().Status.InstanceID; got != "x" {
				t.Errorf("instance %q, want x adopted", got)
			}
		})
	}
}
