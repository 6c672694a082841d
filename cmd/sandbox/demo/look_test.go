// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func TestTheLastWordToAPodCounts(t *testing.T) {
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	again := event("a", notPlannedReason, "too large", early)
	again.Series = &eventsv1.EventSeries{Count: 2, LastObservedTime: metav1.NewMicroTime(late.Add(time.Minute))}
	planned := event("a", plannedReason, "will run on a new Starter: VPSieNode general-1", late)
	other := event("a", "FailedScheduling", "0/0 nodes", late.Add(time.Hour))
	for name, test := range map[string]struct {
		events                []eventsv1.Event
		wantMachine, wantNone string
	}{
		"nothing was said":                     {nil, "", ""},
		"a plan after a rejection":             {[]eventsv1.Event{*planned, *event("a", notPlannedReason, "too large", early), *other}, "general-1", ""},
		"a rejection that was repeated lately": {[]eventsv1.Event{*planned, *again}, "", "too large"},
		"a machine on its way":                 {[]eventsv1.Event{*event("a", plannedReason, "waits for VPSieNode general-2, which is on its way", early)}, "general-2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := podOf(shopPod("a", "web", "ReplicaSet", "1"), lastWords(test.events), nil)
			if got.Machine != test.wantMachine || got.NotPlanned != test.wantNone {
				t.Errorf("got machine %q, rejection %q", got.Machine, got.NotPlanned)
			}
		})
	}
}

func TestAPodIsSeenAsItIs(t *testing.T) {
	p := shopPod("a", "web", "ReplicaSet", "1500m")
	want := pod{Name: "shop/a", Workload: "web", Kind: "Deployment", CPU: 1500, Memory: 1280 << 20, Machine: "m", Waiting: "no nodes available"}
	machines := []machine{{Name: "l", Pods: []string{"shop/aa"}}, {Name: "m", Pods: []string{"shop/b", "shop/a"}}}
	if diff := cmp.Diff(want, podOf(p, nil, machines)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	p.Spec.NodeName, p.Status.Phase = "w1", corev1.PodRunning
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	if !podOf(p, nil, nil).Running {
		t.Error("a ready pod does not run")
	}
	p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
	if podOf(p, nil, nil).Running {
		t.Error("a pod that is going away counts as running")
	}
}

func TestAMachineIsSeenAsItIs(t *testing.T) {
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: "general-1", Annotations: map[string]string{v1alpha1.WhyAnnotation: "because"}},
		Spec: v1alpha1.VPSieNodeSpec{Offerings: []v1alpha1.OfferingChoice{
			{ID: "1", Name: "Starter", PricePerHour: "0.0333", Capacity: corev1.ResourceList{corev1.ResourceCPU: quantity("2")}},
			{ID: "2", Name: "Professional", PricePerHour: "0.0667", Capacity: corev1.ResourceList{corev1.ResourceCPU: quantity("4")}},
		}},
	}
	if m := machineOf(vn); m.Offering != "Starter" || m.Price != 0.0333 || m.CPU != 2000 || m.Ordered || m.Why != "because" {
		t.Errorf("before the order: %+v", m)
	}
	vn.Status.Order = &v1alpha1.OrderRecord{Offering: "2", State: v1alpha1.OrderRecorded}
	if m := machineOf(vn); m.Offering != "Professional" || m.Price != 0.0667 || m.CPU != 4000 || m.Ordered {
		t.Errorf("an order that was only written down: %+v", m)
	}
	vn.Status.Order.State = v1alpha1.OrderUnknown
	if machineOf(vn).Ordered {
		t.Error("an order of unknown outcome counts as accepted")
	}
	vn.Status.InstanceID = "7"
	if m := machineOf(vn); !m.Ordered || !m.Appeared || m.Registered || m.Ready || m.Leaving {
		t.Errorf("after it appeared: %+v", m)
	}
}

func TestAPoolThatCannotBeUsedSaysWhy(t *testing.T) {
	group := func(kind string, status metav1.ConditionStatus) []v1alpha1.NodeGroup {
		return []v1alpha1.NodeGroup{{ObjectMeta: metav1.ObjectMeta{Name: "general"}, Status: v1alpha1.NodeGroupStatus{
			Conditions: []metav1.Condition{{Type: kind, Status: status, Message: "the token was refused"}},
		}}}
	}
	if got, want := hindrance(group(v1alpha1.ConditionCloudReady, metav1.ConditionFalse)), "general is not CloudReady: the token was refused"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := hindrance(group(v1alpha1.ConditionCloudReady, metav1.ConditionTrue)) + hindrance(group(v1alpha1.ConditionReady, metav1.ConditionFalse)); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestAGlanceThatFailsKeepsTheLastScene(t *testing.T) {
	w := newTown(t)
	s := &show{world: world{kube: w.kube, vpsie: w}, options: Options{Clock: w.clock}, last: full()}
	s.kube = brokenClient{w.kube}
	err := s.glance(t.Context())
	if err == nil || !strings.Contains(err.Error(), "listing") || !errors.Is(err, errBroken) || len(s.last.Pods) != len(full().Pods) {
		t.Errorf("got %v and %d pods", err, len(s.last.Pods))
	}
}
