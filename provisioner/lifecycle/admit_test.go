// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func TestANominationThatCameToNothingIsWithdrawn(t *testing.T) {
	pod := func(name, nominated string, reason string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Status: corev1.PodStatus{
				NominatedNodeName: nominated,
				Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason}},
			},
		}
	}
	cases := map[string]struct {
		pod   *corev1.Pod
		after time.Duration
		want  string
	}{
		"a pod that kube-scheduler found no room for":          {pod: pod("cart", "hel-slave-x", corev1.PodReasonUnschedulable), after: keepsFor + time.Second},
		"not while its Node has just opened":                   {pod: pod("cart", "hel-slave-x", corev1.PodReasonUnschedulable), after: time.Second, want: "hel-slave-x"},
		"not one that kube-scheduler has not tried":            {pod: pod("cart", "hel-slave-x", corev1.PodReasonSchedulingGated), after: keepsFor + time.Second, want: "hel-slave-x"},
		"not one that is nominated elsewhere":                  {pod: pod("cart", "other", corev1.PodReasonUnschedulable), after: keepsFor + time.Second, want: "other"},
		"not one that the machine was not bought for":          {pod: pod("stranger", "hel-slave-x", corev1.PodReasonUnschedulable), after: keepsFor + time.Second, want: "hel-slave-x"},
		"not long after, when kube-scheduler may have made it": {pod: pod("cart", "hel-slave-x", corev1.PodReasonUnschedulable), after: 10 * time.Minute, want: "hel-slave-x"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			vn := vpsieNode()
			vn.Annotations = map[string]string{v1alpha1.PodsAnnotation: "shop/cart"}
			w := newWorld(t, vn, tc.pod)
			w.steps(2)
			w.cloud.appear("x", "2")
			w.steps(1)
			w.join(corev1.ConditionTrue)
			w.steps(2)
			w.change(func(n *corev1.Node) {
				n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "cni" })
			})
			w.steps(1)
			w.wantPhase(v1alpha1.PhaseReady)
			if _, err := w.step(tc.after); err != nil {
				t.Fatal(err)
			}
			if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(tc.pod), tc.pod); err != nil {
				t.Fatal(err)
			}
			if got := tc.pod.Status.NominatedNodeName; got != tc.want {
				t.Errorf("nominated to %q, want %q", got, tc.want)
			}
		})
	}
}
