// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func TestWishes(t *testing.T) {
	term := func(key, name string) corev1.PodAffinityTerm {
		return corev1.PodAffinityTerm{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{nameLabel: name}}}
	}
	node := func(key string, operator corev1.NodeSelectorOperator, values ...string) corev1.PodSpec {
		return corev1.PodSpec{Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: operator, Values: values}},
			}}},
		}}}
	}
	for name, test := range map[string]struct {
		spec corev1.PodSpec
		want string
	}{
		"nothing": {corev1.PodSpec{}, ""},
		"apart from its own kind": {corev1.PodSpec{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(corev1.LabelHostname, "web")},
		}}}, "never two on one machine"},
		"apart from others": {corev1.PodSpec{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(corev1.LabelTopologyZone, "db")},
		}}}, "never in a zone that runs db"},
		"rather apart": {corev1.PodSpec{Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{PodAffinityTerm: term(corev1.LabelHostname, "web")}},
		}}}, "rather not two on one machine"},
		"beside others, first of all": {corev1.PodSpec{PriorityClassName: "high", Affinity: &corev1.Affinity{PodAffinity: &corev1.PodAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term(corev1.LabelHostname, "catalogue")},
		}}}, "on a machine that runs catalogue; priority high"},
		"spread":                    {corev1.PodSpec{TopologySpreadConstraints: []corev1.TopologySpreadConstraint{{TopologyKey: corev1.LabelHostname}}}, "spread over machines"},
		"enough memory":             {node(v1alpha1.MemoryLabel, corev1.NodeSelectorOpGt, "12288"), "only where memory > 12 GiB"},
		"few cores":                 {node(v1alpha1.CPULabel, corev1.NodeSelectorOpLt, "4"), "only where cpu < 4"},
		"a category":                {node(v1alpha1.CategoryLabel, corev1.NodeSelectorOpIn, "compute", "general"), "only where category is compute, general"},
		"any but a category":        {node(v1alpha1.CategoryLabel, corev1.NodeSelectorOpNotIn, "shared"), "only where category is not shared"},
		"a label of somebody else":  {node("example.com/gpu", corev1.NodeSelectorOpExists), "only where example.com/gpu is set"},
		"no label of somebody else": {node("example.com/gpu", corev1.NodeSelectorOpDoesNotExist), "only where example.com/gpu is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wishes(&test.spec, map[string]string{nameLabel: "web"}); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
