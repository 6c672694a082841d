// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// cloud is a small working cloud: orders become machines when a test says so.
type cloud struct {
	clock     *testingclock.FakeClock
	machines  []cloudprovider.Instance
	orders    []cloudprovider.Order // that took effect
	refuse    []error               // the next orders' answers; a LookFirst takes effect only when lost says so
	lost      bool
	releases  []string
	releaseIs error
	keep      bool // a release is accepted and does nothing
	short     bool // the inventory lists none but those shown
	shown     []string
	sends     func()        // is called when an order arrives
	slow      time.Duration // that an order waits for its turn
	down      error
	cluster   string
}

func (c *cloud) Order(_ context.Context, o cloudprovider.Order) error {
	c.clock.Step(c.slow)
	if c.sends != nil {
		c.sends()
	}
	if len(c.refuse) > 0 {
		err := c.refuse[0]
		c.refuse = c.refuse[1:]
		if err != nil {
			if c.lost {
				c.orders = append(c.orders, o)
			}
			return err
		}
	}
	c.orders = append(c.orders, o)
	return nil
}

func (c *cloud) Inventory(context.Context) (cloudprovider.Inventory, error) {
	if c.down != nil {
		return cloudprovider.Inventory{}, c.down
	}
	inventory := cloudprovider.Inventory{Instances: slices.Clone(c.machines), ReadAt: c.clock.Now(), Cluster: c.cluster}
	if c.short {
		inventory.Instances = slices.DeleteFunc(inventory.Instances, func(i cloudprovider.Instance) bool { return !slices.Contains(c.shown, i.ID) })
	} else if !c.keep {
		c.machines = slices.DeleteFunc(c.machines, func(i cloudprovider.Instance) bool { return i.Deleting })
	}
	return inventory, nil
}

func (c *cloud) Release(_ context.Context, id string) error {
	c.releases = append(c.releases, id)
	if c.releaseIs != nil || c.keep {
		return c.releaseIs
	}
	if c.short && !slices.Contains(c.shown, id) {
		return cloudprovider.Errorf(cloudprovider.LookFirst, "NotFound", "machine %q is not in the inventory", id)
	}
	for i := range c.machines {
		if c.machines[i].ID == id {
			c.machines[i].Deleting = true // and listed so once
			return nil
		}
	}
	return cloudprovider.Errorf(cloudprovider.LookFirst, "NotFound", "machine %q is not in the inventory", id)
}

// appear lets a machine of the size show up.
func (c *cloud) appear(id, offering string) {
	c.machines = append(c.machines, cloudprovider.Instance{ID: id, Hostname: "hel-slave-" + id, OfferingIDs: []string{offering}})
}

// world is a cluster with one VPSieNode, a cloud and a clock.
type world struct {
	t      *testing.T
	kube   client.Client
	cloud  *cloud
	clock  *testingclock.FakeClock
	drains []string
	busy   bool  // the drain is not done
	broken error // the drain fails with
	r      *Reconciler
}

func vpsieNode() *v1alpha1.VPSieNode {
	return &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: "general-1", UID: "uid-1", Generation: 1, CreationTimestamp: metav1.NewTime(noon), Finalizers: []string{v1alpha1.VPSieNodeFinalizer}},
		Spec: v1alpha1.VPSieNodeSpec{
			NodeGroup: "general", Datacenter: "hel", CreationReason: v1alpha1.CreatedForPods,
			Labels:        map[string]string{"team": "shop"},
			Taints:        []v1alpha1.Taint{{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule}},
			StartupTaints: []v1alpha1.Taint{{Key: "cni", Effect: corev1.TaintEffectNoExecute}},
			Resources:     corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
			Offerings: []v1alpha1.OfferingChoice{
				{ID: "2", Name: "Professional", PricePerHour: "0.066666667", Labels: map[string]string{corev1.LabelInstanceTypeStable: "Professional"}, Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3900m")}},
				{ID: "3", Name: "Advanced", PricePerHour: "0.133333333", Labels: map[string]string{corev1.LabelInstanceTypeStable: "Advanced"}},
			},
		},
	}
}

// nodeGroup is what the VPSieNode belongs to. Every world has it.
func nodeGroup() *v1alpha1.NodeGroup {
	return &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "general", UID: "group", Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue}}}
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	clock := testingclock.NewFakeClock(noon)
	w := &world{
		t: t, clock: clock, cloud: &cloud{clock: clock},
		kube: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VPSieNode{}).WithObjects(append(objects, nodeGroup())...).Build(),
	}
	w.restart()
	return w
}

