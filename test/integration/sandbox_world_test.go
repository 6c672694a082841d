// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

func readyStatus(node *corev1.Node) corev1.ConditionStatus {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status
		}
	}
	return "missing"
}

func nodeReadiness(client kubernetes.Interface, name string) func(context.Context) corev1.ConditionStatus {
	return func(ctx context.Context) corev1.ConditionStatus { return readinessOf(ctx, client, name) }
}

func readinessOf(ctx context.Context, client kubernetes.Interface, name string) corev1.ConditionStatus {
	node, err := client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return corev1.ConditionStatus(err.Error())
	}
	return readyStatus(node)
}

func renewed(ctx context.Context, client kubernetes.Interface, node string) time.Time {
	lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, node, metav1.GetOptions{})
	if err != nil || lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}

// podPhase is the phase of a pod in the namespace default, "gone" when there is none.
func podPhase(client kubernetes.Interface, name string) func(context.Context) string {
	return func(ctx context.Context) string {
		found, err := client.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return "gone"
		case err != nil:
			return err.Error()
		case found.Status.Reason != "":
			return fmt.Sprintf("%s: %s", found.Status.Phase, found.Status.Reason)
		}
		return string(found.Status.Phase)
	}
}

func pod(name, cpu string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "registry.example/main:1",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}},
		}}},
	}
}

func deployment(name string, replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("", "250m").Spec},
		},
	}
}

func evict(ctx context.Context, client kubernetes.Interface, name string) error {
	return client.PolicyV1().Evictions("default").Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})
}

// tell follows pods until count of them are ready, and returns the stages each went through.
func tell(ctx context.Context, pods watch.Interface, count int) map[string][]string {
	GinkgoHelper()
	stories, ready := map[string][]string{}, map[string]bool{}
	for len(ready) < count {
		var event watch.Event
		Eventually(ctx, pods.ResultChan()).WithTimeout(20 * time.Second).Should(Receive(&event))
		changed, ok := event.Object.(*corev1.Pod)
		Expect(ok).To(BeTrue(), "the watch ended: %v", event.Object)
		stage := stageOf(changed)
		story := stories[changed.Name]
		if len(story) == 0 || story[len(story)-1] != stage {
			stories[changed.Name] = append(story, stage)
		}
		if stage == "Running and ready" {
			ready[changed.Name] = true
		}
	}
	return stories
}

func stageOf(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			return string(pod.Status.Phase) + " and ready"
		}
	}
	for _, container := range pod.Status.ContainerStatuses {
		if container.State.Waiting != nil {
			return container.State.Waiting.Reason
		}
	}
	if pod.Spec.NodeName != "" {
		return string(pod.Status.Phase) + " on a node"
	}
	return string(pod.Status.Phase)
}
