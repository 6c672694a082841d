// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestNoMinuteSeesMoreThanTheLimit(t *testing.T) {
	for _, perMinute := range []int{2, 7, 100, 600} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var sent []time.Time
			vpsie := newCloud(func(w http.ResponseWriter, r *http.Request) error {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, time.Now())
				return nothing(w, r)
			})
			client := newClient(t, vpsie, func(o *Options) { o.RequestsPerMinute = perMinute })
			time.Sleep(5 * time.Minute) // a rested limiter must not have saved up
			started, total := time.Now(), 3*perMinute
			var calls sync.WaitGroup
			for range total {
				calls.Go(func() { _, _ = client.Clusters(t.Context()) })
			}
			calls.Wait()
			if len(sent) != total {
				t.Fatalf("sent %d of %d", len(sent), total)
			}
			for first := range sent {
				last := first
				for last < total && sent[last].Sub(sent[first]) < time.Minute {
					last++
				}
				if last-first > perMinute {
					t.Fatalf("limit %d: %d requests within a minute from %v on", perMinute, last-first, sent[first].Sub(started))
				}
			}
			if took := time.Since(started); perMinute > 10 && took > 4*time.Minute {
				t.Errorf("limit %d: %d requests took %v", perMinute, total, took)
			}
		})
	}
}

func TestRetryAfterIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		header string
		want   time.Duration
	}{
		"in seconds":          {"12", 12 * time.Second},
		"as a date":           {"date", 12 * time.Second},
		"missing":             {"", 250 * time.Millisecond},
		"nonsense":            {"soon", 250 * time.Millisecond},
		"from before":         {"-5", 250 * time.Millisecond},
		"short of the spread": {"0", 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				header := test.header
				if header == "date" {
					header = time.Now().Add(12 * time.Second).UTC().Format(http.TimeFormat)
				}
				vpsie := newCloud(reply(429, "", "Retry-After", header), nothing)
				started := time.Now()
				_, err := newClient(t, vpsie, nil).Clusters(t.Context())
				if took := time.Since(started); err != nil || took < test.want || took > test.want+time.Second {
					t.Errorf("took %v, want about %v; error %v", took, test.want, err)
				}
			})
		})
	}
	t.Run("others wait too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			vpsie := newCloud(reply(429, "", "Retry-After", "12"), accepted)
			client := newClient(t, vpsie, nil)
			if err := client.AddWorker(t.Context(), "k", 1, "vn"); !IsRateLimited(err) || IsAmbiguous(err) {
				t.Errorf("got %v", err)
			}
			started := time.Now()
			if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil || time.Since(started) < 12*time.Second {
				t.Errorf("got %v after %v", err, time.Since(started))
			}
		})
	})
	t.Run("a long pause is an error, not a wait", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			vpsie := newCloud(reply(429, "", "Retry-After", "300"), accepted)
			client := newClient(t, vpsie, nil)
			_ = client.AddWorker(t.Context(), "k", 1, "vn")
			started := time.Now()
			err := client.AddWorker(t.Context(), "k", 1, "vn")
			if !errors.Is(err, ErrThrottled) || IsAmbiguous(err) || time.Since(started) > time.Second || len(vpsie.requests()) != 1 {
				t.Errorf("got %v after %v, %d requests", err, time.Since(started), len(vpsie.requests()))
			}
			time.Sleep(300 * time.Second)
			if err := client.AddWorker(t.Context(), "k", 1, "vn"); err != nil {
				t.Errorf("after the pause: %v", err)
			}
		})
	})
}

