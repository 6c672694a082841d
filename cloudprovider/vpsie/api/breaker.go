// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/sony/gobreaker/v2"
)

var (
	errFailed     = errors.New("transport error or status 5xx")
	errCallerLeft = errors.New("the caller gave up first")
)

// newBreaker stops requests after failures in a row. Only transport errors and status 5xx are failures; a caller that
// gave up says nothing about VPSie.
func newBreaker(o Options) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        "vpsie",
		Timeout:     o.BreakerPause,
		ReadyToTrip: func(n gobreaker.Counts) bool { return int(n.ConsecutiveFailures) >= o.BreakerFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, errCallerLeft) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			o.Logger.Info("Changed the circuit breaker's state", "from", from.String(), "to", to.String())
		},
	})
}

// refusedByBreaker tells what made the breaker open. It does not wrap that: this request, unlike that one, was not sent.
func (c *Client) refusedByBreaker(endpoint Endpoint) error {
	if last := c.lastFailure.Load(); last != nil {
		return fmt.Errorf("%s: %w; the last failure: %s", endpoint, ErrBreakerOpen, (*last).Error())
	}
	return fmt.Errorf("%s: %w", endpoint, ErrBreakerOpen)
}

// breakerVerdict is what the breaker is told about a request that ended in err.
func breakerVerdict(callerLeft error, err error) error {
	var transport *TransportError
	var answer *APIError
	switch {
	case errors.As(err, &transport) && callerLeft != nil:
		return errCallerLeft
	case errors.As(err, &transport):
		return errFailed
	case errors.As(err, &answer) && answer.StatusCode >= http.StatusInternalServerError:
		return errFailed
	}
	return nil
}
