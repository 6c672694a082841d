// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// placement finds rules about nodes and other pods that kube-scheduler would not understand, or would pass over without a word.
func (m *mistakes) placement(path string, spec *corev1.PodSpec) {
	for i := range spec.TopologySpreadConstraints {
		m.spread(fmt.Sprintf("%s.topologySpreadConstraints[%d]", path, i), &spec.TopologySpreadConstraints[i])
	}
	if spec.Affinity == nil {
		return
	}
	path += ".affinity"
	if near := spec.Affinity.PodAffinity; near != nil {
		m.terms(path+".podAffinity", near.RequiredDuringSchedulingIgnoredDuringExecution, near.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	if apart := spec.Affinity.PodAntiAffinity; apart != nil {
		m.terms(path+".podAntiAffinity", apart.RequiredDuringSchedulingIgnoredDuringExecution, apart.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	node := spec.Affinity.NodeAffinity
	if node == nil {
		return
	}
	path += ".nodeAffinity"
	if required := node.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
		for i := range required.NodeSelectorTerms {
			m.nodes(fmt.Sprintf("%s.%s.nodeSelectorTerms[%d]", path, whenRequired, i), &required.NodeSelectorTerms[i])
		}
	}
	for i := range node.PreferredDuringSchedulingIgnoredDuringExecution {
		m.nodes(fmt.Sprintf("%s.%s[%d].preference", path, whenPreferred, i), &node.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference)
	}
}

// The names of the lists.
const (
	whenRequired  = "requiredDuringSchedulingIgnoredDuringExecution"
	whenPreferred = "preferredDuringSchedulingIgnoredDuringExecution"
)

func (m *mistakes) spread(path string, c *corev1.TopologySpreadConstraint) {
	if c.MaxSkew < 1 {
		m.add(path+".maxSkew", "is %d, want 1 or more", c.MaxSkew)
	}
	m.topology(path, c.TopologyKey)
	m.oneOf(path+".whenUnsatisfiable", string(c.WhenUnsatisfiable), string(corev1.DoNotSchedule), string(corev1.ScheduleAnyway))
	if c.MinDomains != nil && *c.MinDomains < 1 {
		m.add(path+".minDomains", "is %d, want 1 or more", *c.MinDomains)
	}
	m.pods(path+".labelSelector", c.LabelSelector)
}

func (m *mistakes) terms(path string, required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm) {
	for i := range required {
		m.term(fmt.Sprintf("%s.%s[%d]", path, whenRequired, i), &required[i])
	}
	for i := range preferred {
		m.term(fmt.Sprintf("%s.%s[%d].podAffinityTerm", path, whenPreferred, i), &preferred[i].PodAffinityTerm)
	}
}

func (m *mistakes) term(path string, t *corev1.PodAffinityTerm) {
	m.topology(path, t.TopologyKey)
	m.pods(path+".labelSelector", t.LabelSelector)
	m.pods(path+".namespaceSelector", t.NamespaceSelector)
}

func (m *mistakes) topology(path, key string) {
	if key == "" {
		m.add(path+".topologyKey", "is missing; want a label of nodes, such as %s or %s", corev1.LabelHostname, corev1.LabelTopologyZone)
	}
}

func (m *mistakes) pods(path string, selector *metav1.LabelSelector) {
	if selector == nil {
		return
	}
	for i := range selector.MatchExpressions {
		e := &selector.MatchExpressions[i]
		m.expression(fmt.Sprintf("%s.matchExpressions[%d]", path, i), e.Key, string(e.Operator), e.Values, anyLabel())
	}
}

func (m *mistakes) nodes(path string, term *corev1.NodeSelectorTerm) {
	for i := range term.MatchExpressions {
		e := &term.MatchExpressions[i]
		m.expression(fmt.Sprintf("%s.matchExpressions[%d]", path, i), e.Key, string(e.Operator), e.Values, anyNode())
	}
	for i := range term.MatchFields {
		e := &term.MatchFields[i]
		m.expression(fmt.Sprintf("%s.matchFields[%d]", path, i), e.Key, string(e.Operator), e.Values, anyField())
	}
}

// The operators of selectors.
func anyLabel() []string { return []string{"In", "NotIn", "Exists", "DoesNotExist"} }
func anyNode() []string  { return append(anyLabel(), "Gt", "Lt") }
func anyField() []string { return []string{"In", "NotIn"} }

func (m *mistakes) expression(path, key, operator string, values []string, operators []string) {
	if key == "" {
		m.add(path+".key", "is missing; want the name of a label")
	}
	if !m.oneOf(path+".operator", operator, operators...) {
		return
	}
	switch operator {
	case "In", "NotIn":
		if len(values) == 0 {
			m.add(path+".values", "is missing; operator %s wants at least one", operator)
		}
	case "Exists", "DoesNotExist":
		if len(values) > 0 {
			m.add(path+".values", "is %q; operator %s wants none", values, operator)
		}
	default:
		_, err := strconv.ParseInt(strings.Join(values, " "), 10, 64)
		if err != nil {
			m.add(path+".values", "is %q; operator %s wants one whole number", values, operator)
		}
	}
}

// oneOf says whether the value is one of those that there are.
func (m *mistakes) oneOf(path, value string, values ...string) bool {
	known := slices.Contains(values, value)
	last := len(values) - 1
	choice := strings.Join(values[:last], ", ") + " or " + values[last]
	switch {
	case known:
	case value == "":
		m.add(path, "is missing; want %s", choice)
	default:
		m.add(path, "is %q, want %s", value, choice)
	}
	return known
}

func (m *mistakes) nodeGroup(group *v1alpha1.NodeGroup) {
	m.count("spec.minNodes", group.Spec.MinNodes)
	m.count("spec.maxNodes", group.Spec.MaxNodes)
	if limits := group.Spec.Limits; limits != nil {
		m.count("spec.limits.nodes", limits.Nodes)
		if price := limits.CostPerHour; price != nil {
			if _, err := scheduling.ParsePrice(*price); err != nil {
				m.add("spec.limits.costPerHour", "is %q, want a price such as 0.0333", *price)
			}
		}
	}
	for i := range group.Spec.Template.Requirements {
		r := &group.Spec.Template.Requirements[i]
		m.expression(fmt.Sprintf("spec.template.requirements[%d]", i), r.Key, string(r.Operator), r.Values, anyNode())
	}
}
