// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package creation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/creation"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func amounts(pairs ...string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		list[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return list
}

func TestRequestsFollowFromLimits(t *testing.T) {
	requirements := func(requests, limits corev1.ResourceList) corev1.ResourceRequirements {
		return corev1.ResourceRequirements{Requests: requests, Limits: limits}
	}
	cases := map[string]struct {
		container, init corev1.ResourceRequirements
		whole           *corev1.ResourceRequirements
		want            corev1.ResourceList
		wantInit        corev1.ResourceList
		wantWhole       corev1.ResourceList
	}{
		"no limits, no requests":  {},
		"a limit alone":           {container: requirements(nil, amounts("cpu", "2")), want: amounts("cpu", "2")},
		"a request that is given": {container: requirements(amounts("cpu", "1"), amounts("cpu", "2", "memory", "1Gi")), want: amounts("cpu", "1", "memory", "1Gi")},
		"a request of zero":       {container: requirements(amounts("cpu", "0"), amounts("cpu", "2")), want: amounts("cpu", "0")},
		"of init containers too":  {init: requirements(nil, amounts("memory", "3Gi")), wantInit: amounts("memory", "3Gi")},
		"of the pod as a whole":   {whole: &corev1.ResourceRequirements{Limits: amounts("cpu", "4")}, wantWhole: amounts("cpu", "4")},
		"unless its containers say so": {
			container: requirements(amounts("cpu", "1"), nil), whole: &corev1.ResourceRequirements{Limits: amounts("cpu", "4", "memory", "1Gi")},
			want: amounts("cpu", "1"), wantWhole: amounts("memory", "1Gi"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := build.MakePod("a").Obj()
			pod.Spec.Containers[0].Resources, pod.Spec.Resources = tc.container, tc.whole
			pod.Spec.InitContainers = []corev1.Container{{Name: "init", Resources: tc.init}}
			for range 2 {
				creation.Request(pod)
				if diff := cmp.Diff(tc.want, pod.Spec.Containers[0].Resources.Requests); diff != "" {
					t.Errorf("container (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantInit, pod.Spec.InitContainers[0].Resources.Requests); diff != "" {
					t.Errorf("init container (-want +got):\n%s", diff)
				}
				if pod.Spec.Resources != nil {
					if diff := cmp.Diff(tc.wantWhole, pod.Spec.Resources.Requests); diff != "" {
						t.Errorf("pod (-want +got):\n%s", diff)
					}
				}
			}
		})
	}
}

func TestLabelKeysBecomePartOfSelectors(t *testing.T) {
	own := func(pod *corev1.Pod) []string {
		var all []string
		say := func(selector *metav1.LabelSelector) { all = append(all, metav1.FormatLabelSelector(selector)) }
		say(pod.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector)
		say(pod.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution[0].PodAffinityTerm.LabelSelector)
		say(pod.Spec.TopologySpreadConstraints[0].LabelSelector)
		say(pod.Spec.TopologySpreadConstraints[1].LabelSelector)
		return all
	}
	web := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	template := build.MakePod("template").Spread(corev1.LabelHostname, "web").Spread(corev1.LabelTopologyZone, "web").
		Constraint(func(c *corev1.TopologySpreadConstraint) { c.MatchLabelKeys = []string{"version"} }).
		Near(corev1.LabelTopologyZone, "web").AffinityTerm(func(t *corev1.PodAffinityTerm) { t.MatchLabelKeys = []string{"version", "absent"} }).
		With(func(p *corev1.Pod) {
			p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{
				{Weight: 1, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: "rack", LabelSelector: web, MismatchLabelKeys: []string{"tenant"}}},
			}}
		}).Obj()
	for _, version := range []string{"1", "2"} { // both share the template's lists
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"version": version, "tenant": "x"}}, Spec: template.Spec}
		for range 2 {
			creation.Select(pod)
			want := []string{"app=web,version in (" + version + ")", "app=web,tenant notin (x)", "app=web", "app=web,version in (" + version + ")"}
			if diff := cmp.Diff(want, own(pod)); diff != "" {
				t.Errorf("selectors (-want +got):\n%s", diff)
			}
		}
	}
	if diff := cmp.Diff([]string{"app=web", "app=web", "app=web", "app=web"}, own(template)); diff != "" {
		t.Errorf("the template was changed (-want +got):\n%s", diff)
	}
}

func TestASelectorThatIsAbsentMatchesNothing(t *testing.T) {
	pod := build.MakePod("a").Label("version", "1").Near(corev1.LabelHostname, "web").
		AffinityTerm(func(t *corev1.PodAffinityTerm) { t.LabelSelector, t.MatchLabelKeys = nil, []string{"version"} }).Obj()
	creation.Select(pod)
	if got := pod.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector; got != nil {
		t.Errorf("selector is %v, want none", got)
	}
}
