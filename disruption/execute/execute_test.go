// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
)

const (
	proposed   = v1alpha1.DisruptionProposed
	approved   = v1alpha1.DisruptionApproved
	launching  = v1alpha1.DisruptionLaunching
	draining   = v1alpha1.DisruptionDraining
	verifying  = v1alpha1.DisruptionVerifying
	succeeded  = v1alpha1.DisruptionSucceeded
	rolledBack = v1alpha1.DisruptionRolledBack
	rejected   = v1alpha1.DisruptionRejected
)

func TestTheWholeWay(t *testing.T) {
	w := newWorld(t, theDisruption(), machine("a"), node("a"), pool())
	phases := w.run(succeeded)
	if diff := cmp.Diff([]v1alpha1.DisruptionPhase{approved, launching, draining, verifying, succeeded}, phases); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
	if w.vpsieNode("a") != nil {
		t.Error("the VPSieNode is still there")
	}
	d := w.disruption()
	if d.Status.StartedAt == nil || d.Status.FinishedAt == nil || !d.Status.StartedAt.Before(d.Status.FinishedAt) {
		t.Errorf("started %v, finished %v", d.Status.StartedAt, d.Status.FinishedAt)
	}
	if ready := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady); ready == nil || ready.Status != metav1.ConditionTrue || ready.Reason != "Succeeded" {
		t.Errorf("condition %+v", ready)
	}
	wantSaved := `
# HELP vpsie_autoscaler_disruption_savings_per_hour_total Sum of what each Disruption that succeeded saves per hour, in the account's currency.
# TYPE vpsie_autoscaler_disruption_savings_per_hour_total counter
vpsie_autoscaler_disruption_savings_per_hour_total 0.05
`
	if err := testutil.GatherAndCompare(w.registry, strings.NewReader(wantSaved), "vpsie_autoscaler_disruption_savings_per_hour_total"); err != nil {
		t.Error(err)
	}
	want := []string{
		"Normal DisruptionStarted Is being carried out",
		"Normal Removed Disruption d (Empty) removes this machine",
		"Normal NodesDrained The nodes are drained and their machines are being released",
		"Normal DisruptionSucceeded The machines are gone, which saves 0.0500 per hour",
		"Normal DisruptionSucceeded Disruption d (Empty): The machines are gone, which saves 0.0500 per hour",
	}
	if diff := cmp.Diff(want, w.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// The next phase is written before anything is done in it, and each step makes one status write.
	wantWrites := []string{
		"patch status of Disruption d",                   // Approved
		"patch status of Disruption d",                   // Launching
		"patch Node n-a", "patch status of Disruption d", // the taint, Draining
		"delete VPSieNode a", "patch status of Disruption d", // Verifying
		"patch status of Disruption d", // Succeeded
		"patch Disruption d",           // the finalizer
	}
	if err := w.step(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantWrites, w.writes); diff != "" {
		t.Errorf("writes (-want +got):\n%s", diff)
	}
	if got := w.disruption().Finalizers; len(got) != 0 {
		t.Errorf("finalizers left: %v", got)
	}
}

