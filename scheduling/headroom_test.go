// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestHeadroomIsKeptWhicheverSchedulersAreServed(t *testing.T) {
	group := build.MakeNodeGroup("general").With(func(ng *v1alpha1.NodeGroup) {
		ng.Spec.Headroom = []v1alpha1.Headroom{{Name: "spare", Replicas: new(int32(1)), CPU: new(resource.MustParse("1")), Memory: new(resource.MustParse("1Gi"))}}
	}).Obj()
	cluster, err := snapshot.New(snapshot.Objects{})
	if err != nil {
		t.Fatal(err)
	}
	config := "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: [{schedulerName: other}]"
	scheduler, err := simulate.ReadScheduler("scheduler.yaml", []byte(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	plan := solve(t, scheduling.Input{
		Cluster: cluster, Scheduler: scheduler, Pods: scheduling.Headroom(group), Groups: []scheduling.Group{{NodeGroup: group}},
		Offerings: []scheduling.Offering{build.MakeOffering("Small", 2, 4, 7.2).Obj()},
	})
	if len(plan.Launches) != 1 || len(plan.Rejections) != 0 {
		t.Errorf("%d launches and rejections %v, want one machine for the headroom", len(plan.Launches), plan.Rejections)
	}
}
