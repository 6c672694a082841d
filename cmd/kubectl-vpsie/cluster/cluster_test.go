// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestRefusesEveryRequestThatCouldChangeSomething(t *testing.T) {
	var arrived []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived = append(arrived, r.Method)
	}))
	defer server.Close()
	transport := readOnly{http.DefaultTransport}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, "LIST"} {
		request, err := http.NewRequestWithContext(t.Context(), method, server.URL+"/api/v1/nodes", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := transport.RoundTrip(request)
		if err == nil {
			response.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "a plan only reads") {
			t.Errorf("%s: got error %v", method, err)
		}
	}
	if len(arrived) > 0 {
		t.Errorf("%v arrived at the server", arrived)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if len(arrived) != 1 {
		t.Error("reading did not arrive at the server")
	}
}

func TestEveryClientOfAClusterOnlyReads(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s arrived at the server", r.Method, r.URL)
		}
	}))
	defer server.Close()
	live, err := connect(&rest.Config{Host: server.URL}, Options{}, scheme)
	if err != nil {
		t.Fatal(err)
	}
	writer, ok := live.reader.(client.Client)
	if !ok {
		t.Fatal("the reader is no client, so this test proves nothing")
	}
	if err := writer.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "x", Name: "y"}}); err == nil {
		t.Error("a pod was created")
	}
}

func TestOpenNamesWhatIsMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none")
	t.Setenv("KUBECONFIG", path)
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := Open(Options{}, runtime.NewScheme()); err == nil || !strings.Contains(err.Error(), "plan for manifests with -f FILE") {
		t.Errorf("without a kubeconfig: got error %v", err)
	}
	if err := os.WriteFile(path, []byte("apiVersion: v1\nkind: Config\nclusters: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Context: "elsewhere"}, runtime.NewScheme()); err == nil || !strings.Contains(err.Error(), `"elsewhere"`) {
		t.Errorf("with a context that does not exist: got error %v", err)
	}
}
