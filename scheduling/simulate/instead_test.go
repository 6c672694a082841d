// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// What is asked about the last pod of each node must show every way in which a plan can be wrong as a whole.
func TestFitsInsteadRefusesWhatShouldNotBeThere(t *testing.T) {
	pod := func(name string) *build.Pod { return build.MakePod(name).Label("app", "web").CPU("1") }
	for name, c := range map[string]struct {
		pods []*corev1.Pod // the first is asked about
		fits bool
	}{
		"a pod alone":                   {[]*corev1.Pod{pod("a").On("one").Obj()}, true},
		"as many as there is room":      {[]*corev1.Pod{pod("a").On("one").Obj(), pod("b").On("one").Obj()}, true},
		"one more than there is room":   {[]*corev1.Pod{pod("a").On("one").Obj(), pod("b").On("one").Obj(), pod("c").On("one").Obj()}, false},
		"two that keep apart":           {[]*corev1.Pod{pod("a").Apart(corev1.LabelHostname, "web").On("one").Obj(), pod("b").On("one").Obj()}, false},
		"two that keep apart, and are":  {[]*corev1.Pod{pod("a").Apart(corev1.LabelHostname, "web").On("one").Obj(), pod("b").On("two").Obj()}, true},
		"one that another keeps away":   {[]*corev1.Pod{pod("a").On("one").Obj(), pod("b").Apart(corev1.LabelTopologyZone, "web").On("two").Obj()}, false},
		"an uneven spread":              {[]*corev1.Pod{pod("a").Spread(corev1.LabelHostname, "web").On("one").Obj(), pod("b").On("one").Obj()}, false},
		"an even spread":                {[]*corev1.Pod{pod("a").Spread(corev1.LabelHostname, "web").On("one").Obj(), pod("b").On("two").Obj()}, true},
		"a port that is taken":          {[]*corev1.Pod{pod("a").HostPort(80).On("one").Obj(), pod("b").HostPort(80).On("one").Obj()}, false},
		"near one that is there":        {[]*corev1.Pod{pod("a").Near(corev1.LabelHostname, "web").On("one").Obj(), pod("b").On("one").Obj()}, true},
		"near one that is elsewhere":    {[]*corev1.Pod{pod("a").Near(corev1.LabelHostname, "web").On("one").Obj(), pod("b").On("two").Obj()}, false},
		"the first of those near it":    {[]*corev1.Pod{pod("a").Near(corev1.LabelHostname, "web").On("one").Obj()}, true},
		"near one of whom nobody knows": {[]*corev1.Pod{pod("a").Near(corev1.LabelHostname, "db").On("one").Obj()}, false},
	} {
		t.Run(name, func(t *testing.T) {
			snap, err := snapshot.New(snapshot.Objects{
				Nodes: []*corev1.Node{
					build.MakeNode("one").Allocatable("2", "8Gi", "110").Obj(), build.MakeNode("two").Allocatable("2", "8Gi", "110").Obj(),
				},
				Pods: c.pods,
			})
			if err != nil {
				t.Fatal(err)
			}
			engine, err := simulate.New(snap, simulate.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer engine.Close()
			all := func(*snapshot.Shape) bool { return true }
			for kind, query := range map[string]*simulate.Query{"whole": engine.Ask(c.pods[0]), "narrow": engine.AskNarrow(c.pods[0], all)} {
				for range 2 { // what is taken away is put back
					verdict, err := query.FitsInstead(c.pods[0], "one")
					if err != nil {
						t.Fatal(err)
					}
					if verdict.Fits != c.fits {
						t.Errorf("%s: got %s, want fits %v", kind, verdict, c.fits)
					}
				}
			}
			if _, err := engine.Ask(c.pods[0]).FitsInstead(c.pods[0], "two"); err == nil {
				t.Error("a pod was taken from a node that does not have it")
			}
		})
	}
}
