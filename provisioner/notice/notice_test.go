// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package notice

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// stage is a Recorder at work on an API server of objects, in a bubble of time that starts at 0.
type stage struct {
	*Recorder
	kube  client.Client
	start time.Time
}

func onStage(t *testing.T, refuse func(attempt int) error, play func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		kube := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if attempts++; refuse != nil && refuse(attempts) != nil {
					return refuse(attempts)
				}
				return c.Create(ctx, object, options...)
			},
		}).Build()
		s := &stage{Recorder: New(kube, "test", Options{}), kube: kube, start: time.Now()}
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- s.Start(ctx) }()
		play(s)
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid"}}
}

func (s *stage) say(pod *corev1.Pod, note string) {
	s.Eventf(pod, nil, corev1.EventTypeWarning, "NotPlanned", "Provision", "%s", note)
	synctest.Wait()
}

// shown lists the Events in the order of their times, as kubectl describe shows them.
func (s *stage) shown(t *testing.T) []string {
	t.Helper()
	synctest.Wait()
	list := &eventsv1.EventList{}
	if err := s.kube.List(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
	var lines []string
	for _, e := range list.Items {
		lines = append(lines, e.EventTime.Sub(s.start).String()+" "+e.Regarding.Name+": "+e.Note)
	}
	return lines
}

func (s *stage) expect(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.shown(t)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestAReasonThatChangedIsShownAtOnce(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.say(pod("a"), "too large")
		s.say(pod("b"), "too large")
		time.Sleep(time.Minute)
		s.say(pod("a"), "at maxNodes 3")
		s.expect(t, "0s a: too large", "0s b: too large", "1m0s a: at maxNodes 3")
	})
}

// TestClientGosRecorderHidesTheSecondReason is why this package exists. If it fails one day, client-go's recorder will do.
func TestClientGosRecorderHidesTheSecondReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &sink{}
		broadcaster := events.NewBroadcaster(sink)
		ctx, stop := context.WithCancel(context.Background())
		if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
			t.Fatal(err)
		}
		recorder := broadcaster.NewRecorder(clientgoscheme.Scheme, "test")
		for _, note := range []string{"too large", "at maxNodes 3"} {
			recorder.Eventf(pod("a"), nil, corev1.EventTypeWarning, "NotPlanned", "Provision", "%s", note)
			synctest.Wait()
			time.Sleep(5 * time.Minute)
		}
		if diff := cmp.Diff([]string{"too large"}, sink.notes); diff != "" {
			t.Errorf("client-go wrote (-want +got):\n%s", diff)
		}
		broadcaster.Shutdown()
		stop()
	})
}

type sink struct{ notes []string }

func (s *sink) Create(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) {
	s.notes = append(s.notes, e.Note)
	return e, nil
}
func (s *sink) Update(_ context.Context, e *eventsv1.Event) (*eventsv1.Event, error) { return e, nil }
func (s *sink) Patch(_ context.Context, e *eventsv1.Event, data []byte) (*eventsv1.Event, error) {
	if strings.Contains(string(data), "maxNodes") {
		s.notes = append(s.notes, "patched")
	}
	return e, nil
}

func TestALongNoteIsCutBetweenCharacters(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.say(pod("a"), strings.Repeat("€", 1000))
		s.expect(t, "0s a: "+strings.Repeat("€", 341))
	})
}

func TestOfManyChangesOnlyTheLastIsWritten(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		for _, note := range []string{"one", "two", "three"} {
			s.say(pod("a"), note)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		s.expect(t, "0s a: one", "2s a: three")
	})
}

func TestWhatIsTrueAgainIsNotRepeated(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.say(pod("a"), "one")
		s.say(pod("a"), "two")
		s.say(pod("a"), "one")
		time.Sleep(time.Minute)
		s.expect(t, "0s a: one")
	})
}

func TestAnObjectThatFlapsIsHeardLessAndLess(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		for i := range 3600 {
			s.say(pod("a"), []string{"yes", "no"}[i%2])
			time.Sleep(time.Second)
		}
		if got := len(s.shown(t)); got < 3 || got > 20 {
			t.Errorf("%d events in an hour, want a few while the pauses grow and at most one each 5m from then on", got)
		}
	})
}

func TestFailures(t *testing.T) {
	resource := schema.GroupResource{Group: "events.k8s.io", Resource: "events"}
	cases := map[string]struct {
		refuse error
		times  int
		want   []string
	}{
		"an API server that is away gets it later":             {refuse: errors.New("connection refused"), times: 3, want: []string{"0s a: one"}},
		"what is refused for good is not sent again":           {refuse: apierrors.NewInvalid(schema.GroupKind{Kind: "Event"}, "a", nil), times: 1},
		"nor is what belongs to a namespace that is not there": {refuse: apierrors.NewNotFound(resource, "shop"), times: 1},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			refuse := func(attempt int) error {
				if attempt <= tc.times {
					return tc.refuse
				}
				return nil
			}
			onStage(t, refuse, func(s *stage) {
				s.say(pod("a"), "one")
				time.Sleep(5 * time.Minute)
				s.expect(t, tc.want...)
			})
		})
	}
}

func TestAnObjectThatIsQuietIsForgotten(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.say(pod("a"), "one")
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.about) != 0 {
			t.Errorf("%d objects are remembered, want none", len(s.about))
		}
	})
}
