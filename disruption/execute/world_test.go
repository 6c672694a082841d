// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

var ctx = context.Background()

// world is a fake API server with the Disruption "d" on it, and a new Reconciler for each step: nothing may live in memory.
type world struct {
	t        *testing.T
	kube     client.WithWatch
	clock    *clocktesting.FakePassiveClock
	recorder *events.FakeRecorder
	registry *prometheus.Registry
	options  Options
	judge    Judge
	fail     func(write string) failure // what happens to a write
	writes   []string                   // "verb kind name", in order; failed ones too
}

// failure is what happens to a write.
type failure int

const (
	works failure = iota
	lost          // it never reaches the API server
	mute          // it is carried out and the answer is lost
)

var errCrash = errors.New("crash")

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, clock: clocktesting.NewFakePassiveClock(start), recorder: events.NewFakeRecorder(1000), registry: prometheus.NewRegistry(),
		judge: &verdicts{}, fail: func(string) failure { return works },
	}
	w.kube = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1alpha1.Disruption{}, &v1alpha1.VPSieNode{}).
		WithIndex(&corev1.Pod{}, drain.NodeNameField, func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				return w.write("create", o, func() error {
					o.SetUID(types.UID("uid-" + o.GetName()))
					return c.Create(ctx, o, opts...)
				})
			},
			Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
				return w.write("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				return w.write("patch "+sub+" of", o, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
			},
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				return w.write("delete", o, func() error { return deleteIf(ctx, c, o, opts...) })
			},
		}).Build()
	return w
}

func (w *world) write(verb string, o client.Object, do func() error) error {
	w.t.Helper()
	kind := map[bool]string{true: "Disruption", false: "VPSieNode"}
	_, isDisruption := o.(*v1alpha1.Disruption)
	what := verb + " " + kind[isDisruption] + " " + o.GetName()
	if _, isNode := o.(*corev1.Node); isNode {
		what = verb + " Node " + o.GetName()
	}
	w.writes = append(w.writes, what)
	how := w.fail(what)
	if how == lost {
		return errCrash
	}
	if err := do(); err != nil || how == works {
		return err
	}
	return errCrash
}

// deleteIf adds what the fake client does not know: the precondition on the UID.
func deleteIf(ctx context.Context, c client.Client, o client.Object, opts ...client.DeleteOption) error {
	var options client.DeleteOptions
	options.ApplyOptions(opts)
	current := o.DeepCopyObject().(client.Object)
	if err := c.Get(ctx, client.ObjectKeyFromObject(o), current); err != nil {
		return err
	}
	if options.Preconditions == nil || options.Preconditions.UID == nil {
		return errors.New("deleting without naming the UID")
	}
	if _, isMachine := o.(*v1alpha1.VPSieNode); isMachine && options.Preconditions.ResourceVersion == nil {
		return errors.New("deleting a VPSieNode without naming the resource version")
	}
	if *options.Preconditions.UID != current.GetUID() {
		return apierrors.NewConflict(schema.GroupResource{}, o.GetName(), errors.New("the UID in the precondition differs"))
	}
	return c.Delete(ctx, o, opts...)
}

// step reconciles once, as a process that was just started would.
func (w *world) step() error {
	o := w.options
	o.Clock, o.Recorder, o.Registerer = w.clock, w.recorder, w.registry
	if w.registry != nil {
		w.registry = prometheus.NewRegistry() // of the latest step
		o.Registerer = w.registry
	}
	_, err := New(w.kube, w.kube, w.judge, w.drainer(), o).Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Name: "d"}})
	return err
}

func (w *world) drainer() *drain.Drainer {
	return drain.New(w.kube, w.kube, drain.Options{Clock: w.clock})
}

// run steps, five seconds apart, until the phase is reached; lifecycle lets go of VPSieNodes meanwhile.
func (w *world) run(until ...v1alpha1.DisruptionPhase) []v1alpha1.DisruptionPhase {
	w.t.Helper()
	var phases []v1alpha1.DisruptionPhase
	for range 60 {
		if err := w.step(); err != nil && !errors.Is(err, errCrash) && !apierrors.IsConflict(err) {
			w.t.Fatal(err)
		}
		phase := w.disruption().Status.Phase
		if len(phases) == 0 || phases[len(phases)-1] != phase {
			phases = append(phases, phase)
		}
		if slices.Contains(until, phase) {
			return phases
		}
		if phase == v1alpha1.DisruptionVerifying {
			w.release()
		}
		w.clock.SetTime(w.clock.Now().Add(5 * time.Second))
	}
	w.t.Fatalf("never got to %v: %v, %q", until, phases, w.disruption().Status.Message)
	return nil
}

