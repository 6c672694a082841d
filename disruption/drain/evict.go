// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// evict asks for the pod's eviction, so that PodDisruptionBudgets hold. The pod keeps its own grace period.
func (p *pass) evict(ctx context.Context, pod *corev1.Pod) error {
	name := pod.Namespace + "/" + pod.Name
	if why, err := DoNotDisrupt(pod, p.now); err != nil {
		p.wait(fmt.Sprintf("%s: %v", name, err), refusedAfter)
		return nil
	} else if why != "" {
		p.wait(name+": "+why, refusedAfter)
		return nil
	}
	// Without the UID, a StatefulSet's next pod of the same name would be evicted from wherever it runs.
	eviction := &policyv1.Eviction{
		ObjectMeta:    metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name},
		DeleteOptions: &metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: new(pod.UID)}},
	}
	err := p.kube.SubResource("eviction").Create(ctx, pod, eviction)
	switch {
	case err == nil:
		p.metrics.count(evicted)
		p.wait(name+": was evicted and is terminating", pollAfter)
	case apierrors.IsNotFound(err), apierrors.IsConflict(err): // a conflict says that the UID is another's
		p.metrics.count(gone)
	case apierrors.IsTooManyRequests(err):
		p.metrics.count(refused)
		p.wait(fmt.Sprintf("%s: %s", name, refusal(err)), refusedAfter)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		p.metrics.count(refused)
		p.wait(name+": its namespace is being deleted", refusedAfter)
	default:
		p.metrics.count(failed)
		p.wait(name+": evicting it failed", refusedAfter)
		return fmt.Errorf("evicting pod %q: %w", name, err)
	}
	return nil
}

// refusal is what the API server says about the PodDisruptionBudget that said no.
func refusal(err error) string {
	if cause, ok := apierrors.StatusCause(err, policyv1.DisruptionBudgetCause); ok && cause.Message != "" {
		return cause.Message
	}
	return err.Error()
}

// remove deletes the pod with its own grace period: the deadline is over and nothing may hold it any longer.
func (p *pass) remove(ctx context.Context, pod *corev1.Pod) error {
	name := pod.Namespace + "/" + pod.Name
	err := p.kube.Delete(ctx, pod, client.Preconditions{UID: new(pod.UID)})
	switch {
	case err == nil:
		p.metrics.count(deleted)
		p.wait(name+": was deleted after the deadline and is terminating", pollAfter)
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		p.metrics.count(gone)
	default:
		p.metrics.count(failed)
		p.wait(name+": deleting it failed", refusedAfter)
		return fmt.Errorf("deleting pod %q after the drain's deadline: %w", name, err)
	}
	return nil
}