// TestAPauseHoldsWhatIsQueuedAlready has many orders wait for their turns when VPSie asks for a pause.
func TestAPauseHoldsWhatIsQueuedAlready(t *testing.T) {
	const perMinute, orders = 60, 30
	for name, test := range map[string]struct {
		pause time.Duration
		sent  int // in the end
	}{
		"a short pause is waited out, and no turn is taken twice": {20 * time.Second, orders},
		"a long pause ends their waiting":                         {5 * time.Minute, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var sent []time.Time
				vpsie := newCloud(func(w http.ResponseWriter, r *http.Request) error {
					mu.Lock()
					defer mu.Unlock()
					if sent = append(sent, time.Now()); len(sent) == 5 {
						return reply(429, "", "Retry-After", fmt.Sprint(int(test.pause.Seconds())))(w, r)
					}
					return accepted(w, r)
				})
				client := newClient(t, vpsie, func(o *Options) { o.RequestsPerMinute = perMinute })
				throttled := 0
				var calls sync.WaitGroup
				for range orders {
					calls.Go(func() {
						if err := client.AddWorker(t.Context(), "k", 1, "vn"); errors.Is(err, ErrThrottled) {
							mu.Lock()
							defer mu.Unlock()
							throttled++
						}
					})
				}
				calls.Wait()
				if len(sent) != test.sent || throttled != orders-test.sent {
					t.Fatalf("%d orders were sent and %d failed for the pause, want %d sent", len(sent), throttled, test.sent)
				}
				for i, at := range sent[5:] {
					if waited := at.Sub(sent[4]); waited < test.pause {
						t.Errorf("order %d was sent %v after VPSie asked for a pause of %v", i+5, waited, test.pause)
					}
				}
				if rest := len(sent) - 5; rest > 0 && sent[len(sent)-1].Sub(sent[5]) < time.Duration(rest-5)*time.Second {
					t.Errorf("%d orders were sent in the %v after the pause", rest, sent[len(sent)-1].Sub(sent[5]))
				}
			})
		})
	}
}

func TestBreaker(t *testing.T) {
	once := func(o *Options) { o.ReadAttempts = 1 }
	for name, test := range map[string]struct {
		answer answerer
		opens  bool
	}{
		"transport errors count": {lose(errReset), true},
		"status 5xx counts":      {gateway, true},
		"refusals do not":        {reply(200, `{"error":true,"message":"no"}`), false},
		"status 4xx does not":    {reply(404, ""), false},
		"status 429 does not":    {reply(429, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vpsie := newCloud(test.answer)
				client := newClient(t, vpsie, once)
				for range DefaultBreakerFailures {
					_, _ = client.Clusters(t.Context())
				}
				err := client.AddWorker(t.Context(), "k", 1, "vn")
				if got := errors.Is(err, ErrBreakerOpen); got != test.opens || got && IsAmbiguous(err) {
					t.Errorf("breaker open is %v, want %v: %v", got, test.opens, err)
				}
			})
		})
	}
	t.Run("what is not sent names the failure that stopped it, and is not taken for one", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(t, newCloud(lose(errReset)), once)
			for range DefaultBreakerFailures {
				_, _ = client.Clusters(t.Context())
			}
			_, err := client.Clusters(t.Context())
			var lost *TransportError
			if err == nil || !strings.Contains(err.Error(), "the last failure: listClusters: no answer from VPSie at vpsie.example: ") || errors.As(err, &lost) {
				t.Errorf("got %v (%T)", err, err)
			}
		})
	})
	t.Run("a success in between starts the count anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(t, newCloud(gateway, gateway, gateway, gateway, nothing, gateway, gateway, gateway, gateway), once)
			for range 9 {
				if _, err := client.Clusters(t.Context()); errors.Is(err, ErrBreakerOpen) {
					t.Fatal("the breaker opened")
				}
			}
		})
	})
	t.Run("it tries again after the pause, and shows its state", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			vpsie := newCloud(gateway, gateway, gateway, gateway, gateway, nothing)
			client := newClient(t, vpsie, func(o *Options) { o.ReadAttempts, o.Registerer = 1, registry })
			for range 7 {
				_, _ = client.Clusters(t.Context())
			}
			if got := gauge(t, registry, "vpsie_autoscaler_cloudprovider_breaker_state"); got != 2 || len(vpsie.requests()) != 5 {
				t.Errorf("state %v after %d requests", got, len(vpsie.requests()))
			}
			time.Sleep(DefaultBreakerPause + time.Second)
			if _, err := client.Clusters(t.Context()); err != nil {
				t.Error(err)
			}
			if got := gauge(t, registry, "vpsie_autoscaler_cloudprovider_breaker_state"); got != 0 {
				t.Errorf("state %v after a success", got)
			}
			if got := testutil.ToFloat64(client.metrics.requests.WithLabelValues("listClusters", "breakerOpen")); got != 2 {
				t.Errorf("counted %v requests that were not sent", got)
			}
		})
	})
	t.Run("callers that leave do not open it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client := newClient(t, newCloud(func(_ http.ResponseWriter, r *http.Request) error {
				<-r.Context().Done()
				return r.Context().Err()
			}), once)
			for range 2 * DefaultBreakerFailures {
				ctx, cancel := contextFor(t, time.Second)
				if _, err := client.Clusters(ctx); errors.Is(err, ErrBreakerOpen) {
					t.Error("the breaker opened")
				}
				cancel()
			}
		})
	})
}
