// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package nodegroup

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

type cloud struct {
	ready     error
	offerings []scheduling.Offering
}

func (c cloud) Ready(context.Context) error                              { return c.ready }
func (c cloud) Offerings(context.Context) ([]scheduling.Offering, error) { return c.offerings, nil }

func shop() cloud {
	return cloud{offerings: []scheduling.Offering{{
		ID: "2", Name: "Professional", Datacenter: "hel", Zone: "hel", Region: "hel", Arch: "amd64", CPUMilli: 4000, MemoryMiB: 8192, DiskGiB: 160,
		Price: scheduling.PerMonth(48), Available: true,
	}}}
}

func twoShops() cloud {
	c, other := shop(), shop().offerings[0]
	other.Datacenter, other.Zone, other.Region = "ams", "ams", "ams"
	c.offerings = append(c.offerings, other)
	return c
}

func soldOut() cloud {
	c := shop()
	c.offerings[0].Available = false
	return c
}

func failedAt(name string, minute int, message string) *v1alpha1.VPSieNode {
	vn := member(name, "general", v1alpha1.PhaseFailed)
	vn.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionLaunched, Status: metav1.ConditionFalse, Reason: "OutOfStock", Message: message,
		LastTransitionTime: metav1.Date(2030, 1, 2, 3, minute, 0, 0, time.UTC),
	}}
	return vn
}

func group(change func(*v1alpha1.NodeGroup)) *v1alpha1.NodeGroup {
	ng := &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{
		Name: "general", UID: "ng", Labels: map[string]string{v1alpha1.ManagedLabel: "true"}, Finalizers: []string{v1alpha1.NodeGroupFinalizer},
	}}
	if change != nil {
		change(ng)
	}
	return ng
}

func member(name, group string, phase v1alpha1.VPSieNodePhase) *v1alpha1.VPSieNode {
	return &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: "uid", Finalizers: []string{v1alpha1.VPSieNodeFinalizer}},
		Spec: v1alpha1.VPSieNodeSpec{NodeGroup: group, Offerings: []v1alpha1.OfferingChoice{{
			ID: "2", Name: "Professional", PricePerHour: "0.0667", Capacity: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")},
		}}},
		Status: v1alpha1.VPSieNodeStatus{Phase: phase},
	}
}

// barred is a VPSieNode that nothing may be ordered for.
func barred(name string) *v1alpha1.VPSieNode {
	vn := member(name, "general", v1alpha1.PhasePending)
	vn.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLaunched, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonLimitReached}}
	return vn
}

func newReconciler(t *testing.T, cloud Cloud, registry *prometheus.Registry, objects ...client.Object) (*Reconciler, client.Client, *events.FakeRecorder) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	kube := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.NodeGroup{}).WithObjects(objects...).Build()
	recorder := events.NewFakeRecorder(100)
	return New(kube, cloud, state.New(kube, clock.RealClock{}), recorder, Options{Registerer: registry}), kube, recorder
}

func reconciled(t *testing.T, cloud Cloud, registry *prometheus.Registry, objects ...client.Object) (client.Client, *v1alpha1.NodeGroup) {
	t.Helper()
	r, kube, _ := newReconciler(t, cloud, registry, objects...)
	if _, err := r.Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "general"}}); err != nil {
		t.Fatal(err)
	}
	ng := &v1alpha1.NodeGroup{}
	if err := kube.Get(context.Background(), client.ObjectKey{Name: "general"}, ng); client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return kube, ng
}

