// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/clock"
)

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

// golden compares a text with a file of testdata; UPDATE_GOLDEN=1 writes it anew.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestTheWholeStoryIsTold(t *testing.T) {
	w := newTown(t)
	if err := w.demo(); err != nil {
		t.Errorf("a good run is called bad: %v\n%s", err, &w.out)
	}
	golden(t, "account.golden", w.out.String())
}

func TestARunThatGoesWrongEndsWithWhatWasWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		breaks func(*town)
		want   []string
		told   string
	}{
		"pods are never created": {
			breaks: func(w *town) { w.open = nil },
			want:   []string{"gave up after 1m0s", "0 of 2 pods exist", "controller.log"},
		},
		"nobody plans": {
			breaks: func(w *town) { w.open = w.open[:1] },
			want:   []string{"2 pods with no plan", "shop/web-1: no nodes available"},
		},
		"no machine would help": {
			breaks: func(w *town) {
				refuse := func() {
					for _, name := range []string{"web-1", "web-2"} {
						w.must(w.kube.Create(w.t.Context(), event(name, notPlannedReason, "the largest offering has 2 cores", w.clock.Now())))
					}
				}
				w.open = []func(){w.createPods, refuse}
			},
			want: []string{"no machine is planned", "shop/web-2: the largest offering has 2 cores"},
			told: "web               no machine is planned for 2 pods: the largest offering has 2 cores",
		},
		"the machine never joins": {
			breaks: func(w *town) { w.open = w.open[:4] },
			want:   []string{"0 of 2 pods run", "shop/web-2: no nodes available"},
			told:   "appeared at VPSie as host k8s-worker-7",
		},
		"the machine stays": {
			breaks: func(w *town) { w.close = w.close[:3] },
			want:   []string{"1 VPSieNode is left", "general-0a1b2c3d: Deleting", "1 machine is left in VPSie's books"},
			told:   "given back to VPSie",
		},
		"the VPSieNode goes and its machine stays": {
			breaks: func(w *town) {
				w.close[3] = func() {
					vn := w.machine()
					vn.Finalizers = nil
					w.must(w.kube.Update(w.t.Context(), vn))
				}
			},
			want: []string{"gave up", "1 machine is left in VPSie's books"},
			told: "is gone from the cluster, but not from VPSie's books: they say deleting",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			test.breaks(w)
			err := w.demo()
			if err == nil {
				t.Fatalf("a bad run is called good:\n%s", &w.out)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if !strings.Contains(w.out.String(), test.told) {
				t.Errorf("the account does not say %q:\n%s", test.told, &w.out)
			}
			if strings.Contains(w.out.String(), "nothing is paid for any more") {
				t.Errorf("the account calls it a success:\n%s", &w.out)
			}
		})
	}
}

// quick is a show in a world that never changes.
func quick(w *town, change func(*world)) error {
	where := world{kube: w.kube, vpsie: w, alive: func(context.Context) error { return nil }, log: "controller.log"}
	change(&where)
	options := Options{Out: io.Discard, Clock: clock.RealClock{}, Patience: time.Minute, Interval: time.Millisecond}
	s := &show{world: where, options: options, account: newAccount(io.Discard)}
	return s.await(w.t.Context(), func(scene) string { return "something" }, nil)
}

func TestNobodyWaitsForADeadController(t *testing.T) {
	w := newTown(t)
	w.open = nil
	err := quick(w, func(where *world) { where.alive = func(context.Context) error { return errors.New("refused") } })
	if err == nil || !strings.Contains(err.Error(), "the controller does not answer any more") || !strings.Contains(err.Error(), "controller.log") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyWaitsInABrokenSandbox(t *testing.T) {
	w := newTown(t)
	w.open = nil
	failed := make(chan error, 1)
	failed <- errors.New("etcd ended")
	err := quick(w, func(where *world) { where.failed = failed })
	if err == nil || !strings.Contains(err.Error(), "the sandbox broke: etcd ended") {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfAControllerIsSeen(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	if err := alive(t.Context(), server.URL); err != nil {
		t.Errorf("a controller that answers, if only that it is not well, has not ended: %v", err)
	}
	server.Close()
	if err := alive(t.Context(), server.URL); err == nil {
		t.Error("a closed port counts as alive")
	}
	if err := alive(t.Context(), ""); err != nil {
		t.Errorf("without a controller there is nobody to ask: %v", err)
	}
}

func TestOptionsLeftOutAreRight(t *testing.T) {
	o := Options{}.withDefaults()
	if o.Clock == nil || o.Patience != 5*time.Minute || o.Interval != 300*time.Millisecond {
		t.Errorf("got %+v", o)
	}
}
