// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/runtime"
	fwk "k8s.io/kube-scheduler/framework"
	frameworkruntime "k8s.io/kubernetes/pkg/scheduler/framework/runtime"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// jealousy is a plugin of somebody's own: a jealous pod refuses nodes that have a rival, and no rival minds.
type jealousy struct{}

func (jealousy) Name() string { return "Jealousy" }

func (jealousy) Filter(_ context.Context, _ fwk.CycleState, pod *corev1.Pod, node fwk.NodeInfo) *fwk.Status {
	rival := func(other fwk.PodInfo) bool { return strings.HasPrefix(other.GetPod().Name, "rival") }
	if pod.Labels["app"] == "jealous" && slices.ContainsFunc(node.GetPods(), rival) {
		return fwk.NewStatus(fwk.Unschedulable, "has a rival")
	}
	return nil
}

// The plugins are asked about pods with volumes, and about those of a scheduler that nobody can foresee, when they are placed. What comes beside
// them later must not be able to make that wrong: here kube-scheduler would refuse the jealous pod if the rival came first.
func TestAPlacementThatALaterOneBreaksIsMended(t *testing.T) {
	const configuration = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n" +
		"profiles: [{schedulerName: default-scheduler, plugins: {filter: {enabled: [{name: Jealousy}]}}}]"
	scheduler, err := simulate.ReadScheduler("scheduler.yaml", []byte(configuration), frameworkruntime.Registry{
		"Jealousy": func(context.Context, runtime.Object, fwk.Handle) (fwk.Plugin, error) { return jealousy{}, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, jealous := range map[string]*build.Pod{
		"a pod with a volume":   build.MakePod("jealous").Claim("data"),
		"a pod without volumes": build.MakePod("jealous"),
	} {
		t.Run(name, func(t *testing.T) {
			pods := []*corev1.Pod{jealous.Label("app", "jealous").CPU("500m").Priority(10).Obj(), build.MakePod("rival").CPU("500m").Obj()}
			in := scenario{
				objects: snapshot.Objects{
					Nodes: []*corev1.Node{build.MakeNode("old").Obj()}, Pods: pods,
					StorageClasses:         []*storagev1.StorageClass{build.MakeStorageClass("vpsie", build.VPSieDriver).Obj()},
					PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{build.MakePVC("data", "vpsie").Obj()},
				},
				pods:   pods,
				groups: []scheduling.Group{{NodeGroup: build.MakeNodeGroup("general").Obj()}}, offerings: build.Catalogue(),
			}.input(t)
			in.Scheduler = scheduler
			plan, err := scheduling.Solve(in)
			if err != nil {
				t.Fatal(err)
			}
			if len(plan.Placements) != 2 || plan.Placements[0].Node == plan.Placements[1].Node || plan.Omitted != 0 || !plan.Verified {
				t.Errorf("want both placed, and not together, got %s", asJSON(t, plan))
			}
		})
	}
}
