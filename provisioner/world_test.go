// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// said is a recorder that keeps what was said to whom.
type said struct{ notes []string }

func (s *said) Eventf(regarding, _ runtime.Object, _, reason, _, _ string, args ...any) {
	object, _ := regarding.(client.Object)
	note, _ := args[0].(string)
	s.notes = append(s.notes, object.GetName()+" "+reason+": "+note)
}

type shop []scheduling.Offering

func (s shop) Ready(context.Context) error { return nil }

func (s shop) Offerings(context.Context) ([]scheduling.Offering, error) { return s, nil }

// world is a Provisioner on a working API server of objects.
type world struct {
	*Provisioner
	kube  client.Client
	real  client.Client // what nothing stands between
	clock *testingclock.FakePassiveClock
	said  *said
}

func newWorld(t *testing.T, offers Offers, objects ...client.Object) *world {
	t.Helper()
	return newWorldWith(t, offers, interceptor.Funcs{}, objects...)
}

func newWorldWith(t *testing.T, offers Offers, between interceptor.Funcs, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	direct := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VPSieNode{}).WithObjects(objects...).Build()
	kube := interceptor.NewClient(direct, between)
	w := &world{kube: kube, real: direct, clock: testingclock.NewFakePassiveClock(noon), said: &said{}}
	w.Provisioner = New(kube, state.New(kube, w.clock), offers, w.said, Options{Clock: w.clock})
	return w
}

// plan lets time pass until the batch is closed and a plan is made, and returns what was said by it.
func (w *world) plan(t *testing.T) []string {
	t.Helper()
	w.said.notes = nil
	for range 2 {
		w.pass(t)
	}
	return w.said.notes
}

func (w *world) pass(t *testing.T) {
	t.Helper()
	if _, err := w.Reconcile(context.Background(), reconcile.Request{}); err != nil {
		t.Fatal(err)
	}
	w.clock.SetTime(w.clock.Now().Add(time.Second))
}

// restarted is the same world with a Provisioner that remembers nothing.
func (w *world) restarted() *world {
	again := *w
	again.Provisioner = New(w.kube, state.New(w.kube, w.clock), w.offers, w.said, Options{Clock: w.clock})
	return &again
}

func waiting(pod *build.Pod) *corev1.Pod {
	return pod.With(func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	}).Obj()
}
