// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"strings"
	"testing"

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
