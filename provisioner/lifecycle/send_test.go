// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func (w *world) reason(kind string) string {
	w.t.Helper()
	if c := meta.FindStatusCondition(w.node().Status.Conditions, kind); c != nil {
		return c.Reason
	}
	return ""
}

func TestWhatIsWaitedForIsCountedFromTheSend(t *testing.T) {
	cases := map[string]struct {
		refuse []error
		slow   time.Duration
		limit  time.Duration
		reason string
	}{
		"the settle time of an order whose reply was lost": {refuse: []error{errLost}, slow: 3 * time.Minute, limit: 2 * time.Minute, reason: reasonOrderLost},
		"the launch timeout of an order that was accepted": {slow: 16 * time.Minute, limit: 15 * time.Minute, reason: reasonLaunchTimeout},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vpsieNode())
			w.cloud.refuse, w.cloud.slow = tc.refuse, tc.slow
			w.steps(2)
			if got, want := w.node().Status.Order.Time.Time, w.clock.Now(); !got.Equal(want) {
				t.Errorf("the order is of %s, want %s, when VPSie was done with it", got, want)
			}
			if _, err := w.step(0); err != nil { // with what was read before at the latest
				t.Fatal(err)
			}
			w.wantPhase(v1alpha1.PhaseProvisioning)
			if _, err := w.step(tc.limit - time.Second); err != nil {
				t.Fatal(err)
			}
			w.wantPhase(v1alpha1.PhaseProvisioning)
			w.steps(1)
			w.wantPhase(v1alpha1.PhaseFailed)
			if got := w.reason(v1alpha1.ConditionLaunched); got != tc.reason {
				t.Errorf("reason is %s, want %s", got, tc.reason)
			}
		})
	}
}

func TestARecordThatIsFoundAfterARestartIsLookedForFromThenOn(t *testing.T) {
	found := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t, vpsieNode())
		w.steps(1)
		w.restart()
		return w
	}
	t.Run("since it may have been sent just before", func(t *testing.T) {
		w := found(t)
		if _, err := w.step(time.Hour); err != nil {
			t.Fatal(err)
		}
		w.wantPhase(v1alpha1.PhaseProvisioning)
		if _, err := w.step(110 * time.Second); err != nil {
			t.Fatal(err)
		}
		w.wantPhase(v1alpha1.PhaseProvisioning)
		w.cloud.appear("x", "2")
		w.steps(1)
		w.wantPhase(v1alpha1.PhaseProvisioned)
	})
	t.Run("also when its VPSieNode is deleted", func(t *testing.T) {
		w := found(t)
		w.delete()
		if _, err := w.step(time.Hour); err != nil {
			t.Fatal(err)
		}
		w.cloud.appear("x", "2")
		w.steps(6)
		if got := w.phase(); got != "gone" || len(w.cloud.machines) != 0 {
			t.Errorf("phase %s, machines %v: want the machine recognised and released", got, w.cloud.machines)
		}
	})
}

func TestWhatBecameOfAnOrderIsNotedByAProcessThatWasToldToEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		refuse error
		want   v1alpha1.OrderState
	}{
		"an order that was accepted":        {nil, v1alpha1.OrderAccepted},
		"an order whose reply was lost":     {errLost, v1alpha1.OrderUnknown},
		"an order that cannot be delivered": {errNoStock, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, vpsieNode())
			sent := false
			w.r.kube = interceptor.NewClient(w.kube.(client.WithWatch), interceptor.Funcs{
				SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
					if ctx.Err() != nil {
						return ctx.Err()
					}
					if _, bounded := ctx.Deadline(); sent && !bounded {
						t.Error("the process may never end")
					}
					return c.SubResource(sub).Patch(ctx, object, patch, opts...)
				},
			})
			w.steps(1)
			ctx, cancel := context.WithCancel(t.Context())
			w.cloud.refuse, w.cloud.sends = []error{tc.refuse}, func() { sent = true; cancel() }
			w.clock.Step(time.Second)
			_, _ = w.r.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKey{Name: "general-1"}})
			if ctx.Err() == nil {
				t.Fatal("nothing was sent")
			}
			got := v1alpha1.OrderState("")
			if order := w.node().Status.Order; order != nil {
				got = order.State
			}
			if got != tc.want {
				t.Errorf("the order is %q, want %q", got, tc.want)
			}
		})
	}
}
