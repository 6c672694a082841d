// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/events"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// resources makes a list of name, quantity, name, quantity.
func resources(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func TestInitializationWaitsForWhatThePodsRequest(t *testing.T) {
	const gpu = "example.com/gpu"
	cases := map[string]struct {
		requested, promised, offered, later corev1.ResourceList
		waits                               string        // what Initialized says at first
		after                               time.Duration // later
		phase                               v1alpha1.VPSieNodePhase
		says                                string // what Initialized says then
		smaller                             string // the event, without what every one begins with
	}{
		"what is requested is there": {
			requested: resources("cpu", "3", "memory", "6Gi"), promised: resources("cpu", "3900m", "memory", "7Gi"), offered: resources("cpu", "3900m", "memory", "7Gi"),
			phase: v1alpha1.PhaseReady,
		},
		"nothing is requested": {phase: v1alpha1.PhaseReady},
		"a device that is not there yet, and then is": {
			requested: resources("cpu", "1", gpu, "2"), offered: resources("cpu", "4"), later: resources("cpu", "4", gpu, "2"), after: 10 * time.Minute,
			waits: `ResourcesMissing: node "hel-slave-x" does not offer any example.com/gpu yet`, phase: v1alpha1.PhaseReady,
		},
		"refuses to call a Node ready whose devices never come": {
			requested: resources("cpu", "1", gpu, "2"), offered: resources("cpu", "4", gpu, "0"), after: 21 * time.Minute,
			waits: `ResourcesMissing: node "hel-slave-x" does not offer any example.com/gpu yet`, phase: v1alpha1.PhaseFailed,
			says: `RegistrationTimeout: node "hel-slave-x" was not ready for pods within 20m0s: node "hel-slave-x" does not offer any example.com/gpu yet`,
		},
		"the second of two devices is waited for": {
			requested: resources(gpu, "2"), offered: resources(gpu, "1"), later: resources(gpu, "2"), after: 20 * time.Second,
			waits: `ResourcesMissing: node "hel-slave-x" offers 1 example.com/gpu yet, and its pods request 2`, phase: v1alpha1.PhaseReady,
		},
		"memory that ballooned is not waited for long, and told of": {
			requested: resources("cpu", "1", "memory", "6Gi"), promised: resources("cpu", "3900m", "memory", "7Gi"), offered: resources("cpu", "3900m", "memory", "2Gi"), after: 70 * time.Second,
			waits: `ResourcesMissing: node "hel-slave-x" offers 2Gi memory yet, and its pods request 6Gi`, phase: v1alpha1.PhaseReady,
			smaller: "offers less than Professional promised: memory 2Gi instead of 7Gi",
		},
		"a Node that is smaller than promised and holds its pods is ready at once, and told of": {
			requested: resources("memory", "1Gi"), promised: resources("cpu", "4", "memory", "7Gi"), offered: resources("cpu", "3", "memory", "2Gi"), phase: v1alpha1.PhaseReady,
			smaller: "offers less than Professional promised: cpu 3 instead of 4, memory 2Gi instead of 7Gi",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			vn := vpsieNode()
			vn.Spec.StartupTaints, vn.Spec.Resources, vn.Spec.Offerings[0].Allocatable = nil, tc.requested, tc.promised
			w := newWorld(t, vn)
			recorder := events.NewFakeRecorder(1000)
			w.r.recorder = recorder
			w.steps(2)
			w.cloud.appear("x", "2")
			w.steps(1)
			w.join(corev1.ConditionTrue)
			w.change(func(n *corev1.Node) { n.Status.Allocatable = tc.offered })
			w.steps(1)
			initialized := func() string {
				c := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionInitialized)
				return c.Reason + ": " + c.Message
			}
			if tc.waits != "" {
				w.wantPhase(v1alpha1.PhaseJoining)
				if got := initialized(); got != tc.waits {
					t.Errorf("Initialized is %q, want %q", got, tc.waits)
				}
				if held(w.theNode()) {
					t.Error("the Node is closed to the pods that fit")
				}
			}
			if tc.later != nil {
				w.change(func(n *corev1.Node) { n.Status.Allocatable = tc.later })
			}
			if _, err := w.step(tc.after); err != nil {
				t.Fatal(err)
			}
			w.wantPhase(tc.phase)
			if got := initialized(); tc.says != "" && got != tc.says {
				t.Errorf("Initialized is %q, want %q", got, tc.says)
			}
			close(recorder.Events)
			smaller := ""
			for text := range recorder.Events {
				if note, ok := strings.CutPrefix(text, "Warning "+EventSmaller+" Node hel-slave-x "); ok {
					smaller += note
				}
			}
			if smaller != tc.smaller {
				t.Errorf("told %q, want %q", smaller, tc.smaller)
			}
		})
	}
}

func TestANodeThatWasReadyStaysSoWhenADeviceGoes(t *testing.T) {
	vn := vpsieNode()
	vn.Spec.StartupTaints, vn.Spec.Resources = nil, resources("cpu", "3")
	w := newWorld(t, vn)
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionTrue)
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseReady)
	w.change(func(n *corev1.Node) { n.Status.Allocatable = resources("cpu", "1") })
	w.steps(30)
	w.wantPhase(v1alpha1.PhaseReady)
}

// joins brings a machine to the cluster whose Node is Ready and has this taint.
func joins(t *testing.T, key string) *world {
	t.Helper()
	vn := vpsieNode()
	vn.Spec.StartupTaints = nil
	w := newWorld(t, vn)
	w.steps(2)
	w.cloud.appear("x", "2")
	w.steps(1)
	w.join(corev1.ConditionTrue)
	w.change(func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: corev1.TaintEffectNoSchedule})
	})
	w.steps(1)
	return w
}

func TestANodeStaysClosedUntilKubernetesTookItsTaintOff(t *testing.T) {
	w := joins(t, corev1.TaintNodeNotReady)
	w.wantPhase(v1alpha1.PhaseJoining)
	says := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionInitialized)
	if want := `node "hel-slave-x" is Ready, and Kubernetes has not yet taken its taint "node.kubernetes.io/not-ready" off`; says.Message != want || !held(w.theNode()) {
		t.Errorf("it says %q, want %q; held: %v", says.Message, want, held(w.theNode()))
	}
	w.change(func(n *corev1.Node) {
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady })
	})
	w.steps(1)
	w.wantPhase(v1alpha1.PhaseReady)
	if held(w.theNode()) {
		t.Error("the Node stayed closed")
	}
}

// TestRegistrationIsWhatACloudControllerManagerWouldDo: VPSie's knows no instances, so nobody else takes this taint off.
func TestRegistrationIsWhatACloudControllerManagerWouldDo(t *testing.T) {
	w := joins(t, "node.cloudprovider.kubernetes.io/uninitialized")
	w.wantPhase(v1alpha1.PhaseReady)
	if node := w.theNode(); node.Spec.ProviderID == "" || slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == uninitialized }) {
		t.Errorf("provider ID %q, taints %v", node.Spec.ProviderID, node.Spec.Taints)
	}
}

// TestANodeOutlivesItsVPSieNode: Kubernetes collects an object whose owner is gone, and a Node's pods with it.
func TestANodeOutlivesItsVPSieNode(t *testing.T) {
	if owners := joins(t, "foreign").theNode().OwnerReferences; len(owners) != 0 {
		t.Errorf("the Node is owned by %v", owners)
	}
}
