// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"

	"github.com/sony/gobreaker/v2"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
)

// answer is what came back.
type answer struct {
	op        Endpoint
	status    int
	requestID string
	body      []byte
	data      json.RawMessage
}

func (a answer) malformed(problem string) *MalformedError {
	return &MalformedError{Op: a.op, StatusCode: a.status, RequestID: a.requestID, Problem: problem}
}

func (c *Client) breakerOpen() bool { return c.breaker.State() == gobreaker.StateOpen }

// roundTrip sends one request and reads its answer.
func (c *Client) roundTrip(ctx context.Context, r request, creds Credentials, auth authorization) (answer, error) {
	secrets := []string{creds.Token, creds.ClientSecret, creds.ClientID, auth.token}
	ctx, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	var wire wireTap
	req, err := c.newRequest(httptrace.WithClientTrace(ctx, wire.trace()), r, creds, auth)
	if err != nil {
		return answer{}, err
	}
	started := c.options.Clock.Now()
	defer func() { c.metrics.observe(r.endpoint, c.options.Clock.Since(started)) }()
	response, err := c.http.Do(req)
	if err != nil {
		return answer{}, transportError(r.endpoint, req.URL, err, wire.silent(), secrets)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, c.options.MaxResponseBytes+1))
	if err != nil {
		return answer{}, transportError(r.endpoint, req.URL, err, false, secrets)
	}
	a := answer{
		op: r.endpoint, status: response.StatusCode, body: redactBody(body, creds.Token, creds.ClientSecret, auth.token),
		requestID: redact(clip(response.Header.Get("X-Request-Id"), 100), secrets...),
	}
	if int64(len(body)) > c.options.MaxResponseBytes {
		return a, a.malformed(fmt.Sprintf("it is longer than %d bytes", c.options.MaxResponseBytes))
	}
	return c.judge(a, response.Header, secrets)
}

// judge turns an answer into its data or its error.
func (c *Client) judge(a answer, header http.Header, secrets []string) (answer, error) {
	e, err := wire.ParseEnvelope(a.body)
	pause := retryAfter(header, c.options.Clock.Now())
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		c.limiter.pauseFor(pause)
	}
	refused := &APIError{Op: a.op, StatusCode: a.status, RequestID: a.requestID, RetryAfter: pause, Message: clip(redact(e.Message, secrets...), 300)}
	switch {
	case a.status < http.StatusOK, a.status >= http.StatusMultipleChoices:
		return a, refused
	case a.status == http.StatusNoContent:
		return a, nil
	case err != nil:
		return a, a.malformed(err.Error())
	case e.Failed:
		return a, refused
	}
	a.data = e.Data
	return a, nil
}

func (c *Client) newRequest(ctx context.Context, r request, creds Credentials, auth authorization) (*http.Request, error) {
	base := c.baseURL
	if creds.URL != "" {
		var err error
		if base, err = ParseBaseURL(creds.URL); err != nil {
			return nil, &CredentialsError{Err: fmt.Errorf("%w: the URL beside them: %w", ErrUnusableCredentials, err)}
		}
	}
	target, err := url.Parse(base.String() + r.path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: path %q", r.endpoint, ErrInvalidRequest, r.path)
	}
	target.RawQuery = r.query.Encode()
	var body io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("%s: %w: writing its body: %w", r.endpoint, ErrInvalidRequest, err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", r.endpoint, ErrInvalidRequest, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.options.UserAgent)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	// net/http would refuse any other value, after which nobody could say whether the request was sent.
	if about := clip(r.about, 100); about != "" && sendable(about) == nil {
		req.Header.Set("X-Request-Id", about)
	}
	if auth.token != "" {
		req.Header.Set("Vpsie-Auth", auth.token)
	}
	if auth.exchanged { // nothing tells which of the two an exchanged token belongs into
		req.Header.Set("Authorization", "Bearer "+auth.token)
	}
	return req, nil
}

// transportError drops net/http's repetition of method and URL, of which only the host helps whoever reads it: without it, a timeout does
// not tell where to look.
func transportError(op Endpoint, target *url.URL, err error, silent bool, secrets []string) *TransportError {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		err = outer.Err
	}
	unsent := silent || failedBeforeSending(err)
	if text := redact(err.Error(), secrets...); text != err.Error() {
		err = errors.New(text)
	}
	return &TransportError{Op: op, Host: redact(target.Host, secrets...), Err: err, Unsent: unsent}
}

// wireTap knows whether a request had a connection to leave on.
type wireTap struct{ asked, got atomic.Bool }

func (w *wireTap) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) { w.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.got.Store(true) },
	}
}

// silent is certain only where the transport reports to the tap, as net/http's does and others may not.
func (w *wireTap) silent() bool { return w.asked.Load() && !w.got.Load() }
