// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// HeadroomNamespace is the namespace of the pods that stand for headroom. It cannot exist in a cluster: the name is not valid there.
const HeadroomNamespace = "~headroom"

// Headroom returns pods that stand for the room that the group keeps free: never created, only planned for. They tolerate the
// group's taints and run nowhere else.
func Headroom(group *v1alpha1.NodeGroup) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, room := range group.Spec.Headroom {
		replicas := 0
		if room.Replicas != nil {
			replicas = int(*room.Replicas)
		}
		for i := range replicas {
			pods = append(pods, headroomPod(group, room, i))
		}
	}
	return pods
}

func headroomPod(group *v1alpha1.NodeGroup, room v1alpha1.Headroom, index int) *corev1.Pod {
	requests := corev1.ResourceList{}
	if room.CPU != nil {
		requests[corev1.ResourceCPU] = *room.CPU
	}
	if room.Memory != nil {
		requests[corev1.ResourceMemory] = *room.Memory
	}
	name := fmt.Sprintf("%s-%s-%d", group.Name, room.Name, index)
	last := int32(-1 << 30) // after every pod that exists
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: HeadroomNamespace, Name: name, UID: types.UID("headroom/" + name)},
		Spec: corev1.PodSpec{
			SchedulerName: corev1.DefaultSchedulerName,
			Priority:      &last,
			NodeSelector:  map[string]string{v1alpha1.NodeGroupLabel: group.Name},
			Tolerations:   tolerations(group),
			Containers:    []corev1.Container{{Name: "room", Resources: corev1.ResourceRequirements{Requests: requests}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

// IsHeadroom says whether the pod stands for headroom.
func IsHeadroom(pod types.NamespacedName) bool { return pod.Namespace == HeadroomNamespace }

// tolerations covers the group's own taints and no others: headroom on a cordoned or leaving node is no headroom.
func tolerations(group *v1alpha1.NodeGroup) []corev1.Toleration {
	var result []corev1.Toleration
	for _, taint := range group.Spec.Template.Taints {
		result = append(result, corev1.Toleration{
			Key: taint.Key, Operator: corev1.TolerationOpEqual, Value: taint.Value, Effect: taint.Effect,
		})
	}
	return result
}
