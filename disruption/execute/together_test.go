// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// both is the two halves with nothing between them but the API server.
type both struct {
	*world
	decide *disruption.Reconciler
}

func newBoth(t *testing.T, budget string, machines ...string) *both {
	t.Helper()
	ng := pool()
	ng.Labels = map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue}
	ng.Spec.Disruption = v1alpha1.DisruptionRules{
		ConsolidateAfter: &metav1.Duration{Duration: time.Minute}, Budgets: []v1alpha1.Budget{{Nodes: budget}},
	}
	objects := []client.Object{ng}
	for _, name := range machines {
		vn, n := machine(name), node(name)
		vn.Status.PricePerHour = "0.0500"
		meta.SetStatusCondition(&vn.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionInitialized, Status: metav1.ConditionTrue, Reason: "Initialized", LastTransitionTime: metav1.NewTime(start.Add(-time.Hour)),
		})
		n.Labels = map[string]string{v1alpha1.NodeGroupLabel: "pool", corev1.LabelHostname: n.Name}
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("110")}
		objects = append(objects, vn, n)
	}
	w := newWorld(t, objects...)
	b := &both{world: w, decide: disruption.New(w.kube, w.kube, state.New(w.kube, w.clock), disruption.Options{Clock: w.clock})}
	w.judge = b.decide
	return b
}

// pass lets the loop look once and gives every Disruption one step, then lets ten seconds go by.
func (b *both) pass(execute *Reconciler) {
	b.t.Helper()
	if _, err := b.decide.Reconcile(ctx, reconcile.Request{}); err != nil {
		b.t.Fatal(err)
	}
	for _, d := range b.all() {
		if _, err := execute.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&d)}); err != nil {
			b.t.Fatal(err)
		}
	}
	b.clock.SetTime(b.clock.Now().Add(10 * time.Second))
}

func (b *both) all() []v1alpha1.Disruption {
	b.t.Helper()
	var list v1alpha1.DisruptionList
	if err := b.kube.List(ctx, &list); err != nil {
		b.t.Fatal(err)
	}
	return list.Items
}

func TestTwoHalvesRemoveEmptyMachinesWithinTheBudget(t *testing.T) {
	b := newBoth(t, "1", "a", "b", "c")
	if err := b.kube.Create(ctx, workload("web", "n-b")); err != nil {
		t.Fatal(err)
	}
	execute := New(b.kube, b.kube, b.decide, b.drainer(), Options{Clock: b.clock})
	for range 40 {
		b.pass(execute)
		leaving := 0
		for _, name := range []string{"a", "b", "c"} {
			if vn := b.vpsieNode(name); vn != nil && (!vn.DeletionTimestamp.IsZero() || b.tainted("n-"+name)) {
				leaving++
			}
		}
		if leaving > 1 {
			t.Fatal("more machines are leaving than the budget allows")
		}
		b.release()
	}
	if b.vpsieNode("a") != nil || b.vpsieNode("c") != nil {
		t.Error("an empty machine is left")
	}
	if vn := b.vpsieNode("b"); vn == nil || !vn.DeletionTimestamp.IsZero() || b.tainted("n-b") {
		t.Error("the machine with a pod was touched")
	}
	if got := b.all(); len(got) != 2 || got[0].Status.Phase != succeeded || got[1].Status.Phase != succeeded {
		t.Errorf("disruptions: %+v", got)
	}
}

func TestAPodThatSlipsInIsNeverLost(t *testing.T) {
	// The pod is bound after each number of passes in turn: before the decision, between any two steps, and too late.
	for passes := range 14 {
		b := newBoth(t, "100%", "a")
		execute := New(b.kube, b.kube, b.decide, b.drainer(), Options{Clock: b.clock})
		for range passes {
			b.pass(execute)
		}
		if vn := b.vpsieNode("a"); !vn.DeletionTimestamp.IsZero() {
			if passes < 8 {
				t.Fatalf("after %d passes the machine is being deleted: consolidateAfter was not waited for", passes)
			}
			return // from here on it is lifecycle's drain that evicts it
		}
		if err := b.kube.Create(ctx, workload("web", "n-a")); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			b.pass(execute)
		}
		if vn := b.vpsieNode("a"); !vn.DeletionTimestamp.IsZero() || b.tainted("n-a") {
			t.Errorf("after %d passes: deleted %v, tainted %t", passes, vn.DeletionTimestamp, b.tainted("n-a"))
		}
		if err := b.kube.Get(ctx, client.ObjectKeyFromObject(workload("web", "")), new(corev1.Pod{})); err != nil {
			t.Errorf("after %d passes: the pod was evicted: %v", passes, err)
		}
	}
	t.Fatal("the machine was never removed: the test shows nothing")
}
