// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// whatIf answers where waiting pods and headroom would go if machines were not there. Nothing can be bought in its plans: a pod
// that finds no place on what is there would have to be bought for. So no cost plays a part in them.
type whatIf struct {
	snapshot  *snapshot.Snapshot // without the machines that are leaving
	pods      []*corev1.Pod      // without a place now: pending and headroom
	scheduler *simulate.Scheduler
	now       *scheduling.Plan // for the pods, with everything that is left in the snapshot; nil until asked for
}

// newWhatIf forks the picture's snapshot; close takes every change back.
func newWhatIf(p *pass) (*whatIf, error) {
	w := &whatIf{snapshot: p.Picture.Snapshot, scheduler: p.Scheduler}
	w.snapshot.Fork()
	for _, m := range p.Picture.Machines {
		if p.leaving[m.VPSieNode.Name] == "" {
			continue
		}
		if err := w.drop(m); err != nil {
			return nil, err
		}
	}
	for _, m := range p.Picture.Machines {
		if !p.begun[m.VPSieNode.Name] || m.Node == nil || !w.snapshot.Has(m.Node.Name) {
			continue
		}
		if err := w.untaint(m.Node.Name); err != nil {
			return nil, err
		}
	}
	w.pods = slices.DeleteFunc(slices.Clone(p.Picture.Pending), func(pod *corev1.Pod) bool {
		node, nominated := w.snapshot.NodeOf(pod)
		return nominated && w.snapshot.Has(node)
	})
	for _, group := range p.Picture.Groups() {
		w.pods = append(w.pods, scheduling.Headroom(group.NodeGroup)...)
	}
	return w, nil
}

func (w *whatIf) close() { w.snapshot.Revert() }

func (w *whatIf) drop(m state.Machine) error {
	if m.Node == nil || !w.snapshot.Has(m.Node.Name) {
		return nil
	}
	if err := w.snapshot.RemoveNode(m.Node.Name); err != nil {
		return fmt.Errorf("planning without VPSieNode %q: %w", m.VPSieNode.Name, err)
	}
	return nil
}

// untaint shows the node as it would be if its removal, which has begun, were given up.
func (w *whatIf) untaint(name string) error {
	nodes := w.snapshot.Nodes()
	at, _ := slices.BinarySearchFunc(nodes, name, func(n *corev1.Node, name string) int { return cmp.Compare(n.Name, name) })
	node := nodes[at].DeepCopy()
	node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.DisruptingTaint })
	if err := w.snapshot.RemoveNode(name); err != nil {
		return fmt.Errorf("planning with node %q untainted: %w", name, err)
	}
	if err := w.snapshot.AddNode(node); err != nil {
		return fmt.Errorf("planning with node %q untainted: %w", name, err)
	}
	return nil
}

// without leaves the machines out of everything that is asked later.
func (w *whatIf) without(machines []state.Machine) error {
	w.now = nil
	for _, m := range machines {
		if err := w.drop(m); err != nil {
			return err
		}
	}
	return nil
}

func (w *whatIf) solve() (*scheduling.Plan, error) {
	if len(w.pods) == 0 {
		return &scheduling.Plan{}, nil
	}
	plan, err := scheduling.Solve(scheduling.Input{Cluster: w.snapshot, Pods: w.pods, Scheduler: w.scheduler})
	if err != nil {
		return nil, fmt.Errorf("planning for %d waiting pods: %w", len(w.pods), err)
	}
	return &plan, nil
}

// neededByPods refuses to take a machine that a waiting pod is about to use, or without which a pod or headroom that has a place now
// would have none.
func neededByPods(p *pass, _ v1alpha1.DisruptionReason, next proposal) (*Kept, error) {
	w := p.whatIf
	if w.now == nil {
		plan, err := w.solve()
		if err != nil {
			return nil, err
		}
		w.now = plan
	}
	for _, m := range next.remove {
		if pod, waits := w.expected(m.Node.Name); waits {
			return refuse(next, RulePodsNeedIt, "is where pod %s is about to go", pod), nil
		}
	}
	w.snapshot.Fork()
	defer w.snapshot.Revert()
	for _, m := range next.remove {
		if err := w.drop(m); err != nil {
			return nil, err
		}
	}
	then, err := w.solve()
	if err != nil {
		return nil, err
	}
	homeless := map[types.NamespacedName]bool{}
	for _, rejection := range w.now.Rejections {
		homeless[rejection.Pod] = true
	}
	for _, rejection := range then.Rejections {
		switch {
		case homeless[rejection.Pod]:
		case scheduling.IsHeadroom(rejection.Pod):
			return refuse(next, RulePodsNeedIt, "is needed for headroom %s: %s", rejection.Pod.Name, rejection.Message), nil
		default:
			return refuse(next, RulePodsNeedIt, "is needed for pod %s: %s", rejection.Pod, rejection.Message), nil
		}
	}
	return nil, nil
}

// expected returns a real pod that is about to go to the node: kube-scheduler made room for it there, or would place it there.
func (w *whatIf) expected(node string) (types.NamespacedName, bool) {
	for _, pod := range w.snapshot.PodsOn(node) {
		if pod.Spec.NodeName == "" {
			return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, true
		}
	}
	for _, placement := range w.now.Placements {
		if placement.Node == node && !scheduling.IsHeadroom(placement.Pod) {
			return placement.Pod, true
		}
	}
	return types.NamespacedName{}, false
}
