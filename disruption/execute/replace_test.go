// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
)

func (w *world) becomes(name string, phase v1alpha1.VPSieNodePhase) {
	w.t.Helper()
	vn := w.vpsieNode(name)
	vn.Status.Phase = phase
	if phase == v1alpha1.PhaseReady {
		vn.Status.NodeName = "n-" + name
	}
	if err := w.kube.Status().Update(ctx, vn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) steps(n int) {
	w.t.Helper()
	for range n {
		if err := w.step(); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestReplacementsComeFirst(t *testing.T) {
	w := newWorld(t, theDisruption(replacedBy("r1", "r2")), machine("a"), node("a"), pool())
	w.run(launching)
	w.steps(3)
	want := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{
			Name: "r1", UID: "uid-r1", Finalizers: []string{v1alpha1.VPSieNodeFinalizer},
			Labels:      map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue, v1alpha1.NodeGroupLabel: "pool"},
			Annotations: map[string]string{ReplacementOf: "uid-d", v1alpha1.CreationReasonAnnotation: "replacement"},
		},
		Spec: theDisruption(replacedBy("r1")).Spec.Launch[0].Spec,
	}
	got := w.vpsieNode("r1")
	got.ResourceVersion, got.TypeMeta = "", metav1.TypeMeta{}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("replacement (-want +got):\n%s", diff)
	}
	w.becomes("r1", v1alpha1.PhaseReady)
	w.becomes("r2", v1alpha1.PhaseJoining)
	w.steps(2)
	if got := w.disruption().Status; got.Phase != launching || got.Message != "waits for replacements: r2: Joining" {
		t.Errorf("status %+v", got)
	}
	if vn := w.vpsieNode("a"); !vn.DeletionTimestamp.IsZero() || !w.tainted("n-a") {
		t.Error("the leaving machine must be tainted and still be there")
	}
	w.becomes("r2", v1alpha1.PhaseReady)
	w.run(succeeded)
	if w.vpsieNode("a") != nil || w.vpsieNode("r1") == nil || w.vpsieNode("r2") == nil {
		t.Error("not exactly the replacements are left")
	}
}

