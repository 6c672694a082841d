// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// namesShown bounds the list of valid names in a reason.
const namesShown = 20

// EligibleOfferings returns the offerings that a group may buy, in the order of CompareOfferings and regardless of whether they are
// available now, and what in its spec excludes others or means nothing, with the values that would be valid.
func EligibleOfferings(group *v1alpha1.NodeGroup, offerings []Offering) (eligible []Offering, reasons []string) {
	if len(offerings) == 0 {
		return nil, []string{"the cloud offers no sizes"}
	}
	eligible = slices.Clone(offerings)
	slices.SortFunc(eligible, CompareOfferings)
	for _, narrow := range []func(*v1alpha1.NodeGroup, []Offering) ([]Offering, []string){
		inCluster, inDatacenter, listed, required, largeEnough,
	} {
		var why []string
		eligible, why = narrow(group, eligible)
		reasons = append(reasons, why...)
		if len(eligible) == 0 {
			return nil, reasons // what else excludes nothing is of no help
		}
	}
	return eligible, reasons
}

// Elsewhere says why no machine for that cluster and project is one that the group wants: its spec names others. It is empty where the spec
// names none, or the cloud does not tell for which it works.
func Elsewhere(group *v1alpha1.NodeGroup, cluster, project string) string {
	wanted := group.Spec.VPSie
	switch {
	case cluster == "":
		return ""
	case wanted.ClusterID != "" && !strings.EqualFold(wanted.ClusterID, cluster):
		return fmt.Sprintf("spec.vpsie.clusterID: %q is not the cluster that machines are bought for, which is %q; set it to that or leave it out",
			wanted.ClusterID, cluster)
	case wanted.ProjectID != "" && project == "":
		return fmt.Sprintf("spec.vpsie.projectID: whether %q is the project of cluster %q is not told by VPSie; leave it out", wanted.ProjectID, cluster)
	case wanted.ProjectID != "" && !strings.EqualFold(wanted.ProjectID, project):
		return fmt.Sprintf("spec.vpsie.projectID: %q is not the project of cluster %q, which is %q; set it to that or leave it out",
			wanted.ProjectID, cluster, project)
	}
	return ""
}

func inCluster(group *v1alpha1.NodeGroup, offerings []Offering) ([]Offering, []string) {
	kept := filter(offerings, func(o Offering) bool { return Elsewhere(group, o.Cluster, o.Project) == "" })
	if len(kept) > 0 {
		return kept, nil
	}
	return nil, []string{Elsewhere(group, offerings[0].Cluster, offerings[0].Project)}
}

func inDatacenter(group *v1alpha1.NodeGroup, offerings []Offering) ([]Offering, []string) {
	wanted := group.Spec.VPSie.Datacenter
	if wanted == "" {
		return offerings, nil
	}
	kept := filter(offerings, func(o Offering) bool {
		return o.Datacenter == wanted || strings.EqualFold(o.Zone, wanted) || strings.EqualFold(o.DatacenterName, wanted)
	})
	if len(kept) > 0 {
		return kept, nil
	}
	return nil, []string{fmt.Sprintf("spec.vpsie.datacenter: %q is no datacenter with offerings; valid: %s", wanted, distinct(offerings, datacenterText))}
}

// datacenterText writes a datacenter's name, where it has one, and its identifier: either may be asked for.
func datacenterText(o Offering) string {
	switch {
	case o.DatacenterName != "" && o.DatacenterName != o.Datacenter:
		return fmt.Sprintf("%s (%s)", o.DatacenterName, o.Datacenter)
	case o.Zone == "" || o.Zone == o.Datacenter:
		return o.Datacenter
	}
	return fmt.Sprintf("%s (%s)", o.Datacenter, o.Zone)
}

