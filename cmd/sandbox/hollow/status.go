// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// The functions here name only the fields that a kubelet owns: they are sent as a patch, and the
// scheduler's and the eviction API's conditions stay.

// waitingStatus is a pod that was admitted and whose containers do not run yet.
func waitingStatus(pod *corev1.Pod, l life, h host) *corev1.PodStatus {
	reason := "ContainerCreating"
	if len(pod.Spec.InitContainers) > 0 {
		reason = "PodInitializing"
	}
	state := func(*corev1.Container) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
	}
	status := baseStatus(pod, l, h)
	status.Phase = corev1.PodPending
	status.ContainerStatuses = containers(pod, pod.Spec.Containers, state)
	status.InitContainerStatuses = initContainers(pod, state)
	initialized := holds(pod, corev1.PodInitialized, l.admitted)
	if len(pod.Spec.InitContainers) > 0 {
		initialized = fails(pod, corev1.PodInitialized, "ContainersNotInitialized", l.admitted)
	}
	status.Conditions = []corev1.PodCondition{
		fails(pod, corev1.PodReadyToStartContainers, "", l.admitted),
		initialized,
		fails(pod, corev1.ContainersReady, "ContainersNotReady", l.admitted),
		fails(pod, corev1.PodReady, "ContainersNotReady", l.admitted),
	}
	return status
}

// runningStatus is a pod whose containers run, all of them ready.
func runningStatus(pod *corev1.Pod, l life, h host) *corev1.PodStatus {
	running := func(*corev1.Container) corev1.ContainerState {
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(l.started)}}
	}
	past := func(container *corev1.Container) corev1.ContainerState {
		if podutil.IsRestartableInitContainer(container) {
			return running(container)
		}
		return ended(pod, container, l.started, l.started, succeeded)
	}
	status := baseStatus(pod, l, h)
	status.Phase = corev1.PodRunning
	status.PodIP, status.PodIPs = l.ip, []corev1.PodIP{{IP: l.ip}}
	status.ContainerStatuses = containers(pod, pod.Spec.Containers, running)
	status.InitContainerStatuses = initContainers(pod, past)
	status.Conditions = []corev1.PodCondition{
		holds(pod, corev1.PodReadyToStartContainers, l.started),
		holds(pod, corev1.PodInitialized, l.started),
		holds(pod, corev1.ContainersReady, l.started),
		readyCondition(pod, l.started),
	}
	return status
}

// outcome is how containers end.
type outcome struct {
	phase    corev1.PodPhase
	reason   string
	exitCode int32
}

//nolint:gochecknoglobals // constants; Go has no constant structs
var (
	succeeded  = outcome{phase: corev1.PodSucceeded, reason: "Completed"}
	terminated = outcome{phase: corev1.PodFailed, reason: "Error", exitCode: 143}
)

// finishedStatus is a pod whose containers have all ended.
func finishedStatus(pod *corev1.Pod, l life, at time.Time, how outcome) *corev1.PodStatus {
	state := func(container *corev1.Container) corev1.ContainerState {
		return ended(pod, container, l.started, at, how)
	}
	reason := "PodCompleted"
	if how.phase == corev1.PodFailed {
		reason = "PodFailed"
	}
	return &corev1.PodStatus{
		ObservedGeneration:    pod.Generation,
		Phase:                 how.phase,
		ContainerStatuses:     containers(pod, pod.Spec.Containers, state),
		InitContainerStatuses: initContainers(pod, state),
		Conditions: []corev1.PodCondition{
			fails(pod, corev1.PodReadyToStartContainers, "", at),
			fails(pod, corev1.ContainersReady, reason, at),
			fails(pod, corev1.PodReady, reason, at),
		},
	}
}

// rejectedStatus is a pod that the machine has no room for, said as a kubelet says it.
func rejectedStatus(pod *corev1.Pod, why rejection) *corev1.PodStatus {
	return &corev1.PodStatus{
		ObservedGeneration: pod.Generation,
		Phase:              corev1.PodFailed,
		Reason:             why.reason,
		Message:            "Pod was rejected: " + why.message,
	}
}

func baseStatus(pod *corev1.Pod, l life, h host) *corev1.PodStatus {
	return &corev1.PodStatus{
		ObservedGeneration: pod.Generation,
		HostIP:             h.ip,
		HostIPs:            []corev1.HostIP{{IP: h.ip}},
		StartTime:          new(metav1.NewTime(l.admitted)),
	}
}

// containers describes each container in the state that the function gives it.
func containers(pod *corev1.Pod, specs []corev1.Container, state func(*corev1.Container) corev1.ContainerState) []corev1.ContainerStatus {
	statuses := make([]corev1.ContainerStatus, len(specs))
	for i := range specs {
		spec := &specs[i]
		status := corev1.ContainerStatus{Name: spec.Name, Image: spec.Image, State: state(spec)}
		status.Ready = status.State.Running != nil
		status.Started = new(status.Ready)
		if status.State.Waiting == nil {
			status.ImageID, status.ContainerID = "hollow://"+spec.Image, containerID(pod, spec)
		}
		statuses[i] = status
	}
	return statuses
}

// initContainers is containers for init containers: one that has done its work counts as ready.
func initContainers(pod *corev1.Pod, state func(*corev1.Container) corev1.ContainerState) []corev1.ContainerStatus {
	statuses := containers(pod, pod.Spec.InitContainers, state)
	for i := range statuses {
		if done := statuses[i].State.Terminated; done != nil && done.ExitCode == 0 {
			statuses[i].Ready = true
		}
	}
	return statuses
}

func ended(pod *corev1.Pod, container *corev1.Container, from, to time.Time, how outcome) corev1.ContainerState {
	if from.IsZero() { // it was deleted before it started
		from = to
	}
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode:    how.exitCode,
		Reason:      how.reason,
		StartedAt:   metav1.NewTime(from),
		FinishedAt:  metav1.NewTime(to),
		ContainerID: containerID(pod, container),
	}}
}

func containerID(pod *corev1.Pod, container *corev1.Container) string {
	return fmt.Sprintf("hollow://%s/%s", pod.UID, container.Name)
}

// readyCondition is the Ready condition of a pod whose containers are ready: only its readiness
// gates can hold it back.
func readyCondition(pod *corev1.Pod, at time.Time) corev1.PodCondition {
	var missing []string
	for _, gate := range pod.Spec.ReadinessGates {
		_, has := podutil.GetPodCondition(&pod.Status, gate.ConditionType)
		if has == nil || has.Status != corev1.ConditionTrue {
			missing = append(missing, string(gate.ConditionType))
		}
	}
	if len(missing) == 0 {
		return holds(pod, corev1.PodReady, at)
	}
	c := fails(pod, corev1.PodReady, "ReadinessGatesNotReady", at)
	c.Message = "readiness gates are not true: " + strings.Join(missing, ", ")
	return c
}

func holds(pod *corev1.Pod, kind corev1.PodConditionType, since time.Time) corev1.PodCondition {
	return corev1.PodCondition{
		Type:               kind,
		ObservedGeneration: pod.Generation,
		Status:             corev1.ConditionTrue,
		LastTransitionTime: metav1.NewTime(since),
	}
}

func fails(pod *corev1.Pod, kind corev1.PodConditionType, reason string, since time.Time) corev1.PodCondition {
	c := holds(pod, kind, since)
	c.Status, c.Reason = corev1.ConditionFalse, reason
	return c
}
