// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestOfferingsOfAnotherClusterAreNotEligible(t *testing.T) {
	told := func(project string) []scheduling.Offering {
		o := build.MakeOffering("Large", 8, 16, 90).Obj()
		o.Cluster, o.Project = "c-1", project
		return []scheduling.Offering{o}
	}
	untold := []scheduling.Offering{build.MakeOffering("Large", 8, 16, 90).Obj()}
	for name, c := range map[string]struct {
		cluster, project string
		offerings        []scheduling.Offering
		why              []string
	}{
		"neither is named":                     {"", "", told("7"), nil},
		"both are named":                       {"C-1", "7", told("7"), nil},
		"the cloud does not tell":              {"nope", "nope", untold, nil},
		"another cluster is named":             {"nope", "7", told("7"), []string{`spec.vpsie.clusterID: "nope" is not the cluster that machines are bought for, which is "c-1"; set it to that or leave it out`}},
		"another project is named":             {"c-1", "8", told("7"), []string{`spec.vpsie.projectID: "8" is not the project of cluster "c-1", which is "7"; set it to that or leave it out`}},
		"a project is named and none is known": {"", "8", told(""), []string{`spec.vpsie.projectID: whether "8" is the project of cluster "c-1" is not told by VPSie; leave it out`}},
	} {
		t.Run(name, func(t *testing.T) {
			group := build.MakeNodeGroup("general").With(func(g *v1alpha1.NodeGroup) {
				g.Spec.VPSie.ClusterID, g.Spec.VPSie.ProjectID = c.cluster, c.project
			}).Obj()
			eligible, why := scheduling.EligibleOfferings(group, c.offerings)
			if diff := cmp.Diff(c.why, why); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
			if (len(eligible) == 0) != (len(c.why) > 0) {
				t.Errorf("%d offerings are eligible", len(eligible))
			}
		})
	}
}

