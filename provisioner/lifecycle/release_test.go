// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"testing"

	"k8s.io/client-go/tools/events"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func TestRefusesToSkipADrainWhileTheKubeletAnswers(t *testing.T) {
	w := serving(t)
	w.busy = true
	w.cloud.short, w.cloud.shown = true, []string{"other"}
	w.steps(40)
	w.delete()
	w.steps(10)
	if len(w.drains) == 0 || len(w.cloud.releases) > 0 || w.theNode() == nil {
		t.Fatalf("drained %v, released %v, Node %v: want the pods moved first", w.drains, w.cloud.releases, w.theNode())
	}
	w.busy = false
	w.steps(60)
	w.wantPhase(v1alpha1.PhaseDeleting)
	if w.theNode() == nil || !strings.Contains(disrupting(w.node()).Message, "is Ready: waiting until its kubelet is silent") {
		t.Fatalf("Node %v; %s", w.theNode(), w.explain())
	}
	w.cloud.short = false // and so the machine, which VPSie could not be told to destroy, is released after all
	w.steps(6)
	if got := w.phase(); got != "gone" || len(w.cloud.machines) != 1 {
		t.Errorf("phase %s, machines %v: want the machine released", got, w.cloud.machines)
	}
}

func TestRefusesToLetGoOfAMachineWithoutANodeBecauseAListIsShort(t *testing.T) {
	w := newWorld(t, vpsieNode())
	w.cloud.appear("other", "3")
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.cloud.short, w.cloud.shown = true, []string{"other"}
	w.delete()
	w.steps(15)
	w.wantPhase(v1alpha1.PhaseDeleting)
	w.cloud.short = false
	w.steps(5)
	if got := w.phase(); got != "gone" || len(w.cloud.machines) != 1 {
		t.Errorf("phase %s, machines %v: the machine leaked", got, w.cloud.machines)
	}
}

func TestAMachineThatVPSieNeverFinishesDestroyingIsAskedForAgainAndReported(t *testing.T) {
	w := serving(t)
	recorder := events.NewFakeRecorder(1000)
	w.r.recorder = recorder
	w.delete()
	w.steps(1)
	w.cloud.keep = true // it stays as it is listed: being destroyed
	w.steps(100)
	if got := len(w.cloud.releases); got != 1 || told(recorder, EventSlowRelease) {
		t.Fatalf("asked %d times within ten minutes, want once", got)
	}
	w.steps(60)
	if got := len(w.cloud.releases); got != 2 || !told(recorder, EventSlowRelease) {
		t.Errorf("asked %d times within sixteen minutes, want twice, and told of it", got)
	}
	if got := disrupting(w.node()).Message; !strings.Contains(got, "for more than 15m0s and still lists it") {
		t.Errorf("message is %q", got)
	}
	w.cloud.keep = false
	w.steps(3)
	if got := w.phase(); got != "gone" {
		t.Errorf("phase is %s, want gone", got)
	}
}
