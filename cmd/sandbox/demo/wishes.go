// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// nameLabel is the well-known label that says what a pod is.
const nameLabel = "app.kubernetes.io/name"

// wishes says in words where a pod may run.
func wishes(spec *corev1.PodSpec, labels map[string]string) string {
	var said []string
	if affinity := spec.Affinity; affinity != nil {
		said = append(said, nodeWishes(affinity.NodeAffinity)...)
		if affinity.PodAffinity != nil {
			for _, term := range affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
				said = append(said, beside(term))
			}
		}
		if affinity.PodAntiAffinity != nil {
			for _, term := range affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
				said = append(said, "never "+apart(term, labels))
			}
			for _, term := range affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
				said = append(said, "rather not "+apart(term.PodAffinityTerm, labels))
			}
		}
	}
	for _, spread := range spec.TopologySpreadConstraints {
		said = append(said, fmt.Sprintf("spread over %ss", place(spread.TopologyKey)))
	}
	if spec.PriorityClassName != "" {
		said = append(said, "priority "+spec.PriorityClassName)
	}
	return strings.Join(said, "; ")
}

func nodeWishes(affinity *corev1.NodeAffinity) []string {
	if affinity == nil || affinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	var terms []string
	for _, term := range affinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		var all []string
		for _, e := range term.MatchExpressions {
			all = append(all, expression(e))
		}
		terms = append(terms, strings.Join(all, " and "))
	}
	return []string{"only where " + strings.Join(terms, " or ")}
}

func expression(e corev1.NodeSelectorRequirement) string {
	key := strings.TrimPrefix(e.Key, v1alpha1.Group+"/")
	values := make([]string, 0, len(e.Values))
	for _, value := range e.Values {
		if mebibytes, err := strconv.ParseInt(value, 10, 64); err == nil && e.Key == v1alpha1.MemoryLabel {
			value = bytesText(mebibytes << 20)
		}
		values = append(values, value)
	}
	list := strings.Join(values, ", ")
	switch e.Operator {
	case corev1.NodeSelectorOpIn:
		return fmt.Sprintf("%s is %s", key, list)
	case corev1.NodeSelectorOpNotIn:
		return fmt.Sprintf("%s is not %s", key, list)
	case corev1.NodeSelectorOpGt:
		return fmt.Sprintf("%s > %s", key, list)
	case corev1.NodeSelectorOpLt:
		return fmt.Sprintf("%s < %s", key, list)
	case corev1.NodeSelectorOpExists:
		return key + " is set"
	default:
		return key + " is not set"
	}
}

func apart(term corev1.PodAffinityTerm, labels map[string]string) string {
	if selected(term.LabelSelector) == labels[nameLabel] {
		return fmt.Sprintf("two %s one %s", preposition(term.TopologyKey), place(term.TopologyKey))
	}
	return beside(term)
}

func beside(term corev1.PodAffinityTerm) string {
	return fmt.Sprintf("%s a %s that runs %s", preposition(term.TopologyKey), place(term.TopologyKey), selected(term.LabelSelector))
}

func preposition(topologyKey string) string {
	if topologyKey == corev1.LabelHostname {
		return "on"
	}
	return "in"
}

func place(topologyKey string) string {
	if topologyKey == corev1.LabelHostname {
		return "machine"
	}
	_, name, found := strings.Cut(topologyKey, "/")
	if !found {
		return topologyKey
	}
	return name
}

func selected(selector *metav1.LabelSelector) string {
	if selector != nil && selector.MatchLabels[nameLabel] != "" {
		return selector.MatchLabels[nameLabel]
	}
	return metav1.FormatLabelSelector(selector)
}
