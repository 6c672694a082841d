// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func TestDrainTaintsBeforeItReadsThePods(t *testing.T) {
	w := newWorld(t, theNode(), pod("web"))
	var order []string
	w.kube = interceptor.NewClient(w.kube, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			order = append(order, "taint")
			return c.Patch(ctx, o, p, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			order = append(order, "list")
			return c.List(ctx, l, opts...)
		},
	})
	w.drainer = New(w.kube, w.kube, Options{Clock: w.clock})
	got := w.drain(time.Time{})
	want := Progress{Waiting: []string{"shop/web: was evicted and is terminating"}, RetryAfter: pollAfter}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"taint", "list"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	node := w.node()
	if len(node.Spec.Taints) != 1 || !isDisrupting(node.Spec.Taints[0]) || !node.Spec.Taints[0].TimeAdded.Time.Equal(start) {
		t.Errorf("taints = %v", node.Spec.Taints)
	}
	if got := node.Labels[corev1.LabelNodeExcludeBalancers]; got != excludedByDrain {
		t.Errorf("load balancer label = %q", got)
	}
	if len(w.pods()) != 0 {
		t.Errorf("pods left: %v", w.pods())
	}
}

func TestAnEmptyNodeIsBelievedOnlyAfterTheTaintHasSettled(t *testing.T) {
	w := newWorld(t, theNode())
	got := w.drain(time.Time{})
	if got.Done || got.RetryAfter != settle {
		t.Fatalf("right after the taint: %+v", got)
	}
	w.later(settle)
	if got := w.drain(time.Time{}); !got.Done {
		t.Fatalf("after the settle time: %+v", got)
	}
}

