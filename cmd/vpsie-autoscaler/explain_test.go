// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func TestExplainNamesThePortOfTheWebhookThatIsServed(t *testing.T) {
	c := &config{metricsAddress: ":8080", healthAddress: ":8081", birthPort: 9443}
	want := "choose another with --metrics-bind-address (now :8080) or --health-bind-address (now :8081) or --birth-webhook-port (now 9443): "
	if err := explain(syscall.EADDRINUSE, c); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s in it", err, want)
	}
}

func TestExplain(t *testing.T) {
	c := &config{metricsAddress: ":8080", healthAddress: ":8081"}
	cases := map[string]struct {
		err  error
		want string
	}{
		"a port in use": {
			err:  fmt.Errorf("listening: %w", syscall.EADDRINUSE),
			want: "a port is in use: stop the process that holds it, or choose another with --metrics-bind-address (now :8080) or --health-bind-address (now :8081): listening: address already in use",
		},
		"a port that only root may open": {
			err:  &net.OpError{Op: "listen", Net: "tcp", Err: syscall.EACCES},
			want: "an address cannot be listened on: choose another with --metrics-bind-address (now :8080) or --health-bind-address (now :8081): listen tcp: permission denied",
		},
		"anything else": {err: errors.New("other"), want: "other"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := explain(tc.err, c); err == nil || err.Error() != tc.want {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
	if err := explain(fmt.Errorf("stopping: %w", context.Canceled), c); err != nil {
		t.Errorf("the signal to stop is no error, and got %v", err)
	}
}

func TestExplainServer(t *testing.T) {
	const server = "https://10.0.0.1:6443"
	cases := map[string]struct {
		err  error
		want string
	}{
		"our kinds are missing": {
			err: fmt.Errorf("watching: %w", &meta.NoKindMatchError{GroupKind: v1alpha1.GroupVersion.WithKind("NodeGroup").GroupKind(), SearchedVersions: []string{"v1alpha1"}}),
			want: "the cluster at https://10.0.0.1:6443 does not know NodeGroup, VPSieNode and Disruption: install or upgrade the chart, which brings their definitions (make helm-install)," +
				` or only those (kubectl apply --server-side -f charts/vpsie-autoscaler/files/crds): watching: no matches for kind "NodeGroup" in version "autoscaler.vpsie.com/v1alpha1"`,
		},
		"a kind of a newer Kubernetes is missing": {
			err: &meta.NoResourceMatchError{PartialResource: schema.GroupVersionResource{Group: "resource.k8s.io", Version: "v1"}},
			want: "the cluster at https://10.0.0.1:6443 does not serve all that is needed: upgrade it to Kubernetes 1.34 or newer:" +
				" no matches for resource.k8s.io/v1, Resource=",
		},
		"anything else": {err: errors.New("other"), want: "other"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := explainServer(tc.err, &config{}, server); err == nil || err.Error() != tc.want {
				t.Errorf("got %v\nwant %s", err, tc.want)
			}
		})
	}
}

// What client-go makes of a server that is not there, or sends us away, is what the message has to be made of.
func TestTheStartSaysWhichServerDoesNotAnswer(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	defer refusing.Close()
	foreign := httptest.NewTLSServer(http.NotFoundHandler())
	defer foreign.Close()
	cases := map[string]struct {
		server string
		want   []string
	}{
		"nobody listens": {
			server: gone.URL,
			want:   []string{"the Kubernetes API at " + gone.URL + " cannot be reached", "kubectl --kubeconfig=/home/me/config get --raw /readyz", "connection refused"},
		},
		"somebody else listens": {
			server: foreign.URL,
			want:   []string{"the Kubernetes API at " + foreign.URL + " cannot be reached", "certificate signed by unknown authority"},
		},
		"the credentials are refused": {
			server: refusing.URL,
			want:   []string{"the Kubernetes API at " + refusing.URL + " does not accept the credentials", "kubectl --kubeconfig=/home/me/config auth whoami"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := &config{kubeconfig: "/home/me/config", metricsAddress: "0", healthAddress: "0", secretName: "vpsie-secret", secretNamespace: "kube-system"}
			_, err := newManager(&rest.Config{Host: tc.server}, c)
			err = explainServer(err, c, tc.server)
			if err == nil {
				t.Fatal("got no error")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing from: %v", want, err)
				}
			}
		})
	}
}
