// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

func TestCredentialsFrom(t *testing.T) {
	type secret map[string]string
	for name, test := range map[string]struct {
		secret secret
		want   api.Credentials
		err    string
	}{
		"a token":                         {secret: secret{"token": "s3cret"}, want: api.Credentials{Token: "s3cret"}},
		"a token with a line break after": {secret: secret{"token": "s3cret\n"}, want: api.Credentials{Token: "s3cret"}},
		"a client":                        {secret: secret{"clientId": "c", "clientSecret": "s3cret"}, want: api.Credentials{ClientID: "c", ClientSecret: "s3cret"}},
		"both, with what the first autoscaler kept there": {
			secret: secret{"token": "s3cret", "clientId": "c", "projectId": "p", "datacenterId": "d", "url": "https://api.vpsie.com/apps/v2"},
			want:   api.Credentials{Token: "s3cret", ClientID: "c", URL: "https://api.vpsie.com/apps/v2"},
		},
		"nothing": {err: `it has no credentials (it has no keys at all, or does not exist); put an API token made in the VPSie console under the key "token"`},
		"other keys": {
			secret: secret{"apiKey": "s3cret", "a": "b"},
			err:    `it has no credentials (its keys are a, apiKey); put an API token made in the VPSie console under the key "token"`,
		},
		"a key in other letters": {
			secret: secret{"Token": "s3cret"},
			err:    `it has no credentials (key "Token" must be spelled "token"); put an API token made in the VPSie console under the key "token"`,
		},
		"half a client": {
			secret: secret{"clientId": "c", "client_secret": "s3cret"},
			err:    `key "clientId" is there but "clientSecret" is missing (key "client_secret" must be spelled "clientSecret"); add it, or use the key "token" alone`,
		},
		"the other half of a client": {
			secret: secret{"clientSecret": "s3cret"},
			err:    `key "clientSecret" is there but "clientId" is missing (its keys are clientSecret); add it, or use the key "token" alone`,
		},
		"an empty token":           {secret: secret{"token": "\n"}, err: `key "token" is empty; fill it in or remove it`},
		"a token with a blank":     {secret: secret{"token": "s3c ret"}, err: `key "token" holds a blank, a line break or another character that does not belong there; paste the value again`},
		"a token with a bad quote": {secret: secret{"token": "“s3cret”"}, err: `key "token" holds a blank, a line break or another character that does not belong there; paste the value again`},
		"a URL without scheme":     {secret: secret{"token": "s3cret", "url": "api.vpsie.com"}, err: `key "url": "api.vpsie.com" has no scheme; write https://api.vpsie.com`},
		"a URL that is overlooked": {secret: secret{"token": "s3cret", "URL": "https://api2.vpsie.com"}, err: `key "URL" is not read; rename it to "url"`},
		"a URL with a password":    {secret: secret{"token": "t", "url": "https://me:s3cret@api.vpsie.com"}, err: `key "url": the URL holds a user name; credentials go into keys of their own`},
	} {
		t.Run(name, func(t *testing.T) {
			data := map[string][]byte{}
			for key, value := range test.secret {
				data[key] = []byte(value)
			}
			got, err := CredentialsFrom("cloud/credentials", data)
			if got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if test.err == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if want := "the Secret cloud/credentials: " + test.err; err == nil || err.Error() != want {
				t.Fatalf("got  %v\nwant %s", err, want)
			}
			if verdict(err) != "GiveUp InvalidCredentials" || strings.Contains(err.Error(), "s3c") {
				t.Errorf("got %s: %v", verdict(err), err)
			}
		})
	}
}

// TestASecretThatIsMadeAnewFailsNoOrder deletes the Secret, and then has it not readable: orders wait meanwhile, nothing is planned and
// nothing is sent, and the next order after it is there again goes through.
func TestASecretThatIsMadeAnewFailsNoOrder(t *testing.T) {
	data, err := map[string][]byte{KeyToken: []byte("t")}, error(nil)
	w := &world{script: newScript(nil), clock: clocktesting.NewFakeClock(epoch), registry: prometheus.NewPedanticRegistry()}
	client, failed := api.New(api.Options{
		Credentials: Source("cloud/credentials", func(context.Context) (map[string][]byte, error) { return data, err }),
		Transport:   w.script, Clock: w.clock, RequestsPerMinute: 60_000,
	})
	if failed != nil {
		t.Fatal(failed)
	}
	if w.Provider, failed = New(client, Options{Clock: w.clock, Registerer: w.registry, Secret: "cloud/credentials"}); failed != nil {
		t.Fatal(failed)
	}
	if err := w.buy(t, "3"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		err           error
		verdict, text string
	}{
		{
			apierrors.NewNotFound(corev1.Resource("secrets"), "credentials"), "TryLater CredentialsMissing",
			"reading VPSie's credentials: the Secret cloud/credentials is missing; " +
				"create it: kubectl -n cloud create secret generic credentials --from-literal=token=<VPSie API token>",
		},
		{
			errors.New("connection refused"), "TryLater CredentialsUnreadable",
			"reading VPSie's credentials: the Secret cloud/credentials could not be read: connection refused; " +
				"check that the Kubernetes API server answers and that the controller may read this Secret",
		},
	} {
		err = step.err
		sent := len(w.requests())
		order := w.buy(t, "3")
		if verdict(order) != step.verdict || !strings.HasSuffix(order.Error(), step.text) {
			t.Errorf("the order ended in %s: %v\nwant %s: %s", verdict(order), order, step.verdict, step.text)
		}
		if got := w.refused(t); got != 1 {
			t.Errorf("%s: the metric is %v", step.verdict, got)
		}
		if _, offers := w.Offerings(t.Context()); verdict(offers) != step.verdict {
			t.Errorf("the offerings are %q, want %q", verdict(offers), step.verdict)
		}
		if got := len(w.requests()) - sent; got != 0 {
			t.Errorf("%s: %d requests were sent without credentials", step.verdict, got)
		}
		err = nil
		if _, offers := w.Offerings(t.Context()); offers != nil {
			t.Errorf("with the Secret there again: %v", offers)
		}
		if got := w.refused(t); got != 0 {
			t.Errorf("with the Secret there again the metric is %v", got)
		}
		if order := w.buy(t, "3"); order != nil {
			t.Errorf("with the Secret there again: %v", order)
		}
	}
}

// TestACallerThatLeavesWhileTheSecretIsReadLocksNobodyOut: its context says nothing of the Secret.
func TestACallerThatLeavesWhileTheSecretIsReadLocksNobodyOut(t *testing.T) {
	w := newWorld(t, nil)
	err := w.explain("asking", &api.CredentialsError{Err: context.Canceled})
	if verdict(err) != "TryLater Canceled" || w.refused(t) != 0 {
		t.Errorf("got %s, and the metric is %v", verdict(err), w.refused(t))
	}
}
