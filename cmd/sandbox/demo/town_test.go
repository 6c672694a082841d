// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

// town is a cluster, its controllers and its VPSie in one: each look at the books is one step of its life, and of the clock. The demo
// looks at the books last, so every step is seen by the next glance.
type town struct {
	t      *testing.T
	kube   client.Client
	clock  *clocktesting.FakeClock
	ledger ledger.Ledger
	open   []func()
	close  []func()

	out bytes.Buffer
}

const (
	machineName = "general-0a1b2c3d"
	host        = "k8s-worker-7"
)

func newTown(t *testing.T) *town {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &town{
		t: t, clock: clocktesting.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
		kube: fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VPSieNode{}, &v1alpha1.Disruption{}).Build(),
	}
	w.open = []func(){w.createPods, w.plan, w.order, w.appear, w.join, w.register, w.run}
	w.close = []func(){w.stopPods, w.decide, w.release, w.forget}
	return w
}

// Ledger makes the next step.
func (w *town) Ledger(ctx context.Context) (ledger.Report, error) {
	report := w.ledger.Report(w.clock.Now())
	steps := &w.open
	var web appsv1.Deployment
	if err := w.kube.Get(ctx, client.ObjectKey{Namespace: shop, Name: "web"}, &web); err == nil && *web.Spec.Replicas == 0 {
		steps = &w.close
	}
	if len(*steps) > 0 {
		(*steps)[0]()
		*steps = (*steps)[1:]
	}
	w.clock.Step(time.Second)
	return report, nil
}

// demo runs the demo in the town.
func (w *town) demo() error {
	return run(w.t.Context(), world{
		kube: w.kube, vpsie: w, log: "controller.log", alive: func(context.Context) error { return nil },
	}, Options{Manifests: "testdata/town", Out: &w.out, Clock: w.clock, Patience: time.Minute, Interval: time.Second})
}

func (w *town) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *town) machine() *v1alpha1.VPSieNode {
	vn := &v1alpha1.VPSieNode{}
	w.must(w.kube.Get(w.t.Context(), client.ObjectKey{Name: machineName}, vn))
	return vn
}

// change writes the status of the machine.
func (w *town) change(how func(*v1alpha1.VPSieNode)) {
	vn := w.machine()
	how(vn)
	w.must(w.kube.Status().Update(w.t.Context(), vn))
}

func condition(kind string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: kind}
}

func shopPod(name, workload, kind, cpu string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: shop, Name: name, Labels: map[string]string{nameLabel: workload},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: workload + "-6d4c", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: workload, Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: quantity(cpu), corev1.ResourceMemory: quantity("1280Mi")},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{
			{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "no nodes available"},
		}},
	}
}

func (w *town) createPods() {
	for _, name := range []string{"web-1", "web-2"} {
		w.must(w.kube.Create(w.t.Context(), shopPod(name, "web", "ReplicaSet", "1500m")))
	}
}

// plan writes the machine down; it lists only the first pod, the second is told by an event.
func (w *town) plan() {
	w.must(w.kube.Create(w.t.Context(), &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: machineName, Finalizers: []string{v1alpha1.VPSieNodeFinalizer}, Annotations: map[string]string{
			v1alpha1.PodsAnnotation: "shop/web-1", v1alpha1.WhyAnnotation: "it is the cheapest that holds both pods",
		}},
		Spec: v1alpha1.VPSieNodeSpec{NodeGroup: "general", Offerings: []v1alpha1.OfferingChoice{{
			ID: "2", Name: "Professional", PricePerHour: "0.066666667",
			Capacity: corev1.ResourceList{corev1.ResourceCPU: quantity("4"), corev1.ResourceMemory: quantity("8Gi")},
		}}},
	}))
	w.must(w.kube.Create(w.t.Context(), event("web-2", plannedReason, "will run on a new Professional at 0.0667 per hour in node group general: VPSieNode "+machineName, w.clock.Now())))
}

func event(name, reason, note string, at time.Time) *eventsv1.Event {
	return &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: shop, Name: name + "." + reason},
		Regarding:  corev1.ObjectReference{Kind: "Pod", Namespace: shop, Name: name},
		Reason:     reason, Note: note, EventTime: metav1.NewMicroTime(at),
	}
}

