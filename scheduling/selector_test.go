// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestThePodHearsWhichLabelIsMissing(t *testing.T) {
	pod := func() *build.Pod { return build.MakePod("a").CPU("1") }
	for name, c := range map[string]struct {
		pod  *build.Pod
		want string
	}{
		"a value that no offering has": {
			pod().NodeSelector(corev1.LabelInstanceTypeStable, "Huge"),
			`no offering of node group "general" has the label node.kubernetes.io/instance-type=Huge of the pod's nodeSelector; on offer: Zeta, Alpha`,
		},
		"the first that is not met, not the first of all": {
			pod().NodeSelector("pool", "blue").NodeSelector("tier", "gold"),
			`no offering of node group "general" has the label tier=gold of the pod's nodeSelector; its machines have no such label: add it to spec.template.labels, or change the pod`,
		},
		"a label of ours that cannot be added": {
			pod().NodeSelector(v1alpha1.VPSieNodeLabel, "general-1"),
			`no offering of node group "general" has the label autoscaler.vpsie.com/vpsienode=general-1 of the pod's nodeSelector; its machines have no such label`,
		},
		"a term of an affinity": {
			pod().NodeAffinity("pool", "green", "red"),
			`no offering of node group "general" meets pool In [green, red] of the pod's nodeAffinity; on offer: blue`,
		},
		"a certain node": {
			pod().NodeSelector(corev1.LabelHostname, "static-1"),
			`no offering of node group "general" has the label kubernetes.io/hostname=static-1 of the pod's nodeSelector; a new machine has a name of its own`,
		},
		"two that no offering has together": {
			pod().NodeSelector(corev1.LabelInstanceTypeStable, "Alpha").NodeSelector(v1alpha1.CPULabel, "4"),
			`no offering of node group "general" has all the node labels together that the pod's nodeSelector and nodeAffinity require`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cluster, err := snapshot.New(snapshot.Objects{Pods: []*corev1.Pod{c.pod.Obj()}})
			if err != nil {
				t.Fatal(err)
			}
			plan, err := scheduling.Solve(scheduling.Input{
				Cluster: cluster, Pods: []*corev1.Pod{c.pod.Obj()}, Groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Label("pool", "blue").Obj()}},
				Offerings: []scheduling.Offering{build.MakeOffering("Zeta", 4, 8, 10).Obj(), build.MakeOffering("Alpha", 8, 16, 20).Obj()},
			})
			if err != nil || len(plan.Rejections) != 1 {
				t.Fatalf("rejections %v, error %v, want one rejection", plan.Rejections, err)
			}
			if diff := cmp.Diff(c.want, plan.Rejections[0].Message); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}