func TestDrainOnePass(t *testing.T) {
	cases := map[string]struct {
		pods     []client.Object
		answers  map[string]error
		deadline time.Time
		asked    []string
		deleted  []string
		left     []string
		want     Progress
	}{
		"an empty node is done": {want: Progress{Done: true}},
		"pods of DaemonSets, static pods and terminated pods are left alone and hold nothing up": {
			pods: []client.Object{
				pod("daemon", ownedBy("DaemonSet")), pod("static", ownedBy("Node")), pod("mirror", annotated(corev1.MirrorPodAnnotationKey, "x")),
				pod("done", in(corev1.PodSucceeded)), pod("broken", in(corev1.PodFailed)),
			},
			left: []string{"broken", "daemon", "done", "mirror", "static"},
			want: Progress{Done: true},
		},
		"refuses to touch pods of other nodes and of no node": {
			pods:  []client.Object{pod("a-neighbour", on("node-2")), pod("b-pending", on("")), pod("c-mine")},
			asked: []string{"c-mine"}, left: []string{"a-neighbour", "b-pending"},
			want: Progress{Waiting: []string{"shop/c-mine: was evicted and is terminating"}, RetryAfter: pollAfter},
		},
		"a pod without an owner is a workload, in kube-system too": {
			pods:  []client.Object{pod("lonely", func(p *corev1.Pod) { p.Namespace = "kube-system" })},
			asked: []string{"lonely"},
			want:  Progress{Waiting: []string{"kube-system/lonely: was evicted and is terminating"}, RetryAfter: pollAfter},
		},
		"critical pods wait for the others": {
			pods:  []client.Object{pod("a-dns", priority(2_000_000_000)), pod("b-web"), pod("c-shop", priority(1_000_000))},
			asked: []string{"b-web", "c-shop"}, left: []string{"a-dns"},
			want: Progress{Waiting: []string{
				"shop/a-dns: is critical and goes after the others",
				"shop/b-web: was evicted and is terminating", "shop/c-shop: was evicted and is terminating",
			}, RetryAfter: pollAfter},
		},
		"critical pods still wait while another terminates": {
			pods: []client.Object{pod("a-dns", priority(2_000_000_000)), pod("b-web", terminatingSince(0))},
			left: []string{"a-dns", "b-web"},
			want: Progress{Waiting: []string{"shop/a-dns: is critical and goes after the others", "shop/b-web: is terminating"}, RetryAfter: pollAfter},
		},
		"critical pods go once nobody else is left": {
			pods:  []client.Object{pod("a-dns", priority(2_000_001_000)), pod("daemon", ownedBy("DaemonSet"))},
			asked: []string{"a-dns"}, left: []string{"daemon"},
			want: Progress{Waiting: []string{"shop/a-dns: was evicted and is terminating"}, RetryAfter: pollAfter},
		},
		"a PodDisruptionBudget that says no is waited for and others go on": {
			pods:    []client.Object{pod("a-db"), pod("b-web")},
			answers: map[string]error{"a-db": tooMany("The disruption budget db needs 3 healthy pods and has 3 currently")},
			asked:   []string{"a-db", "b-web"}, left: []string{"a-db"},
			want: Progress{Waiting: []string{
				"shop/a-db: The disruption budget db needs 3 healthy pods and has 3 currently", "shop/b-web: was evicted and is terminating",
			}, RetryAfter: pollAfter},
		},
		"a node that only waits for a PodDisruptionBudget is asked less often": {
			pods: []client.Object{pod("a-db")}, answers: map[string]error{"a-db": tooMany("no")},
			asked: []string{"a-db"}, left: []string{"a-db"},
			want: Progress{Waiting: []string{"shop/a-db: no"}, RetryAfter: refusedAfter},
		},
		"a pod that is gone is no longer waited for, and the node is looked at once more": {
			pods:    []client.Object{pod("a-web")},
			answers: map[string]error{"a-web": apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, "a-web")},
			asked:   []string{"a-web"}, left: []string{"a-web"},
			want: Progress{RetryAfter: pollAfter},
		},
		"refuses to evict a pod of a namespace that is being deleted again and again": {
			pods: []client.Object{pod("a-web")},
			answers: map[string]error{"a-web": &apierrors.StatusError{ErrStatus: metav1.Status{
				Code: 403, Reason: metav1.StatusReasonForbidden,
				Details: &metav1.StatusDetails{Causes: []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}},
			}}},
			asked: []string{"a-web"}, left: []string{"a-web"},
			want: Progress{Waiting: []string{"shop/a-web: its namespace is being deleted"}, RetryAfter: refusedAfter},
		},
		"refuses to evict a pod that must not be disrupted, and others go on": {
			pods:  []client.Object{pod("a-job", annotated(v1alpha1.DoNotDisruptAnnotation, "true")), pod("b-web")},
			asked: []string{"b-web"}, left: []string{"a-job"},
			want: Progress{Waiting: []string{
				"shop/a-job: has the annotation autoscaler.vpsie.com/do-not-disrupt=true", "shop/b-web: was evicted and is terminating",
			}, RetryAfter: pollAfter},
		},
		"refuses to evict a pod that is younger than its annotation asks for": {
			pods: []client.Object{pod("a-job", annotated(v1alpha1.DoNotDisruptAnnotation, "2h"))}, left: []string{"a-job"},
			want: Progress{Waiting: []string{
				"shop/a-job: has the annotation autoscaler.vpsie.com/do-not-disrupt=2h, which holds until 2026-11-22T13:00:00Z",
			}, RetryAfter: refusedAfter},
		},
		"evicts a pod that is older than its annotation asks for": {
			pods: []client.Object{pod("a-job", annotated(v1alpha1.DoNotDisruptAnnotation, "1h"))}, asked: []string{"a-job"},
			want: Progress{Waiting: []string{"shop/a-job: was evicted and is terminating"}, RetryAfter: pollAfter},
		},
		"refuses to evict a pod whose annotation cannot be read": {
			pods: []client.Object{pod("a-job", annotated(v1alpha1.DoNotDisruptAnnotation, "tomorrow"))}, left: []string{"a-job"},
			want: Progress{Waiting: []string{
				`shop/a-job: has the annotation autoscaler.vpsie.com/do-not-disrupt="tomorrow", which is neither "true" nor a duration such as 4h`,
			}, RetryAfter: refusedAfter},
		},
		"refuses to delete anything one second before the deadline": {
			pods:     []client.Object{pod("a-job", annotated(v1alpha1.DoNotDisruptAnnotation, "true"))},
			deadline: start.Add(time.Second), left: []string{"a-job"},
			want: Progress{Waiting: []string{"shop/a-job: has the annotation autoscaler.vpsie.com/do-not-disrupt=true"}, RetryAfter: refusedAfter},
		},
		"after the deadline everything is deleted but DaemonSet and static pods": {
			pods: []client.Object{
				pod("a-job", annotated(v1alpha1.DoNotDisruptAnnotation, "true")), pod("b-dns", priority(2_000_000_000)),
				pod("daemon", ownedBy("DaemonSet")), pod("other", on("node-2")),
			},
			deadline: start, deleted: []string{"a-job", "b-dns"}, left: []string{"daemon", "other"},
			want: Progress{Waiting: []string{
				"shop/a-job: was deleted after the deadline and is terminating", "shop/b-dns: was deleted after the deadline and is terminating",
			}, RetryAfter: pollAfter},
		},
		"refuses to cut the grace period of a pod that is terminating when the deadline comes": {
			pods: []client.Object{pod("a-web", terminatingSince(-5*time.Minute))}, deadline: start, left: []string{"a-web"},
			want: Progress{Waiting: []string{"shop/a-web: is terminating"}, RetryAfter: pollAfter},
		},
		"a pod whose end is long over is not waited for": {
			pods: []client.Object{pod("a-web", terminatingSince(stuckAfter+time.Second))}, left: []string{"a-web"},
			want: Progress{Done: true},
		},
		"a pod that tolerates everything is evicted like any other": {
			pods: []client.Object{pod("a-agent", toleratesAll)}, asked: []string{"a-agent"},
			want: Progress{Waiting: []string{"shop/a-agent: was evicted and is terminating"}, RetryAfter: pollAfter},
		},
		"refuses to evict it again when it came back in spite of the taint": {
			pods: []client.Object{pod("a-agent", toleratesAll, created(start.Add(-time.Second)))}, left: []string{"a-agent"},
			want: Progress{Done: true},
		},
		"a pod that came late and does not tolerate the taint is evicted": {
			pods: []client.Object{pod("a-web", created(start.Add(-time.Second)))}, asked: []string{"a-web"},
			want: Progress{Waiting: []string{"shop/a-web: was evicted and is terminating"}, RetryAfter: pollAfter},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, append(tc.pods, taintedNode())...)
			if tc.answers != nil {
				w.answers = tc.answers
			}
			got := w.drain(tc.deadline)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.asked, w.asked); diff != "" {
				t.Errorf("evictions asked for (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.deleted, w.deleted); diff != "" {
				t.Errorf("pods deleted (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.left, w.pods()); diff != "" {
				t.Errorf("pods left (-want +got):\n%s", diff)
			}
			for _, grace := range w.grace {
				if grace != nil {
					t.Errorf("a pod's own grace period was overridden with %d s", *grace)
				}
			}
		})
	}
}

