// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// rotating is a Source whose credentials change under a call.
type rotating struct {
	mu  sync.Mutex
	now Credentials
	err error
}

func (r *rotating) source(context.Context) (Credentials, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.err
}

func (r *rotating) set(c Credentials, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.err = c, err
}

// TestARotationCostsNoCallInFlight revokes the token while requests that carry it are on their way.
func TestARotationCostsNoCallInFlight(t *testing.T) {
	for name, test := range map[string]struct {
		newer Credentials
		err   error
		want  []string // the tokens that were tried
		fails bool
	}{
		"a new token is tried once":           {Credentials{Token: "second"}, nil, []string{"first", "second"}, false},
		"a new token that is refused as well": {Credentials{Token: "worse"}, nil, []string{"first", "worse"}, true},
		"the same token is not tried again":   {Credentials{Token: "first"}, nil, []string{"first"}, true},
		"a Secret that cannot be read now":    {Credentials{}, errors.New("the API server is away"), []string{"first"}, true},
		"a Secret that is empty now":          {Credentials{}, nil, []string{"first"}, true},
		"the same token for another host":     {Credentials{Token: "first", URL: "https://other.example"}, nil, []string{"first", "first"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &rotating{now: Credentials{Token: "first"}}
			vpsie := newCloud(func(w http.ResponseWriter, r *http.Request) error {
				secret.set(test.newer, test.err)
				if r.Header.Get("Vpsie-Auth") == "second" {
					return accepted(w, r)
				}
				return reply(401, `{"error":true,"message":"Please authenticate"}`)(w, r)
			})
			client := newClient(t, vpsie, func(o *Options) { o.Credentials = secret.source })
			err := client.AddWorker(t.Context(), "k", 1, "vn")
			var tried []string
			for _, r := range vpsie.requests() {
				tried = append(tried, r.Auth)
			}
			if !slices.Equal(tried, test.want) || (err != nil) != test.fails || test.fails && !IsUnauthorized(err) || IsAmbiguous(err) {
				t.Errorf("tried %v, got %v", tried, err)
			}
		})
	}
}

// TestWordsOfARefusalDoNotRepeatAnOrderThatFailed: whoever answers 5xx may have bought the machine, whatever it says of the credentials.
func TestWordsOfARefusalDoNotRepeatAnOrderThatFailed(t *testing.T) {
	for status, want := range map[int]int{400: 2, 500: 1, 503: 1} {
		x := &tokens{lifetime: time.Hour, shape: shapeToken}
		orders := 0
		vpsie := newCloud(func(w http.ResponseWriter, r *http.Request) error {
			if strings.HasSuffix(r.URL.Path, "/auth/from/api") {
				return x.answer(w, r)
			}
			orders++
			return reply(status, `{"error":true,"message":"Please authenticate"}`)(w, r)
		})
		err := newClient(t, vpsie, withSecret).AddWorker(t.Context(), "k", 1, "vn")
		if orders != want || IsAmbiguous(err) != (want == 1) {
			t.Errorf("status %d: sent %d times, want %d; got %v", status, orders, want, err)
		}
	}
}

// TestCallsInFlightKeepTheirOldToken holds an order on its way while the Secret is rotated: the order ends well with the token
// that it left with, and the next request carries the new one.
func TestCallsInFlightKeepTheirOldToken(t *testing.T) {
	secret := &rotating{now: Credentials{Token: "old"}}
	sent, answer := make(chan struct{}), make(chan struct{})
	vpsie := newCloud(func(w http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("Vpsie-Auth") == "old" {
			close(sent)
			<-answer
		}
		return accepted(w, r)
	})
	client := newClient(t, vpsie, func(o *Options) { o.Credentials = secret.source })
	var order error
	var orders sync.WaitGroup
	orders.Go(func() { order = client.AddWorker(t.Context(), "k", 1, "vn") })
	<-sent
	secret.set(Credentials{Token: "new"}, nil)
	if err := client.DeleteWorker(t.Context(), "k", "w"); err != nil {
		t.Error(err)
	}
	close(answer)
	orders.Wait()
	if got := vpsie.requests(); order != nil || len(got) != 2 || got[0].Auth != "old" || got[1].Auth != "new" {
		t.Errorf("the order ended in %v, the requests were %+v", order, got)
	}
}

func TestTransportsThatAreNotSafeAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		transport http.RoundTripper
		want      string
	}{
		"that verify nothing":   {&http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, "does not verify certificates"},
		"that speak old TLS":    {&http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS10}}, "allows TLS below 1.2"}, //nolint:gosec // must be refused
		"that say nothing":      {&http.Transport{}, ""},
		"that are no transport": {newCloud(accepted), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(Options{Credentials: Static(Credentials{Token: "t"}), Transport: test.transport})
			if test.want == "" && err != nil || test.want != "" && !strings.Contains(errorText(err), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestWaysToAskForAPause(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		headers []string
		want    time.Duration
	}{
		"in seconds":                          {[]string{"Retry-After", "7"}, 7 * time.Second},
		"as a date":                           {[]string{"Retry-After", "Tue, 01 Jan 2030 00:00:30 GMT"}, 30 * time.Second},
		"as a date that has passed":           {[]string{"Retry-After", "Mon, 31 Dec 2029 00:00:30 GMT"}, 0},
		"before year one":                     {[]string{"Retry-After", "-3"}, 0},
		"for ages":                            {[]string{"Retry-After", "9223372036854775807"}, longestPause},
		"in words":                            {[]string{"Retry-After", "soon"}, 0},
		"as seconds to a reset":               {[]string{"X-RateLimit-Reset", "20"}, 20 * time.Second},
		"as the time of a reset":              {[]string{"X-RateLimit-Reset", "1893456025"}, 25 * time.Second},
		"as the time of a reset that is past": {[]string{"X-RateLimit-Reset", "1893455000"}, 0},
		"in both":                             {[]string{"Retry-After", "5", "X-RateLimit-Reset", "20"}, 5 * time.Second},
		"not at all":                          {nil, 0},
	} {
		header := http.Header{}
		for pair := range slices.Chunk(test.headers, 2) {
			header.Set(pair[0], pair[1])
		}
		if got := retryAfter(header, now); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}
