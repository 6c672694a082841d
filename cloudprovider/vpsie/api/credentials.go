// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Credentials are a static token, or a client identifier and its secret that are exchanged for a token; a static token
// goes first where both are there. Printing them in any way shows only which of the two they are.
type Credentials struct {
	Token        string
	ClientID     string
	ClientSecret string
	URL          string // overrides Options.BaseURL where set
}

// Source returns the present credentials. It is asked often and must answer from memory.
type Source func(context.Context) (Credentials, error)

// Static returns a Source whose answer never changes.
func Static(c Credentials) Source {
	return func(context.Context) (Credentials, error) { return c, nil }
}

// Format keeps every verb of fmt from printing the secrets.
func (c Credentials) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, c.kind()) }

// MarshalLog keeps loggers from printing the secrets.
func (c Credentials) MarshalLog() any { return c.kind() }

// MarshalText keeps encoders from printing the secrets.
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.kind()), nil }

func (c Credentials) kind() string {
	switch {
	case c.Token != "":
		return "[static token]"
	case c.ClientID != "":
		return "[client id and secret]"
	}
	return "[no credentials]"
}

const redacted = "[redacted]"

// redact takes secrets out of a text that came from outside: a server may echo what it was sent.
func redact(text string, secrets ...string) string {
	for _, secret := range secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, redacted)
		}
	}
	return text
}

// redactBody takes secrets out of a whole answer, so that no name or identifier in it can carry one into a log or a condition.
// Short ones stay: they may be part of a number.
func redactBody(body []byte, secrets ...string) []byte {
	const long = 8
	for _, secret := range secrets {
		if len(secret) >= long {
			body = bytes.ReplaceAll(body, []byte(secret), []byte(redacted))
		}
	}
	return body
}

// clip makes a text from outside fit for one line of a log.
func clip(s string, length int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
	if runes := []rune(s); len(runes) > length {
		return string(runes[:length]) + "…"
	}
	return s
}