// release does lifecycle's part: VPSieNodes that are being deleted disappear.
func (w *world) release() {
	w.t.Helper()
	var list v1alpha1.VPSieNodeList
	if err := w.kube.List(ctx, &list); err != nil {
		w.t.Fatal(err)
	}
	for i := range list.Items {
		if vn := &list.Items[i]; !vn.DeletionTimestamp.IsZero() {
			vn.Finalizers = nil
			if err := w.kube.Update(ctx, vn); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) disruption() *v1alpha1.Disruption {
	w.t.Helper()
	var d v1alpha1.Disruption
	if err := w.kube.Get(ctx, client.ObjectKey{Name: "d"}, &d); err != nil {
		w.t.Fatal(err)
	}
	return &d
}

// vpsieNode returns the VPSieNode, nil when it is gone.
func (w *world) vpsieNode(name string) *v1alpha1.VPSieNode {
	w.t.Helper()
	var vn v1alpha1.VPSieNode
	if err := w.kube.Get(ctx, client.ObjectKey{Name: name}, &vn); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		w.t.Fatal(err)
	}
	return &vn
}

func (w *world) tainted(node string) bool {
	w.t.Helper()
	var n corev1.Node
	if err := w.kube.Get(ctx, client.ObjectKey{Name: node}, &n); err != nil {
		w.t.Fatal(err)
	}
	_, excluded := n.Labels[corev1.LabelNodeExcludeBalancers]
	taint := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.DisruptingTaint })
	if taint != excluded {
		w.t.Errorf("node %s: tainted %t, kept from load balancers %t", node, taint, excluded)
	}
	return taint
}

func (w *world) events() []string {
	var result []string
	for {
		select {
		case event := <-w.recorder.Events:
			result = append(result, event)
		default:
			return result
		}
	}
}

// untouched fails the test if anything but the Disruption was written.
func (w *world) untouched() {
	w.t.Helper()
	for _, write := range w.writes {
		if write != "patch Disruption d" && write != "patch status of Disruption d" {
			w.t.Errorf("touched: %s", write)
		}
	}
}

// verdicts is a judge that says yes, unless the test put a no for the phase.
type verdicts struct {
	no  map[v1alpha1.DisruptionPhase]*disruption.Kept
	err error
}

func (v *verdicts) Recheck(_ context.Context, d *v1alpha1.Disruption) (*disruption.Kept, error) {
	return v.no[d.Status.Phase], v.err
}

func refuses(phase v1alpha1.DisruptionPhase, rule disruption.Rule, message string) *verdicts {
	return &verdicts{no: map[v1alpha1.DisruptionPhase]*disruption.Kept{phase: {VPSieNode: "a", Rule: rule, Message: message}}}
}

func theDisruption(changes ...func(*v1alpha1.Disruption)) *v1alpha1.Disruption {
	d := &v1alpha1.Disruption{
		ObjectMeta: metav1.ObjectMeta{Name: "d", UID: "uid-d", Finalizers: []string{disruption.Finalizer}},
		Spec: v1alpha1.DisruptionSpec{
			Reason: v1alpha1.ReasonEmpty, NodeGroup: "pool", SavingsPerHour: "0.0500", Approved: v1alpha1.ApprovedYes,
			Remove: []v1alpha1.Removal{{VPSieNode: "a", UID: "uid-a", Node: "n-a"}},
		},
	}
	for _, change := range changes {
		change(d)
	}
	return d
}

func inPhase(phase v1alpha1.DisruptionPhase) func(*v1alpha1.Disruption) {
	return func(d *v1alpha1.Disruption) {
		d.Status.Phase = phase
		d.Status.StartedAt = new(metav1.NewTime(start))
	}
}

func unapproved(d *v1alpha1.Disruption) { d.Spec.Approved = v1alpha1.ApprovedNo }

func removing(names ...string) func(*v1alpha1.Disruption) {
	return func(d *v1alpha1.Disruption) {
		for _, name := range names {
			d.Spec.Remove = append(d.Spec.Remove, v1alpha1.Removal{VPSieNode: name, UID: "uid-" + name, Node: "n-" + name})
		}
	}
}

func replacedBy(names ...string) func(*v1alpha1.Disruption) {
	return func(d *v1alpha1.Disruption) {
		for _, name := range names {
			d.Spec.Launch = append(d.Spec.Launch, v1alpha1.Replacement{Name: name, Spec: v1alpha1.VPSieNodeSpec{
				NodeGroup: "pool", Datacenter: "dc", CreationReason: v1alpha1.CreatedAsReplacement, Offerings: []v1alpha1.OfferingChoice{{ID: "o", Name: "o", PricePerHour: "0.01"}},
			}})
		}
	}
}

func pool() *v1alpha1.NodeGroup {
	return &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "pool", UID: "uid-pool"}}
}

func machine(name string, changes ...func(*v1alpha1.VPSieNode)) *v1alpha1.VPSieNode {
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Finalizers: []string{v1alpha1.VPSieNodeFinalizer}},
		Spec:       v1alpha1.VPSieNodeSpec{NodeGroup: "pool"},
		Status:     v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady, NodeName: "n-" + name},
	}
	for _, change := range changes {
		change(vn)
	}
	return vn
}

func node(name string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-" + name, UID: types.UID("uid-n-" + name)}}
}

func workload(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID(name)},
		Spec:       corev1.PodSpec{NodeName: node}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
}