// Each write on the way is once lost and once carried out without an answer; a new process then goes on.
func TestItSurvivesACrashAtEveryWrite(t *testing.T) {
	objects := func() []client.Object {
		return []client.Object{theDisruption(removing("b"), replacedBy("r")), machine("a"), node("a"), machine("b"), node("b"), pool()}
	}
	ready := func(w *world) { // lifecycle's part for the replacement
		if r := w.vpsieNode("r"); r != nil && r.Status.Phase != v1alpha1.PhaseReady {
			r.Status.Phase = v1alpha1.PhaseReady
			if err := w.kube.Status().Update(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	complete := func(w *world) {
		for range 60 {
			if err := w.step(); err != nil && !errors.Is(err, errCrash) {
				w.t.Fatal(err)
			}
			ready(w)
			if w.disruption().Status.Phase == verifying {
				w.release()
			}
			if w.disruption().Status.Phase.Finished() && len(w.disruption().Finalizers) == 0 {
				return
			}
			w.clock.SetTime(w.clock.Now().Add(5 * time.Second))
		}
		w.t.Fatalf("never ended: %+v", w.disruption().Status)
	}
	rehearsal := newWorld(t, objects()...)
	complete(rehearsal)
	total := len(rehearsal.writes)
	if total < 12 {
		t.Fatalf("only %d writes: %q", total, rehearsal.writes)
	}
	for _, how := range []failure{lost, mute} {
		for n := range total {
			t.Run(fmt.Sprintf("%d/%s/%d", n, rehearsal.writes[n], how), func(t *testing.T) {
				w := newWorld(t, objects()...)
				seen := 0
				w.fail = func(string) failure {
					if seen++; seen == n+1 {
						return how
					}
					return works
				}
				complete(w)
				if phase := w.disruption().Status.Phase; phase != succeeded {
					t.Errorf("phase %s: %s", phase, w.disruption().Status.Message)
				}
				if w.vpsieNode("a") != nil || w.vpsieNode("b") != nil || w.vpsieNode("r") == nil {
					t.Error("not exactly the replacement is left")
				}
				created := slices.DeleteFunc(slices.Clone(w.writes), func(s string) bool { return !strings.HasPrefix(s, "create") })
				if len(created) > 2 || len(created) == 2 && how == mute {
					t.Errorf("launched more than once: %q", created)
				}
			})
		}
	}
}

func TestApproval(t *testing.T) {
	w := newWorld(t, theDisruption(unapproved), machine("a"), node("a"), pool())
	w.run(proposed)
	for range 3 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	w.untouched()
	if got := w.disruption().Status; got.Phase != proposed || got.Message != "waits until a person sets spec.approved to Yes" {
		t.Errorf("status %+v", got)
	}
	want := []string{
		"Normal WaitsForApproval Waits until a person sets spec.approved to Yes",
		"Normal WaitsForApproval Disruption d (Empty): Waits until a person sets spec.approved to Yes",
	}
	if diff := cmp.Diff(want, w.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	d := w.disruption()
	d.Spec.Approved = v1alpha1.ApprovedYes
	if err := w.kube.Update(ctx, d); err != nil {
		t.Fatal(err)
	}
	w.run(succeeded)
}

func TestRefusesToTouchAnythingWhenTheDecisionIsNoLongerRight(t *testing.T) {
	for _, phase := range []v1alpha1.DisruptionPhase{"", proposed, approved} {
		t.Run("in phase "+string(phase), func(t *testing.T) {
			w := newWorld(t, theDisruption(inPhase(phase)), machine("a"), node("a"), pool())
			w.judge = refuses(phase, disruption.RuleNotEmpty, "runs 1 workload pods")
			w.run(rejected)
			w.untouched()
			if got := w.disruption().Status; got.Message != `VPSieNode "a" runs 1 workload pods` || got.FinishedAt == nil {
				t.Errorf("status %+v", got)
			}
			if diff := cmp.Diff([]string{`Normal DisruptionRejected VPSieNode "a" runs 1 workload pods`}, w.events()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRefusesToBeginWhileItHasToWait(t *testing.T) {
	w := newWorld(t, theDisruption(inPhase(approved)), machine("a"), node("a"), pool())
	w.judge = refuses(approved, disruption.RuleBudget, "has to wait")
	for range 5 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	w.untouched()
	if got := w.disruption().Status; got.Phase != approved || got.Message != `VPSieNode "a" has to wait` {
		t.Errorf("status %+v", got)
	}
	w.judge = &verdicts{}
	w.run(succeeded)
}

func TestRefusesToGoOnWithoutAnAnswer(t *testing.T) {
	for _, phase := range []v1alpha1.DisruptionPhase{"", approved, draining} {
		w := newWorld(t, theDisruption(inPhase(phase)), machine("a"), node("a"), pool())
		w.judge = &verdicts{err: errors.New("no answer")}
		if err := w.step(); err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("phase %q: error %v", phase, err)
		}
		if w.disruption().Status.Phase == verifying || !w.vpsieNode("a").DeletionTimestamp.IsZero() {
			t.Errorf("phase %q: went on", phase)
		}
	}
}

func TestADrainThatOnlySavesMoneyIsGivenUp(t *testing.T) {
	stubborn := func() *corev1.Pod {
		pod := workload("stubborn", "n-a")
		pod.Annotations = map[string]string{v1alpha1.DoNotDisruptAnnotation: "true"}
		return pod
	}
	for reason, wants := range map[v1alpha1.DisruptionReason]v1alpha1.DisruptionPhase{
		v1alpha1.ReasonEmpty: rolledBack, v1alpha1.ReasonCheaper: rolledBack, v1alpha1.ReasonExpired: draining, v1alpha1.ReasonUnhealthy: draining,
	} {
		t.Run(string(reason), func(t *testing.T) {
			w := newWorld(t, theDisruption(inPhase(draining), func(d *v1alpha1.Disruption) { d.Spec.Reason = reason }), machine("a"), node("a"), stubborn(), pool())
			for _, at := range []struct {
				age  time.Duration
				want v1alpha1.DisruptionPhase
			}{{time.Hour - time.Second, draining}, {time.Hour, wants}} {
				w.clock.SetTime(start.Add(at.age))
				if err := w.step(); err != nil {
					t.Fatal(err)
				}
				if got := w.disruption().Status.Phase; got != at.want {
					t.Errorf("after %s: %s, want %s", at.age, got, at.want)
				}
			}
			if w.tainted("n-a") != (wants == draining) {
				t.Errorf("tainted %t", w.tainted("n-a"))
			}
		})
	}
}

func TestTheDeadlineOfADrainIsTheMachines(t *testing.T) {
	cases := map[string]struct {
		grace *metav1.Duration
		want  time.Time
	}{
		"none":        {nil, time.Time{}},
		"ten minutes": {&metav1.Duration{Duration: 10 * time.Minute}, start.Add(10 * time.Minute)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, theDisruption(inPhase(draining)), machine("a", func(vn *v1alpha1.VPSieNode) { vn.Spec.TerminationGracePeriod = tc.grace }), node("a"), pool())
			spy := &spyDrainer{}
			w.clock.SetTime(start.Add(time.Minute))
			if _, err := New(w.kube, w.kube, w.judge, spy, Options{Clock: w.clock}).drain(ctx, w.disruption()); err != nil {
				t.Fatal(err)
			}
			if !spy.deadline.Equal(tc.want) {
				t.Errorf("deadline %v, want %v", spy.deadline, tc.want)
			}
		})
	}
}

type spyDrainer struct{ deadline time.Time }

func (s *spyDrainer) Taint(context.Context, *corev1.Node) error { return nil }
func (s *spyDrainer) Undo(context.Context, *corev1.Node) error  { return nil }
func (s *spyDrainer) Drain(_ context.Context, _ *corev1.Node, deadline time.Time) (drain.Progress, error) {
	s.deadline = deadline
	return drain.Progress{Waiting: []string{"x"}, RetryAfter: time.Second}, nil
}

func TestADisruptionThatAPersonWroteIsHeldBeforeItIsCarriedOut(t *testing.T) {
	w := newWorld(t, theDisruption(func(d *v1alpha1.Disruption) { d.Finalizers = nil }), machine("a"), node("a"), pool())
	if err := w.step(); err != nil {
		t.Fatal(err)
	}
	if d := w.disruption(); !slices.Contains(d.Finalizers, disruption.Finalizer) || d.Status.Phase != "" {
		t.Errorf("finalizers %v, phase %q", d.Finalizers, d.Status.Phase)
	}
	w.run(succeeded)
}

func TestADisruptionThatIsGoneIsNoError(t *testing.T) {
	w := newWorld(t)
	if err := w.step(); err != nil {
		t.Error(err)
	}
}

func TestMessagesFit(t *testing.T) {
	d := theDisruption()
	enter(d, draining, strings.Repeat("ä", 3000))
	if n := len(d.Status.Message); n > longestMessage || n < longestMessage-5 || !strings.HasSuffix(d.Status.Message, "...") {
		t.Errorf("message of %d bytes", n)
	}
}

func TestAVPSieNodeBringsBackTheDisruptionsThatNameIt(t *testing.T) {
	other := theDisruption(replacedBy("r"))
	other.Name, other.UID = "e", "uid-e"
	done := theDisruption(inPhase(succeeded))
	done.Name, done.UID = "f", "uid-f"
	w := newWorld(t, theDisruption(), other, done)
	r := New(w.kube, w.kube, w.judge, &spyDrainer{}, Options{})
	for name, want := range map[string][]string{"a": {"d", "e"}, "r": {"e"}, "x": nil} {
		var got []string
		for _, request := range r.concerned(ctx, machine(name)) {
			got = append(got, request.Name)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("VPSieNode %s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRefusesToWriteAStatusOverAChangeOfTheDisruption(t *testing.T) {
	w := newWorld(t, theDisruption(inPhase(approved)), machine("a"), node("a"), pool())
	w.judge = judgeFunc(func() {
		d := w.disruption()
		d.Labels = map[string]string{"changed": "meanwhile"}
		if err := w.kube.Update(ctx, d); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.step(); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	if got := w.disruption().Status.Phase; got != approved {
		t.Errorf("phase %s", got)
	}
	w.untouched()
	if got := w.events(); len(got) != 0 {
		t.Errorf("told of what was not written: %q", got)
	}
}
