// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestWhosePodsMachinesAreBoughtFor(t *testing.T) {
	of := func(scheduler string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.SchedulerName = scheduler }
	}
	w := newWorld(t, shop{offering("1", "Small", 100, true)}, build.MakeNodeGroup("general").Obj(),
		waiting(build.MakePod("a").CPU("1").With(of("mine"))), waiting(build.MakePod("b").CPU("1")))
	config := "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: [{schedulerName: mine}]"
	scheduler, err := simulate.ReadScheduler("scheduler.yaml", []byte(config), nil)
	if err != nil {
		t.Fatal(err)
	}
	w.options.Scheduler = scheduler
	got := w.plan(t)
	if len(got) != 2 || !strings.HasPrefix(got[0], "a Planned: ") || got[1] != `b NotPlanned: is for scheduler "default-scheduler"; planned for: mine` {
		t.Errorf("said %q, want a machine for the pod of the scheduler that was named, and no other", got)
	}
}

func TestAPoolOfAnotherClusterBuysNothing(t *testing.T) {
	here := offering("1", "Small", 100, true)
	here.Cluster = "c-1"
	abroad := build.MakeNodeGroup("general").MinNodes(1).With(func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.ClusterID = "nope" }).Obj()
	w := newWorld(t, shop{here}, abroad, waiting(build.MakePod("a").CPU("1")))
	want := []string{`a NotPlanned: node group "general" has no offering: spec.vpsie.clusterID: "nope" is not the cluster that machines are bought for, ` +
		`which is "c-1"; set it to that or leave it out`}
	if diff := cmp.Diff(want, w.plan(t)); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
	if got := machinesOf(t, w); len(got) != 0 {
		t.Errorf("%d machines, want none", len(got))
	}
}

func TestANodeGroupHearsOfHeadroomThatItCannotHave(t *testing.T) {
	rooms := func(ng *v1alpha1.NodeGroup) {
		ng.Spec.Headroom = []v1alpha1.Headroom{
			{Name: "web", Replicas: ptr.To[int32](3), CPU: new(resource.MustParse("1500m")), Memory: new(resource.MustParse("1Gi"))},
			{Name: "batch", Replicas: ptr.To[int32](1), CPU: new(resource.MustParse("9")), Memory: new(resource.MustParse("1Gi"))},
			{Name: "tiny", Replicas: ptr.To[int32](1), CPU: new(resource.MustParse("1m")), Memory: new(resource.MustParse("1Mi"))},
		}
	}
	w := newWorld(t, shop{offering("1", "Small", 100, true)}, build.MakeNodeGroup("general").MaxNodes(2).With(rooms).Obj())
	want := []string{`general HeadroomUnmet: no room for 1 of 3 replicas of headroom "web": node group "general" is at maxNodes 2; ` +
		`no room for 1 of 1 replicas of headroom "batch": needs 9 cpu; the largest offering of node group "general" is Small with 1.9 cpu allocatable`}
	if diff := cmp.Diff(want, w.plan(t)); diff != "" {
		t.Errorf("said (-want +got):\n%s", diff)
	}
	if got := w.plan(t); len(got) != 0 {
		t.Errorf("said %q again", got)
	}
}
