// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

// SecretName is where users keep VPSie's credentials unless they say otherwise, as namespace/name.
const SecretName = "kube-system/vpsie-secret"

// Keys of the Secret. It holds a token, or a client id and its secret; the token goes first where both are there.
const (
	KeyToken        = "token"
	KeyClientID     = "clientId"
	KeyClientSecret = "clientSecret"
	KeyURL          = "url"
)

// Source reads the credentials from the Secret of that namespace/name, of which read returns the data. What to do
// where there are none to send is decided by the rules, as for every other error.
func Source(secret string, read func(context.Context) (map[string][]byte, error)) api.Source {
	return func(ctx context.Context) (api.Credentials, error) {
		data, err := read(ctx)
		switch {
		case apierrors.IsNotFound(err):
			return api.Credentials{}, &secretMissingError{secret}
		case err != nil:
			return api.Credentials{}, fmt.Errorf("the Secret %s could not be read: %w", secret, err)
		}
		return CredentialsFrom(secret, data)
	}
}

// secretMissingError says that there is no such Secret: somebody has not made it yet, or deleted it to make it anew.
type secretMissingError struct{ secret string }

func (e *secretMissingError) Error() string { return fmt.Sprintf("the Secret %s is missing", e.secret) }

// CredentialsFrom reads the data of the Secret of that namespace/name. What is wrong comes back as one sentence that says how to fix it, with
// the reaction GiveUp; a value is never quoted, but for the URL.
func CredentialsFrom(secret string, data map[string][]byte) (api.Credentials, error) {
	read := secretReader{name: secret, data: data}
	c := api.Credentials{
		Token: read.value(KeyToken), ClientID: read.value(KeyClientID), ClientSecret: read.value(KeyClientSecret), URL: read.value(KeyURL),
	}
	switch {
	case read.err != nil:
	case c.Token == "" && c.ClientID == "" && c.ClientSecret == "":
		read.fail("it has no credentials%s; put an API token made in the VPSie console under the key %q", read.present(), KeyToken)
	case c.Token == "" && c.ClientID == "":
		read.fail("key %q is there but %q is missing%s; add it, or use the key %q alone", KeyClientSecret, KeyClientID, read.present(), KeyToken)
	case c.Token == "" && c.ClientSecret == "":
		read.fail("key %q is there but %q is missing%s; add it, or use the key %q alone", KeyClientID, KeyClientSecret, read.present(), KeyToken)
	}
	// A URL that is overlooked would send the credentials to the wrong place.
	if key := read.misspelled(KeyURL); c.URL == "" && key != "" {
		read.fail("key %q is not read; rename it to %q", key, KeyURL)
	}
	if c.URL != "" {
		if _, err := api.ParseBaseURL(c.URL); err != nil {
			read.fail("key %q: %w", KeyURL, err)
		}
	}
	if read.err != nil {
		return api.Credentials{}, read.err
	}
	return c, nil
}

type secretReader struct {
	name string
	data map[string][]byte
	err  error
}

func (r *secretReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = &cloudprovider.Error{
			Reaction: cloudprovider.GiveUp, Reason: ReasonInvalidCredentials,
			Err: fmt.Errorf("the Secret %s: %w", r.name, fmt.Errorf(format, args...)),
		}
	}
}

// value returns the trimmed value of a key: a line break at the end is the most common slip with files and echo.
func (r *secretReader) value(key string) string {
	raw, there := r.data[key]
	value := strings.TrimSpace(string(raw))
	switch {
	case there && value == "":
		r.fail("key %q is empty; fill it in or remove it", key)
	case strings.ContainsFunc(value, func(c rune) bool { return unicode.IsSpace(c) || c < ' ' || c > '~' }):
		r.fail("key %q holds a blank, a line break or another character that does not belong there; paste the value again", key)
	}
	return value
}

// present tells which keys there are, or which of them was probably meant for one that is missing.
func (r *secretReader) present() string {
	if len(r.data) == 0 {
		return " (it has no keys at all, or does not exist)"
	}
	for _, known := range []string{KeyToken, KeyClientID, KeyClientSecret} {
		if key := r.misspelled(known); key != "" {
			return fmt.Sprintf(" (key %q must be spelled %q)", key, known)
		}
	}
	return fmt.Sprintf(" (its keys are %s)", strings.Join(r.keys(), ", "))
}

// misspelled returns the key that was probably meant for a known one.
func (r *secretReader) misspelled(known string) string {
	for _, key := range r.keys() {
		if key != known && plain(key) == plain(known) {
			return key
		}
	}
	return ""
}

func (r *secretReader) keys() []string { return slices.Sorted(maps.Keys(r.data)) }

// plain drops what spellings of one name differ in.
func plain(key string) string {
	return strings.ToLower(strings.NewReplacer("-", "", "_", "", ".", "").Replace(key))
}