func TestAnErrorOfOneEvictionStopsNoOther(t *testing.T) {
	w := newWorld(t, taintedNode(), pod("a-two-budgets"), pod("b-web"))
	w.answers["a-two-budgets"] = apierrors.NewInternalError(errors.New("this pod has more than one PodDisruptionBudget"))
	got, err := w.drainer.Drain(context.Background(), theNode(), time.Time{})
	if err == nil || !strings.Contains(err.Error(), `evicting pod "shop/a-two-budgets"`) {
		t.Errorf("error = %v", err)
	}
	if diff := cmp.Diff([]string{"a-two-budgets", "b-web"}, w.asked); diff != "" {
		t.Errorf("evictions (-want +got):\n%s", diff)
	}
	if got.Done {
		t.Error("a failed eviction was taken for a drained node")
	}
}

func TestRefusesToEvictANamesake(t *testing.T) {
	// Between the list and the eviction the StatefulSet's pod ended and its successor started on another node.
	successor := pod("db-0", on("node-2"))
	successor.UID = "successor"
	w := newWorld(t, taintedNode(), successor)
	stale := &stalePods{Reader: w.kube, pods: []corev1.Pod{*pod("db-0")}}
	w.drainer = New(w.kube, stale, Options{Clock: w.clock})
	for _, deadline := range []time.Time{{}, start} {
		if got := w.drain(deadline); got.Done || len(got.Waiting) != 0 {
			t.Errorf("progress = %+v", got)
		}
	}
	if diff := cmp.Diff([]string{"db-0"}, w.pods()); diff != "" {
		t.Errorf("pods left (-want +got):\n%s", diff)
	}
}

func TestRefusesToEvictPodsThatTheReaderNamesForAnotherNode(t *testing.T) {
	stranger := pod("stranger", on("node-2"))
	w := newWorld(t, taintedNode(), stranger)
	w.drainer = New(w.kube, &stalePods{Reader: w.kube, pods: []corev1.Pod{*stranger}}, Options{Clock: w.clock})
	if got := w.drain(time.Time{}); !got.Done {
		t.Errorf("progress = %+v", got)
	}
	if len(w.asked) != 0 || len(w.pods()) != 1 {
		t.Errorf("asked %v, left %v", w.asked, w.pods())
	}
}

type stalePods struct {
	client.Reader
	pods []corev1.Pod
}

func (s *stalePods) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if pods, ok := list.(*corev1.PodList); ok {
		pods.Items = s.pods
		return nil
	}
	return s.Reader.List(ctx, list, opts...)
}

func TestAtMostTenPodsAreNamed(t *testing.T) {
	objects := []client.Object{taintedNode()}
	for i := range 12 {
		objects = append(objects, pod(fmt.Sprintf("web-%02d", 11-i), terminatingSince(0)))
	}
	got := newWorld(t, objects...).drain(time.Time{})
	if len(got.Waiting) != 10 || !slices.IsSorted(got.Waiting) || got.Waiting[0] != "shop/web-00: is terminating" {
		t.Errorf("waiting = %q", got.Waiting)
	}
}

func TestEvictionsAreCountedByOutcome(t *testing.T) {
	w := newWorld(t, taintedNode(), pod("a"), pod("b"), pod("c"), pod("d"))
	w.answers["b"] = tooMany("no")
	w.answers["c"] = apierrors.NewNotFound(schema.GroupResource{}, "c")
	w.answers["d"] = apierrors.NewInternalError(errors.New("boom"))
	_, _ = w.drainer.Drain(context.Background(), theNode(), time.Time{}) // the error is another test's
	want := `
# HELP vpsie_autoscaler_disruption_evictions_total Attempts to end a pod of a leaving node, by outcome: evicted, refused, gone, deleted (after the deadline), failed.
# TYPE vpsie_autoscaler_disruption_evictions_total counter
vpsie_autoscaler_disruption_evictions_total{outcome="deleted"} 0
vpsie_autoscaler_disruption_evictions_total{outcome="evicted"} 1
vpsie_autoscaler_disruption_evictions_total{outcome="failed"} 1
vpsie_autoscaler_disruption_evictions_total{outcome="gone"} 1
vpsie_autoscaler_disruption_evictions_total{outcome="refused"} 1
`
	if err := testutil.GatherAndCompare(w.metrics, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
