// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestAPlannedNodeLearnsFromItsTwin(t *testing.T) {
	node := func(name, group, size, memory string) *build.Node {
		return build.MakeNode(name).Group(group).Label(corev1.LabelInstanceTypeStable, size).Allocatable("4", memory, "110")
	}
	with := func(name corev1.ResourceName, amount string) func(*corev1.Node) {
		return func(n *corev1.Node) { n.Status.Allocatable[name] = resource.MustParse(amount) }
	}
	for name, c := range map[string]struct {
		registered *build.Node
		resource   corev1.ResourceName
		want       string
	}{
		"memory, of the same group and size":            {node("old", "g", "m", "7Gi"), corev1.ResourceMemory, "7Gi"},
		"nothing, of another size":                      {node("old", "g", "l", "7Gi"), corev1.ResourceMemory, "8Gi"},
		"nothing about memory, of another group":        {node("old", "other", "m", "7Gi"), corev1.ResourceMemory, "8Gi"},
		"never more than is sold":                       {node("old", "g", "m", "9Gi"), corev1.ResourceMemory, "8Gi"},
		"nothing, of a kubelet that reports no cpu yet": {node("old", "g", "m", "7Gi").With(with("cpu", "0")), corev1.ResourceMemory, "8Gi"},
		"devices, of another group too":                 {node("old", "other", "m", "8Gi").With(with("example.com/gpu", "2")), "example.com/gpu", "2"},
		"no devices, of another size":                   {node("old", "g", "l", "8Gi").With(with("example.com/gpu", "2")), "example.com/gpu", "0"},
		"huge pages":                                    {node("old", "g", "m", "8Gi").With(with("hugepages-2Mi", "64Mi")), "hugepages-2Mi", "64Mi"},
		"how many pods there may be":                    {node("old", "g", "m", "8Gi").With(with("pods", "30")), corev1.ResourcePods, "30"},
		"nothing that is no resource of the template's": {node("old", "g", "m", "8Gi").With(with("ephemeral-storage", "9Gi")), "ephemeral-storage", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := snapshot.New(snapshot.Objects{Nodes: []*corev1.Node{c.registered.Obj()}})
			if err != nil {
				t.Fatal(err)
			}
			planned := node("new", "g", "m", "8Gi").Obj()
			got := s.AsRegistered(planned).Status.Allocatable[c.resource]
			if want := resource.MustParse(c.want); got.Cmp(want) != 0 {
				t.Errorf("got %s, want %s", got.String(), c.want)
			}
			if planned.Status.Allocatable.Memory().String() != "8Gi" {
				t.Error("the template itself was changed")
			}
		})
	}
}
