// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
)

const (
	assumedLifetime = time.Hour
	renewBefore     = 5 * time.Minute
)

// authorization is what one request proves its right with.
type authorization struct {
	token     string
	exchanged bool
}

// exchange turns a client identifier and its secret into tokens, one at a time, and keeps the last. It does not build on
// x/oauth2: that reads its own clock, takes no context for the exchange, and cannot be told that a token was refused.
type exchange struct {
	client *Client
	turn   chan struct{} // held while reading or writing what follows; a channel, so that waiting ends with the context

	from    Credentials
	token   string
	renewAt time.Time
	expires time.Time
}

func newExchange(c *Client) *exchange { return &exchange{client: c, turn: make(chan struct{}, 1)} }

func (x *exchange) authorize(ctx context.Context, creds Credentials) (authorization, error) {
	if creds.Token != "" {
		return authorization{token: creds.Token}, sendable(creds.Token)
	}
	if creds.ClientID == "" || creds.ClientSecret == "" {
		return authorization{}, &CredentialsError{Err: fmt.Errorf("%w: want a token, or a client id and its secret; got %v", ErrUnusableCredentials, creds)}
	}
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return authorization{}, ctx.Err()
	}
	now := x.client.options.Clock.Now()
	same := x.token != "" && x.from == creds
	if same && now.Before(x.renewAt) {
		return authorization{token: x.token, exchanged: true}, nil
	}
	token, expires, err := x.client.authenticate(ctx, creds)
	switch {
	case err != nil && same && now.Before(x.expires):
		x.client.options.Logger.V(1).Info("Kept a token that could not be renewed", "expires", x.expires, "error", err.Error())
		return authorization{token: x.token, exchanged: true}, nil
	case err != nil:
		return authorization{}, err
	}
	if err := sendable(token); err != nil {
		return authorization{}, err
	}
	x.from, x.token = creds, token
	x.renewAt, x.expires = lifetime(x.client.options.Clock.Now(), expires)
	x.client.options.Logger.V(1).Info("Exchanged the client secret for a token", "expires", x.expires)
	return authorization{token: token, exchanged: true}, nil
}

// sendable refuses what net/http would refuse to put into a header, as a token that was pasted with a line break.
func sendable(token string) error {
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return &CredentialsError{Err: fmt.Errorf("%w: the token holds a blank, a line break or another character that no token has", ErrUnusableCredentials)}
	}
	return nil
}

// forget drops a token that VPSie refused, unless another one has taken its place.
func (x *exchange) forget(ctx context.Context, refused authorization) {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	case <-ctx.Done():
		return
	}
	if x.token == refused.token {
		x.token = ""
	}
}

// lifetime returns when to renew a token and when it ends. Where the clocks disagree so much that a new token seems to
// have ended, it is used for a minute: an exchange for each request would eat the rate limit.
func lifetime(now, expires time.Time) (renewAt, end time.Time) {
	life := expires.Sub(now)
	if expires.IsZero() {
		life = assumedLifetime
	}
	life = max(life, time.Minute)
	return now.Add(life - min(renewBefore, life/5)), now.Add(life)
}

func (c *Client) authenticate(ctx context.Context, creds Credentials) (string, time.Time, error) {
	body := map[string]string{"clientId": creds.ClientID, "clientSecret": creds.ClientSecret}
	r := request{endpoint: Authenticate, method: http.MethodPost, path: "/auth/from/api", body: body}
	answer, err := c.send(ctx, r, creds, authorization{})
	if err != nil {
		return "", time.Time{}, err
	}
	token, expires, err := wire.Token(answer.body)
	if err != nil {
		return "", time.Time{}, answer.malformed(err.Error())
	}
	return token, expires, nil
}
