// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
)

func TestItIsRolledBackWhenItCeasesToBeRight(t *testing.T) {
	for _, phase := range []v1alpha1.DisruptionPhase{launching, draining} {
		t.Run("in phase "+string(phase), func(t *testing.T) {
			w := newWorld(t, theDisruption(), machine("a"), node("a"), pool())
			w.run(launching)
			w.judge = refuses(phase, disruption.RuleNotEmpty, "runs 1 workload pods")
			phases := w.run(rolledBack)
			if phases[len(phases)-1] != rolledBack || slices.Contains(phases, verifying) {
				t.Errorf("phases %v", phases)
			}
			if !slices.Contains(w.writes, "patch Node n-a") {
				t.Error("was never tainted: the test shows nothing")
			}
			if w.tainted("n-a") {
				t.Error("the taint was left on")
			}
			if vn := w.vpsieNode("a"); vn == nil || !vn.DeletionTimestamp.IsZero() {
				t.Error("the VPSieNode was deleted")
			}
			if got := w.disruption().Status; got.Message != `VPSieNode "a" runs 1 workload pods` || got.FinishedAt == nil {
				t.Errorf("status %+v", got)
			}
			want := []string{
				"Normal DisruptionStarted Is being carried out",
				`Warning DisruptionRolledBack VPSieNode "a" runs 1 workload pods`,
				`Warning DisruptionRolledBack Disruption d (Empty): VPSieNode "a" runs 1 workload pods`,
			}
			if diff := cmp.Diff(want, w.events()); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARollbackThatFailsIsTriedAgain(t *testing.T) {
	w := newWorld(t, theDisruption(), machine("a"), node("a"), pool())
	w.run(draining)
	w.judge = refuses(draining, disruption.RuleNotEmpty, "runs 1 workload pods")
	w.fail = func(write string) failure {
		if write == "patch Node n-a" {
			return lost
		}
		return works
	}
	if err := w.step(); !errors.Is(err, errCrash) {
		t.Fatalf("error %v", err)
	}
	if w.disruption().Status.Phase != draining || !w.tainted("n-a") {
		t.Fatalf("phase %s", w.disruption().Status.Phase)
	}
	w.fail = func(string) failure { return works }
	w.run(rolledBack)
	if w.tainted("n-a") {
		t.Error("the taint was left on")
	}
}

func TestRefusesToDeleteAMachineThatChangedAfterTheCheck(t *testing.T) {
	w := newWorld(t, theDisruption(inPhase(draining)), machine("a"), node("a"), pool())
	w.run(draining)
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	w.judge = judgeFunc(func() {
		vn := w.vpsieNode("a")
		vn.Labels = map[string]string{"changed": "meanwhile"}
		if err := w.kube.Update(ctx, vn); err != nil {
			t.Fatal(err)
		}
	})
	if err := w.step(); err == nil || !strings.Contains(err.Error(), `deleting VPSieNode "a"`) {
		t.Errorf("error %v", err)
	}
	if vn := w.vpsieNode("a"); vn == nil || !vn.DeletionTimestamp.IsZero() || w.disruption().Status.Phase != draining {
		t.Error("was deleted all the same")
	}
	w.judge = &verdicts{}
	w.run(succeeded)
}

type judgeFunc func()

func (j judgeFunc) Recheck(context.Context, *v1alpha1.Disruption) (*disruption.Kept, error) {
	j()
	return nil, nil
}

func TestRefusesToDeleteANamesake(t *testing.T) {
	w := newWorld(t, theDisruption(inPhase(draining)), machine("a", func(vn *v1alpha1.VPSieNode) { vn.UID = "another" }), node("a"), pool())
	w.run(succeeded)
	if vn := w.vpsieNode("a"); vn == nil || !vn.DeletionTimestamp.IsZero() || w.tainted("n-a") {
		t.Error("the namesake was touched")
	}
}

func TestRefusesToDeleteAMachineWhoseNodeDisappeared(t *testing.T) {
	w := newWorld(t, theDisruption(inPhase(draining)), machine("a"), pool())
	for range 5 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
	}
	if vn := w.vpsieNode("a"); !vn.DeletionTimestamp.IsZero() || w.disruption().Status.Phase != draining {
		t.Errorf("phase %s", w.disruption().Status.Phase)
	}
}

func TestOneOfTwoMachinesIsDeletedAsSoonAsItIsDrained(t *testing.T) {
	w := newWorld(t, theDisruption(inPhase(draining), removing("b")), machine("a"), node("a"), machine("b"), node("b"), workload("slow", "n-b"), pool())
	hold := workload("slow", "n-b")
	hold.ResourceVersion = ""
	w.judge = &verdicts{}
	var pod corev1.Pod
	if err := w.kube.Get(ctx, client.ObjectKeyFromObject(hold), &pod); err != nil {
		t.Fatal(err)
	}
	pod.Annotations = map[string]string{v1alpha1.DoNotDisruptAnnotation: "true"}
	if err := w.kube.Update(ctx, &pod); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := w.step(); err != nil {
			t.Fatal(err)
		}
		w.clock.SetTime(w.clock.Now().Add(5 * time.Second))
	}
	if w.vpsieNode("a").DeletionTimestamp.IsZero() || !w.vpsieNode("b").DeletionTimestamp.IsZero() {
		t.Error("not exactly the drained machine is being deleted")
	}
	if got := w.disruption().Status; got.Phase != draining || got.Message != "waits for shop/slow: has the annotation autoscaler.vpsie.com/do-not-disrupt=true" {
		t.Errorf("status %+v", got)
	}
	// Now the other may no longer go: the first is not taken back, the second is.
	w.judge = refuses(draining, disruption.RuleProtected, "is protected")
	w.run(rolledBack)
	if w.tainted("n-b") || !w.tainted("n-a") || w.vpsieNode("a").DeletionTimestamp.IsZero() || !w.vpsieNode("b").DeletionTimestamp.IsZero() {
		t.Error("not exactly the machine that stays was put back")
	}
}

func TestAPersonStopsItByDeletingTheDisruption(t *testing.T) {
	for _, phase := range []v1alpha1.DisruptionPhase{proposed, approved, launching, draining, verifying} {
		t.Run("in phase "+string(phase), func(t *testing.T) {
			w := newWorld(t, theDisruption(), machine("a"), node("a"), pool())
			if phase == proposed {
				w = newWorld(t, theDisruption(unapproved), machine("a"), node("a"), pool())
			}
			w.run(phase)
			if phase == launching {
				if err := w.drainer().Taint(ctx, node("a")); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.kube.Delete(ctx, w.disruption(), client.Preconditions{UID: &w.disruption().UID}); err != nil {
				t.Fatal(err)
			}
			if err := w.step(); err != nil {
				t.Fatal(err)
			}
			if err := w.kube.Get(ctx, client.ObjectKey{Name: "d"}, &v1alpha1.Disruption{}); err == nil {
				t.Error("the Disruption is still there")
			}
			leaves := phase == verifying
			if vn := w.vpsieNode("a"); vn.DeletionTimestamp.IsZero() == leaves || w.tainted("n-a") != leaves {
				t.Errorf("deleted %v, tainted %t", vn.DeletionTimestamp, w.tainted("n-a"))
			}
		})
	}
}
