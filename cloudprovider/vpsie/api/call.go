// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
)

// request is one call, before anything is known about credentials.
type request struct {
	endpoint Endpoint
	method   string
	path     string // below /apps/v2, escaped
	query    url.Values
	body     any // nil: none
	// about names what the request is for. It is sent along for VPSie's logs, which otherwise know no order from another.
	about string
}

// call returns the data of the envelope. A read is repeated while repeating makes sense; a change is sent once, and
// its error is ambiguous unless it is certain that nothing happened.
func (c *Client) call(ctx context.Context, r request) (json.RawMessage, error) {
	if !r.endpoint.changes() {
		return c.read(ctx, r)
	}
	data, err := c.attempt(ctx, r)
	if err == nil && wire.IsFalse(data) {
		err = &MalformedError{Op: r.endpoint, StatusCode: 200, Problem: "neither an error nor success: its data is false"}
	}
	if leavesDoubt(err) && opOf(err) == r.endpoint {
		return nil, &AmbiguousError{Err: err}
	}
	return data, err
}

func (c *Client) read(ctx context.Context, r request) (json.RawMessage, error) {
	waits := &backoff.ExponentialBackOff{
		InitialInterval: 500 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second,
	}
	for tries := 1; ; tries++ {
		data, err := c.attempt(ctx, r)
		if err == nil || tries >= c.options.ReadAttempts || !isTransient(err) || ctx.Err() != nil {
			return data, err
		}
		wait := waits.NextBackOff()
		c.options.Logger.V(1).Info("Repeated a read of VPSie", "endpoint", r.endpoint, "tries", tries, "wait", wait, "error", err.Error())
		if sleep(ctx, c.options.Clock, wait) != nil {
			return nil, err
		}
	}
}

// attempt sends the request with the present credentials. Where they were refused it sends it once more with a new token,
// or with the credentials that took their place while it was on its way: a request that was not authenticated has changed
// nothing, and a rotation must not cost a call in flight.
func (c *Client) attempt(ctx context.Context, r request) (json.RawMessage, error) {
	creds, auth, err := c.authorization(ctx)
	if err != nil {
		return nil, err
	}
	a, err := c.send(ctx, r, creds, auth)
	if !IsUnauthorized(err) {
		return a.data, err
	}
	c.exchange.forget(ctx, auth)
	again, newer, secondErr := c.authorization(ctx)
	switch {
	case secondErr != nil && auth.exchanged:
		return nil, secondErr
	case secondErr != nil || newer == auth && again.URL == creds.URL:
		return nil, err
	}
	a, err = c.send(ctx, r, again, newer)
	return a.data, err
}

// authorization returns the present credentials and what a request proves its right with.
func (c *Client) authorization(ctx context.Context) (Credentials, authorization, error) {
	creds, err := c.options.Credentials(ctx)
	if err != nil {
		return Credentials{}, authorization{}, &CredentialsError{Err: err}
	}
	auth, err := c.exchange.authorize(ctx, creds)
	return creds, auth, err
}

// send waits for the request's turn and sends it, once.
func (c *Client) send(ctx context.Context, r request, creds Credentials, auth authorization) (answer, error) {
	a, err := c.sendInTurn(ctx, r, creds, auth)
	c.metrics.count(r.endpoint, err)
	return a, err
}

func (c *Client) sendInTurn(ctx context.Context, r request, creds Credentials, auth authorization) (answer, error) {
	if c.breakerOpen() {
		return answer{}, c.refusedByBreaker(r.endpoint)
	}
	waited, err := c.limiter.wait(ctx)
	c.metrics.throttled.Add(waited.Seconds())
	if err != nil {
		return answer{}, fmt.Errorf("%s: waiting for its turn: %w", r.endpoint, err)
	}
	done, err := c.breaker.Allow()
	if err != nil {
		return answer{}, c.refusedByBreaker(r.endpoint)
	}
	a, err := c.roundTrip(ctx, r, creds, auth)
	verdict := breakerVerdict(ctx.Err(), err)
	if errors.Is(verdict, errFailed) {
		c.lastFailure.Store(&err)
	}
	done(verdict)
	return a, err
}

// opOf returns the endpoint that an answer or its lack belongs to: a change whose token could not be had was never sent.
func opOf(err error) Endpoint {
	var transport *TransportError
	var malformed *MalformedError
	var refused *APIError
	switch {
	case errors.As(err, &transport):
		return transport.Op
	case errors.As(err, &malformed):
		return malformed.Op
	case errors.As(err, &refused):
		return refused.Op
	}
	return ""
}
