// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func engine(t *testing.T, objects snapshot.Objects) *simulate.Engine {
	t.Helper()
	s, err := snapshot.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	e, err := simulate.New(s, simulate.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func TestEachPluginGivesItsVerdict(t *testing.T) {
	e := engine(t, snapshot.Objects{
		Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}},
		Nodes: []*corev1.Node{
			build.MakeNode("full").Allocatable("4", "8Gi", "110").Obj(),
			build.MakeNode("web").Zone("hel").Obj(),
			build.MakeNode("db").Zone("ams").Obj(),
			build.MakeNode("tainted").Taint("team", "a").Obj(),
			build.MakeNode("cordoned").Cordon().Obj(),
		},
		Pods: []*corev1.Pod{
			build.MakePod("big").CPU("3500m").On("full").Obj(),
			build.MakePod("w").Label("app", "web").HostPort(8080).On("web").Obj(),
			build.MakePod("d").Label("app", "db").Apart(corev1.LabelTopologyZone, "db").On("db").Obj(),
		},
	})
	pod := func() *build.Pod { return build.MakePod("asked") }
	for name, c := range map[string]struct {
		pod    *build.Pod
		node   string
		plugin string // empty: fits
	}{
		"a pod that requests nothing fits":               {pod(), "full", ""},
		"requests above what is free":                    {pod().CPU("1"), "full", "NodeResourcesFit"},
		"a taint that is not tolerated":                  {pod(), "tainted", "TaintToleration"},
		"a taint that is tolerated":                      {pod().Tolerate("team"), "tainted", ""},
		"a cordoned node":                                {pod(), "cordoned", "NodeUnschedulable"},
		"a cordoned node may be tolerated":               {pod().Tolerate(corev1.TaintNodeUnschedulable), "cordoned", ""},
		"a node selector":                                {pod().NodeSelector("disk", "ssd"), "web", "NodeAffinity"},
		"a host port in use":                             {pod().HostPort(8080), "web", "NodePorts"},
		"a host port that is free":                       {pod().HostPort(8080), "db", ""},
		"anti-affinity of the pod that is there":         {pod().Label("app", "db"), "db", "InterPodAffinity"},
		"anti-affinity of the asked pod":                 {pod().Apart(corev1.LabelTopologyZone, "web"), "full", "InterPodAffinity"},
		"affinity in the right zone":                     {pod().Near(corev1.LabelTopologyZone, "db"), "db", ""},
		"affinity in the wrong zone":                     {pod().Near(corev1.LabelTopologyZone, "db"), "web", "InterPodAffinity"},
		"spread would skew":                              {pod().Label("app", "web").Spread(corev1.LabelTopologyZone, "web"), "web", "PodTopologySpread"},
		"spread is kept":                                 {pod().Label("app", "web").Spread(corev1.LabelTopologyZone, "web"), "db", ""},
		"spread as a preference never refuses":           {pod().Label("app", "web").SpreadSoftly(corev1.LabelTopologyZone, "web"), "web", ""},
		"a claim that does not exist":                    {pod().Claim("absent"), "web", "VolumeRestrictions"},
		"a pod that runs elsewhere is asked as unbound":  {pod().On("full"), "web", ""},
		"a node that is not in the picture fits nothing": {pod(), "absent", "-"},
		"a resource that no node has":                    {pod().Request("example.com/gpu", "1"), "web", "NodeResourcesFit"},
	} {
		t.Run(name, func(t *testing.T) {
			verdict := e.Fits(c.pod.Obj(), c.node)
			plugin := verdict.Plugin
			if !verdict.Fits && plugin == "" {
				plugin = "-"
			}
			if plugin != c.plugin || verdict.Fits != (c.plugin == "") {
				t.Errorf("got %q, want plugin %q", verdict, c.plugin)
			}
			if !verdict.Fits && len(verdict.Reasons) == 0 {
				t.Error("a refusal without a reason")
			}
		})
	}
}

func TestAPodTiedToANodeByNameIsRefusedElsewhere(t *testing.T) {
	e := engine(t, snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("mine").Obj(), build.MakeNode("other").Obj()}})
	tied := build.MakePod("daemon").With(func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: metav1.ObjectNameField, Operator: corev1.NodeSelectorOpIn, Values: []string{"mine"}},
			}}},
		}}}
	}).Obj()
	if got := e.Fits(tied, "mine"); !got.Fits {
		t.Errorf("on its node: %s", got)
	}
	if got := e.Fits(tied, "other"); got.Fits {
		t.Error("accepted on another node: the result of PreFilter was not honoured")
	}
}

func TestPlacedPodsCountUntilRevert(t *testing.T) {
	e := engine(t, snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Allocatable("4", "8Gi", "110").Obj()}})
	first, second := build.MakePod("first").CPU("3").Obj(), build.MakePod("second").CPU("3").Obj()
	e.Fork()
	if got, err := e.Place(first, "a"); err != nil || !got.Fits {
		t.Fatal(got, err)
	}
	want := simulate.Verdict{Plugin: "NodeResourcesFit", Reasons: []string{"Insufficient cpu"}}
	if diff := cmp.Diff(want, e.Fits(second, "a")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	e.Revert()
	if got := e.Fits(second, "a"); !got.Fits {
		t.Errorf("after Revert: %s", got)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := goleak.IgnoreCurrent()
	for range 3 {
		s, err := snapshot.New(snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := simulate.New(s, simulate.Options{})
		if err != nil {
			t.Fatal(err)
		}
		e.Fits(build.MakePod("p").Obj(), "a")
		e.Close()
	}
	goleak.VerifyNone(t, before)
}

func TestDeclaredFeaturesDecide(t *testing.T) {
	needs := build.MakePod("p").With(func(p *corev1.Pod) {
		p.Spec.HostNetwork = true
		p.Spec.HostUsers = new(false)
	}).Obj()
	e := engine(t, snapshot.Objects{Nodes: []*corev1.Node{
		build.MakeNode("old").Obj(),
		build.MakeNode("new").With(func(n *corev1.Node) {
			n.Status.DeclaredFeatures = []string{"UserNamespacesHostNetworkSupport"}
		}).Obj(),
	}})
	if got := e.Fits(needs, "old"); got.Plugin != "NodeDeclaredFeatures" {
		t.Errorf("on a kubelet that declares nothing: %s", got)
	}
	if got := e.Fits(needs, "new"); !got.Fits {
		t.Errorf("on a kubelet that declares the feature: %s", got)
	}
}

func TestVerdictReadsWell(t *testing.T) {
	got := simulate.Verdict{Plugin: "NodeResourcesFit", Reasons: []string{"Insufficient cpu", "Insufficient memory"}}.String()
	if !strings.HasPrefix(got, "NodeResourcesFit: Insufficient cpu, ") {
		t.Error(got)
	}
}
