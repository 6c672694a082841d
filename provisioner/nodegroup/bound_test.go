// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package nodegroup

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// hourly is the price of the shop's only offering: 4 cpu, of which 3.9 are for pods.
const hourly = 0.0667

func boundsOf(t *testing.T, cloud Cloud, objects ...client.Object) (*bounds, client.Client, *testingclock.FakePassiveClock) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	kube := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).Build()
	clock := testingclock.NewFakePassiveClock(noon)
	return &bounds{cluster: state.New(kube, clock), cloud: cloud, clock: clock, interval: 5 * time.Minute, found: map[string]bound{}}, kube, clock
}

type away struct{ cloud }

func (away) Offerings(context.Context) ([]scheduling.Offering, error) {
	return nil, errors.New("VPSie is away")
}

func joined(name, node string) *v1alpha1.VPSieNode {
	vn := member(name, "general", v1alpha1.PhaseReady)
	vn.Status.NodeName = node
	return vn
}

func machines(t *testing.T, price v1alpha1.Price) float64 {
	t.Helper()
	parsed, err := scheduling.ParsePrice(price)
	if err != nil {
		t.Fatal(err)
	}
	return float64(int(parsed.Float()/hourly*10+0.5)) / 10 // rounded to a tenth of a machine
}

func unschedulable(pod *build.Pod) *corev1.Pod {
	return pod.With(func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	}).Obj()
}

func TestTheLowerBoundOfAPool(t *testing.T) {
	node := func(name string) *corev1.Node { return build.MakeNode(name).Allocatable("4", "8Gi", "110").Obj() }
	two := []client.Object{joined("a", "n1"), joined("b", "n2"), node("n1"), node("n2"), node("static")}
	onOrder := member("c", "general", v1alpha1.PhaseProvisioning)
	onOrder.Annotations = map[string]string{v1alpha1.PodsAnnotation: "default/w"}
	cases := map[string]struct {
		change  func(*v1alpha1.NodeGroup)
		objects []client.Object
		want    float64 // machines
	}{
		"an empty pool needs nothing": {objects: two, want: 0},
		"what two half empty machines hold needs one": {
			objects: append(two, build.MakePod("x").CPU("2").Memory("1Gi").On("n1").Obj(), build.MakePod("y").CPU("1").Memory("1Gi").On("n2").Obj()), want: 1,
		},
		"what runs elsewhere does not count":    {objects: append(two, build.MakePod("x").CPU("2").On("static").Obj()), want: 0},
		"nor what runs on every node":           {objects: append(two, build.MakePod("x").CPU("1").Owner("DaemonSet", "logs").On("n1").Obj()), want: 0},
		"a pod that waits for a machine counts": {objects: append(two, onOrder, unschedulable(build.MakePod("w").CPU("2"))), want: 1},
		"one that waits for nothing does not":   {objects: append(two, unschedulable(build.MakePod("w").CPU("2"))), want: 0},
		"headroom counts": {
			change: func(ng *v1alpha1.NodeGroup) {
				ng.Spec.Headroom = []v1alpha1.Headroom{{
					Name: "spare", Replicas: ptr.To[int32](2), CPU: new(resource.MustParse("3")), Memory: new(resource.MustParse("1Gi")),
				}}
			},
			objects: two, want: 2,
		},
		"minNodes count": {change: func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes = ptr.To[int32](3) }, objects: two, want: 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b, _, _ := boundsOf(t, shop(), tc.objects...)
			if diff := cmp.Diff(tc.want, machines(t, b.of(context.Background(), group(tc.change)))); diff != "" {
				t.Errorf("machines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheLowerBoundOfAPoolCountsTheNodeCost(t *testing.T) {
	node, pod := build.MakeNode("n1").Allocatable("4", "8Gi", "110").Obj(), build.MakePod("x").CPU("2").Memory("1Gi").On("n1").Obj()
	for _, tc := range []struct {
		least int32
		want  float64
	}{{0, 2}, {3, 6}} { // a machine and as much again for each
		b, _, _ := boundsOf(t, shop(), joined("a", "n1"), node, pod)
		b.nodeCost = shop().offerings[0].Price
		got := machines(t, b.of(context.Background(), group(func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes = &tc.least })))
		if got != tc.want {
			t.Errorf("with minNodes %d the bound is that of %v machines, want %v", tc.least, got, tc.want)
		}
	}
}

// TestTheLowerBoundOfAPoolGoesByTheClustersScheduler has a scheduler that takes no node of the shop: what cannot be held bounds nothing.
func TestTheLowerBoundOfAPoolGoesByTheClustersScheduler(t *testing.T) {
	scheduler, err := simulate.ReadScheduler("scheduler.yaml", []byte(`
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms: [{matchExpressions: [{key: gold, operator: Exists}]}]
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	for want, by := range map[float64]*simulate.Scheduler{1: nil, 0: scheduler} {
		b, _, _ := boundsOf(t, shop(), joined("a", "n1"), build.MakeNode("n1").Obj(), build.MakePod("x").CPU("2").On("n1").Obj())
		b.scheduler = by
		if got := machines(t, b.of(context.Background(), group(nil))); got != want {
			t.Errorf("%v machines by the scheduler %v, want %v", got, by.Names(), want)
		}
	}
}

func TestWhenTheLowerBoundIsFoundAnew(t *testing.T) {
	ctx := context.Background()
	pod := build.MakePod("x").CPU("2").On("n1").Obj()
	b, kube, clock := boundsOf(t, shop(), joined("a", "n1"), build.MakeNode("n1").Obj(), pod)
	ng := group(nil)
	first := b.of(ctx, ng)
	if got := machines(t, first); got != 1 {
		t.Fatalf("%v machines, want 1", got)
	}
	if err := kube.Delete(ctx, pod); err != nil {
		t.Fatal(err)
	}
	clock.SetTime(noon.Add(4 * time.Minute))
	if got := b.of(ctx, ng); got != first {
		t.Errorf("%s, found anew before the interval was over", got)
	}
	b.cloud = away{}
	clock.SetTime(noon.Add(6 * time.Minute))
	if got := b.of(ctx, ng); got == "" {
		t.Error("the bound was dropped because it could not be found anew")
	}
	b.cloud = shop()
	if got := machines(t, b.of(ctx, ng)); got != 0 {
		t.Errorf("%v machines after the interval, want 0", got)
	}
	ng.Generation, ng.Spec.MinNodes = 2, ptr.To[int32](2)
	if got := machines(t, b.of(ctx, ng)); got != 2 {
		t.Errorf("%v machines for a spec that changed, want 2", got)
	}
	if got := b.of(ctx, group(func(ng *v1alpha1.NodeGroup) { ng.Labels = nil })); got != "" {
		t.Errorf("%s for a pool that is not ours, want nothing", got)
	}
}