func (w *town) order() {
	w.ledger.Accept(ledger.Order{Hostname: host, SizeName: "Professional", PricePerMonth: 48, PricePerHour: 48.0 / 720, OrderedAt: w.clock.Now()})
	w.change(func(vn *v1alpha1.VPSieNode) {
		vn.Status.Phase, vn.Status.Order = v1alpha1.PhaseProvisioning, &v1alpha1.OrderRecord{Offering: "2", State: v1alpha1.OrderAccepted, Attempt: 1}
	})
}

func (w *town) appear() {
	w.ledger.Appeared(1, w.clock.Now())
	w.change(func(vn *v1alpha1.VPSieNode) {
		vn.Status.Phase, vn.Status.InstanceID, vn.Status.Hostname = v1alpha1.PhaseProvisioned, "7", host
		vn.Status.Offering, vn.Status.PricePerHour = "Professional", "0.066666667"
	})
}

func (w *town) join() {
	w.ledger.Joined(1, w.clock.Now())
	w.must(w.kube.Create(w.t.Context(), &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: host, Labels: map[string]string{v1alpha1.VPSieNodeLabel: machineName}},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
			corev1.ResourceCPU: quantity("3900m"), corev1.ResourceMemory: quantity("7936Mi"),
		}},
	}))
}

func (w *town) register() {
	w.change(func(vn *v1alpha1.VPSieNode) {
		vn.Status.Phase, vn.Status.NodeName = v1alpha1.PhaseJoining, host
		vn.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionRegistered)}
	})
}

func (w *town) run() {
	w.change(func(vn *v1alpha1.VPSieNode) {
		vn.Status.Phase = v1alpha1.PhaseReady
		vn.Status.Conditions = append(vn.Status.Conditions, condition(v1alpha1.ConditionInitialized))
	})
	var pods corev1.PodList
	w.must(w.kube.List(w.t.Context(), &pods))
	for i := range pods.Items {
		w.start(&pods.Items[i])
	}
	daemon := shopPod("logs-x", "logs", daemonSet, "50m")
	w.must(w.kube.Create(w.t.Context(), daemon))
	w.start(daemon)
}

func (w *town) start(p *corev1.Pod) {
	p.Spec.NodeName = host
	w.must(w.kube.Update(w.t.Context(), p))
	p.Status.Phase = corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	w.must(w.kube.Status().Update(w.t.Context(), p))
}

func (w *town) stopPods() {
	w.must(w.kube.DeleteAllOf(w.t.Context(), &corev1.Pod{}, client.InNamespace(shop), client.MatchingLabels{nameLabel: "web"}))
}

func (w *town) decide() {
	w.must(w.kube.Create(w.t.Context(), &v1alpha1.Disruption{
		ObjectMeta: metav1.ObjectMeta{Name: "general-empty-1"},
		Spec: v1alpha1.DisruptionSpec{
			Reason: v1alpha1.ReasonEmpty, NodeGroup: "general", SavingsPerHour: "0.0667",
			Remove: []v1alpha1.Removal{{VPSieNode: machineName}},
		},
	}))
	w.must(w.kube.Delete(w.t.Context(), w.machine()))
}

func (w *town) release() {
	w.ledger.DeleteRequested(1, w.clock.Now())
	w.change(func(vn *v1alpha1.VPSieNode) { vn.Status.Phase = v1alpha1.PhaseDeleting })
}

func (w *town) forget() {
	w.ledger.Left(1, w.clock.Now())
	vn := w.machine()
	vn.Finalizers = nil
	w.must(w.kube.Update(w.t.Context(), vn))
	var d v1alpha1.Disruption
	w.must(w.kube.Get(w.t.Context(), client.ObjectKey{Name: "general-empty-1"}, &d))
	d.Status.Phase = v1alpha1.DisruptionSucceeded
	w.must(w.kube.Status().Update(w.t.Context(), &d))
	w.must(w.kube.Delete(w.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: host}}))
}
