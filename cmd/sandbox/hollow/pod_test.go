// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	podutil "k8s.io/kubernetes/pkg/api/v1/pod"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
)

// t0 has a fraction of a second, which the API does not keep.
var t0 = time.Date(2026, 3, 1, 12, 0, 0, 700_000_000, time.UTC)

type change func(*corev1.Pod)

// newPod is a Deployment's pod that has just been bound.
func newPod(changes ...change) *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", UID: "7f", Generation: 3},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyAlways,
			Containers:    []corev1.Container{{Name: "web", Image: "web:1"}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
	for _, c := range changes {
		c(pod)
	}
	return pod
}

func annotated(key, value string) change {
	return func(p *corev1.Pod) { metav1.SetMetaDataAnnotation(&p.ObjectMeta, key, value) }
}

func phase(phase corev1.PodPhase) change {
	return func(p *corev1.Pod) {
		p.Status.Phase = phase
		p.Status.StartTime = new(metav1.NewTime(t0))
		if phase == corev1.PodRunning {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		}
	}
}

func job(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }

func finalized(p *corev1.Pod) { p.Finalizers = []string{"batch.kubernetes.io/job-tracking"} }

func deleted(grace int64) change {
	return func(p *corev1.Pod) {
		p.DeletionTimestamp = new(metav1.NewTime(t0.Add(time.Duration(grace) * time.Second)))
		p.DeletionGracePeriodSeconds = &grace
	}
}

func gated(p *corev1.Pod) {
	p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "shop/registered"}}
}

func admitAll(*corev1.Pod) *rejection { return nil }

func admitNone(*corev1.Pod) *rejection {
	return &rejection{reason: "OutOfcpu", message: "Node didn't have enough resource: cpu"}
}

// summary is what matters of a step.
type summary struct {
	Phase   corev1.PodPhase
	Ready   corev1.ConditionStatus
	Reason  string
	IP      string
	Removed bool
	Wait    time.Duration
}

func summarize(s step) summary {
	sum := summary{Removed: s.remove, Wait: s.wait}
	if s.status != nil {
		sum.Phase, sum.Reason, sum.IP = s.status.Phase, s.status.Reason, s.status.PodIP
		if ready := podutil.GetPodReadyCondition(*s.status); ready != nil {
			sum.Ready = ready.Status
		}
	}
	return sum
}