func TestConditions(t *testing.T) {
	wrong := cloudprovider.Errorf(cloudprovider.GiveUp, "Unauthorized", `Secret "kube-system/vpsie-secret": VPSie refuses the token`)
	cases := map[string]struct {
		cloud  cloud
		change func(*v1alpha1.NodeGroup)
		nodes  []client.Object
		kind   string
		want   string // status reason: part of the message
	}{
		"a pool that works is Ready": {cloud: shop(), kind: v1alpha1.ConditionReady, want: "True Ready: 0 of 0 machines are ready"},
		"a pool without the label says how to add it": {
			cloud: shop(), change: func(ng *v1alpha1.NodeGroup) { ng.Labels = nil }, kind: v1alpha1.ConditionManaged,
			want: "False LabelMissing: nothing is done for this NodeGroup; run: kubectl label nodegroup general autoscaler.vpsie.com/managed=true --overwrite",
		},
		"wrong credentials are named": {
			cloud: cloud{ready: wrong}, kind: v1alpha1.ConditionReady, want: `False Unauthorized: Secret "kube-system/vpsie-secret": VPSie refuses the token`,
		},
		"constraints that no offering meets are named": {
			cloud: shop(), kind: v1alpha1.ConditionOfferingsFound, want: "False NoOffering: no offering meets the constraints: ",
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.Offerings = []string{"Gigantic"} },
		},
		"another cluster is named, with the one there is": {
			cloud: cloud{offerings: []scheduling.Offering{{ID: "2", Name: "Professional", Cluster: "c-1", CPUMilli: 4000, MemoryMiB: 8192, Available: true}}}, kind: v1alpha1.ConditionReady,
			want:   `False ClusterMismatch: spec.vpsie.clusterID: "nope" is not the cluster that machines are bought for, which is "c-1"; set it to that or leave it out`,
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.ClusterID = "nope" },
		},
		"an unknown datacenter is named, with those there are": {
			cloud: twoShops(), kind: v1alpha1.ConditionReady,
			want:   `False NoOffering: no offering meets the constraints: spec.vpsie.datacenter: "mars" is no datacenter with offerings; valid: ams, hel`,
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.Datacenter = "mars" },
		},
		"a pool at its limit says which": {
			cloud: shop(), kind: v1alpha1.ConditionWithinLimits, want: "False AtLimit: spec.maxNodes 1 is reached; raise it to let the pool grow",
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MaxNodes = ptr.To[int32](1) }, nodes: []client.Object{member("a", "general", v1alpha1.PhaseReady)},
		},
		"a cost limit counts too": {
			cloud: shop(), kind: v1alpha1.ConditionWithinLimits, want: "False AtLimit: spec.limits.costPerHour 0.05 is reached",
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CostPerHour: ptr.To(v1alpha1.Price("0.05"))}
			},
			nodes: []client.Object{member("a", "general", v1alpha1.PhaseReady)},
		},
		"a reached limit does not make it unready": {
			cloud: shop(), kind: v1alpha1.ConditionReady, want: "True Ready: 1 of 1 machines are ready",
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MaxNodes = ptr.To[int32](1) }, nodes: []client.Object{member("a", "general", v1alpha1.PhaseReady)},
		},
		"minNodes that a limit keeps unmet is told": {
			cloud: shop(), kind: v1alpha1.ConditionWithinLimits,
			want: `False MinNodesUnmet: 1 of 3 machines that spec.minNodes wants: node group "general" would exceed limits.costPerHour: ` +
				`0.0667/h of 0.1000/h are in use or planned, and Professional adds 0.0667/h; loosen that or lower minNodes`,
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.MinNodes = ptr.To[int32](3)
				ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CostPerHour: ptr.To(v1alpha1.Price("0.1"))}
			},
			nodes: []client.Object{member("a", "general", v1alpha1.PhaseReady), member("b", "general", v1alpha1.PhaseFailed)},
		},
		"minNodes that minValues keeps unmet is told": {
			cloud: shop(), kind: v1alpha1.ConditionWithinLimits,
			want: "False MinNodesUnmet: 0 of 1 machine that spec.minNodes wants: spec.template.requirements[0].minValues wants 2 values of " +
				"node.kubernetes.io/instance-type in each order, and no more than 1 can be had in one datacenter now; loosen that or lower minNodes",
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.MinNodes = ptr.To[int32](1)
				ng.Spec.Template.Requirements = []v1alpha1.Requirement{
					{Key: corev1.LabelInstanceTypeStable, Operator: corev1.NodeSelectorOpExists, MinValues: ptr.To[int32](2)},
				}
			},
		},
		"minNodes that will be met is not": {
			cloud: shop(), kind: v1alpha1.ConditionWithinLimits, want: "True WithinLimits: no limit is reached",
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes = ptr.To[int32](3) },
		},
		"minNodes that VPSie has no machine for is told": {
			cloud: soldOut(), kind: v1alpha1.ConditionReady,
			want:   "True Ready: 0 of 0 machines are ready; 0 of 1 machine that spec.minNodes wants, and all offerings are set aside for lack of stock or quota",
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes = ptr.To[int32](1) },
		},
		"an unknown name beside a known one is told": {
			cloud: shop(), kind: v1alpha1.ConditionOfferingsFound,
			want:   `True Found: 1 offering, from Professional at 0.0667 per hour; spec.vpsie.offerings: "Profesional" is no offering; valid: Professional`,
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.Offerings = []string{"Professional", "Profesional"} },
		},
		"the newest failure is quoted": {
			cloud: shop(), kind: v1alpha1.ConditionReady,
			want:  "True MachineFailed: 2 VPSieNodes failed; the newest is a-new, OutOfStock: none left; run: kubectl describe vn a-new",
			nodes: []client.Object{failedAt("z-old", 1, "quota"), failedAt("a-new", 2, "none left")},
		},
		"one failure is one": {
			cloud: shop(), kind: v1alpha1.ConditionReady, want: "True MachineFailed: 1 VPSieNode failed; the newest is a, OutOfStock: none left; run: kubectl describe vn a",
			nodes: []client.Object{failedAt("a", 1, "none left")},
		},
		"a budget in a time zone that does not exist is named": {
			cloud: shop(), kind: v1alpha1.ConditionReady,
			want: `False BudgetUnread: spec.disruption.budgets[1].timeZone: "Mars/Olympus" is not an IANA time zone such as Europe/Berlin: unknown time zone Mars/Olympus; ` +
				`correct it: until then no node of this NodeGroup is removed`,
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.Disruption.Budgets = []v1alpha1.Budget{{Nodes: "1"}, {
					Nodes: "0", Schedule: new("0 22 * * *"), Duration: &metav1.Duration{Duration: time.Hour}, TimeZone: new("Mars/Olympus"),
				}}
			},
		},
		"a budget whose schedule cannot be read is named": {
			cloud: shop(), kind: v1alpha1.ConditionBudgetsRead, want: `False BudgetUnread: spec.disruption.budgets[0].schedule: "0 22 * * 9" cannot be read: `,
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.Disruption.Budgets = []v1alpha1.Budget{{Nodes: "0", Schedule: new("0 22 * * 9"), Duration: &metav1.Duration{Duration: time.Hour}}}
			},
		},
		"budgets that can be read are in the way of nothing": {
			cloud: shop(), kind: v1alpha1.ConditionBudgetsRead, want: "True BudgetsRead: all budgets can be read",
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.Disruption.Budgets = []v1alpha1.Budget{{Nodes: "10%"}, {Nodes: "0", Schedule: new("@daily"), Duration: &metav1.Duration{Duration: time.Hour}, TimeZone: new("Europe/Helsinki")}}
			},
		},
		"a paused pool says so": {
			cloud: shop(), kind: v1alpha1.ConditionReady, want: "True Paused: spec.paused is All",
			change: func(ng *v1alpha1.NodeGroup) { ng.Spec.Paused = v1alpha1.PauseAll },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, ng := reconciled(t, tc.cloud, prometheus.NewRegistry(), append(tc.nodes, group(tc.change))...)
			c := meta.FindStatusCondition(ng.Status.Conditions, tc.kind)
			if c == nil {
				t.Fatalf("there is no condition %s; have %v", tc.kind, ng.Status.Conditions)
			}
			if got := string(c.Status) + " " + c.Reason + ": " + c.Message; !strings.Contains(got, tc.want) {
				t.Errorf("condition is %q, want it to say %q", got, tc.want)
			}
		})
	}
}

