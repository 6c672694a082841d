// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

func secret(namespace, name string, data map[string]string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{}}
	for key, value := range data {
		s.Data[key] = []byte(value)
	}
	return s
}

// TestCredentials reads the Secret as the controller does and asks whether VPSie is ready, which is what a NodeGroup shows.
func TestCredentials(t *testing.T) {
	var token string
	vpsie := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token = r.Header.Get("Vpsie-Auth")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer vpsie.Close()
	const create = "; create it: kubectl -n kube-system create secret generic vpsie-secret --from-literal=token=<VPSie API token>"
	for name, test := range map[string]struct {
		secrets []client.Object
		args    []string
		broken  error  // that the API server answers with
		want    string // reaction and reason
		text    string
		token   string // that VPSie sees
	}{
		"the Secret is missing": {
			want: "TryLater CredentialsMissing", text: "the Secret kube-system/vpsie-secret is missing" + create,
		},
		"it is in another namespace": {
			secrets: []client.Object{secret("default", "vpsie-secret", map[string]string{"token": "s3cret-token"})},
			want:    "TryLater CredentialsMissing", text: "the Secret kube-system/vpsie-secret is missing" + create,
		},
		"the one that is configured is missing": {
			secrets: []client.Object{secret("kube-system", "vpsie-secret", map[string]string{"token": "s3cret-token"})},
			args:    []string{"--credentials-namespace=cloud", "--credentials-secret=account"},
			want:    "TryLater CredentialsMissing",
			text:    "the Secret cloud/account is missing; create it: kubectl -n cloud create secret generic account --from-literal=token=<VPSie API token>",
		},
		"the one that is configured is used": {
			secrets: []client.Object{
				secret("kube-system", "vpsie-secret", map[string]string{"token": "wrong"}),
				secret("cloud", "account", map[string]string{"token": "s3cret-token", "url": vpsie.URL}),
			},
			args: []string{"--credentials-namespace=cloud", "--credentials-secret=account"},
			want: "GiveUp Unauthorized", text: "check the token, or client id and secret, in the Secret cloud/account", token: "s3cret-token",
		},
		"it has no token": {
			secrets: []client.Object{secret("kube-system", "vpsie-secret", map[string]string{"url": vpsie.URL})},
			want:    "GiveUp InvalidCredentials",
			text:    `the Secret kube-system/vpsie-secret: it has no credentials (its keys are url); put an API token made in the VPSie console under the key "token"`,
		},
		"the API server cannot be reached": {
			broken: errors.New("dial tcp 10.0.0.1:6443: connect: connection refused"),
			want:   "TryLater CredentialsUnreadable",
			text: "the Secret kube-system/vpsie-secret could not be read: dial tcp 10.0.0.1:6443: connect: connection refused; " +
				"check that the Kubernetes API server answers and that the controller may read this Secret",
		},
	} {
		t.Run(name, func(t *testing.T) {
			token = ""
			c, err := parse(t, nil, test.args...)
			if err != nil {
				t.Fatal(err)
			}
			kube := interceptor.NewClient(fake.NewClientBuilder().WithObjects(test.secrets...).Build(), interceptor.Funcs{
				Get: func(ctx context.Context, kube client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
					if test.broken != nil {
						return test.broken
					}
					return kube.Get(ctx, key, object, options...)
				},
			})
			registry := prometheus.NewPedanticRegistry()
			cloud, err := newCloud(kube, c, registry, logr.Discard())
			if err != nil {
				t.Fatal(err)
			}
			err = cloud.Ready(t.Context())
			if got := string(cloudprovider.ReactionTo(err)) + " " + cloudprovider.ReasonOf(err); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if err == nil || !strings.HasSuffix(err.Error(), test.text) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("got  %v\nwant %s", err, test.text)
			}
			if token != test.token {
				t.Errorf("VPSie got the token %q, want %q", token, test.token)
			}
			locked := `
				# HELP vpsie_autoscaler_cloudprovider_credentials_refused 1 from a refusal of the credentials, or a Secret that is missing, wrong or unreadable, until VPSie takes them again, else 0; nothing is bought meanwhile.
				# TYPE vpsie_autoscaler_cloudprovider_credentials_refused gauge
				vpsie_autoscaler_cloudprovider_credentials_refused 1
			`
			if err := testutil.GatherAndCompare(registry, strings.NewReader(locked), "vpsie_autoscaler_cloudprovider_credentials_refused"); err != nil {
				t.Error(err)
			}
		})
	}
}
