// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// selectorText names the first term by which the pod chooses nodes that no offering of the pool meets, with the values on offer.
func (p *planner) selectorText(pod *corev1.Pod, index int, group string) string {
	var nodes []*corev1.Node
	for _, c := range p.candidates {
		if c.pool == index {
			nodes = append(nodes, TemplateNode(p.pools[index].group, c.offering, ""))
		}
	}
	for _, key := range sortedKeys(pod.Spec.NodeSelector) {
		term := corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{pod.Spec.NodeSelector[key]}}
		if !anyMeets(nodes, term) {
			return fmt.Sprintf("no offering of %s has the label %s=%s of the pod's nodeSelector; %s", group, key, pod.Spec.NodeSelector[key], onOffer(nodes, key))
		}
	}
	for _, term := range requiredTerms(pod) {
		for _, expression := range term.MatchExpressions {
			if !anyMeets(nodes, expression) {
				return fmt.Sprintf("no offering of %s meets %s of the pod's nodeAffinity; %s", group,
					describe(v1alpha1.Requirement{Key: expression.Key, Operator: expression.Operator, Values: expression.Values}), onOffer(nodes, expression.Key))
			}
		}
	}
	return fmt.Sprintf("no offering of %s has all the node labels together that the pod's nodeSelector and nodeAffinity require", group)
}

func requiredTerms(pod *corev1.Pod) []corev1.NodeSelectorTerm {
	affinity := pod.Spec.Affinity
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	return affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
}

func anyMeets(nodes []*corev1.Node, term corev1.NodeSelectorRequirement) bool {
	selector, err := nodeaffinity.NewNodeSelector(&corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{
		{MatchExpressions: []corev1.NodeSelectorRequirement{term}},
	}})
	if err != nil {
		return false // the API server refuses it; should it not, it is what keeps the pod waiting
	}
	return slices.ContainsFunc(nodes, func(n *corev1.Node) bool {
		return selector.Match(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: n.Labels}})
	})
}

// onOffer says what may be asked for instead, or how the label comes to be.
func onOffer(nodes []*corev1.Node, key string) string {
	if key == corev1.LabelHostname {
		return "a new machine has a name of its own"
	}
	var values []string
	for _, n := range nodes {
		if value, ok := n.Labels[key]; ok && !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	switch {
	case len(values) == 0 && strings.HasPrefix(key, v1alpha1.Group+"/"): // not for users to set
		return "its machines have no such label"
	case len(values) == 0:
		return "its machines have no such label: add it to spec.template.labels, or change the pod"
	case len(values) > namesShown:
		values = append(values[:namesShown], fmt.Sprintf("and %d more", len(values)-namesShown))
	}
	return "on offer: " + strings.Join(values, ", ")
}
