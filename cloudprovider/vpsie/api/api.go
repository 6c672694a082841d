// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package api turns calls on VPSie's API v2 into Go values and typed errors. It paces itself, gives up early while VPSie
// is down, repeats reads and never repeats a change. It never decides what an error means for the caller, and never
// lets a credential into an error, a log or a metric.
package api

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"k8s.io/utils/clock"
)

// Defaults of Options.
const (
	DefaultBaseURL           = "https://api.vpsie.com"
	DefaultRequestsPerMinute = 100
	DefaultTimeout           = 30 * time.Second
	DefaultMaxResponseBytes  = 8 << 20
	DefaultReadAttempts      = 4
	DefaultBreakerFailures   = 5
	DefaultBreakerPause      = 30 * time.Second
	DefaultUserAgent         = "vpsie-k8s-autoscaler"
)

// Options are what a Client is made from. Only Credentials is required.
type Options struct {
	// Credentials is asked before every request, so that rotated credentials take effect with the next one.
	Credentials Source
	// BaseURL is scheme and host, with or without /apps/v2. Credentials that name a URL override it.
	BaseURL string
	// Transport carries the requests. Left out: TLS 1.2 or newer, verified, proxies from the environment.
	Transport http.RoundTripper
	// Clock is read for expiry and waited on between requests: with a clock that stands still, a Client that has
	// used up its burst (a twentieth of RequestsPerMinute) waits until somebody moves it.
	Clock clock.Clock
	// RequestsPerMinute is kept in every window of one minute, repetitions included.
	RequestsPerMinute int
	// Timeout bounds one request, not the waiting before it.
	Timeout time.Duration
	// MaxResponseBytes bounds what is read of one answer.
	MaxResponseBytes int64
	// ReadAttempts is how often a read is sent at most. 1: never repeated.
	ReadAttempts int
	// BreakerFailures is how many failures in a row, of transport or status 5xx, stop all requests for BreakerPause.
	BreakerFailures int
	BreakerPause    time.Duration
	UserAgent       string
	// Registerer takes the metrics. Left out: none are kept.
	Registerer prometheus.Registerer
	Logger     logr.Logger
}

// Client speaks to VPSie. It is safe for concurrent use.
type Client struct {
	options  Options
	baseURL  *url.URL
	http     *http.Client
	limiter  *limiter
	breaker  *gobreaker.TwoStepCircuitBreaker[struct{}]
	exchange *exchange
	metrics  *metrics

	lastFailure atomic.Pointer[error] // that the breaker was told of
}

// New returns a Client, or one sentence for each option that cannot be used.
func New(o Options) (*Client, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	o.setDefaults()
	base, err := ParseBaseURL(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("reading option BaseURL: %w", err)
	}
	c := &Client{
		options: o,
		baseURL: base,
		http:    &http.Client{Transport: o.Transport, CheckRedirect: doNotFollow},
		limiter: newLimiter(o.Clock, o.RequestsPerMinute),
	}
	c.breaker = newBreaker(o)
	c.exchange = newExchange(c)
	if c.metrics, err = newMetrics(o.Registerer, c.breaker); err != nil {
		return nil, err
	}
	return c, nil
}

// doNotFollow makes a redirection an answer like any other: following one would hand the credentials, which Go does not
// know to be such, to whatever host it names, and would turn a POST into a GET.
func doNotFollow(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// sleep waits on the clock until d is over or the context is done.
func sleep(ctx context.Context, clk clock.Clock, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := clk.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
