// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) // a Sunday

// cluster is objects on a fake API server, from which pictures are taken as in production.
type cluster struct {
	t     *testing.T
	kube  client.WithWatch
	clock *clocktesting.FakePassiveClock
}

func newCluster(t *testing.T, objects ...[]client.Object) *cluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&v1alpha1.Disruption{}, &v1alpha1.VPSieNode{}).
		WithIndex(&corev1.Pod{}, drain.NodeNameField, func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} })
	for _, some := range objects {
		builder.WithObjects(some...)
	}
	return &cluster{t: t, kube: builder.Build(), clock: clocktesting.NewFakePassiveClock(now)}
}

func (c *cluster) picture() *state.Picture {
	c.t.Helper()
	picture, err := state.New(c.kube, c.clock).Snapshot(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	return picture
}

// input says that nothing happened on any machine for an hour.
func (c *cluster) input() Input {
	picture := c.picture()
	in := Input{Now: now, Picture: picture, Quiet: map[types.UID]time.Time{}}
	for _, m := range picture.Machines {
		in.Quiet[m.VPSieNode.UID] = now.Add(-time.Hour)
	}
	return in
}

// names returns which VPSieNodes the decisions remove.
func names(decisions []*v1alpha1.Disruption) []string {
	var result []string
	for _, d := range decisions {
		for _, removal := range d.Spec.Remove {
			result = append(result, removal.VPSieNode)
		}
	}
	return result
}

// group is a managed NodeGroup whose machines may all leave at once.
func group(name string, changes ...func(*v1alpha1.NodeGroup)) []client.Object {
	ng := &v1alpha1.NodeGroup{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue}},
		Spec: v1alpha1.NodeGroupSpec{
			MinNodes: ptr.To[int32](0), Paused: v1alpha1.PauseNone,
			Disruption: v1alpha1.DisruptionRules{
				Policy: v1alpha1.DisruptWhenCheaper, ConsolidateAfter: &metav1.Duration{Duration: 5 * time.Minute},
				Budgets: []v1alpha1.Budget{{Nodes: "100%"}}, Approval: v1alpha1.ApprovalAutomatic,
			},
		},
	}
	for _, change := range changes {
		change(ng)
	}
	return []client.Object{ng}
}

type change = func(*v1alpha1.VPSieNode, *corev1.Node)

// machine is a VPSieNode of NodeGroup "pool" with 2 cpus and 4 GiB, initialized an hour ago as node "n-NAME".
func machine(name string, changes ...change) []client.Object {
	allocatable := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "n-" + name, UID: types.UID("n-" + name), CreationTimestamp: metav1.NewTime(now.Add(-2 * time.Hour)),
			Labels: map[string]string{
				v1alpha1.ManagedLabel: v1alpha1.ManagedValue, v1alpha1.NodeGroupLabel: "pool", v1alpha1.VPSieNodeLabel: name, corev1.LabelHostname: "n-" + name,
			},
		},
		Status: corev1.NodeStatus{Capacity: allocatable, Allocatable: allocatable, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(now.Add(-2 * time.Hour)), Finalizers: []string{v1alpha1.VPSieNodeFinalizer}},
		Spec: v1alpha1.VPSieNodeSpec{
			NodeGroup: "pool", Datacenter: "dc", CreationReason: v1alpha1.CreatedForPods,
			Offerings: []v1alpha1.OfferingChoice{{ID: "o1", Name: "s-2", PricePerHour: "0.0500", Capacity: allocatable, Allocatable: allocatable}},
		},
		Status: v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady, NodeName: node.Name, Offering: "s-2", PricePerHour: "0.0500", Allocatable: allocatable},
	}
	meta.SetStatusCondition(&vn.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionInitialized, Status: metav1.ConditionTrue, Reason: "Initialized", LastTransitionTime: metav1.NewTime(now.Add(-time.Hour)),
	})
	for _, change := range changes {
		change(vn, node)
	}
	if node.Name == "" {
		return []client.Object{vn}
	}
	return []client.Object{vn, node}
}

func costs(amount v1alpha1.Price) change {
	return func(vn *v1alpha1.VPSieNode, _ *corev1.Node) { vn.Status.PricePerHour = amount }
}

func annotatedNode(key, value string) change {
	return func(_ *v1alpha1.VPSieNode, node *corev1.Node) {
		metav1.SetMetaDataAnnotation(&node.ObjectMeta, key, value)
	}
}

func beingDeleted(vn *v1alpha1.VPSieNode, _ *corev1.Node) {
	vn.DeletionTimestamp = new(metav1.NewTime(now))
}

func notJoined(vn *v1alpha1.VPSieNode, node *corev1.Node) {
	node.Name = ""
	vn.Status.NodeName, vn.Status.Phase, vn.Status.Conditions = "", v1alpha1.PhaseProvisioning, nil
}

func notInitialised(vn *v1alpha1.VPSieNode, _ *corev1.Node) {
	vn.Status.Phase, vn.Status.Conditions = v1alpha1.PhaseJoining, nil
}

// pod is a workload pod that asks for 1 cpu.
func pod(name, node string, changes ...func(*corev1.Pod)) []client.Object {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))},
		Spec: corev1.PodSpec{
			NodeName: node, SchedulerName: corev1.DefaultSchedulerName,
			Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	if node == "" {
		p.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{
			Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable,
		}}}
	}
	for _, change := range changes {
		change(p)
	}
	return []client.Object{p}
}

func ofDaemonSet(p *corev1.Pod) {
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "agent", UID: "agent", Controller: new(true)}}
}

func annotatedPod(value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.DoNotDisruptAnnotation, value)
	}
}

// disruption removes the machine that function machine makes under that name.
func disrupt(name, vpsieNode string, phase v1alpha1.DisruptionPhase, changes ...func(*v1alpha1.Disruption)) []client.Object {
	d := &v1alpha1.Disruption{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Finalizers: []string{Finalizer}},
		Spec: v1alpha1.DisruptionSpec{
			Reason: v1alpha1.ReasonEmpty, NodeGroup: "pool", SavingsPerHour: "0.0500", Approved: v1alpha1.ApprovedYes,
			Remove: []v1alpha1.Removal{{VPSieNode: vpsieNode, UID: "uid-" + vpsieNode, Node: "n-" + vpsieNode}},
		},
		Status: v1alpha1.DisruptionStatus{Phase: phase},
	}
	if phase.Finished() {
		d.Status.FinishedAt = new(metav1.NewTime(now.Add(-2 * time.Hour)))
	}
	for _, change := range changes {
		change(d)
	}
	return []client.Object{d}
}

func finishedAgo(age time.Duration) func(*v1alpha1.Disruption) {
	return func(d *v1alpha1.Disruption) { d.Status.FinishedAt = new(metav1.NewTime(now.Add(-age))) }
}

func all(objects ...[]client.Object) []client.Object {
	var result []client.Object
	for _, some := range objects {
		result = append(result, some...)
	}
	return result
}

func machines(count int, name string, changes ...change) []client.Object {
	var result []client.Object
	for i := range count {
		result = append(result, machine(fmt.Sprintf("%s-%d", name, i), changes...)...)
	}
	return result
}
