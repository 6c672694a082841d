// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"math/rand/v2"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// AddPolicies gives the groups of a trial a share, a choice and a price at random, the pods controllers and preferences, and some nodes
// a group.
func (s *Trial) AddPolicies(seed uint64) {
	r := rand.New(rand.NewPCG(seed, 77))
	for i := range s.Groups {
		group := s.Groups[i].NodeGroup.DeepCopy()
		if r.IntN(2) == 0 {
			group.Spec.MaxWorkloadShare = new(pick(r, int32(10), 25, 50))
		}
		if r.IntN(3) == 0 {
			group.Spec.Template.Requirements = append(group.Spec.Template.Requirements, v1alpha1.Requirement{
				Key: pick(r, corev1.LabelInstanceTypeStable, v1alpha1.CategoryLabel, v1alpha1.CPULabel), Operator: corev1.NodeSelectorOpExists,
				MinValues: new(int32(1 + r.IntN(3))),
			})
		}
		if r.IntN(3) == 0 {
			group.Spec.PreferencePrice = new(pick(r, v1alpha1.Price("0.005"), "0.05"))
		}
		if r.IntN(4) == 0 {
			group.Spec.Template.Taints = append(group.Spec.Template.Taints, v1alpha1.Taint{Key: "soft", Effect: corev1.TaintEffectPreferNoSchedule})
		}
		s.Groups[i].NodeGroup = group
	}
	for i, node := range s.Objects.Nodes {
		if r.IntN(2) == 0 {
			s.Objects.Nodes[i] = node.DeepCopy()
			s.Objects.Nodes[i].Labels[v1alpha1.NodeGroupLabel] = s.Groups[0].NodeGroup.Name
		}
	}
	kinds := map[string]int{}
	change := func(pod *corev1.Pod) *corev1.Pod {
		app := pod.Labels["app"]
		if _, known := kinds[app]; !known {
			kinds[app] = r.IntN(8)
		}
		pod = pod.DeepCopy()
		if kinds[app] > 0 {
			pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app, UID: types.UID("uid-" + app), Controller: new(true)}}
		}
		prefer(pod, kinds[app], app, fmt.Sprintf("app-%d", kinds[app]%3))
		return pod
	}
	changed := map[*corev1.Pod]*corev1.Pod{}
	for _, pods := range [][]*corev1.Pod{s.Pods, s.Objects.Pods} {
		for i, pod := range pods {
			if changed[pod] == nil {
				changed[pod] = change(pod)
			}
			pods[i] = changed[pod]
		}
	}
}

// prefer gives a pod a preference of some kind.
func prefer(pod *corev1.Pod, kind int, app, other string) {
	term := func(key, app string) []corev1.WeightedPodAffinityTerm {
		return []corev1.WeightedPodAffinityTerm{{Weight: 60, PodAffinityTerm: corev1.PodAffinityTerm{
			TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
		}}}
	}
	if pod.Spec.Affinity == nil {
		pod.Spec.Affinity = &corev1.Affinity{}
	}
	switch affinity := pod.Spec.Affinity; kind {
	case 1:
		affinity.NodeAffinity = &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{{
			Weight: 30, Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: v1alpha1.CategoryLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{"general", "memory"}},
			}},
		}}}
	case 2, 3:
		if affinity.PodAntiAffinity == nil {
			affinity.PodAntiAffinity = &corev1.PodAntiAffinity{}
		}
		affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution = term(corev1.LabelHostname, app)
	case 4:
		if affinity.PodAffinity == nil {
			affinity.PodAffinity = &corev1.PodAffinity{}
		}
		affinity.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution = term(corev1.LabelTopologyZone, other)
	case 5:
		pod.Spec.TopologySpreadConstraints = append(pod.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyRegion, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}},
		})
	}
}
