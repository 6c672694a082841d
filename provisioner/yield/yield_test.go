// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package yield

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/memory"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

var monday = time.Date(2030, 1, 7, 0, 0, 0, 0, time.UTC)

// node is a Ready Node that was sold with 4 processors and 8 GiB.
func node(name, memory, left, cpu string, change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			v1alpha1.OfferingLabel: "3", v1alpha1.CPULabel: "4", v1alpha1.MemoryLabel: "8192", v1alpha1.VPSieNodeLabel: "vn-" + name,
		}},
		Status: corev1.NodeStatus{
			Capacity:    corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse(memory)},
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(left)},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	if change != nil {
		change(n)
	}
	return n
}

func TestObserve(t *testing.T) {
	want := Yield{MemoryMiB: 2000, ReservedMiB: 300, ReservedCPUMilli: 100, Node: "n", SeenAt: monday}
	good := func(change func(*corev1.Node)) *corev1.Node { return node("n", "2000Mi", "1700Mi", "3900m", change) }
	for name, test := range map[string]struct {
		node *corev1.Node
		want Yield
	}{
		"a Node of ours":                       {good(nil), want},
		"one with more than was sold":          {node("n", "9000Mi", "8000Mi", "4", nil), Yield{MemoryMiB: 8192, ReservedMiB: 192, Node: "n", SeenAt: monday}},
		"one whose memory is no whole MiB":     {node("n", "2048001Ki", "1740801Ki", "3900m", nil), want},
		"one of which nothing is said":         {good(func(n *corev1.Node) { n.Status.Capacity = nil }), Yield{}},
		"one without allocatable memory yet":   {node("n", "2000Mi", "0", "3900m", nil), Yield{}},
		"one without allocatable processors":   {node("n", "2000Mi", "1700Mi", "0", nil), Yield{}},
		"one with less than a kubelet needs":   {node("n", "200Mi", "100Mi", "3900m", nil), Yield{}},
		"one that is not Ready":                {good(func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }), Yield{}},
		"one that says nothing of being Ready": {good(func(n *corev1.Node) { n.Status.Conditions = nil }), Yield{}},
		"one of somebody else":                 {good(func(n *corev1.Node) { delete(n.Labels, v1alpha1.VPSieNodeLabel) }), Yield{}},
		"one of no offering":                   {good(func(n *corev1.Node) { delete(n.Labels, v1alpha1.OfferingLabel) }), Yield{}},
		"one sold with nobody knows what":      {good(func(n *corev1.Node) { n.Labels[v1alpha1.MemoryLabel] = "much" }), Yield{}},
		"one with no number of processors":     {good(func(n *corev1.Node) { delete(n.Labels, v1alpha1.CPULabel) }), Yield{}},
		"one that is being deleted":            {good(func(n *corev1.Node) { n.DeletionTimestamp = new(metav1.Now()) }), Yield{}},
	} {
		t.Run(name, func(t *testing.T) {
			offering, got, ok := Observe(test.node, monday.Add(5*time.Hour))
			if diff := cmp.Diff(test.want, got); diff != "" || ok != (test.want != Yield{}) || ok && offering != "3" {
				t.Errorf("offering %q, %t:\n%s", offering, ok, diff)
			}
		})
	}
}

