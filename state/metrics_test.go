// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// slow is a reader that takes a second for all Nodes.
type slow struct {
	client.Reader
	clock *testingclock.FakePassiveClock
}

func (s slow) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	if _, ok := list.(*corev1.NodeList); ok {
		s.clock.SetTime(s.clock.Now().Add(time.Second))
	}
	return s.Reader.List(ctx, list, options...)
}

// made returns how many Pictures were made in each way, and how long they took together.
func made(t *testing.T, registry *prometheus.Registry) (counts map[string]uint64, seconds float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts = map[string]uint64{}
	for _, family := range families {
		if family.GetName() != "vpsie_autoscaler_state_picture_duration_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			counts[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			seconds += m.GetHistogram().GetSampleSum()
		}
	}
	return counts, seconds
}

func TestAPictureOfEverythingIsMeasured(t *testing.T) {
	l, registry := newLife(t, 1), prometheus.NewPedanticRegistry()
	clock := testingclock.NewFakePassiveClock(noon)
	l.set(node("static-1", "1"))
	l.set(vpsieNode("general-1", v1alpha1.PhaseProvisioning, nil))
	l.set(pod("runs", "static-1", "", corev1.PodRunning))
	l.set(pod("waits", "", corev1.PodReasonUnschedulable, corev1.PodPending))
	l.set(pod("done", "static-1", "", corev1.PodSucceeded))
	l.picture(NewMeasured(slow{l, clock}, clock, registry))
	counts, seconds := made(t, registry)
	if diff := cmp.Diff(map[string]uint64{"events": 0, "comparison": 0, "reading": 1}, counts); diff != "" || seconds != 1 {
		t.Errorf("took %vs (-want +got):\n%s", seconds, diff)
	}
	want := `
		# HELP vpsie_autoscaler_state_objects Objects in the last picture of the cluster, by kind: Node (but for machines on their way), Pod (not terminated), NodeGroup, VPSieNode or Disruption.
		# TYPE vpsie_autoscaler_state_objects gauge
		vpsie_autoscaler_state_objects{kind="Disruption"} 0
		vpsie_autoscaler_state_objects{kind="Node"} 1
		vpsie_autoscaler_state_objects{kind="NodeGroup"} 1
		vpsie_autoscaler_state_objects{kind="Pod"} 2
		vpsie_autoscaler_state_objects{kind="VPSieNode"} 1
	`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "vpsie_autoscaler_state_objects"); err != nil {
		t.Error(err)
	}
}

// TestAPictureTellsWhetherItWasMadeFromEvents: comparisons are what a large cluster pays for events that come late.
func TestAPictureTellsWhetherItWasMadeFromEvents(t *testing.T) {
	l, registry := newLife(t, 1), prometheus.NewPedanticRegistry()
	clock := testingclock.NewFakePassiveClock(noon)
	c := NewMeasured(nil, clock, registry)
	if err := c.Follow(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	for _, kind := range append(Watched(), Optional()...) { // these watches know no version before their first object
		kind.SetName("one")
		l.set(kind)
	}
	l.Deliver(100)
	for _, step := range []struct {
		name string
		do   func()
		want map[string]uint64
	}{
		{"the first has nothing to go by", func() {}, map[string]uint64{"events": 0, "comparison": 1, "reading": 0}},
		{"nothing happened", func() {}, map[string]uint64{"events": 1, "comparison": 1, "reading": 0}},
		{"an event came", func() { l.set(node("a", "1")); l.Deliver(100) }, map[string]uint64{"events": 2, "comparison": 1, "reading": 0}},
		{"an event has not come yet", func() { l.set(node("b", "1")) }, map[string]uint64{"events": 2, "comparison": 2, "reading": 0}},
		{"it is time", func() { clock.SetTime(noon.Add(compareEvery)) }, map[string]uint64{"events": 2, "comparison": 3, "reading": 0}},
	} {
		step.do()
		l.picture(c)
		if counts, _ := made(t, registry); cmp.Diff(step.want, counts) != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, cmp.Diff(step.want, counts))
		}
	}
	l.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Snapshot(ctx); err == nil || testutil.ToFloat64(c.metrics.failures) != 1 {
		t.Errorf("got %v, and %v failures", err, testutil.ToFloat64(c.metrics.failures))
	}
}
