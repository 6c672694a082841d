// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/util/cert"
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
