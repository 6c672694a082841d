// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/samber/lo"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// regroup changes the NodeGroup; nil takes it away.
func (w *world) regroup(change func(*v1alpha1.NodeGroup)) {
	w.t.Helper()
	ng := nodeGroup()
	if err := client.IgnoreNotFound(w.kube.Delete(context.Background(), ng)); err != nil {
		w.t.Fatal(err)
	}
	if change == nil {
		return
	}
	change(ng)
	if err := w.kube.Create(context.Background(), ng); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) launched() string {
	c := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionLaunched)
	if c == nil {
		return ""
	}
	return c.Reason + ": " + c.Message
}

func createdFor(reason v1alpha1.CreationReason) *v1alpha1.VPSieNode {
	vn := vpsieNode()
	vn.Spec.CreationReason = reason
	return vn
}

// sibling is another VPSieNode of the group that was there first.
func sibling() *v1alpha1.VPSieNode {
	vn := vpsieNode()
	vn.Name, vn.UID = "general-0", "uid-0"
	vn.Status = v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady, InstanceID: "s", Order: &v1alpha1.OrderRecord{Offering: "2"}}
	return vn
}

func costs(price v1alpha1.Price) func(*v1alpha1.NodeGroup) {
	return func(ng *v1alpha1.NodeGroup) { ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CostPerHour: &price} }
}

func TestRefusesToOrderWhatTheNodeGroupDoesNotAllow(t *testing.T) {
	manual := createdFor(v1alpha1.CreatedManually)
	cases := map[string]struct {
		node    *v1alpha1.VPSieNode
		others  []client.Object
		change  func(*v1alpha1.NodeGroup)
		leaving bool
		want    string
	}{
		"of a NodeGroup that is not there": {node: manual, want: `NodeGroupMissing: NodeGroup "general" does not exist; create it, or run: kubectl delete vpsienode general-1`},
		"of one that is being deleted": {
			node: manual, change: func(ng *v1alpha1.NodeGroup) { ng.Finalizers = []string{v1alpha1.NodeGroupFinalizer} }, leaving: true,
			want: `NodeGroupMissing: NodeGroup "general" is being deleted; run: kubectl delete vpsienode general-1`,
		},
		"of one that is not managed": {
			node: vpsieNode(), change: func(ng *v1alpha1.NodeGroup) { ng.Labels = nil },
			want: `NodeGroupNotManaged: NodeGroup "general" is not managed; run: kubectl label nodegroup general autoscaler.vpsie.com/managed=true --overwrite`,
		},
		"of one for another cluster": {
			node: vpsieNode(), change: func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.ClusterID = "nope" },
			want: `ClusterMismatch: NodeGroup "general": spec.vpsie.clusterID: "nope" is not the cluster that machines are bought for, which is "c-1"; set it to that or leave it out`,
		},
		"of one that is paused": {
			node: manual, change: func(ng *v1alpha1.NodeGroup) { ng.Spec.Paused = v1alpha1.PauseProvisioning },
			want: `NodeGroupPaused: NodeGroup "general" is paused (spec.paused: Provisioning); set it to None`,
		},
		"by hand beyond maxNodes": {
			node: manual, change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MaxNodes = ptr.To[int32](0) },
			want: `LimitReached: node group "general" is at maxNodes 0; raise it, or run: kubectl delete vpsienode general-1`,
		},
		"by hand beyond the cost limit": {
			node: manual, others: []client.Object{sibling()}, change: costs("0.1"),
			want: `LimitReached: node group "general" would exceed limits.costPerHour: 0.0667/h of 0.1000/h are in use or planned, and Professional adds 0.0667/h; ` +
				`raise it, or run: kubectl delete vpsienode general-1`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, append(tc.others, tc.node.DeepCopy())...)
			w.cloud.cluster = "c-1"
			w.regroup(tc.change)
			if tc.leaving {
				if err := w.kube.Delete(context.Background(), nodeGroup()); err != nil {
					t.Fatal(err)
				}
			}
			w.steps(3)
			if diff := cmp.Diff(tc.want, w.launched()); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
			if vn := w.node(); len(w.cloud.orders) != 0 || vn.Status.Order != nil || !vn.Barred() || vn.Status.Phase != v1alpha1.PhasePending {
				t.Errorf("orders %v, status %+v: want none, and Pending", w.cloud.orders, vn.Status)
			}
			if tc.leaving {
				return
			}
			w.regroup(func(*v1alpha1.NodeGroup) {})
			w.steps(2)
			if len(w.cloud.orders) != 1 {
				t.Errorf("%d orders after it was mended, want 1; %s", len(w.cloud.orders), w.explain())
			}
		})
	}
}

