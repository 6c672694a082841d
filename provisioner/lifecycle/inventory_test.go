// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// blackHole is a cloud that takes reads of the inventory and does not answer until it is told to.
type blackHole struct {
	*cloud
	reads  atomic.Int32
	asked  chan struct{}
	answer chan error
}

func (b *blackHole) Inventory(ctx context.Context) (cloudprovider.Inventory, error) {
	b.reads.Add(1)
	b.asked <- struct{}{}
	if err := <-b.answer; err != nil {
		return cloudprovider.Inventory{}, err
	}
	return b.cloud.Inventory(ctx)
}

func TestAReadThatDoesNotEndKeepsNobodyElse(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseProvisioned)
	for _, name := range []string{"general-2", "general-3"} {
		other := vpsieNode()
		other.Name, other.UID = name, types.UID(name)
		w.create(other)
	}
	hole := &blackHole{cloud: w.cloud, asked: make(chan struct{}, 10), answer: make(chan error)}
	w.r.cloud, w.r.inventories.cloud = hole, hole
	w.clock.Step(time.Minute)
	order := func(name string) (reconcile.Result, error) {
		return w.r.Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKey{Name: name}})
	}
	done := make(chan error)
	go func() { _, err := order("general-2"); done <- err }() // reads
	<-hole.asked

	result, err := order("general-3")
	if err != nil || result.RequeueAfter != soon {
		t.Errorf("who comes second gets %v, %v: want it to come again in %s", result, err, soon)
	}
	w.join(corev1.ConditionTrue)
	w.steps(1)
	if got := w.theNode().Labels[v1alpha1.VPSieNodeLabel]; got != "general-1" || held(w.theNode()) {
		t.Errorf("the Node that joined meanwhile belongs to %q, held %t: want it registered and open", got, held(w.theNode()))
	}
	w.change(func(n *corev1.Node) { n.Spec.Taints = nil })
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseReady)

	w.clock.Step(2 * time.Minute)
	hole.answer <- errDown
	if err := <-done; err == nil {
		t.Error("want the cloud's error")
	}
	if _, err := order("general-3"); err == nil { // at once: a read just failed
		t.Error("want the error of the read that just failed")
	}
	if got := hole.reads.Load(); got != 1 {
		t.Errorf("%d reads, want 1: who comes after a read that failed must not begin the next at once", got)
	}
	w.clock.Step(5 * time.Second)
	go func() { _, err := order("general-3"); done <- err }()
	<-hole.asked
	hole.answer <- nil
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAReadThatPanicsIsNotTheLast(t *testing.T) {
	w := newWorld(t, vpsieNode())
	i := w.r.inventories
	i.cloud = nil
	func() {
		defer func() { _ = recover() }()
		_, _, _ = i.after(t.Context(), noon.Add(-time.Hour))
	}()
	i.cloud = w.cloud
	if _, _, err := i.after(t.Context(), noon.Add(-time.Hour)); err == nil {
		t.Error("a read that panicked passes for one that succeeded")
	}
	w.clock.Step(time.Minute)
	if _, wait, err := i.after(t.Context(), noon); err != nil || wait > 0 {
		t.Errorf("wait %s, error %v: want another read", wait, err)
	}
}

func TestRefusesToClaimAMachineThatAShortListHidFromTheOrder(t *testing.T) {
	t.Run("when it was listed before", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.cloud.appear("stranger", "2")
		w.lists()
		w.cloud.short = true
		w.steps(2)
		w.cloud.short = false
		w.steps(2)
		if got := w.node().Status.InstanceID; got != "" || len(w.cloud.orders) != 1 {
			t.Errorf("claimed %q, orders %v", got, w.cloud.orders)
		}
	})
	t.Run("when it was listed before, and the controller restarted over the order", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.cloud.appear("stranger", "2")
		w.lists()
		w.cloud.short = true
		w.steps(1)
		w.restart()
		w.cloud.short = false
		w.steps(3)
		if got := w.node().Status.InstanceID; got != "" {
			t.Errorf("claimed %q", got)
		}
	})
	t.Run("when it had joined before, as its Node tells also after a restart", func(t *testing.T) {
		vn := vpsieNode()
		vn.CreationTimestamp = metav1.NewTime(noon.Add(time.Second))
		w := newWorld(t, vn)
		w.cloud.appear("x", "2")
		w.join(corev1.ConditionTrue)
		w.cloud.short = true
		w.steps(2)
		w.cloud.short = false
		w.steps(2)
		if got := w.node().Status.InstanceID; got != "" || len(w.cloud.orders) != 1 {
			t.Errorf("claimed %q, orders %v", got, w.cloud.orders)
		}
	})
	t.Run("when it appeared while the order waited for its turn", func(t *testing.T) {
		w := newWorld(t, vpsieNode())
		w.steps(1)
		w.cloud.appear("meanwhile", "2") // for another order; listed before this one is sent
		w.lists()
		w.clock.Step(6 * time.Second)
		w.lists()
		w.steps(1)
		if got := w.node().Status.Order.Seen; !slices.Equal(got, []string{"meanwhile"}) {
			t.Errorf("the order has seen %q, want what was listed before it was sent", got)
		}
		w.steps(2)
		if got := w.node().Status.InstanceID; got != "" {
			t.Errorf("claimed %q, which was there before the order was sent", got)
		}
		w.cloud.appear("own", "2")
		w.steps(1)
		if got := w.node().Status.InstanceID; got != "own" {
			t.Errorf("claimed %q, want its own", got)
		}
	})
}
