// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// statefulSet makes the pods whose ordinals are missing, all at once, and the claims of all its pods.
func (e *expander) statefulSet(set *appsv1.StatefulSet) {
	self := identify(set, appsv1.SchemeGroupVersion.WithKind("StatefulSet"))
	first := 0
	if set.Spec.Ordinals != nil {
		first = int(set.Spec.Ordinals.Start)
	}
	revision := set.Name + "-" + hashOf(&set.Spec.Template)
	for ordinal := first; ordinal < first+int(ptr.Deref(set.Spec.Replicas, 1)); ordinal++ {
		name := fmt.Sprintf("%s-%d", set.Name, ordinal)
		if e.names[types.NamespacedName{Namespace: set.Namespace, Name: name}] {
			continue
		}
		pod := e.pod(self, &set.Spec.Template, name)
		pod.Labels = with(pod.Labels, appsv1.StatefulSetPodNameLabel, name)
		pod.Labels[appsv1.PodIndexLabel] = strconv.Itoa(ordinal)
		pod.Labels[appsv1.ControllerRevisionHashLabelKey] = revision
		pod.Spec.Hostname, pod.Spec.Subdomain = name, set.Spec.ServiceName
		pod.Spec.Volumes = e.claim(set, ordinal, pod.Spec.Volumes)
		e.add(pod)
	}
}

// claim makes the claims of one pod, and returns the pod's volumes: a claim replaces a volume of the same name.
func (e *expander) claim(set *appsv1.StatefulSet, ordinal int, volumes []corev1.Volume) []corev1.Volume {
	volumes = slices.Clone(volumes)
	for i := range set.Spec.VolumeClaimTemplates {
		template := &set.Spec.VolumeClaimTemplates[i]
		name := fmt.Sprintf("%s-%s-%d", template.Name, set.Name, ordinal)
		volumes = slices.DeleteFunc(volumes, func(v corev1.Volume) bool { return v.Name == template.Name })
		volumes = append(volumes, corev1.Volume{Name: template.Name, VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
		key := types.NamespacedName{Namespace: set.Namespace, Name: name}
		if e.claims[key] {
			continue
		}
		e.claims[key] = true
		e.set.Add(&corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Namespace: set.Namespace, Name: name, Labels: template.Labels, Annotations: template.Annotations},
			Spec:       *template.Spec.DeepCopy(),
			Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
		})
	}
	return volumes
}
