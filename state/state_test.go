// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func snapshotOf(t *testing.T, objects ...client.Object) *Picture {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	picture, err := New(reader, testingclock.NewFakePassiveClock(noon)).Snapshot(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return picture
}

func vpsieNode(name string, phase v1alpha1.VPSieNodePhase, change func(*v1alpha1.VPSieNode)) *v1alpha1.VPSieNode {
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.VPSieNodeSpec{
			NodeGroup: "general", Datacenter: "hel", CreationReason: v1alpha1.CreatedForPods, Labels: map[string]string{"team": "shop"},
			Offerings: []v1alpha1.OfferingChoice{{
				ID: "2", Name: "Professional", PricePerHour: "0.05",
				Capacity:    corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")},
				Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3900m"), corev1.ResourcePods: resource.MustParse("110")},
			}},
		},
		Status: v1alpha1.VPSieNodeStatus{Phase: phase},
	}
	if change != nil {
		change(vn)
	}
	return vn
}

func joined(initialized metav1.ConditionStatus) func(*v1alpha1.VPSieNode) {
	return func(vn *v1alpha1.VPSieNode) {
		vn.Status.NodeName = "slave-1"
		vn.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionInitialized, Status: initialized}}
	}
}

func barred(vn *v1alpha1.VPSieNode) {
	vn.Status.Order, vn.Status.InstanceID = nil, ""
	vn.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLaunched, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonNodeGroupNotManaged}}
}

func node(name, cpu string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Status:     corev1.NodeStatus{Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourcePods: resource.MustParse("110")}},
	}
}

func pod(name, nodeName, reason string, phase corev1.PodPhase) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
		Spec:       corev1.PodSpec{NodeName: nodeName, SchedulerName: corev1.DefaultSchedulerName},
		Status:     corev1.PodStatus{Phase: phase},
	}
	if reason != "" {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason}}
	}
	return p
}

func nodesOf(p *Picture) map[string]string {
	result := map[string]string{}
	for _, n := range p.Snapshot.Nodes() {
		result[n.Name] = n.Status.Allocatable.Cpu().String()
	}
	return result
}

