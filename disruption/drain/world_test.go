// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

var start = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is an API server whose eviction subresource answers as scripted and otherwise ends pods as the real one does.
type world struct {
	t       *testing.T
	kube    client.WithWatch
	clock   *clocktesting.FakePassiveClock
	metrics *prometheus.Registry
	drainer *Drainer
	answers map[string]error // to the eviction of the pod of that name
	asked   []string         // names of pods whose eviction was asked for, in order
	deleted []string         // names of pods that were deleted directly, in order
	grace   []*int64         // the grace periods that evictions and deletions asked for
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	w := &world{t: t, clock: clocktesting.NewFakePassiveClock(start), answers: map[string]error{}, metrics: prometheus.NewRegistry()}
	w.kube = fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(objects...).
		WithIndex(&corev1.Pod{}, NodeNameField, func(o client.Object) []string { return []string{o.(*corev1.Pod).Spec.NodeName} }).
		WithInterceptorFuncs(interceptor.Funcs{SubResourceCreate: w.evict, Delete: w.delete}).
		Build()
	w.drainer = New(w.kube, w.kube, Options{Clock: w.clock, Registerer: w.metrics})
	return w
}

func (w *world) evict(ctx context.Context, c client.Client, sub string, pod, body client.Object, _ ...client.SubResourceCreateOption) error {
	eviction, ok := body.(*policyv1.Eviction)
	if !ok || sub != "eviction" {
		return fmt.Errorf("unexpected subresource %q with %T", sub, body)
	}
	w.asked = append(w.asked, pod.GetName())
	w.grace = append(w.grace, eviction.DeleteOptions.GracePeriodSeconds)
	if err := w.answers[pod.GetName()]; err != nil {
		return err
	}
	return end(ctx, c, &corev1.Pod{ObjectMeta: eviction.ObjectMeta}, eviction.DeleteOptions.Preconditions)
}

func (w *world) delete(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
	var o client.DeleteOptions
	o.ApplyOptions(opts)
	w.deleted = append(w.deleted, object.GetName())
	w.grace = append(w.grace, o.GracePeriodSeconds)
	return end(ctx, c, object, o.Preconditions)
}

// end deletes a pod as the API server would; the fake client knows no precondition on the UID.
func end(ctx context.Context, c client.Client, object client.Object, conditions *metav1.Preconditions) error {
	var current corev1.Pod
	if err := c.Get(ctx, client.ObjectKeyFromObject(object), &current); err != nil {
		return err
	}
	if conditions == nil || conditions.UID == nil {
		return errors.New("ending a pod without naming its UID")
	}
	if *conditions.UID != current.UID {
		return apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, current.Name, errors.New("the UID in the precondition differs"))
	}
	return c.Delete(ctx, object)
}

func (w *world) drain(deadline time.Time) Progress {
	w.t.Helper()
	progress, err := w.drainer.Drain(context.Background(), theNode(), deadline)
	if err != nil {
		w.t.Fatalf("draining: %v", err)
	}
	return progress
}

func (w *world) node() *corev1.Node {
	w.t.Helper()
	var node corev1.Node
	if err := w.kube.Get(context.Background(), client.ObjectKey{Name: "node-1"}, &node); err != nil {
		w.t.Fatal(err)
	}
	return &node
}

func (w *world) pods() []string {
	w.t.Helper()
	var list corev1.PodList
	if err := w.kube.List(context.Background(), &list); err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, pod := range list.Items {
		names = append(names, pod.Name)
	}
	slices.Sort(names)
	return names
}

func (w *world) later(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func theNode() *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", UID: "node-1-uid"}}
}

// taintedNode is a node whose taint is old enough to be believed.
func taintedNode() *corev1.Node {
	node := theNode()
	node.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: excludedByDrain}
	node.Spec.Taints = []corev1.Taint{{
		Key: v1alpha1.DisruptingTaint, Effect: corev1.TaintEffectNoSchedule, TimeAdded: new(metav1.NewTime(start.Add(-time.Minute))),
	}}
	return node
}

type podOption func(*corev1.Pod)

func pod(name string, options ...podOption) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: types.UID(name + "-uid"), CreationTimestamp: metav1.NewTime(start.Add(-time.Hour)),
		},
		Spec:   corev1.PodSpec{NodeName: "node-1", TerminationGracePeriodSeconds: ptr.To[int64](600)},
		Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	for _, option := range options {
		option(p)
	}
	return p
}

func on(node string) podOption { return func(p *corev1.Pod) { p.Spec.NodeName = node } }
func ownedBy(kind string) podOption {
	return func(p *corev1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: "owner", UID: "owner", Controller: new(true)}}
	}
}
func in(phase corev1.PodPhase) podOption { return func(p *corev1.Pod) { p.Status.Phase = phase } }
func annotated(key, value string) podOption {
	return func(p *corev1.Pod) { metav1.SetMetaDataAnnotation(&p.ObjectMeta, key, value) }
}
func priority(value int32) podOption { return func(p *corev1.Pod) { p.Spec.Priority = &value } }
func held(p *corev1.Pod)             { p.Finalizers = []string{"example.com/hold"} } // terminating until a person lets go
func toleratesAll(p *corev1.Pod) {
	p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
}
func terminatingSince(age time.Duration) podOption {
	return func(p *corev1.Pod) {
		held(p)
		p.DeletionTimestamp = new(metav1.NewTime(start.Add(-age)))
	}
}
func created(at time.Time) podOption {
	return func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(at) }
}
func claiming(claim string) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: claim, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim},
		}})
	}
}

func tooMany(message string) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: policyv1.DisruptionBudgetCause, Message: message})
	return err
}