func TestADearerOfferingIsOrderedWithinTheLimitsOnly(t *testing.T) {
	cases := map[string]struct {
		node   *v1alpha1.VPSieNode
		change func(*v1alpha1.NodeGroup)
		orders int
		want   string // condition, when nothing is ordered
	}{
		"room for the dearer alone, not for both its prices": {node: vpsieNode(), change: costs("0.14"), orders: 1},
		"no room for the dearer": {
			node: vpsieNode(), change: costs("0.1"),
			want: `LimitReached: VPSie could not deliver 2: no stock, and beyond that node group "general" would exceed limits.costPerHour: 0.0000/h of 0.1000/h are in use or planned, and Advanced adds 0.1333/h`,
		},
		"a replacement beyond maxNodes": {
			node: createdFor(v1alpha1.CreatedAsReplacement), change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MaxNodes = ptr.To[int32](0) }, orders: 1,
		},
		"a replacement in a pool that does not grow": {
			node: createdFor(v1alpha1.CreatedAsReplacement), change: func(ng *v1alpha1.NodeGroup) { ng.Spec.Paused = v1alpha1.PauseProvisioning }, orders: 1,
		},
		"a replacement beyond limits.nodes": {
			node: createdFor(v1alpha1.CreatedAsReplacement), change: func(ng *v1alpha1.NodeGroup) { ng.Spec.Limits = &v1alpha1.NodeGroupLimits{Nodes: ptr.To[int32](0)} },
			want: `LimitReached: node group "general" is at limits.nodes 0`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.node.DeepCopy())
			w.regroup(tc.change)
			w.cloud.refuse = []error{errNoStock}
			w.steps(4)
			if len(w.cloud.orders) != tc.orders {
				t.Fatalf("%d orders, want %d; %s", len(w.cloud.orders), tc.orders, w.explain())
			}
			if tc.orders > 0 {
				if got := w.cloud.orders[0].OfferingID; got != "3" {
					t.Errorf("ordered %s, want the dearer", got)
				}
				return
			}
			w.wantPhase(v1alpha1.PhaseFailed)
			if diff := cmp.Diff(tc.want, w.launched()); diff != "" {
				t.Errorf("condition (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfTwoThatWaitForTheLastPlaceOneGetsIt(t *testing.T) {
	ng := nodeGroup()
	ng.Spec.MaxNodes = ptr.To[int32](1)
	made := func(name string, at time.Duration) v1alpha1.VPSieNode {
		vn := createdFor(v1alpha1.CreatedManually)
		vn.Name, vn.UID, vn.CreationTimestamp = name, types.UID(name), metav1.NewTime(noon.Add(at))
		return *vn
	}
	first, second := made("z-first", 0), made("a-second", time.Minute)
	all := []v1alpha1.VPSieNode{second, first}
	p := &permits{recorded: map[types.UID]string{}}
	if _, why := p.choose(&second, ng, all, cloudprovider.Inventory{}); why == nil {
		t.Error("the second got the place that the first waits for")
	}
	if _, why := p.choose(&first, ng, all, cloudprovider.Inventory{}); why != nil {
		t.Errorf("the first got none: %+v", why)
	}
	// The watches do not show the first's order yet, and it looks barred from before.
	all[1].Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLaunched, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonLimitReached}}
	if _, why := p.choose(&second, ng, all, cloudprovider.Inventory{}); why == nil {
		t.Error("the second got the place that was just given away")
	}
	// The first was deleted.
	if _, why := p.choose(&second, ng, all[:1], cloudprovider.Inventory{}); why != nil {
		t.Errorf("the second got none although it is alone: %+v", why)
	}
}

func TestTwoThatFallBackTogetherShareTheBudget(t *testing.T) {
	ng := nodeGroup()
	costs("0.2")(ng) // both at the first price, or one of them at the second
	a, b := vpsieNode(), vpsieNode()
	a.UID, b.UID, b.Name = "a", "b", "general-2"
	a.Status.Refusals, b.Status.Refusals = []v1alpha1.Refusal{{Offering: "2"}}, []v1alpha1.Refusal{{Offering: "2"}}
	all := []v1alpha1.VPSieNode{*a, *b}
	p := &permits{recorded: map[types.UID]string{}}
	if choice, why := p.choose(a, ng, all, cloudprovider.Inventory{}); why != nil || choice.ID != "3" {
		t.Errorf("the first got %q, %+v", choice.ID, why)
	}
	if choice, why := p.choose(b, ng, all, cloudprovider.Inventory{}); why == nil || !why.final {
		t.Errorf("the second got %q beyond limits.costPerHour", choice.ID)
	}
}

func TestWhoIsLookedAtAgain(t *testing.T) {
	at := func(name string, change func(*v1alpha1.VPSieNode)) client.Object {
		vn := vpsieNode()
		vn.Name, vn.UID = name, types.UID(name)
		change(vn)
		return vn
	}
	because := func(reason, group string) func(*v1alpha1.VPSieNode) {
		return func(vn *v1alpha1.VPSieNode) {
			vn.Spec.NodeGroup = group
			vn.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLaunched, Status: metav1.ConditionFalse, Reason: reason}}
		}
	}
	w := newWorld(t,
		at("barred", because(v1alpha1.ReasonLimitReached, "general")), at("barred-elsewhere", because(v1alpha1.ReasonLimitReached, "other")),
		at("locked-out", because("Unauthorized", "general")),
		at("running", func(vn *v1alpha1.VPSieNode) { vn.Status.InstanceID = "x" }),
		at("leaving", func(vn *v1alpha1.VPSieNode) {
			vn.Status.InstanceID, vn.DeletionTimestamp = "y", &metav1.Time{Time: noon}
		}),
		at("failed", func(vn *v1alpha1.VPSieNode) { vn.Status.Phase = v1alpha1.PhaseFailed }))
	names := func(requests []reconcile.Request) []string {
		return lo.Map(requests, func(r reconcile.Request, _ int) string { return r.Name })
	}
	if diff := cmp.Diff([]string{"barred"}, names(w.r.barredOf(context.Background(), nodeGroup()))); diff != "" {
		t.Errorf("when the NodeGroup changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"barred", "barred-elsewhere", "leaving", "locked-out"}, names(w.r.unanswered(context.Background(), nil))); diff != "" {
		t.Errorf("when the credentials change (-want +got):\n%s", diff)
	}
}