func TestWhatIsPlannedWith(t *testing.T) {
	cases := map[string]struct {
		objects []client.Object
		want    map[string]string // node: cpu
	}{
		"a machine that is ordered counts as the node it will be": {
			objects: []client.Object{vpsieNode("general-1", v1alpha1.PhaseProvisioning, nil)}, want: map[string]string{"general-1": "3900m"},
		},
		"a node that joined counts with what it shows, once": {
			objects: []client.Object{vpsieNode("general-1", v1alpha1.PhaseJoining, joined(metav1.ConditionFalse)), node("slave-1", "3500m")},
			want:    map[string]string{"slave-1": "3500m"},
		},
		"an initialized node counts as it is": {
			objects: []client.Object{vpsieNode("general-1", v1alpha1.PhaseReady, joined(metav1.ConditionTrue)), node("slave-1", "3800m")},
			want:    map[string]string{"slave-1": "3800m"},
		},
		"a failed machine does not count": {
			objects: []client.Object{vpsieNode("general-1", v1alpha1.PhaseFailed, nil)}, want: map[string]string{},
		},
		"a machine that nothing may be ordered for does not count": {
			objects: []client.Object{vpsieNode("general-1", v1alpha1.PhasePending, barred)}, want: map[string]string{},
		},
		"a machine that is leaving before it joined does not count": {
			objects: []client.Object{vpsieNode("general-1", v1alpha1.PhaseProvisioning, func(vn *v1alpha1.VPSieNode) {
				vn.DeletionTimestamp, vn.Finalizers = &metav1.Time{Time: noon}, []string{v1alpha1.VPSieNodeFinalizer}
			})},
			want: map[string]string{},
		},
		"a node that is not ours counts as it is": {objects: []client.Object{node("static-1", "1")}, want: map[string]string{"static-1": "1"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, nodesOf(snapshotOf(t, tc.objects...))); diff != "" {
				t.Errorf("nodes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAStandInHasTheLabelsThatTheNodeWillHave(t *testing.T) {
	picture := snapshotOf(t, vpsieNode("general-1", v1alpha1.PhaseJoining, joined(metav1.ConditionFalse)), node("slave-1", "3500m"))
	labels := picture.Snapshot.Nodes()[0].Labels
	if labels["team"] != "shop" || labels[corev1.LabelHostname] != "slave-1" || labels[v1alpha1.NodeGroupLabel] != "general" {
		t.Errorf("labels are %v", labels)
	}
}

func TestWhichPodsWait(t *testing.T) {
	leaving := pod("leaving", "", corev1.PodReasonUnschedulable, corev1.PodPending)
	leaving.DeletionTimestamp, leaving.Finalizers = &metav1.Time{Time: noon}, []string{"example.com/hold"}
	picture := snapshotOf(t, node("static-1", "1"),
		pod("z-waits", "", corev1.PodReasonUnschedulable, corev1.PodPending),
		pod("a-waits", "", corev1.PodReasonUnschedulable, corev1.PodPending),
		pod("gated", "", corev1.PodReasonSchedulingGated, corev1.PodPending),
		pod("untried", "", "", corev1.PodPending),
		pod("runs", "static-1", "", corev1.PodRunning),
		pod("done", "static-1", "", corev1.PodSucceeded),
		leaving,
	)
	var got []string
	for _, p := range picture.Pending {
		got = append(got, p.Name)
	}
	if diff := cmp.Diff([]string{"a-waits", "z-waits"}, got); diff != "" {
		t.Errorf("waiting pods (-want +got):\n%s", diff)
	}
	if on := picture.Snapshot.PodsOn("static-1"); len(on) != 1 || on[0].Name != "runs" {
		t.Errorf("pods on the node are %v, want only the one that runs", on)
	}
}

func TestPodsAreFoundByNamespaceAndName(t *testing.T) {
	var objects []client.Object
	for _, namespace := range []string{"a", "a-b", "b", "shop"} {
		for _, name := range []string{"x", "x-1", "y", "z"} {
			p := pod(name, "", corev1.PodReasonUnschedulable, corev1.PodPending)
			p.Namespace = namespace
			objects = append(objects, p)
		}
	}
	done := pod("done", "", "", corev1.PodSucceeded)
	picture := snapshotOf(t, append(objects, done)...)
	for _, object := range objects {
		key := client.ObjectKeyFromObject(object)
		if got := picture.Pod(key); got == nil || client.ObjectKeyFromObject(got) != key {
			t.Errorf("asked for %s, got %v", key, got)
		}
	}
	for _, key := range []client.ObjectKey{{Namespace: "a", Name: "x-2"}, {Namespace: "c", Name: "x"}, {}, client.ObjectKeyFromObject(done)} {
		if got := picture.Pod(key); got != nil {
			t.Errorf("asked for %s, which is not there or has terminated, got %s", key, got.Name)
		}
	}
}

func TestWhichMachineAPodIsPromised(t *testing.T) {
	bought := func(name string, phase v1alpha1.VPSieNodePhase, age time.Duration, change func(*v1alpha1.VPSieNode)) *v1alpha1.VPSieNode {
		vn := vpsieNode(name, phase, change)
		vn.CreationTimestamp = metav1.NewTime(noon.Add(-age))
		vn.Annotations = map[string]string{v1alpha1.PodsAnnotation: "shop/web,shop/db"}
		return vn
	}
	leaving := func(vn *v1alpha1.VPSieNode) {
		vn.DeletionTimestamp, vn.Finalizers = &metav1.Time{Time: noon}, []string{v1alpha1.VPSieNodeFinalizer}
	}
	cases := map[string]struct {
		machines []client.Object
		want     string
	}{
		"none by default":                {},
		"the one that was bought for it": {machines: []client.Object{bought("general-1", v1alpha1.PhaseProvisioning, 0, nil)}, want: "general-1"},
		"the newest of two, whatever their names": {
			machines: []client.Object{bought("general-9", v1alpha1.PhaseReady, time.Hour, nil), bought("general-1", v1alpha1.PhaseProvisioning, 0, nil)}, want: "general-1",
		},
		"not one that failed": {
			machines: []client.Object{bought("general-1", v1alpha1.PhaseProvisioning, time.Minute, nil), bought("general-9", v1alpha1.PhaseFailed, 0, nil)}, want: "general-1",
		},
		"not one that is leaving": {
			machines: []client.Object{bought("general-1", v1alpha1.PhaseProvisioning, time.Minute, nil), bought("general-9", v1alpha1.PhaseTerminating, 0, leaving)}, want: "general-1",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			promised := snapshotOf(t, tc.machines...).Promised()
			for _, pod := range []string{"web", "db"} {
				if got := promised[client.ObjectKey{Namespace: "shop", Name: pod}]; got != tc.want {
					t.Errorf("%s is promised %q, want %q", pod, got, tc.want)
				}
			}
		})
	}
}

func TestGroupsCountWhatIsPaidFor(t *testing.T) {
	managed := &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "general", Labels: map[string]string{v1alpha1.ManagedLabel: "true"}}}
	foreign := &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}}
	picture := snapshotOf(t, managed, foreign,
		vpsieNode("general-1", v1alpha1.PhaseProvisioning, nil),
		vpsieNode("general-2", v1alpha1.PhaseFailed, nil),
		vpsieNode("general-3", v1alpha1.PhaseReady, func(vn *v1alpha1.VPSieNode) { vn.Status.PricePerHour = "0.07" }),
	)
	groups := picture.Groups()
	if len(groups) != 1 || groups[0].NodeGroup.Name != "general" {
		t.Fatalf("groups are %v, want only the managed one", groups)
	}
	got := groups[0]
	if got.Nodes != 2 || got.CPUMilli != 8000 || got.MemoryMiB != 16384 || got.Cost != scheduling.PerHour(0.12) {
		t.Errorf("use is %d nodes, %d mCPU, %d MiB, %s; want 2, 8000, 16384, 0.1200", got.Nodes, got.CPUMilli, got.MemoryMiB, got.Cost)
	}
}

