// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package notice turns what holds for an object now into Events that kubectl shows at once. client-go's recorder takes a second
// Event of one reason for a repetition of the first, whatever it says, and shows the first text for six minutes more. A notice is
// an Event of its own; how often an object gets one is bounded, and of several that wait only the last is written. It never
// decides what to say and never blocks who says it.
package notice

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/reference"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// longestNote is what the API server takes, in bytes.
const longestNote = 1024

// Options of a Recorder. The zero value is right for production, but for Instance.
type Options struct {
	Clock    clock.WithTicker
	Instance string // which replica speaks; the reporter's name
	// The second notice about an object comes so long after the first, the third twice as long after the second, up to Longest. An
	// object that had nothing new for as long starts again.
	Pause, Longest time.Duration // 5s, 5m
}

// Recorder writes notices. It stands in for client-go's recorder where an object has one state to tell of.
type Recorder struct {
	kube     client.Client
	reporter string
	options  Options
	queue    workqueue.TypedRateLimitingInterface[subject]

	mu    sync.Mutex
	about map[subject]*state // of objects that were spoken of lately
}

var _ events.EventRecorder = (*Recorder)(nil)

// subject is the object that notices are about.
type subject struct {
	kind, namespace, name string
	uid                   types.UID
}

type state struct {
	next *eventsv1.Event // nil while there is nothing to write
	told string          // what was written last
}

// New returns a Recorder that writes through kube. Nothing is written before Start.
func New(kube client.Client, reporter string, o Options) *Recorder {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	o.Instance = cmp.Or(o.Instance, reporter)
	o.Pause, o.Longest = cmp.Or(o.Pause, 5*time.Second), cmp.Or(o.Longest, 5*time.Minute)
	return &Recorder{
		kube: kube, reporter: reporter, options: o, about: map[subject]*state{},
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[subject](o.Pause, o.Longest),
			workqueue.TypedRateLimitingQueueConfig[subject]{Name: "notices", Clock: o.Clock}),
	}
}

// Eventf takes note of what holds for the object regarding now. What it took note of before and has not written yet is forgotten.
func (r *Recorder) Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any) {
	ref, err := reference.GetReference(r.kube.Scheme(), regarding)
	if err != nil {
		return // of a kind that nobody registered, which no object of ours is
	}
	now := r.options.Clock.Now()
	event := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: cmp.Or(ref.Namespace, metav1.NamespaceDefault),
			Name:      fmt.Sprintf("%s.%x", ref.Name, now.UnixNano()),
		},
		EventTime: metav1.NewMicroTime(now), ReportingController: r.reporter, ReportingInstance: r.options.Instance,
		Regarding: *ref, Type: eventtype, Reason: reason, Action: action, Note: v1alpha1.Shorten(fmt.Sprintf(note, args...), longestNote),
	}
	if related != nil {
		event.Related, _ = reference.GetReference(r.kube.Scheme(), related) // an Event without it says the same
	}
	about := subject{kind: ref.Kind, namespace: ref.Namespace, name: ref.Name, uid: ref.UID}
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.about[about]; ok {
		known.next = event // written when the pause is over
		return
	}
	r.about[about] = &state{next: event}
	r.queue.Add(about)
}

// NeedLeaderElection says no: what a replica said before it lost its leadership is still to be written.
func (r *Recorder) NeedLeaderElection() bool { return false }

// Start writes notices until ctx ends.
func (r *Recorder) Start(ctx context.Context) error {
	go func() {
		<-ctx.Done()
		r.queue.ShutDown()
	}()
	for {
		about, done := r.queue.Get()
		if done {
			return nil
		}
		if r.write(ctx, about) {
			r.queue.AddRateLimited(about)
		} else {
			r.queue.Forget(about)
		}
		r.queue.Done(about)
	}
}

// write writes what is to be said about an object and says whether to look again after a pause.
func (r *Recorder) write(ctx context.Context, about subject) (again bool) {
	event, again := r.take(about)
	if event == nil {
		return again
	}
	err := r.kube.Create(ctx, event)
	switch {
	case err == nil:
	case final(err):
		log.FromContext(ctx).V(1).Info("was refused an event", "object", klog.KRef(about.namespace, about.name), "reason", event.Reason, "err", err.Error())
	default:
		log.FromContext(ctx).V(1).Info("could not write an event", "object", klog.KRef(about.namespace, about.name), "reason", event.Reason, "err", err.Error())
		r.putBack(about, event)
	}
	return true
}

// take returns what is to be written about an object, and whether anything was said of it since. An object of which nothing was is
// forgotten; one that is as it was told of before has changed in between, and keeps its pause.
func (r *Recorder) take(about subject) (event *eventsv1.Event, again bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.about[about]
	event, known.next = known.next, nil
	switch {
	case event == nil:
		delete(r.about, about)
		return nil, false
	case meaning(event) == known.told:
		return nil, true
	}
	known.told = meaning(event)
	return event, true
}

func (r *Recorder) putBack(about subject, event *eventsv1.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.about[about]
	known.told = ""
	if known.next == nil {
		event.ResourceVersion = ""
		known.next = event
	}
}

func meaning(event *eventsv1.Event) string { return event.Type + " " + event.Reason + " " + event.Note }

// final says whether the same Event would be refused again: it is malformed, there already, or its namespace is going.
func final(err error) bool {
	return apierrors.IsAlreadyExists(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err) ||
		apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause)
}