func listed(group *v1alpha1.NodeGroup, offerings []Offering) ([]Offering, []string) {
	wanted := group.Spec.VPSie.Offerings
	if len(wanted) == 0 {
		return offerings, nil
	}
	is := func(o Offering, name string) bool { return o.ID == name || o.Name == name }
	var reasons []string
	for _, name := range wanted {
		if !slices.ContainsFunc(offerings, func(o Offering) bool { return is(o, name) }) {
			reasons = append(reasons, fmt.Sprintf("spec.vpsie.offerings: %q is no offering; valid: %s",
				name, distinct(offerings, func(o Offering) string { return o.Name })))
		}
	}
	return filter(offerings, func(o Offering) bool {
		return slices.ContainsFunc(wanted, func(name string) bool { return is(o, name) })
	}), reasons
}

func required(group *v1alpha1.NodeGroup, offerings []Offering) ([]Offering, []string) {
	var reasons []string
	kept := offerings
	for i, requirement := range group.Spec.Template.Requirements {
		text := fmt.Sprintf("spec.template.requirements[%d] (%s)", i, describe(requirement))
		selector, err := nodeaffinity.NewNodeSelector(&corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
			MatchExpressions: []corev1.NodeSelectorRequirement{{Key: requirement.Key, Operator: requirement.Operator, Values: requirement.Values}},
		}}})
		if err != nil {
			return nil, []string{fmt.Sprintf("%s cannot be read: %v", text, err)}
		}
		meets := func(o Offering) bool {
			return selector.Match(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: OfferingLabels(o)}})
		}
		excluded := filter(offerings, func(o Offering) bool { return !meets(o) })
		kept = filter(kept, meets)
		switch {
		case len(excluded) == len(offerings):
			reasons = append(reasons, fmt.Sprintf("%s excludes every offering; %s", text, labelValues(requirement.Key, offerings)))
		case len(excluded) > 0:
			reasons = append(reasons, fmt.Sprintf("%s excludes %s", text, distinct(excluded, func(o Offering) string { return o.Name })))
		}
	}
	return kept, reasons
}

func largeEnough(group *v1alpha1.NodeGroup, offerings []Offering) ([]Offering, []string) {
	tooSmall := func(o Offering) bool {
		allocatable := Allocatable(group, o)
		return allocatable.Cpu().IsZero() || allocatable.Memory().IsZero()
	}
	var reasons []string
	if small := filter(offerings, tooSmall); len(small) > 0 {
		reasons = append(reasons, fmt.Sprintf("spec.template.reserved leaves nothing for pods on %s",
			distinct(small, func(o Offering) string { return o.Name })))
	}
	return filter(offerings, func(o Offering) bool { return !tooSmall(o) }), reasons
}

func describe(r v1alpha1.Requirement) string {
	if len(r.Values) == 0 {
		return fmt.Sprintf("%s %s", r.Key, r.Operator)
	}
	return fmt.Sprintf("%s %s [%s]", r.Key, r.Operator, strings.Join(r.Values, ", "))
}

func labelValues(key string, offerings []Offering) string {
	values := distinct(filter(offerings, func(o Offering) bool { return OfferingLabels(o)[key] != "" }),
		func(o Offering) string { return OfferingLabels(o)[key] })
	if values == "" {
		keys := map[string]bool{}
		for _, o := range offerings {
			for label := range OfferingLabels(o) {
				keys[label] = true
			}
		}
		return "offerings have no such label; valid keys: " + strings.Join(sortedKeys(keys), ", ")
	}
	return "values that offerings have: " + values
}

func filter[T any](list []T, keep func(T) bool) []T {
	var kept []T
	for _, one := range list {
		if keep(one) {
			kept = append(kept, one)
		}
	}
	return kept
}

// distinct lists what name says of the offerings, each once, in their order.
func distinct(offerings []Offering, name func(Offering) string) string {
	var names []string
	for _, o := range offerings {
		if n := name(o); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if len(names) > namesShown {
		names = append(names[:namesShown], fmt.Sprintf("and %d more", len(names)-namesShown))
	}
	return strings.Join(names, ", ")
}

func sortedKeys[M ~map[K]V, K cmp.Ordered, V any](m M) []K { return slices.Sorted(maps.Keys(m)) }
