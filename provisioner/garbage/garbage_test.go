// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package garbage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

type cloud struct {
	machines []cloudprovider.Instance
	down     error
}

func (c *cloud) Inventory(context.Context) (cloudprovider.Inventory, error) {
	return cloudprovider.Inventory{Instances: slices.Clone(c.machines)}, c.down
}

func (c *cloud) Offerings(context.Context) ([]scheduling.Offering, error) {
	return []scheduling.Offering{
		{ID: "1", Name: "Micro", Datacenter: "hel", CPUMilli: 1000, MemoryMiB: 2048, Price: 1},
		{ID: "2", Name: "Professional", Datacenter: "ams", CPUMilli: 4000, MemoryMiB: 8192, Price: 2},
		{ID: "2", Name: "Professional", Datacenter: "hel", CPUMilli: 4000, MemoryMiB: 8192, Price: 3},
	}, nil
}

type fixture struct {
	t         *testing.T
	kube      client.Client
	cloud     *cloud
	clock     *testingclock.FakeClock
	recorder  *events.FakeRecorder
	registry  *prometheus.Registry
	collector *Collector
}

func machine(id string) cloudprovider.Instance {
	return cloudprovider.Instance{ID: id, Hostname: "node-" + id, OfferingIDs: []string{"2"}}
}

// node is a Node that carries our record of the machine.
func node(id string, ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: "node-" + id, UID: types.UID("node-" + id),
			Labels: map[string]string{
				v1alpha1.ManagedLabel: v1alpha1.ManagedValue, v1alpha1.NodeGroupLabel: "general",
				v1alpha1.VPSieNodeLabel: "general-" + id, v1alpha1.DatacenterLabel: "hel",
			},
			Annotations: map[string]string{v1alpha1.VPSIDAnnotation: id},
		},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}},
	}
}

func record(id string, change func(*v1alpha1.VPSieNode)) *v1alpha1.VPSieNode {
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: "general-" + id},
		Spec:       v1alpha1.VPSieNodeSpec{NodeGroup: "general", Datacenter: "hel"},
		Status:     v1alpha1.VPSieNodeStatus{InstanceID: id},
	}
	if change != nil {
		change(vn)
	}
	return vn
}

func group() *v1alpha1.NodeGroup {
	return &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "general", UID: "group"}}
}

func newFixture(t *testing.T, objects ...client.Object) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	f := &fixture{
		t: t, cloud: &cloud{}, clock: testingclock.NewFakeClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)),
		recorder: events.NewFakeRecorder(1000), registry: prometheus.NewRegistry(),
		kube: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build(),
	}
	f.collector = New(f.kube, f.kube, f.cloud, f.recorder, Options{Clock: f.clock, Registerer: f.registry})
	return f
}

// passes makes n passes, two minutes apart.
func (f *fixture) passes(n int) (last error) {
	for range n {
		last = f.collector.Pass(f.t.Context())
		f.clock.Step(2 * time.Minute)
	}
	return last
}

func (f *fixture) names(list client.ObjectList) string {
	f.t.Helper()
	if err := f.kube.List(f.t.Context(), list); err != nil {
		f.t.Fatal(err)
	}
	var names []string
	switch l := list.(type) {
	case *corev1.NodeList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	case *v1alpha1.VPSieNodeList:
		for i := range l.Items {
			names = append(names, l.Items[i].Name)
		}
	}
	return strings.Join(names, " ")
}

func (f *fixture) events() string {
	var all []string
	for {
		select {
		case text := <-f.recorder.Events:
			words := strings.Fields(text)
			all = append(all, words[1])
		default:
			return strings.Join(all, " ")
		}
	}
}

