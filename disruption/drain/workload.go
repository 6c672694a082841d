// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// lowestCritical is the least priority of the system-cluster-critical and system-node-critical classes.
const lowestCritical = 2_000_000_000

// Workload says whether the pod is what a node is there for: neither a DaemonSet's nor a static one, which end with their node and
// come back with no other, and not terminated. A node without workload is empty.
func Workload(pod *corev1.Pod) bool {
	return !terminated(pod) && !ofDaemonSet(pod) && !static(pod)
}

func terminated(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// ofDaemonSet goes by the kind alone: whoever offers a better DaemonSet keeps its name and puts its pods back all the same.
func ofDaemonSet(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	return owner != nil && owner.Kind == "DaemonSet"
}

func static(pod *corev1.Pod) bool {
	if _, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]; mirror {
		return true
	}
	owner := metav1.GetControllerOf(pod)
	return owner != nil && owner.Kind == "Node"
}

// rank orders pods: what keeps the cluster alive serves the others until they are gone.
func rank(pod *corev1.Pod) int {
	if pod.Spec.Priority != nil && *pod.Spec.Priority >= lowestCritical {
		return 1
	}
	return 0
}

// stuck says whether the pod's end is long over and only its kubelet never said so.
func stuck(pod *corev1.Pod, now time.Time) bool {
	return pod.DeletionTimestamp != nil && now.After(pod.DeletionTimestamp.Add(stuckAfter))
}

// returned says whether the pod came although it saw the taint. Evicting it once more would bring it back once more, for ever.
func returned(pod *corev1.Pod, tainted time.Time) bool {
	if pod.CreationTimestamp.Time.Before(tainted) {
		return false
	}
	taint := corev1.Taint{Key: v1alpha1.DisruptingTaint, Effect: corev1.TaintEffectNoSchedule}
	for _, toleration := range pod.Spec.Tolerations {
		if toleration.ToleratesTaint(logr.Discard(), &taint, false) {
			return true
		}
	}
	return false
}

// DoNotDisrupt says why the annotation of that name keeps a pod or a node for now, and nothing when it does not. The error tells of
// an annotation that cannot be read; it keeps too, because whoever wrote it wanted something kept.
func DoNotDisrupt(object metav1.Object, now time.Time) (string, error) {
	value, set := object.GetAnnotations()[v1alpha1.DoNotDisruptAnnotation]
	if !set {
		return "", nil
	}
	if value == "true" {
		return fmt.Sprintf("has the annotation %s=true", v1alpha1.DoNotDisruptAnnotation), nil
	}
	age, err := time.ParseDuration(value)
	if err != nil || age < 0 {
		return "", fmt.Errorf("has the annotation %s=%q, which is neither \"true\" nor a duration such as 4h", v1alpha1.DoNotDisruptAnnotation, value)
	}
	if until := object.GetCreationTimestamp().Add(age); now.Before(until) {
		return fmt.Sprintf("has the annotation %s=%s, which holds until %s", v1alpha1.DoNotDisruptAnnotation, value, until.UTC().Format(time.RFC3339)), nil
	}
	return "", nil
}
