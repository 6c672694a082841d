// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

const (
	landingGate         = "landing.test/not-nominated-yet"
	landingRuntimeClass = "with-overhead"
)

// makePod makes a pod that the admission plugins let pass, and that preempts nobody: what is planned must have room.
func (l *landing) makePod(ctx context.Context, want *corev1.Pod) (*corev1.Pod, error) {
	pod := want.DeepCopy()
	pod.UID, pod.ResourceVersion = "", ""
	pod.Spec.TerminationGracePeriodSeconds, pod.Spec.AutomountServiceAccountToken = new(int64(0)), new(false)
	if priority := pod.Spec.Priority; priority != nil {
		class := &schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("landing-%d", *priority)}, Value: *priority, PreemptionPolicy: new(corev1.PreemptNever),
		}
		if err := l.once(ctx, class); err != nil {
			return nil, err
		}
		pod.Spec.Priority, pod.Spec.PriorityClassName = nil, class.Name
	}
	if overhead := pod.Spec.Overhead; overhead != nil {
		class := &nodev1.RuntimeClass{
			ObjectMeta: metav1.ObjectMeta{Name: landingRuntimeClass}, Handler: "sandboxed", Overhead: &nodev1.Overhead{PodFixed: overhead},
		}
		if err := l.once(ctx, class); err != nil {
			return nil, err
		}
		pod.Spec.RuntimeClassName = new(landingRuntimeClass)
	}
	for i := range pod.Spec.Containers {
		resources := &pod.Spec.Containers[i].Resources
		for name, quantity := range resources.Requests {
			if strings.Contains(string(name), "/") { // may not be overcommitted
				resources.Limits = corev1.ResourceList{name: quantity}
			}
		}
	}
	// A class or an account that was made a moment ago may not be known yet.
	err := until(ctx, func(ctx context.Context) (bool, error) {
		err := l.Create(ctx, pod)
		return !apierrors.IsForbidden(err), client.IgnoreAlreadyExists(ignoreForbidden(err))
	})
	if err != nil {
		return nil, fmt.Errorf("creating pod %s: %w", client.ObjectKeyFromObject(want), err)
	}
	return pod, nil
}

func ignoreForbidden(err error) error {
	if apierrors.IsForbidden(err) {
		return nil
	}
	return err
}

// place creates a pod that is nominated to its node before kube-scheduler may look at it, and returns when a node is chosen.
func (l *landing) place(ctx context.Context, step trial.Step) error {
	gated := step.Pod.DeepCopy()
	gated.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: landingGate}}
	pod, err := l.makePod(ctx, gated)
	if err != nil {
		return err
	}
	pod.Status.NominatedNodeName = step.Node
	if err := l.Status().Update(ctx, pod); err != nil {
		return fmt.Errorf("nominating pod %q: %w", pod.Name, err)
	}
	awaited, err := l.unbound(ctx, pod)
	if err != nil {
		return err
	}
	pod.Spec.SchedulingGates = nil
	if err := l.Update(ctx, pod); err != nil {
		return fmt.Errorf("letting pod %q go: %w", pod.Name, err)
	}
	err = until(ctx, func(ctx context.Context) (bool, error) {
		if err := l.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil || pod.Spec.NodeName != "" {
			return true, err
		}
		// Volumes to be made take a second; the next pod need not wait for them.
		left, err := l.unbound(ctx, pod)
		return awaited > 0 && left == 0, err
	})
	if err != nil {
		return fmt.Errorf("kube-scheduler does not put pod %q on node %q: %w; %s", pod.Name, step.Node, err, scheduledCondition(pod).Message)
	}
	return nil
}

// unbound counts the pod's claims for which no node has been chosen.
func (l *landing) unbound(ctx context.Context, pod *corev1.Pod) (count int, err error) {
	for i := range pod.Spec.Volumes {
		source := pod.Spec.Volumes[i].PersistentVolumeClaim
		if source == nil {
			continue
		}
		claim := &corev1.PersistentVolumeClaim{}
		if err := l.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: source.ClaimName}, claim); err != nil {
			return 0, err
		}
		if claim.Spec.VolumeName == "" && claim.Annotations[selectedNode] == "" {
			count++
		}
	}
	return count, nil
}

// bound waits until a pod is bound, and returns its node.
func (l *landing) bound(ctx context.Context, want *corev1.Pod) (string, error) {
	pod := &corev1.Pod{}
	err := until(ctx, func(ctx context.Context) (bool, error) {
		err := l.Get(ctx, client.ObjectKeyFromObject(want), pod)
		return pod.Spec.NodeName != "", err
	})
	if err != nil {
		return "", fmt.Errorf("waiting for pod %q to be bound: %w; %s", want.Name, err, scheduledCondition(pod).Message)
	}
	return pod.Spec.NodeName, nil
}

// refuse creates a pod that fits nowhere, and takes it away when kube-scheduler has said so.
func (l *landing) refuse(ctx context.Context, want *corev1.Pod) error {
	pod, err := l.makePod(ctx, want)
	if err != nil {
		return err
	}
	err = until(ctx, func(ctx context.Context) (bool, error) {
		err := l.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return pod.Spec.NodeName != "" || scheduledCondition(pod).Reason == corev1.PodReasonUnschedulable, err
	})
	if err != nil {
		return fmt.Errorf("waiting for kube-scheduler to refuse pod %q: %w", pod.Name, err)
	}
	if pod.Spec.NodeName != "" {
		return fmt.Errorf("kube-scheduler puts pod %q on node %q; the plan says that it fits nowhere", pod.Name, pod.Spec.NodeName)
	}
	return l.Delete(ctx, pod, client.GracePeriodSeconds(0))
}

func scheduledCondition(pod *corev1.Pod) corev1.PodCondition {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled {
			return condition
		}
	}
	return corev1.PodCondition{}
}

// count says what became of the pods in the end.
func (l *landing) count(ctx context.Context, steps []trial.Step, got *landed) error {
	var failures []error
	for _, step := range steps {
		node, err := l.bound(ctx, step.Pod)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		got.bound++
		if node == step.Node {
			got.asPlanned++
		}
	}
	return errors.Join(failures...)
}
