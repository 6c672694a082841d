// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

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
