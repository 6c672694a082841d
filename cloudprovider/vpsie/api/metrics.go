// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// Outcomes of a request: the closed set of the label outcome.
const (
	outcomeOK           = "ok"
	outcomeRefused      = "refused"
	outcomeUnauthorized = "unauthorized"
	outcomeRateLimited  = "rateLimited"
	outcomeServerError  = "serverError"
	outcomeMalformed    = "malformed"
	outcomeUnreachable  = "unreachable"
	outcomeBreakerOpen  = "breakerOpen"
	outcomeCanceled     = "canceled"
)

type metrics struct {
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	throttled prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, breaker *gobreaker.TwoStepCircuitBreaker[struct{}]) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_cloudprovider_requests_total",
			Help: "Requests to VPSie by endpoint and outcome; those not sent, for the breaker or a pause, are counted too.",
		}, []string{"endpoint", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "vpsie_autoscaler_cloudprovider_request_duration_seconds",
			Help:    "Time from sending a request to VPSie to the end of its answer.",
			Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"endpoint"}),
		throttled: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_cloudprovider_throttled_seconds_total",
			Help: "Time that requests to VPSie were held back to stay within the rate limit.",
		}),
	}
	state := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "vpsie_autoscaler_cloudprovider_breaker_state",
		Help: "Circuit breaker towards VPSie: 0 closed, 1 half open, 2 open (nothing is sent).",
	}, func() float64 { return float64(breaker.State()) })
	if registerer == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.throttled, state} {
		if err := registerer.Register(c); err != nil {
			return nil, fmt.Errorf("registering the metrics of VPSie's client: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(endpoint Endpoint, err error) {
	m.requests.WithLabelValues(string(endpoint), outcomeOf(err)).Inc()
}

func (m *metrics) observe(endpoint Endpoint, took time.Duration) {
	m.duration.WithLabelValues(string(endpoint)).Observe(took.Seconds())
}

func outcomeOf(err error) string {
	var transport *TransportError
	var malformed *MalformedError
	var answer *APIError
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, ErrBreakerOpen):
		return outcomeBreakerOpen
	case IsRateLimited(err):
		return outcomeRateLimited
	case errors.As(err, &answer) && answer.unauthorized():
		return outcomeUnauthorized
	case errors.As(err, &answer) && answer.StatusCode >= http.StatusInternalServerError:
		return outcomeServerError
	case errors.As(err, &malformed):
		return outcomeMalformed
	case errors.Is(err, context.Canceled):
		return outcomeCanceled
	case errors.As(err, &transport):
		return outcomeUnreachable
	case errors.Is(err, context.DeadlineExceeded): // while waiting for its turn
		return outcomeCanceled
	}
	return outcomeRefused
}
