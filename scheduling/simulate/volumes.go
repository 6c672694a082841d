// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/component-helpers/storage/ephemeral"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/volumebinding"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)

// once makes all profiles share one instance of the plugin for volumes, which keeps in memory which ones are spoken for: with an
// instance for each profile, two pods of different profiles would be promised the same one.
func once(factory frameworkruntime.PluginFactory) frameworkruntime.PluginFactory {
	var made fwk.Plugin
	return func(ctx context.Context, args runtime.Object, handle fwk.Handle) (fwk.Plugin, error) {
		var err error
		if made == nil {
			if made, err = factory(ctx, args, handle); err != nil {
				return nil, err
			}
			if plugin, ok := made.(*volumebinding.VolumeBinding); ok {
				plugin.Binder = newVolumes(plugin.Binder)
			}
		}
		return made, nil
	}
}

// volumes is the plugin's memory of which volumes are spoken for, with two things that a scheduler does not need: what was given back can be
// taken again as it was, and pods that wait for the same claim keep what was found for it until the last of them gives it back.
type volumes struct {
	volumebinding.SchedulerVolumeBinder
	takers map[*volumebinding.PodVolumes][]string // what is taken, with the claims of the pod that took it
	users  map[string]int                         // by claim: pods that have taken something for it
	left   []*volumebinding.PodVolumes            // given back by their pods, while others rely on them
}

func newVolumes(binder volumebinding.SchedulerVolumeBinder) *volumes {
	return &volumes{SchedulerVolumeBinder: binder, takers: map[*volumebinding.PodVolumes][]string{}, users: map[string]int{}}
}

// AssumePodVolumes writes down what the pod takes. The binder replaces in the list what it has assumed, and would not assume that again:
// it gets a copy.
func (v *volumes) AssumePodVolumes(logger klog.Logger, pod *corev1.Pod, node string, found *volumebinding.PodVolumes) (bool, error) {
	if found == nil {
		return v.SchedulerVolumeBinder.AssumePodVolumes(logger, pod, node, found)
	}
	bound, err := v.SchedulerVolumeBinder.AssumePodVolumes(logger, pod, node, new(*found))
	if err != nil {
		return bound, err
	}
	v.left = slices.DeleteFunc(v.left, func(left *volumebinding.PodVolumes) bool { return left == found })
	v.takers[found] = claimsOf(pod)
	for _, claim := range v.takers[found] {
		v.users[claim]++
	}
	return bound, nil
}

// RevertAssumedPodVolumes gives back what was taken, and nothing that was not.
func (v *volumes) RevertAssumedPodVolumes(found *volumebinding.PodVolumes) {
	claims, taken := v.takers[found]
	if !taken || slices.Contains(v.left, found) {
		return
	}
	for _, claim := range claims {
		v.users[claim]--
	}
	v.left = slices.DeleteFunc(append(v.left, found), func(left *volumebinding.PodVolumes) bool {
		if slices.ContainsFunc(v.takers[left], func(claim string) bool { return v.users[claim] > 0 }) {
			return false
		}
		v.SchedulerVolumeBinder.RevertAssumedPodVolumes(left)
		delete(v.takers, left)
		return true
	})
}

// claimsOf returns the pod's claims by namespace and name.
func claimsOf(pod *corev1.Pod) (claims []string) {
	for i := range pod.Spec.Volumes {
		switch volume := &pod.Spec.Volumes[i]; {
		case volume.PersistentVolumeClaim != nil:
			claims = append(claims, pod.Namespace+"/"+volume.PersistentVolumeClaim.ClaimName)
		case volume.Ephemeral != nil:
			claims = append(claims, pod.Namespace+"/"+ephemeral.VolumeClaimName(pod, volume))
		}
	}
	return claims
}