func TestEligibleOfferings(t *testing.T) {
	named := build.MakeOffering("Zeta", 4, 8, 10).In("ams").Obj()
	named.DatacenterName = "Amsterdam"
	offerings := []scheduling.Offering{
		build.MakeOffering("Large", 8, 16, 90).Obj(),
		build.MakeOffering("Alpha", 2, 4, 20).Category("memory").Obj(),
		named,
	}
	group := func() *build.NodeGroup { return build.MakeNodeGroup("general") }
	for name, c := range map[string]struct {
		group   *build.NodeGroup
		want    []string
		reasons []string
	}{
		"without constraints all, cheapest first": {group(), []string{"Zeta", "Alpha", "Large"}, nil},
		"a datacenter by identifier":              {group().Datacenter("dc-ams"), []string{"Zeta"}, nil},
		"a datacenter by zone":                    {group().Datacenter("HEL"), []string{"Alpha", "Large"}, nil},
		"a datacenter by name":                    {group().Datacenter("amsterdam"), []string{"Zeta"}, nil},
		"an unknown datacenter": {
			group().Datacenter("mars"), nil,
			[]string{`spec.vpsie.datacenter: "mars" is no datacenter with offerings; valid: Amsterdam (dc-ams), dc-hel (hel)`},
		},
		"offerings by name and identifier": {group().Offerings("Large", "alpha"), []string{"Alpha", "Large"}, nil},
		"one of two offerings is unknown": {
			group().Offerings("Large", "Huge"), []string{"Large"},
			[]string{`spec.vpsie.offerings: "Huge" is no offering; valid: Zeta, Alpha, Large`},
		},
		"an offering that the datacenter does not have": {
			group().Datacenter("ams").Offerings("Large"), nil,
			[]string{`spec.vpsie.offerings: "Large" is no offering; valid: Zeta`},
		},
		"a requirement on the number of cores": {
			group().Requirement(v1alpha1.CPULabel, corev1.NodeSelectorOpGt, "2"), []string{"Zeta", "Large"},
			[]string{"spec.template.requirements[0] (autoscaler.vpsie.com/cpu Gt [2]) excludes Alpha"},
		},
		"a requirement that nothing meets": {
			group().Requirement(v1alpha1.CategoryLabel, corev1.NodeSelectorOpIn, "gpu"), nil,
			[]string{"spec.template.requirements[0] (autoscaler.vpsie.com/category In [gpu]) excludes every offering; values that offerings have: general, memory"},
		},
		"a requirement on a label that no offering has": {
			group().Requirement("disk", corev1.NodeSelectorOpExists), nil,
			[]string{"spec.template.requirements[0] (disk Exists) excludes every offering; offerings have no such label; valid keys: " +
				"autoscaler.vpsie.com/category, autoscaler.vpsie.com/cpu, autoscaler.vpsie.com/datacenter, autoscaler.vpsie.com/memory, " +
				"autoscaler.vpsie.com/offering, kubernetes.io/arch, kubernetes.io/os, node.kubernetes.io/instance-type, " +
				"topology.kubernetes.io/region, topology.kubernetes.io/zone"},
		},
		"a requirement that is no integer": {
			group().Requirement(v1alpha1.CPULabel, corev1.NodeSelectorOpGt, "many"), nil,
			[]string{"spec.template.requirements[0] (autoscaler.vpsie.com/cpu Gt [many]) cannot be read: " +
				`nodeSelectorTerms[0].matchExpressions[0].values[0]: Invalid value: "many": for 'Gt', 'Lt' operators, the value must be an integer`},
		},
		"two requirements that exclude each other's rest": {
			group().Requirement(v1alpha1.CategoryLabel, corev1.NodeSelectorOpIn, "memory").Requirement(v1alpha1.CPULabel, corev1.NodeSelectorOpIn, "8"), nil,
			[]string{
				"spec.template.requirements[0] (autoscaler.vpsie.com/category In [memory]) excludes Zeta, Large",
				"spec.template.requirements[1] (autoscaler.vpsie.com/cpu In [8]) excludes Zeta, Alpha",
			},
		},
		"a reservation that leaves nothing on the small ones": {
			group().With(func(g *v1alpha1.NodeGroup) {
				g.Spec.Template.Reserved = &v1alpha1.Reservation{CPU: new(resource.MustParse("3"))}
			}), []string{"Zeta", "Large"},
			[]string{"spec.template.reserved leaves nothing for pods on Alpha"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			eligible, reasons := scheduling.EligibleOfferings(c.group.Obj(), offerings)
			var names []string
			for _, o := range eligible {
				names = append(names, o.Name)
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Errorf("eligible (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.reasons, reasons); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOfferingsThatAreSetAsideStayEligible(t *testing.T) {
	eligible, _ := scheduling.EligibleOfferings(build.MakeNodeGroup("g").Obj(),
		[]scheduling.Offering{build.MakeOffering("Gone", 2, 4, 10).Unavailable().Obj()})
	if len(eligible) != 1 {
		t.Error("a lack of stock must not look like a mistake in the group")
	}
}

func TestOfferingLabels(t *testing.T) {
	o := build.MakeOffering("High Memory (XL)!", 8, 64, 10).Category("memory").Obj()
	want := map[string]string{
		"node.kubernetes.io/instance-type": "High-Memory--XL", "kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
		"topology.kubernetes.io/zone": "hel", "topology.kubernetes.io/region": "fi",
		"autoscaler.vpsie.com/offering": "high-memory--xl", "autoscaler.vpsie.com/category": "memory",
		"autoscaler.vpsie.com/cpu": "8", "autoscaler.vpsie.com/memory": "65536", "autoscaler.vpsie.com/datacenter": "dc-hel",
	}
	if diff := cmp.Diff(want, scheduling.OfferingLabels(o)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	bare := scheduling.OfferingLabels(scheduling.Offering{ID: "1", Name: "Bare"})
	for _, label := range []string{"topology.kubernetes.io/zone", "autoscaler.vpsie.com/category"} {
		if value, present := bare[label]; present {
			t.Errorf("label %s is %q where the cloud does not tell", label, value)
		}
	}
}

func FuzzOfferingLabels(f *testing.F) {
	for _, name := range []string{"Starter", "", "-- ", "größer als 8", "0123456789012345678901234567890123456789012345678901234567890123.x"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for label, value := range scheduling.OfferingLabels(scheduling.Offering{ID: name, Name: name, Zone: name, Category: name}) {
			if problems := validation.IsValidLabelValue(value); len(problems) > 0 {
				t.Errorf("%s=%q: %v", label, value, problems)
			}
		}
	})
}
