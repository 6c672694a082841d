// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package creation turns a pod as a template or a manifest has it into the pod that an API server would store, as far as
// kube-scheduler looks: requests that follow from limits, and selectors that follow from the pod's labels. Doing it twice changes nothing
// more. It never fills in what needs other objects, such as a priority class.
package creation

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/kubernetes/pkg/features"
)

// Request fills in the requests that follow from limits. Templates are stored without them, pods are not. The lists of the pod are
// changed in place.
func Request(pod *corev1.Pod) {
	for i := range pod.Spec.InitContainers {
		fill(&pod.Spec.InitContainers[i].Resources)
	}
	for i := range pod.Spec.Containers {
		fill(&pod.Spec.Containers[i].Resources)
	}
	whole := pod.Spec.Resources
	if whole == nil || len(whole.Limits) == 0 {
		return
	}
	containers := resourcehelper.AggregateContainerRequests(pod, resourcehelper.PodResourcesOptions{})
	for name, limit := range whole.Limits {
		_, counted := containers[name] // what the containers request stands for the whole
		_, given := whole.Requests[name]
		if given || counted || !resourcehelper.IsSupportedPodLevelResource(name) {
			continue
		}
		if whole.Requests == nil {
			whole.Requests = corev1.ResourceList{}
		}
		whole.Requests[name] = limit.DeepCopy()
	}
}

func fill(resources *corev1.ResourceRequirements) {
	for name, limit := range resources.Limits {
		if _, given := resources.Requests[name]; given {
			continue
		}
		if resources.Requests == nil {
			resources.Requests = corev1.ResourceList{}
		}
		resources.Requests[name] = limit.DeepCopy()
	}
}

// Select writes the labels that matchLabelKeys and mismatchLabelKeys name into the selectors beside them. kube-scheduler reads the selectors of
// affinity only. What pods of one template share is not changed: the pod gets lists of its own.
func Select(pod *corev1.Pod) {
	if affinity := pod.Spec.Affinity; affinity != nil && (affinity.PodAffinity != nil || affinity.PodAntiAffinity != nil) {
		if slices.ContainsFunc(terms(affinity), func(t *corev1.PodAffinityTerm) bool { return len(t.MatchLabelKeys)+len(t.MismatchLabelKeys) > 0 }) {
			affinity = affinity.DeepCopy()
			for _, term := range terms(affinity) {
				extend(term.LabelSelector, term.MatchLabelKeys, metav1.LabelSelectorOpIn, pod.Labels)
				extend(term.LabelSelector, term.MismatchLabelKeys, metav1.LabelSelectorOpNotIn, pod.Labels)
			}
			pod.Spec.Affinity = affinity
		}
	}
	keyed := func(c corev1.TopologySpreadConstraint) bool { return len(c.MatchLabelKeys) > 0 }
	spreads := pod.Spec.TopologySpreadConstraints
	if !utilfeature.DefaultFeatureGate.Enabled(features.MatchLabelKeysInPodTopologySpreadSelectorMerge) || !slices.ContainsFunc(spreads, keyed) {
		return
	}
	spreads = slices.Clone(spreads)
	for i := range spreads {
		spreads[i].LabelSelector = spreads[i].LabelSelector.DeepCopy()
		extend(spreads[i].LabelSelector, spreads[i].MatchLabelKeys, metav1.LabelSelectorOpIn, pod.Labels)
	}
	pod.Spec.TopologySpreadConstraints = spreads
}

// terms lists the terms that select pods.
func terms(affinity *corev1.Affinity) []*corev1.PodAffinityTerm {
	var all []*corev1.PodAffinityTerm
	add := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
		for i := range required {
			all = append(all, &required[i])
		}
		for i := range preferred {
			all = append(all, &preferred[i].PodAffinityTerm)
		}
	}
	if near := affinity.PodAffinity; near != nil {
		add(near.RequiredDuringSchedulingIgnoredDuringExecution, near.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if apart := affinity.PodAntiAffinity; apart != nil {
		add(apart.RequiredDuringSchedulingIgnoredDuringExecution, apart.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	return all
}

// extend adds requirements that the selector lacks. One that is absent matches nothing, and stays so.
func extend(selector *metav1.LabelSelector, keys []string, operator metav1.LabelSelectorOperator, labels map[string]string) {
	if selector == nil {
		return
	}
	for _, key := range keys {
		value, labelled := labels[key]
		there := slices.ContainsFunc(selector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
			return r.Key == key && r.Operator == operator && slices.Equal(r.Values, []string{value})
		})
		if labelled && !there {
			selector.MatchExpressions = append(selector.MatchExpressions,
				metav1.LabelSelectorRequirement{Key: key, Operator: operator, Values: []string{value}})
		}
	}
}