func TestReplacementsThatDoNotComeAreRolledBack(t *testing.T) {
	cases := map[string]struct {
		meanwhile func(*world)
		message   string
		left      []string // VPSieNodes that are not being deleted
	}{
		"one failed": {
			func(w *world) { w.becomes("r2", v1alpha1.PhaseFailed) }, `replacement "r2" failed`, []string{"a"},
		},
		"they take too long": {
			func(w *world) { w.clock.SetTime(w.clock.Now().Add(31 * time.Minute)) },
			"replacements were not Ready within 30m0s: r1: ; r2: ", []string{"a"},
		},
		"somebody deleted one": {
			func(w *world) {
				vn := w.vpsieNode("r1")
				if err := w.kube.Delete(ctx, vn, client.Preconditions{UID: &vn.UID, ResourceVersion: &vn.ResourceVersion}); err != nil {
					w.t.Fatal(err)
				}
			},
			`replacement "r1" was deleted`, []string{"a"},
		},
		"it ceases to be right": {
			func(w *world) { w.judge = refuses(launching, disruption.RulePaused, "is paused") }, `VPSieNode "a" is paused`, []string{"a"},
		},
		"refuses to release a replacement that runs pods already": {
			func(w *world) {
				w.becomes("r1", v1alpha1.PhaseReady)
				w.becomes("r2", v1alpha1.PhaseFailed)
				if err := w.kube.Create(ctx, workload("early", "n-r1")); err != nil {
					w.t.Fatal(err)
				}
			},
			`replacement "r2" failed`, []string{"a", "r1"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, theDisruption(replacedBy("r1", "r2")), machine("a"), node("a"), pool())
			w.run(launching)
			w.steps(1)
			if !w.tainted("n-a") || w.vpsieNode("r2") == nil {
				t.Fatal("has not begun")
			}
			tc.meanwhile(w)
			w.run(rolledBack)
			if got := w.disruption().Status.Message; got != tc.message {
				t.Errorf("message %q, want %q", got, tc.message)
			}
			if w.tainted("n-a") {
				t.Error("the taint was left on")
			}
			var left []string
			for _, name := range []string{"a", "r1", "r2"} {
				if vn := w.vpsieNode(name); vn != nil && vn.DeletionTimestamp.IsZero() {
					left = append(left, name)
				}
			}
			if diff := cmp.Diff(tc.left, left); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusesToTakeAStrangersVPSieNodeForAReplacement(t *testing.T) {
	w := newWorld(t, theDisruption(replacedBy("r1")), machine("a"), node("a"), machine("r1"), pool())
	w.run(rolledBack)
	if got := w.disruption().Status.Message; !strings.Contains(got, `a VPSieNode named "r1" exists that is not a replacement of this Disruption`) {
		t.Errorf("message %q", got)
	}
	if vn := w.vpsieNode("r1"); vn == nil || !vn.DeletionTimestamp.IsZero() || w.tainted("n-a") {
		t.Error("the stranger was deleted or the taint was left on")
	}
}

type launcherFunc func(*v1alpha1.VPSieNode) error

func (l launcherFunc) Launch(_ context.Context, vn *v1alpha1.VPSieNode) error { return l(vn) }

func TestALaunchThatTheAPIServerRefusesIsRolledBack(t *testing.T) {
	w := newWorld(t, theDisruption(replacedBy("r1")), machine("a"), node("a"), pool())
	w.options.Launcher = launcherFunc(func(vn *v1alpha1.VPSieNode) error {
		return apierrors.NewForbidden(schema.GroupResource{Resource: "vpsienodes"}, vn.Name, nil)
	})
	w.run(rolledBack)
	if got := w.disruption().Status.Message; !strings.HasPrefix(got, `replacement "r1" was refused: `) || w.tainted("n-a") {
		t.Errorf("message %q, tainted %t", got, w.tainted("n-a"))
	}
}

func TestALaunchWithoutAnAnswerIsTriedAgain(t *testing.T) {
	w := newWorld(t, theDisruption(replacedBy("r1")), machine("a"), node("a"), pool())
	w.run(launching)
	w.options.Launcher = launcherFunc(func(*v1alpha1.VPSieNode) error { return apierrors.NewServiceUnavailable("no answer") })
	if err := w.step(); err == nil || !strings.Contains(err.Error(), `launching replacement "r1"`) {
		t.Errorf("error %v", err)
	}
	w.options.Launcher = nil
	w.steps(1)
	if w.vpsieNode("r1") == nil {
		t.Error("was not launched")
	}
}

func TestFinishedDisruptionsAreCollected(t *testing.T) {
	finished := func(name string, phase v1alpha1.DisruptionPhase, ago time.Duration) *v1alpha1.Disruption {
		d := theDisruption(inPhase(phase))
		d.Name, d.Finalizers = name, nil
		d.UID = "uid-" + d.UID
		at := metav1.NewTime(start.Add(-ago))
		d.Status.FinishedAt = &at
		return d
	}
	running := theDisruption(inPhase(draining))
	running.Name = "running"
	cases := map[string]struct {
		options Options
		want    []string
		again   time.Duration
	}{
		"those that are older than a day":          {Options{}, []string{"b", "c", "d", "running"}, time.Hour},
		"the oldest of too many":                   {Options{KeepAtMost: 2}, []string{"c", "d", "running"}, 22 * time.Hour},
		"refuses to collect what has not finished": {Options{KeepFor: time.Minute}, []string{"d", "running"}, time.Minute},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, finished("a", succeeded, 24*time.Hour), finished("b", rejected, 23*time.Hour), finished("c", rolledBack, 2*time.Hour), finished("d", succeeded, 0), running)
			tc.options.Clock = w.clock
			result, err := New(w.kube, w.kube, w.judge, &spyDrainer{}, tc.options).collect(ctx)
			if err != nil || result.RequeueAfter != tc.again {
				t.Errorf("comes back after %s, error %v; want %s", result.RequeueAfter, err, tc.again)
			}
			var list v1alpha1.DisruptionList
			if err := w.kube.List(ctx, &list); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range list.Items {
				got = append(got, d.Name)
			}
			slices.Sort(got)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}