// TestRefusedCredentialsAreAnEventOnce follows a token that VPSie refuses, then refuses otherwise, then takes.
func TestRefusedCredentialsAreAnEventOnce(t *testing.T) {
	refused := func(text string) cloud {
		return cloud{ready: cloudprovider.Errorf(cloudprovider.GiveUp, "Unauthorized", "%s; check the token in the Secret kube-system/vpsie-secret", text)}
	}
	r, _, recorder := newReconciler(t, shop(), prometheus.NewRegistry(), group(nil))
	for _, step := range []struct {
		cloud Cloud
		want  []string
	}{
		{shop(), nil},
		{refused("401"), []string{"Warning NotReady Unauthorized: 401; check the token in the Secret kube-system/vpsie-secret"}},
		{refused("401"), nil},
		{refused("expired"), []string{"Warning NotReady Unauthorized: expired; check the token in the Secret kube-system/vpsie-secret"}},
		{shop(), nil},
		{refused("401"), []string{"Warning NotReady Unauthorized: 401; check the token in the Secret kube-system/vpsie-secret"}},
	} {
		r.cloud = step.cloud
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "general"}}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for len(recorder.Events) > 0 {
			got = append(got, <-recorder.Events)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	}
}

func TestAPoolThatIsNoLongerOursKeepsNoStaleConditions(t *testing.T) {
	_, ng := reconciled(t, shop(), prometheus.NewRegistry(), group(func(ng *v1alpha1.NodeGroup) {
		ng.Labels = nil
		for _, kind := range []string{v1alpha1.ConditionCloudReady, v1alpha1.ConditionOfferingsFound, v1alpha1.ConditionWithinLimits} {
			meta.SetStatusCondition(&ng.Status.Conditions, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: "Old"})
		}
	}))
	kinds := map[string]bool{}
	for _, c := range ng.Status.Conditions {
		kinds[c.Type] = true
	}
	if diff := cmp.Diff(map[string]bool{v1alpha1.ConditionManaged: true, v1alpha1.ConditionReady: true}, kinds); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

