// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/birth"
)

// certificate writes a certificate and its key into a new folder, as kubelet does with a Secret.
func certificate(t *testing.T, files ...string) string {
	t.Helper()
	certPEM, keyPEM, err := cert.GenerateSelfSignedCertKey("localhost", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	contents := map[string][]byte{"tls.crt": certPEM, "tls.key": keyPEM}
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(folder, file), contents[file], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestBirthWebhookConfig(t *testing.T) {
	whole, keyless, broken := certificate(t, "tls.crt", "tls.key"), certificate(t, "tls.crt"), certificate(t, "tls.crt", "tls.key")
	if err := os.WriteFile(filepath.Join(broken, "tls.key"), []byte("half a ke"), 0o600); err != nil {
		t.Fatal(err)
	}
	const unusable = "--birth-webhook-cert-dir (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_CERT_DIR): the folder has no certificate that can be used; want tls.crt and tls.key, as from a Secret of type kubernetes.io/tls: "
	cases := map[string]struct {
		args []string
		want string // the error, empty for none
	}{
		"without a port nothing else of it matters": {args: []string{"--birth-webhook-cert-dir=/absent", "--birth-webhook-node-name-pattern=["}},
		"a port with a certificate":                 {args: []string{"--birth-webhook-port=9443", "--birth-webhook-cert-dir=" + whole}},
		"a port that is no port is refused": {
			args: []string{"--birth-webhook-port=99999", "--birth-webhook-cert-dir=" + whole},
			want: `--birth-webhook-port (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_PORT): 99999 is not a number from 1 to 65535, or 0 for no webhook`,
		},
		"a port below 0 is refused": {
			args: []string{"--birth-webhook-port=-1", "--birth-webhook-cert-dir=" + whole},
			want: `--birth-webhook-port (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_PORT): -1 is not a number from 1 to 65535, or 0 for no webhook`,
		},
		"a port without a folder is refused": {
			args: []string{"--birth-webhook-port=9443"},
			want: `--birth-webhook-cert-dir (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_CERT_DIR): it is empty, and a webhook needs a certificate: name the folder with tls.crt and tls.key, or turn the webhook off with --birth-webhook-port=0`,
		},
		"a folder that is not there is named": {
			args: []string{"--birth-webhook-port=9443", "--birth-webhook-cert-dir=/absent"},
			want: unusable + "open /absent/tls.crt: no such file or directory",
		},
		"a key that is not there is named": {
			args: []string{"--birth-webhook-port=9443", "--birth-webhook-cert-dir=" + keyless},
			want: unusable + "open " + keyless + "/tls.key: no such file or directory",
		},
		"a key that cannot be read is refused, and not shown": {
			args: []string{"--birth-webhook-port=9443", "--birth-webhook-cert-dir=" + broken},
			want: unusable + "tls: failed to find any PEM data in key input",
		},
		"a pattern that is no pattern is refused": {
			args: []string{"--birth-webhook-port=9443", "--birth-webhook-cert-dir=" + whole, "--birth-webhook-node-name-pattern=["},
			want: "--birth-webhook-node-name-pattern (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_NODE_NAME_PATTERN): \"[\" is not a regular expression that matches the nodes VPSie creates: error parsing regexp: missing closing ]: `[`",
		},
		"a pattern that matches every node is refused": {
			args: []string{"--birth-webhook-port=9443", "--birth-webhook-cert-dir=" + whole, "--birth-webhook-node-name-pattern="},
			want: `--birth-webhook-node-name-pattern (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_NODE_NAME_PATTERN): "" is not a regular expression that matches the nodes VPSie creates: it is empty`,
		},
		"each mistake is named": {
			args: []string{"--birth-webhook-port=99999", "--birth-webhook-node-name-pattern="},
			want: strings.Join([]string{
				`--birth-webhook-cert-dir (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_CERT_DIR): it is empty, and a webhook needs a certificate: name the folder with tls.crt and tls.key, or turn the webhook off with --birth-webhook-port=0`,
				`--birth-webhook-node-name-pattern (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_NODE_NAME_PATTERN): "" is not a regular expression that matches the nodes VPSie creates: it is empty`,
				`--birth-webhook-port (VPSIE_AUTOSCALER_BIRTH_WEBHOOK_PORT): 99999 is not a number from 1 to 65535, or 0 for no webhook`,
			}, "\n"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := ""
			if _, err := parse(t, nil, tc.args...); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBirthWebhookIsServedInEveryReplica(t *testing.T) {
	c, err := parse(t, nil, "--birth-webhook-port=9443", "--birth-webhook-cert-dir="+certificate(t, "tls.crt", "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(&rest.Config{Host: "127.0.0.1:1"}, ctrl.Options{WebhookServer: birthServer(c)})
	if err != nil {
		t.Fatal(err)
	}
	if err := setupBirth(mgr, c, prometheus.NewPedanticRegistry()); err != nil {
		t.Fatal(err)
	}
	server := mgr.GetWebhookServer()
	if server.NeedLeaderElection() {
		t.Error("only the leader would answer")
	}
	if _, got := server.WebhookMux().Handler(httptest.NewRequestWithContext(t.Context(), http.MethodPost, birth.Path, http.NoBody)); got != birth.Path {
		t.Errorf("served at %q, want %q", got, birth.Path)
	}
}

func TestBirthWebhookIsOffUnlessItIsWanted(t *testing.T) {
	c, err := parse(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if server := birthServer(c); server != nil {
		t.Errorf("got %v, want no server", server)
	}
	registry := prometheus.NewPedanticRegistry()
	if err := setupBirth(nil, c, registry); err != nil { // a manager that is asked for its webhook server starts one
		t.Fatal(err)
	}
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("got metrics %v, %v of a webhook that is not there", families, err)
	}
}