func TestNextStep(t *testing.T) {
	slow := host{ip: "10.1.1.1", network: ready, start: Range{Min: 4 * time.Second}, stop: 3 * time.Second, admit: admitAll}
	quick := host{ip: "10.1.1.1", network: ready, admit: admitAll}
	offline := quick
	offline.network = notReady
	full := quick
	full.admit = admitNone
	admitted := life{uid: "7f", ip: "10.128.0.1", admitted: t0}
	running := life{uid: "7f", ip: "10.128.0.1", admitted: t0, started: t0}
	stopping := running
	stopping.stopping = t0

	tests := map[string]struct {
		pod  *corev1.Pod
		life life
		host host
		now  time.Duration // after t0
		want summary
	}{
		"a pod runs at once where nothing takes time": {
			pod: newPod(), life: life{ip: "10.128.0.1"}, host: quick,
			want: summary{Phase: corev1.PodRunning, Ready: corev1.ConditionTrue, IP: "10.128.0.1"},
		},
		"a pod is created first where starting takes time": {
			pod: newPod(), life: life{ip: "10.128.0.1"}, host: slow,
			want: summary{Phase: corev1.PodPending, Ready: corev1.ConditionFalse, Wait: 4 * time.Second},
		},
		"a pod that was reported as created is not reported again": {
			pod: newPod(phase(corev1.PodPending)), life: admitted, host: slow, now: 3900 * time.Millisecond,
			want: summary{Wait: 100 * time.Millisecond},
		},
		"a pod runs when its start delay is over": {
			pod: newPod(phase(corev1.PodPending)), life: admitted, host: slow, now: 4 * time.Second,
			want: summary{Phase: corev1.PodRunning, Ready: corev1.ConditionTrue, IP: "10.128.0.1"},
		},
		"a pod's own start delay wins": {
			pod: newPod(annotated(AnnotationStartDelay, "1m")), host: slow,
			want: summary{Phase: corev1.PodPending, Ready: corev1.ConditionFalse, Wait: time.Minute},
		},
		"a bad annotation is said to the user": {
			pod: newPod(annotated(AnnotationStartDelay, "soon")), host: slow,
			want: summary{Phase: corev1.PodFailed, Reason: "InvalidAnnotation"},
		},
		"a pod waits for the machine's network": {
			pod: newPod(), host: offline,
			want: summary{Phase: corev1.PodPending, Ready: corev1.ConditionFalse},
		},
		"a pod on the machine's own network does not": {
			pod: newPod(func(p *corev1.Pod) { p.Spec.HostNetwork = true }), life: life{ip: "10.1.1.1"}, host: offline,
			want: summary{Phase: corev1.PodRunning, Ready: corev1.ConditionTrue, IP: "10.1.1.1"},
		},
		"a pod without room is rejected in the kubelet's words": {
			pod: newPod(), host: full,
			want: summary{Phase: corev1.PodFailed, Reason: "OutOfcpu"},
		},
		"a rejected pod stays rejected when there is room": {
			pod: newPod(), life: life{rejected: admitNone(nil)}, host: quick,
			want: summary{Phase: corev1.PodFailed, Reason: "OutOfcpu"},
		},
		"an admitted pod is not judged again": {
			pod: newPod(phase(corev1.PodPending)), life: admitted, host: full,
			want: summary{Phase: corev1.PodRunning, Ready: corev1.ConditionTrue, IP: "10.128.0.1"},
		},
		"a running pod needs nothing": {
			pod: newPod(phase(corev1.PodRunning)), life: running, host: slow, now: time.Hour,
			want: summary{},
		},
		"a pod is not ready before its readiness gates are": {
			pod: newPod(gated), life: life{ip: "10.128.0.1"}, host: quick,
			want: summary{Phase: corev1.PodRunning, Ready: corev1.ConditionFalse, IP: "10.128.0.1"},
		},
		"a pod becomes ready with its readiness gates": {
			pod: newPod(gated, phase(corev1.PodRunning), func(p *corev1.Pod) {
				p.Status.Conditions = []corev1.PodCondition{
					{Type: corev1.PodReady, Status: corev1.ConditionFalse}, {Type: "shop/registered", Status: corev1.ConditionTrue},
				}
			}), life: running, host: quick,
			want: summary{Ready: corev1.ConditionTrue},
		},
		"a job's pod runs as long as it says": {
			pod: newPod(job, phase(corev1.PodRunning), annotated(AnnotationRunFor, "90s")), life: running, host: quick, now: 89 * time.Second,
			want: summary{Wait: time.Second},
		},
		"a job's pod succeeds then": {
			pod: newPod(job, phase(corev1.PodRunning), annotated(AnnotationRunFor, "90s")), life: running, host: quick, now: 90 * time.Second,
			want: summary{Phase: corev1.PodSucceeded, Ready: corev1.ConditionFalse},
		},
		"a pod that is restarted when it ends never succeeds": {
			pod: newPod(phase(corev1.PodRunning), annotated(AnnotationRunFor, "90s")), life: running, host: quick, now: time.Hour,
			want: summary{},
		},
		"a finished pod stays as it is": {
			pod: newPod(job, phase(corev1.PodSucceeded)), life: running, host: slow, now: time.Hour,
			want: summary{},
		},
		"a deleted pod takes its time to end": {
			pod: newPod(phase(corev1.PodRunning), deleted(30)), life: running, host: slow, now: 5 * time.Second,
			want: summary{Wait: 3 * time.Second},
		},
		"the time counts from when it was seen being deleted": {
			pod: newPod(phase(corev1.PodRunning), deleted(30)), life: stopping, host: slow, now: 2 * time.Second,
			want: summary{Wait: time.Second},
		},
		"a deleted pod is removed when it has ended": {
			pod: newPod(phase(corev1.PodRunning), deleted(30)), life: stopping, host: slow, now: 3 * time.Second,
			want: summary{Removed: true},
		},
		"the grace period ends a pod that would take longer": {
			pod: newPod(phase(corev1.PodRunning), deleted(2), annotated(AnnotationStopDelay, "10m")), life: stopping, host: slow, now: 2 * time.Second,
			want: summary{Removed: true},
		},
		"a pod's own stop delay wins": {
			pod: newPod(phase(corev1.PodRunning), deleted(30), annotated(AnnotationStopDelay, "10s")), life: stopping, host: slow, now: 3 * time.Second,
			want: summary{Wait: 7 * time.Second},
		},
		"a deleted pod that never started is removed at once": {
			pod: newPod(phase(corev1.PodPending), deleted(30)), life: admitted, host: slow,
			want: summary{Removed: true},
		},
		"a deleted pod that nobody admitted is removed at once": {
			pod: newPod(deleted(30)), host: full,
			want: summary{Removed: true},
		},
		"a finished pod that is deleted is removed at once": {
			pod: newPod(job, phase(corev1.PodSucceeded), deleted(30)), life: running, host: slow,
			want: summary{Removed: true},
		},
		"a job's pod that is deleted is reported as failed first": {
			pod: newPod(job, finalized, phase(corev1.PodRunning), deleted(30)), life: stopping, host: slow, now: 3 * time.Second,
			want: summary{Phase: corev1.PodFailed, Ready: corev1.ConditionFalse, Removed: true},
		},
		"a removed pod that only finalizers keep is left alone": {
			pod: newPod(job, finalized, phase(corev1.PodFailed), deleted(0)), life: stopping, host: slow,
			want: summary{},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := test.pod.DeepCopy()
			got := next(test.pod, test.life, test.host, t0.Add(test.now))
			if diff := cmp.Diff(test.want, summarize(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if diff := cmp.Diff(before, test.pod); diff != "" {
				t.Errorf("the pod was changed:\n%s", diff)
			}
			again := next(test.pod, got.life, test.host, t0.Add(test.now))
			if diff := cmp.Diff(got.status, again.status); diff != "" {
				t.Errorf("repeating the step gives another status:\n%s", diff)
			}
		})
	}
}

// apply does what the API server would.
func apply(pod *corev1.Pod, s step) *corev1.Pod {
	pod = pod.DeepCopy()
	if s.status != nil && s.status.Phase != "" {
		conditions := s.status.Conditions
		pod.Status = *s.status
		pod.Status.Conditions = conditions
	}
	return pod
}

func TestAPodsWholeLife(t *testing.T) {
	clock := testingclock.NewFakePassiveClock(t0)
	h := host{ip: "10.1.1.1", network: ready, start: Range{Min: 2 * time.Second}, stop: 5 * time.Second, admit: admitAll}
	pod, l := newPod(job, annotated(AnnotationRunFor, "1m")), life{ip: "10.128.0.1"}
	var story []string
	for range 10 {
		s := next(pod, l, h, clock.Now())
		l, pod = s.life, apply(pod, s)
		story = append(story, fmt.Sprintf("%s %s", clock.Now().Sub(t0), pod.Status.Phase))
		if s.wait == 0 && s.status == nil {
			break
		}
		clock.SetTime(clock.Now().Add(s.wait))
	}
	want := []string{"0s Pending", "2s Running", "2s Running", "1m2s Succeeded", "1m2s Succeeded"}
	if diff := cmp.Diff(want, story); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRunningStatusNamesEveryContainer(t *testing.T) {
	pod := newPod(func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{
			{Name: "migrate", Image: "migrate:1"},
			{Name: "proxy", Image: "proxy:1", RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways)},
		}
	})
	l := life{uid: "7f", ip: "10.128.0.1", admitted: t0, started: t0.Add(time.Second)}
	status := runningStatus(pod, l, host{ip: "10.1.1.1"})
	type container struct {
		Name           string
		Ready, Running bool
		Exit           int32
	}
	var got []container
	for _, s := range append(status.InitContainerStatuses, status.ContainerStatuses...) {
		c := container{Name: s.Name, Ready: s.Ready, Running: s.State.Running != nil, Exit: -1}
		if s.State.Terminated != nil {
			c.Exit = s.State.Terminated.ExitCode
		}
		got = append(got, c)
	}
	want := []container{{"migrate", true, false, 0}, {"proxy", true, true, -1}, {"web", true, true, -1}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if status.HostIP != "10.1.1.1" || status.PodIPs[0].IP != "10.128.0.1" || !status.StartTime.Time.Equal(t0) || status.ObservedGeneration != 3 {
		t.Errorf("status is %+v", status)
	}
	for _, s := range status.Conditions {
		if s.Type == corev1.PodScheduled || s.Type == corev1.DisruptionTarget {
			t.Errorf("the kubelet writes %s, which is not its own", s.Type)
		}
	}
}

func TestPickStaysInTheRangeAndWithThePod(t *testing.T) {
	r := Range{Min: time.Second, Max: 3 * time.Second}
	seen := map[time.Duration]bool{}
	for i := range 200 {
		uid := types.UID(fmt.Sprint("uid-", i))
		got := r.pick(uid)
		if got < r.Min || got > r.Max {
			t.Fatalf("%s for %s", got, uid)
		}
		if again := r.pick(uid); again != got {
			t.Fatalf("%s got %s, then %s", uid, got, again)
		}
		seen[got] = true
	}
	if len(seen) < 100 {
		t.Errorf("200 pods share %d delays", len(seen))
	}
	if got := (Range{Min: time.Second}).pick("7f"); got != time.Second {
		t.Errorf("a range without a Max gives %s", got)
	}
}
