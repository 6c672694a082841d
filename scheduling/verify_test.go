// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// It is inside the package, where test/build cannot be imported: no input is known of which a placement is refused in the end, so the book
// is made to err, and believes of some full nodes that there is room.
func TestWhatThePluginsRefuseInTheEndIsCounted(t *testing.T) {
	type outcome struct {
		Node             string
		Refused, Omitted int
		Verified         bool
	}
	for name, tc := range map[string]struct {
		small int // nodes on which the book errs, which come before the large one
		want  outcome
	}{
		"nothing":                                   {0, outcome{"z-large", 0, 0, true}},
		"once, and the pod finds another place":     {1, outcome{"z-large", 1, 0, true}},
		"as often as a plan is mended":              {3, outcome{"z-large", 3, 0, true}},
		"too often, and the pod has to be given up": {4, outcome{"", 4, 1, true}},
	} {
		t.Run(name, func(t *testing.T) {
			nodes := []*corev1.Node{sized("z-large", "4")}
			for i := range tc.small {
				nodes = append(nodes, sized(fmt.Sprintf("a-small-%d", i), "1"))
			}
			pod := demanding()
			plan := planWith(t, nodes, pod, func(p *planner) {
				for _, node := range nodes[1:] {
					seat, _ := p.book.Seat(node.Name)
					p.book.Erase(0, seat, 1)
				}
			})
			got := outcome{"", plan.Refused, plan.Omitted, plan.Verified}
			for _, placement := range plan.Placements {
				got.Node = placement.Node
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if rejected := len(plan.Rejections) == 1 && plan.Rejections[0].Pod == nameOf(pod); rejected != (tc.want.Omitted == 1) {
				t.Errorf("rejections %+v", plan.Rejections)
			}
		})
	}
}

// TestAPlacementThatNobodyConfirmedIsNotVerified puts a pod into the plan after the last check.
func TestAPlacementThatNobodyConfirmedIsNotVerified(t *testing.T) {
	cluster, err := snapshot.New(snapshot.Objects{Nodes: []*corev1.Node{sized("n", "4")}})
	if err != nil {
		t.Fatal(err)
	}
	problem, err := newProblem(Input{Cluster: cluster, Pods: []*corev1.Pod{demanding()}})
	if err != nil {
		t.Fatal(err)
	}
	var plan Plan
	err = problem.with(func(p *planner) error {
		seen, err := p.verify()
		if err != nil {
			return err
		}
		if err := p.plan(); err != nil {
			return err
		}
		plan, err = p.result(seen)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Placements) != 1 || plan.Verified {
		t.Errorf("placed %v, verified %v; want one placement that is not verified", plan.Placements, plan.Verified)
	}
}

// planWith makes a plan for a pod, with a planner that was tampered with.
func planWith(t *testing.T, nodes []*corev1.Node, pod *corev1.Pod, tamper func(*planner)) (plan Plan) {
	t.Helper()
	cluster, err := snapshot.New(snapshot.Objects{Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	problem, err := newProblem(Input{Cluster: cluster, Pods: []*corev1.Pod{pod}})
	if err != nil {
		t.Fatal(err)
	}
	err = problem.with(func(p *planner) (err error) {
		tamper(p)
		plan, err = p.finish()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func sized(name, cpu string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourcePods: resource.MustParse("9"),
	}}}
}

// demanding is a pod that wants two cores.
func demanding() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"},
		Spec: corev1.PodSpec{SchedulerName: corev1.DefaultSchedulerName, Containers: []corev1.Container{{
			Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}},
		}}},
	}
}