func TestCollector(t *testing.T) {
	deleting := func(i cloudprovider.Instance) cloudprovider.Instance { i.Deleting = true; return i }
	cases := map[string]struct {
		objects  []client.Object
		machines []cloudprovider.Instance
		nodes    string
		records  string
		events   string
		finding  kind
	}{
		"a Node whose machine is gone, and whose VPSieNode has another one, goes": {
			objects:  []client.Object{group(), node("a", corev1.ConditionFalse), record("a", func(n *v1alpha1.VPSieNode) { n.Status.InstanceID = "b" })},
			machines: []cloudprovider.Instance{machine("b")}, records: "general-a", events: EventMachineGone,
		},
		"what agrees is left alone": {
			objects: []client.Object{group(), node("a", corev1.ConditionTrue), record("a", nil)}, machines: []cloudprovider.Instance{machine("a")},
			nodes: "node-a", records: "general-a",
		},
		"a machine whose VPSieNode was lost gets it back": {
			objects: []client.Object{group(), node("a", corev1.ConditionTrue)}, machines: []cloudprovider.Instance{machine("a")},
			nodes: "node-a", records: "general-a", events: EventRecovered,
		},
		"refuses to decide about a machine whose NodeGroup is lost too, and says so once": {
			objects: []client.Object{node("a", corev1.ConditionTrue)}, machines: []cloudprovider.Instance{machine("a")},
			nodes: "node-a", events: EventAbandoned, finding: lostNodeGroup,
		},
		"a Node whose machine and VPSieNode are gone is removed": {
			objects: []client.Object{group(), node("a", corev1.ConditionFalse)}, machines: []cloudprovider.Instance{machine("b")},
			events: EventMachineGone + " " + EventUnknown, finding: unknownMachine,
		},
		"refuses to remove a Node that is Ready, whatever VPSie says": {
			objects: []client.Object{group(), node("a", corev1.ConditionTrue)}, machines: []cloudprovider.Instance{machine("b")},
			nodes: "node-a", events: EventUnknown, finding: unknownMachine,
		},
		"refuses to remove a Node whose VPSieNode is there: its life cycle does": {
			objects: []client.Object{group(), node("a", corev1.ConditionFalse), record("a", nil)}, machines: []cloudprovider.Instance{machine("b")},
			nodes: "node-a", records: "general-a", events: EventUnknown, finding: unknownMachine,
		},
		"refuses to touch a machine that nobody here ordered": {
			objects: []client.Object{group()}, machines: []cloudprovider.Instance{machine("a")}, events: EventUnknown, finding: unknownMachine,
		},
		"refuses to touch a Node of somebody else": {
			objects: []client.Object{group(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}}}, machines: []cloudprovider.Instance{machine("a")},
			nodes: "foreign", events: EventUnknown, finding: unknownMachine,
		},
		"a machine that an order may still claim is not unknown": {
			objects: []client.Object{group(), record("a", func(n *v1alpha1.VPSieNode) {
				n.Status = v1alpha1.VPSieNodeStatus{Order: &v1alpha1.OrderRecord{Offering: "2"}}
			})}, machines: []cloudprovider.Instance{machine("x")}, records: "general-a",
		},
		"a machine that was there before the order is": {
			objects: []client.Object{group(), record("a", func(n *v1alpha1.VPSieNode) {
				n.Status = v1alpha1.VPSieNodeStatus{Order: &v1alpha1.OrderRecord{Offering: "2", Seen: []string{"x"}}}
			})}, machines: []cloudprovider.Instance{machine("x")}, records: "general-a", events: EventUnknown, finding: unknownMachine,
		},
		"a machine that is being destroyed is not brought back": {
			objects: []client.Object{group(), node("a", corev1.ConditionTrue)}, machines: []cloudprovider.Instance{deleting(machine("a"))}, nodes: "node-a",
		},
		"a machine whose name went to another is reported": {
			objects:  []client.Object{group(), node("a", corev1.ConditionTrue), record("a", func(n *v1alpha1.VPSieNode) { n.Status.InstanceID = "b" })},
			machines: []cloudprovider.Instance{machine("a"), machine("b")}, nodes: "node-a", records: "general-a", events: EventUnknown, finding: unknownMachine,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, tc.objects...)
			f.cloud.machines = tc.machines
			before := f.names(&corev1.NodeList{}) + f.names(&v1alpha1.VPSieNodeList{})
			if err := f.passes(5); err != nil {
				t.Fatal(err)
			}
			if got := f.names(&corev1.NodeList{}) + f.names(&v1alpha1.VPSieNodeList{}); got != before {
				t.Errorf("acted before the minimum age: %q", got)
			}
			if err := f.passes(5); err != nil {
				t.Fatal(err)
			}
			got := []string{f.names(&corev1.NodeList{}), f.names(&v1alpha1.VPSieNodeList{}), f.events()}
			if diff := cmp.Diff([]string{tc.nodes, tc.records, tc.events}, got); diff != "" {
				t.Errorf("nodes, VPSieNodes, events (-want +got):\n%s", diff)
			}
			for _, k := range kinds() {
				want := 0.0
				if k == tc.finding {
					want = 1
				}
				if got := testutil.ToFloat64(f.collector.metrics.findings.WithLabelValues(string(k))); got != want {
					t.Errorf("metric of %s is %v, want %v", k, got, want)
				}
			}
		})
	}
}