func TestCounts(t *testing.T) {
	registry := prometheus.NewRegistry()
	_, ng := reconciled(t, shop(), registry, group(nil), barred("e"),
		member("a", "general", v1alpha1.PhaseReady), member("b", "general", v1alpha1.PhaseJoining), member("c", "general", v1alpha1.PhaseFailed),
		member("d", "other", v1alpha1.PhaseReady))
	type counts struct {
		Nodes, Ready, Failed int32
		CPU, Memory          string
		Cost                 v1alpha1.Price
	}
	got := counts{ng.Status.Nodes, ng.Status.ReadyNodes, ng.Status.FailedNodes, ng.Status.Resources.Cpu().String(), ng.Status.Resources.Memory().String(), ng.Status.CostPerHour}
	if diff := cmp.Diff(counts{2, 1, 1, "8", "16Gi", "0.1334"}, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	want := `
		# HELP vpsie_autoscaler_nodegroup_nodes Machines of a node group, by state: ready, starting (ordered or joining) or failed.
		# TYPE vpsie_autoscaler_nodegroup_nodes gauge
		vpsie_autoscaler_nodegroup_nodes{nodegroup="general",state="failed"} 1
		vpsie_autoscaler_nodegroup_nodes{nodegroup="general",state="ready"} 1
		vpsie_autoscaler_nodegroup_nodes{nodegroup="general",state="starting"} 1
	`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "vpsie_autoscaler_nodegroup_nodes"); err != nil {
		t.Error(err)
	}
}