func TestTheWorstIsRemembered(t *testing.T) {
	of := func(name string, memory, cpu int64, day int) Yield {
		return Yield{MemoryMiB: memory, ReservedMiB: 200, ReservedCPUMilli: cpu, Node: name, SeenAt: monday.AddDate(0, 0, day)}
	}
	for name, test := range map[string]struct{ known, seen, want Yield }{
		"the first":                              {Yield{}, of("b", 2000, 100, 0), of("b", 2000, 100, 0)},
		"less memory":                            {of("a", 2000, 100, 0), of("b", 1500, 100, 1), of("b", 1500, 100, 1)},
		"more memory":                            {of("a", 2000, 100, 0), of("b", 3000, 100, 1), of("a", 2000, 100, 0)},
		"the same on another day":                {of("a", 2000, 100, 0), of("b", 2000, 100, 1), of("b", 2000, 100, 1)},
		"the same on the same day":               {of("a", 2000, 100, 0), of("b", 2000, 100, 0), of("a", 2000, 100, 0)},
		"more memory and fewer processors":       {of("a", 2000, 100, 0), of("b", 3000, 300, 1), of("a", 2000, 300, 0)},
		"more memory when the worst is old":      {of("a", 2000, 100, 0), of("b", 3000, 50, 31), of("b", 3000, 50, 31)},
		"more memory when the worst is not old":  {of("a", 2000, 100, 0), of("b", 3000, 50, 30), of("a", 2000, 100, 0)},
		"what is kept is older than what is new": {of("a", 3000, 50, 31), of("b", 2000, 100, 0), of("a", 3000, 50, 31)},
	} {
		if diff := cmp.Diff(test.want, merge(test.known, test.seen)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOfferingsAreCorrectedAndNeverLarger(t *testing.T) {
	sold := []scheduling.Offering{{ID: "3", MemoryMiB: 8192, CPUMilli: 4000}, {ID: "5", MemoryMiB: 1024}, {ID: "7", MemoryMiB: 4096}}
	got := Correct(sold, map[string]Yield{
		"3": {MemoryMiB: 2000, ReservedMiB: 300, ReservedCPUMilli: 100}, "5": {MemoryMiB: 2000, ReservedMiB: 100}, "gone": {MemoryMiB: 1},
	})
	want := []scheduling.Offering{
		{ID: "3", MemoryMiB: 8192, CPUMilli: 4000, VisibleMemoryMiB: 2000, ReservedMiB: 300, ReservedCPUMilli: 100},
		{ID: "5", MemoryMiB: 1024, VisibleMemoryMiB: 1024, ReservedMiB: 100}, {ID: "7", MemoryMiB: 4096},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	allocatable := scheduling.Allocatable(&v1alpha1.NodeGroup{}, got[0])
	if memory, cpu := allocatable.Memory().String(), allocatable.Cpu().String(); memory != "1700Mi" || cpu != "3900m" {
		t.Errorf("pods are planned with %s and %s", memory, cpu)
	}
	if sold[0].VisibleMemoryMiB != 0 {
		t.Error("the cloud's own offerings were changed")
	}
}

// world is an API server with Nodes, a cloud, and controllers that come and go.
type world struct {
	t     *testing.T
	kube  client.Client
	clock *testingclock.FakePassiveClock
	fail  error // of reads of the ConfigMap
	wrote int
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, clock: testingclock.NewFakePassiveClock(monday)}
	w.kube = fake.NewClientBuilder().WithObjects(objects...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if _, ok := object.(*corev1.ConfigMap); ok && w.fail != nil {
				return w.fail
			}
			return c.Get(ctx, key, object, options...)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			w.wrote++
			return c.Create(ctx, object, options...)
		},
		Update: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.UpdateOption) error {
			w.wrote++
			return c.Update(ctx, object, options...)
		},
	}).Build()
	return w
}

func (w *world) book() *Book {
	return New(w.kube, w.kube, "kube-system", Options{Clock: w.clock})
}