func TestANodeThatHasJustBecomeReadyTakesPods(t *testing.T) {
	cases := map[string]struct {
		taint string
		ready corev1.ConditionStatus
		keeps bool
	}{
		"although its hold is still to be seen":               {taint: v1alpha1.UnregisteredTaint, ready: corev1.ConditionTrue},
		"although Kubernetes has not taken its own taint off": {taint: corev1.TaintNodeNotReady, ready: corev1.ConditionTrue},
		"but one that is no longer Ready does not":            {taint: corev1.TaintNodeNotReady, ready: corev1.ConditionFalse, keeps: true},
		"nor does one that a person has tainted":              {taint: "maintenance", ready: corev1.ConditionTrue, keeps: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := node("slave-1", "3800m")
			n.Spec.Taints = []corev1.Taint{{Key: tc.taint, Effect: corev1.TaintEffectNoSchedule}}
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: tc.ready}}
			picture := snapshotOf(t, vpsieNode("general-1", v1alpha1.PhaseReady, joined(metav1.ConditionTrue)), n)
			got := picture.Snapshot.Nodes()
			if len(got) != 1 || got[0].Name != "slave-1" {
				t.Fatalf("planned with %v, want the one node", got)
			}
			if kept := len(got[0].Spec.Taints) > 0; kept != tc.keeps {
				t.Errorf("planned with taints %v", got[0].Spec.Taints)
			}
		})
	}
}
