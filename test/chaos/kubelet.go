// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/memory"
)

// kubelets join machines that have booted, make Nodes Ready and not Ready, and run a few pods on them.
func (w *world) kubelets(ctx context.Context) error {
	alive := map[string]bool{}
	for _, machine := range w.account.machines(ctx) {
		alive[machine.Hostname] = true
		if machine.Joins > w.joins[machine.ID] {
			w.joins[machine.ID] = machine.Joins
			if err := w.join(ctx, machine); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.truth.nodes)) {
		node := w.truth.nodes[name]
		status := corev1.ConditionFalse
		if alive[name] {
			status = corev1.ConditionTrue
		}
		if node.Status.Conditions[0].Status == status || (status == corev1.ConditionTrue && w.random.IntN(2) == 0) {
			continue
		}
		node = node.DeepCopy()
		node.Status.Conditions[0].Status = status
		if err := w.store.Status().Update(ctx, node); err != nil {
			return err
		}
		w.learn(ctx, node)
		if status == corev1.ConditionTrue {
			if err := w.run(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// join registers a Node as VPSie's machines do: without labels of ours, with the taint that the admission policy adds while somebody waits.
func (w *world) join(ctx context.Context, machine memory.Machine) error {
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: machine.Hostname, UID: types.UID(fmt.Sprintf("%s-%d", machine.ID, machine.Joins)), CreationTimestamp: metav1.NewTime(w.clock.Now()),
			Labels: map[string]string{corev1.LabelHostname: machine.Hostname},
		},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(machine.CPUMilli-100, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(machine.MemoryMiB<<20, resource.BinarySI),
			},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionFalse}},
		},
	}
	for _, name := range slices.Sorted(maps.Keys(w.truth.machines)) {
		if effect := awaits(w.truth.machines[name], node.Name); effect != "" {
			node.Spec.Taints = []corev1.Taint{{Key: v1alpha1.UnregisteredTaint, Effect: effect}}
			break
		}
	}
	if old := w.truth.nodes[node.Name]; old != nil { // it registers anew
		if err := client.IgnoreNotFound(w.store.Delete(ctx, old.DeepCopy())); err != nil {
			return err
		}
	}
	if err := w.store.Create(ctx, node); err != nil {
		return err
	}
	w.learn(ctx, node)
	return nil
}

// awaits is the effect of the taint that a Node gets because of a VPSieNode, as the chart's admission policy has it; empty: none.
func awaits(n *v1alpha1.VPSieNode, node string) corev1.TaintEffect {
	switch n.Status.Phase {
	case "", v1alpha1.PhasePending, v1alpha1.PhaseProvisioning, v1alpha1.PhaseProvisioned:
		return corev1.TaintEffectNoExecute
	case v1alpha1.PhaseFailed:
		if n.Status.Order != nil && n.Status.InstanceID == "" {
			return corev1.TaintEffectNoExecute
		}
	default:
	}
	if strings.EqualFold(n.Status.Hostname, node) {
		return corev1.TaintEffectNoSchedule
	}
	return ""
}

// run starts a pod or two, which have to be moved before the machine may go.
func (w *world) run(ctx context.Context, node string) error {
	for range w.random.IntN(3) {
		w.created++
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("pod-%d", w.created), UID: uid(w.created), CreationTimestamp: metav1.NewTime(w.clock.Now())},
			Spec:       corev1.PodSpec{NodeName: node},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning},
		}
		if err := w.store.Create(ctx, pod); err != nil {
			return err
		}
	}
	return nil
}