func TestADeletedPool(t *testing.T) {
	deleted := group(func(ng *v1alpha1.NodeGroup) { ng.DeletionTimestamp = new(metav1.Now()) })
	t.Run("refuses to go before its machines, and removes only its own", func(t *testing.T) {
		registry := prometheus.NewRegistry()
		kube, ng := reconciled(t, shop(), registry, deleted.DeepCopy(), member("mine", "general", v1alpha1.PhaseReady), member("other", "elsewhere", v1alpha1.PhaseReady))
		if len(ng.Finalizers) != 1 {
			t.Error("the pool let go while a machine of it exists")
		}
		for name, leaving := range map[string]bool{"mine": true, "other": false} {
			vn := &v1alpha1.VPSieNode{}
			if err := kube.Get(context.Background(), client.ObjectKey{Name: name}, vn); err != nil {
				t.Fatal(err)
			}
			if got := !vn.DeletionTimestamp.IsZero(); got != leaving {
				t.Errorf("VPSieNode %s is leaving: %v, want %v", name, got, leaving)
			}
		}
	})
	t.Run("goes when the last machine is gone, with its series", func(t *testing.T) {
		registry := prometheus.NewRegistry()
		_, ng := reconciled(t, shop(), registry, deleted.DeepCopy(), member("other", "elsewhere", v1alpha1.PhaseReady))
		if ng.Name != "" {
			t.Errorf("the pool is still there with finalizers %v", ng.Finalizers)
		}
		if got := testutil.CollectAndCount(registry); got != 0 {
			t.Errorf("%d series are left", got)
		}
	})
}

// TestTheNodeCostIsInTheCostAndNotInItsLimit has two machines at 0.0667.
func TestTheNodeCostIsInTheCostAndNotInItsLimit(t *testing.T) {
	for limit, want := range map[v1alpha1.Price]string{"0.15": reasonWithinLimits, "0.13": reasonAtLimit} {
		r, kube, _ := newReconciler(t, shop(), prometheus.NewRegistry(), member("a", "general", v1alpha1.PhaseReady), member("b", "general", v1alpha1.PhaseJoining),
			member("c", "general", v1alpha1.PhaseFailed), group(func(ng *v1alpha1.NodeGroup) { ng.Spec.Limits = &v1alpha1.NodeGroupLimits{CostPerHour: &limit} }))
		r.nodeCost = scheduling.PerHour(0.01)
		if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "general"}}); err != nil {
			t.Fatal(err)
		}
		ng := &v1alpha1.NodeGroup{}
		if err := kube.Get(t.Context(), client.ObjectKey{Name: "general"}, ng); err != nil {
			t.Fatal(err)
		}
		if ng.Status.CostPerHour != "0.1534" {
			t.Errorf("the cost is %s, want 0.1534", ng.Status.CostPerHour)
		}
		if got := meta.FindStatusCondition(ng.Status.Conditions, v1alpha1.ConditionWithinLimits).Reason; got != want {
			t.Errorf("with a limit of %s: %s, want %s", limit, got, want)
		}
	}
}

func TestAPoolThatIsNoLongerOursHoldsOnToItsMachines(t *testing.T) {
	_, ng := reconciled(t, shop(), prometheus.NewRegistry(), group(func(ng *v1alpha1.NodeGroup) { ng.Labels, ng.Finalizers = nil, nil }), member("a", "general", v1alpha1.PhaseReady))
	if diff := cmp.Diff([]string{v1alpha1.NodeGroupFinalizer}, ng.Finalizers); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
}

func TestAPoolThatIsNotOursGetsNoFinalizer(t *testing.T) {
	_, ng := reconciled(t, shop(), prometheus.NewRegistry(), group(func(ng *v1alpha1.NodeGroup) { ng.Labels, ng.Finalizers = nil, nil }))
	if len(ng.Finalizers) != 0 {
		t.Errorf("finalizers are %v, want none", ng.Finalizers)
	}
}