func TestARecoveredVPSieNodeSaysWhatItIs(t *testing.T) {
	f := newFixture(t, group(), node("a", corev1.ConditionTrue))
	f.cloud.machines = []cloudprovider.Instance{machine("a")}
	if err := f.passes(7); err != nil {
		t.Fatal(err)
	}
	vn := &v1alpha1.VPSieNode{}
	if err := f.kube.Get(t.Context(), client.ObjectKey{Name: "general-a"}, vn); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%s %s %s %v %d %s", vn.Spec.NodeGroup, vn.Spec.Datacenter, vn.Spec.CreationReason, vn.Finalizers, len(vn.Spec.Offerings), vn.Spec.Offerings[0].Name)
	if want := "general hel recovery [vpsienode.autoscaler.vpsie.com/finalizer] 1 Professional"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestRefusesToConclude(t *testing.T) {
	lost := func(t *testing.T) *fixture {
		t.Helper()
		f := newFixture(t, group(), node("a", corev1.ConditionFalse), node("b", corev1.ConditionFalse))
		f.cloud.machines = []cloudprovider.Instance{machine("other")}
		return f
	}
	t.Run("from an empty list", func(t *testing.T) {
		f := lost(t)
		f.cloud.machines = nil
		if err := f.passes(20); err == nil {
			t.Error("an empty list is no error")
		}
		if got := f.names(&corev1.NodeList{}); got != "node-a node-b" {
			t.Errorf("nodes left: %q", got)
		}
	})
	t.Run("from a list that failed", func(t *testing.T) {
		f := lost(t)
		f.cloud.down = cloudprovider.Errorf(cloudprovider.TryLater, "Unreachable", "no route")
		if err := f.passes(20); err == nil {
			t.Error("a failed list is no error")
		}
		if got := f.names(&corev1.NodeList{}); got != "node-a node-b" {
			t.Errorf("nodes left: %q", got)
		}
	})
	t.Run("from what looked wrong only now and then", func(t *testing.T) {
		f := lost(t)
		for range 10 {
			f.cloud.machines = []cloudprovider.Instance{machine("other")}
			_ = f.passes(4)
			f.cloud.machines = []cloudprovider.Instance{machine("a"), machine("b")}
			f.cloud.machines[0].Deleting, f.cloud.machines[1].Deleting = true, true
			_ = f.passes(1)
		}
		if got := f.names(&corev1.NodeList{}); got != "node-a node-b" {
			t.Errorf("nodes left: %q", got)
		}
	})
	t.Run("about many at once", func(t *testing.T) {
		f := lost(t)
		_ = f.passes(6)
		if got := f.names(&corev1.NodeList{}); got != "node-b" {
			t.Errorf("nodes left after the first pass that acts: %q, want one", got)
		}
	})
}

type recorderFunc func(about runtime.Object, text string)

func (f recorderFunc) Eventf(about, _ runtime.Object, _, reason, _, note string, args ...any) {
	f(about, reason+" "+fmt.Sprintf(note, args...))
}

func TestAnUnknownMachineIsReportedOnceOnItsNode(t *testing.T) {
	joined := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a", UID: "joined"}}
	f := newFixture(t, group(), joined)
	var told []string
	f.collector.recorder = recorderFunc(func(about runtime.Object, text string) {
		node, ok := about.(*corev1.Node)
		if !ok {
			t.Fatalf("told of %T", about)
		}
		told = append(told, fmt.Sprintf("%s %s: %s", node.Name, node.UID, text))
	})
	f.cloud.machines = []cloudprovider.Instance{{ID: "a", Hostname: "NODE-a", OfferingIDs: []string{"2"}}, machine("b")}
	if err := f.passes(5); err != nil {
		t.Fatal(err)
	}
	if len(told) > 0 {
		t.Fatalf("told before the minimum age: %q", told)
	}
	for range 5 { // a list is short now and then
		_ = f.passes(7)
		f.cloud.machines = f.cloud.machines[:1]
		_ = f.passes(1)
		f.cloud.machines = append(f.cloud.machines, machine("b"))
	}
	const rest = ", which no VPSieNode has or waits for; it is paid for and left alone. If nobody added it by hand, drain its node and remove it in VPSie"
	want := []string{"node-a joined: UnknownMachine VPSie lists machine a (NODE-a)" + rest, "node-b : UnknownMachine VPSie lists machine b (node-b)" + rest}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := f.names(&corev1.NodeList{}); got != "node-a" {
		t.Errorf("nodes are %q", got)
	}
}