// restart forgets everything that a process keeps in memory.
func (w *world) restart() {
	drain := func(_ context.Context, node *corev1.Node, _ time.Time) (bool, []string, error) {
		w.drains = append(w.drains, node.Name)
		return !w.busy && w.broken == nil, []string{"shop/cart-1: its budget allows no eviction now"}, w.broken
	}
	w.r = New(w.kube, w.cloud, drain, events.NewFakeRecorder(1000), Options{Clock: w.clock})
}

// step lets time pass and reconciles once.
func (w *world) step(pass time.Duration) (reconcile.Result, error) {
	w.t.Helper()
	w.clock.Step(pass)
	return w.r.Reconcile(context.Background(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "general-1"}})
}

// steps reconciles n times, six seconds apart, without an error.
func (w *world) steps(n int) {
	w.t.Helper()
	for range n {
		if _, err := w.step(6 * time.Second); err != nil {
			w.t.Fatal(err)
		}
	}
}

// lists reads the inventory as another VPSieNode would: whatever was read in the hour before will do.
func (w *world) lists() {
	w.t.Helper()
	if _, _, err := w.r.inventories.after(w.t.Context(), noon.Add(-time.Hour)); err != nil {
		w.t.Fatal(err)
	}
}

// node returns the VPSieNode, nil when it is gone.
func (w *world) node() *v1alpha1.VPSieNode {
	w.t.Helper()
	vn := &v1alpha1.VPSieNode{}
	if err := w.kube.Get(context.Background(), client.ObjectKey{Name: "general-1"}, vn); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		w.t.Fatal(err)
	}
	return vn
}

func (w *world) phase() v1alpha1.VPSieNodePhase {
	if vn := w.node(); vn != nil {
		return vn.Status.Phase
	}
	return "gone"
}

func (w *world) wantPhase(want v1alpha1.VPSieNodePhase) {
	w.t.Helper()
	if got := w.phase(); got != want {
		w.t.Fatalf("phase is %s, want %s; %s", got, want, w.explain())
	}
}

func (w *world) explain() string {
	vn := w.node()
	if vn == nil {
		return "the VPSieNode is gone"
	}
	text := fmt.Sprintf("order %+v\n", vn.Status.Order)
	for _, c := range vn.Status.Conditions {
		text += fmt.Sprintf("%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

func (w *world) create(object client.Object) {
	w.t.Helper()
	if err := w.kube.Create(context.Background(), object); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) delete() {
	w.t.Helper()
	if err := w.kube.Delete(context.Background(), w.node()); err != nil {
		w.t.Fatal(err)
	}
}

// join makes the machine a Node, as VPSie does: without our labels, with the taint that the admission policy adds.
func (w *world) join(ready corev1.ConditionStatus) {
	w.t.Helper()
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "hel-slave-x", UID: "node-uid", CreationTimestamp: metav1.NewTime(w.clock.Now()), Labels: map[string]string{corev1.LabelHostname: "hel-slave-x"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoExecute}, {Key: "foreign", Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3900m")},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
		},
	}
	if err := w.kube.Create(context.Background(), node); err != nil {
		w.t.Fatal(err)
	}
}

// becomesReady lets a machine appear and join, and its Node become Ready now.
func (w *world) becomesReady() {
	w.t.Helper()
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionFalse)
	w.steps(1)
	w.change(func(n *corev1.Node) {
		n.Status.Conditions[0].Status = corev1.ConditionTrue
		n.Status.Conditions[0].LastTransitionTime = metav1.NewTime(w.clock.Now())
	})
}

// falls makes the Node Ready or not, as its kubelet, or its silence, does.
func (w *world) falls(ready corev1.ConditionStatus) {
	w.t.Helper()
	w.change(func(n *corev1.Node) { n.Status.Conditions[0].Status = ready })
}

func (w *world) theNode() *corev1.Node {
	w.t.Helper()
	node := &corev1.Node{}
	if err := w.kube.Get(context.Background(), client.ObjectKey{Name: "hel-slave-x"}, node); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		w.t.Fatal(err)
	}
	return node
}

func (w *world) change(change func(*corev1.Node)) {
	w.t.Helper()
	node := w.theNode()
	change(node)
	status := node.Status
	if err := w.kube.Update(context.Background(), node); err != nil {
		w.t.Fatal(err)
	}
	node.Status = status
	if err := w.kube.Status().Update(context.Background(), node); err != nil {
		w.t.Fatal(err)
	}
}