func (w *world) learnFrom(b *Book, names ...string) {
	w.t.Helper()
	for _, name := range names {
		if _, err := b.Reconcile(w.t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: name}}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// visible is the memory that offering 3 is planned with, in MiB; 0 while nothing is known.
func (w *world) visible(b *Book) int64 {
	w.t.Helper()
	cloud, err := memory.New(memory.Options{Clock: w.clock})
	if err != nil {
		w.t.Fatal(err)
	}
	offerings, err := b.Correcting(cloud).Offerings(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range offerings {
		if o.ID == "3" {
			return o.VisibleMemoryMiB
		}
	}
	w.t.Fatal("there is no offering 3")
	return 0
}

func TestARestartDoesNotForget(t *testing.T) {
	w := newWorld(t, node("large", "8000Mi", "7700Mi", "3900m", nil), node("small", "2000Mi", "1700Mi", "3900m", nil), node("equal", "2000Mi", "1700Mi", "3900m", nil))
	first := w.book()
	if got := w.visible(first); got != 0 {
		t.Errorf("before any Node, %d MiB are known", got)
	}
	w.learnFrom(first, "large", "small", "equal", "large", "gone")
	if got := w.visible(first); got != 2000 || w.wrote != 2 {
		t.Errorf("after three Nodes %d MiB are known, written %d times", got, w.wrote)
	}
	for _, name := range []string{"large", "small", "equal"} {
		if err := w.kube.Delete(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.visible(w.book()); got != 2000 {
		t.Errorf("after a restart, without any Node, %d MiB are known", got)
	}
}

func TestWhatCannotBeReadStopsPlans(t *testing.T) {
	w := newWorld(t, node("small", "2000Mi", "1700Mi", "3900m", nil))
	w.learnFrom(w.book(), "small")
	w.fail = errors.New("the API server is away")
	b := w.book()
	cloud, err := memory.New(memory.Options{Clock: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	if offerings, err := b.Correcting(cloud).Offerings(t.Context()); cloudprovider.ReactionTo(err) != cloudprovider.TryLater || offerings != nil {
		t.Errorf("got %v, %v", offerings, err)
	}
	w.fail = nil
	if got := w.visible(b); got != 2000 {
		t.Errorf("afterwards %d MiB are known", got)
	}
}

func TestWithoutTheRightToReadNodesStillTeach(t *testing.T) {
	w := newWorld(t, node("small", "2000Mi", "1700Mi", "3900m", nil))
	w.fail = apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, ConfigMapName, errors.New("no"))
	b := w.book()
	if got := w.visible(b); got != 0 {
		t.Errorf("%d MiB are known", got)
	}
	if _, err := b.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: "small"}}); !apierrors.IsForbidden(err) {
		t.Errorf("what could not be saved is not reported: %v", err)
	}
	if got := w.visible(b); got != 2000 {
		t.Errorf("%d MiB are known", got)
	}
	w.fail = nil
	w.learnFrom(b, "small") // learns nothing new, and saves what was not saved
	if w.wrote != 1 {
		t.Errorf("written %d times", w.wrote)
	}
}

func TestASpoiledConfigMapIsLearnedAnew(t *testing.T) {
	w := newWorld(t, node("small", "2000Mi", "1700Mi", "3900m", nil), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: ConfigMapName},
		Data: map[string]string{
			"3": `{"memoryMiB":-5}`, "5": `{"memoryMiB":1000,"reservedMiB":1000}`, "7": "nonsense", "9": `{"memoryMiB":1000,"reservedMiB":-1}`,
			"11": `{"memoryMiB":1000,"reservedMiB":100,"node":"n","seenAt":"2030-01-07T00:00:00Z"}`,
		},
	})
	b := w.book()
	if got := w.visible(b); got != 0 || len(b.yields()) != 1 {
		t.Errorf("%d MiB are known, and %v", got, b.yields())
	}
	w.learnFrom(b, "small")
	stored := &corev1.ConfigMap{}
	if err := w.kube.Get(t.Context(), b.key, stored); err != nil {
		t.Fatal(err)
	}
	if want := `{"memoryMiB":2000,"reservedMiB":300,"reservedCPUMilli":100,"node":"small","seenAt":"2030-01-07T00:00:00Z"}`; stored.Data["3"] != want {
		t.Errorf("kept is %s", stored.Data["3"])
	}
}

func TestTheMetricTellsWhatPodsGet(t *testing.T) {
	w := newWorld(t, node("small", "2000Mi", "1700Mi", "3900m", nil))
	registry := prometheus.NewPedanticRegistry()
	b := New(w.kube, w.kube, "kube-system", Options{Clock: w.clock, Registerer: registry})
	w.learnFrom(b, "small")
	if got := testutil.ToFloat64(b.memory.WithLabelValues("3")); got != 1700*mebibyte {
		t.Errorf("got %v", got)
	}
}
