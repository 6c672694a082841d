// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"fmt"
	"hash/fnv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
)

// life is what a kubelet remembers of a pod. The API keeps times in full seconds, too coarse for
// delays shorter than that.
type life struct {
	uid      types.UID
	ip       string
	admitted time.Time // the machine has room for it
	started  time.Time // its containers run
	stopping time.Time // it was seen being deleted
	rejected *rejection
}

// newLife begins with what the API says, for the pods of a machine that was here before.
func newLife(pod *corev1.Pod) life {
	l := life{uid: pod.UID, ip: pod.Status.PodIP}
	if pod.Status.StartTime != nil {
		l.admitted = pod.Status.StartTime.Time
		if pod.Status.Phase == corev1.PodRunning {
			l.started = pod.Status.StartTime.Time
		}
	}
	return l
}

// host is what a pod's next step depends on besides the pod.
type host struct {
	ip      string
	network readiness
	start   Range
	stop    time.Duration
	// admit says why there is no room for a pod, or nil.
	admit func(*corev1.Pod) *rejection
}

// rejection is why a pod cannot run on the machine.
type rejection struct {
	reason, message string
}

// step is what a kubelet does next about a pod: first write the status, then remove the pod, then
// look again after the wait.
type step struct {
	life   life
	status *corev1.PodStatus
	remove bool
	wait   time.Duration // 0: only when the pod changes
}

// next decides a pod's next step. The same step may come twice, when the pod changes before the
// result of the first shows: every step can be repeated.
func next(pod *corev1.Pod, l life, h host, now time.Time) step {
	pace, problem := paceOf(pod, h)
	switch {
	case pod.DeletionTimestamp != nil:
		return stop(pod, l, pace, now)
	case terminal(pod):
		return step{life: l}
	case pod.Status.Phase == corev1.PodRunning:
		return carryOn(pod, l, pace, now)
	case problem != nil && l.rejected == nil:
		l.rejected = problem
	case l.admitted.IsZero() && l.rejected == nil:
		if l.rejected = h.admit(pod); l.rejected == nil {
			l.admitted = now
		}
	}
	if l.rejected != nil {
		return step{life: l, status: rejectedStatus(pod, *l.rejected)}
	}
	return begin(pod, l, h, pace, now)
}

// begin lets the start delay pass, and waits for the network unless the pod uses the machine's.
func begin(pod *corev1.Pod, l life, h host, pace pace, now time.Time) step {
	remaining := l.admitted.Add(pace.start).Sub(now)
	unreachable := h.network == notReady && !pod.Spec.HostNetwork
	if l.started.IsZero() && (remaining > 0 || unreachable) {
		s := step{life: l, wait: max(0, remaining)}
		if pod.Status.StartTime == nil {
			s.status = waitingStatus(pod, l, h)
		}
		return s
	}
	if l.started.IsZero() {
		l.started = now
	}
	return step{life: l, status: runningStatus(pod, l, h)}
}

// carryOn ends a running pod when its time has come and follows its readiness gates until then.
func carryOn(pod *corev1.Pod, l life, pace pace, now time.Time) step {
	s := step{life: l}
	if end, ok := ends(pod, l, pace); ok {
		if !now.Before(end) {
			s.status = finishedStatus(pod, l, end, succeeded)
			return s
		}
		s.wait = end.Sub(now)
	}
	wanted := readyCondition(pod, now)
	if has := podutil.GetPodReadyCondition(pod.Status); has == nil || has.Status != wanted.Status {
		s.status = &corev1.PodStatus{Conditions: []corev1.PodCondition{wanted}}
	}
	return s
}

// stop ends a pod that is being deleted: after the time it takes, but within its grace period.
func stop(pod *corev1.Pod, l life, pace pace, now time.Time) step {
	if l.stopping.IsZero() {
		l.stopping = now
	}
	s := step{life: l}
	grace := graceOf(pod)
	if terminal(pod) {
		// Removed already, and only kept by finalizers, when its grace period is 0.
		s.remove = grace > 0 || len(pod.Finalizers) == 0
		return s
	}
	runs := !l.started.IsZero() || pod.Status.Phase == corev1.PodRunning
	if remaining := l.stopping.Add(min(pace.stop, grace)).Sub(now); runs && remaining > 0 {
		s.wait = remaining
		return s
	}
	s.remove = true
	if watched(pod) {
		s.status = finishedStatus(pod, l, now, terminated)
	}
	return s
}

// watched says whether somebody may look at how the pod ended before it is gone: Jobs do, through
// a finalizer. For all others the write would be wasted.
func watched(pod *corev1.Pod) bool {
	return len(pod.Finalizers) > 0 || pod.Spec.RestartPolicy != corev1.RestartPolicyAlways
}

func graceOf(pod *corev1.Pod) time.Duration {
	if pod.DeletionGracePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*pod.DeletionGracePeriodSeconds) * time.Second
}

func terminal(pod *corev1.Pod) bool { return podutil.IsPodPhaseTerminal(pod.Status.Phase) }

// pace is how fast one pod starts, ends and finishes.
type pace struct {
	start, stop time.Duration
	runs        *time.Duration // nil: for ever
}

// paceOf is the host's pace with the pod's annotations over it.
func paceOf(pod *corev1.Pod, h host) (pace, *rejection) {
	p := pace{start: h.start.pick(pod.UID), stop: h.stop}
	var runs time.Duration
	for _, override := range []struct {
		annotation string
		set        *time.Duration
	}{
		{AnnotationStartDelay, &p.start},
		{AnnotationStopDelay, &p.stop},
		{AnnotationRunFor, &runs},
	} {
		text, ok := pod.Annotations[override.annotation]
		if !ok {
			continue
		}
		value, err := time.ParseDuration(text)
		if err != nil || value < 0 {
			return p, &rejection{reason: "InvalidAnnotation", message: fmt.Sprintf(
				"the annotation %s is %q: give a duration such as 90s", override.annotation, text)}
		}
		*override.set = value
		if override.set == &runs {
			p.runs = &runs
		}
	}
	return p, nil
}

// pick chooses a duration of the range by the pod's UID, so that looking again gives the same.
func (s Range) pick(uid types.UID) time.Duration {
	if s.Max <= s.Min {
		return s.Min
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(uid))
	return s.Min + time.Duration(hash.Sum64()%uint64(s.Max-s.Min+1)) // positive, checked above
}

// ends is when a pod succeeds by itself, if it ever does: a container that is restarted when it
// ends never makes its pod succeed.
func ends(pod *corev1.Pod, l life, p pace) (time.Time, bool) {
	if p.runs == nil || pod.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		return time.Time{}, false
	}
	return l.started.Add(*p.runs), true
}
