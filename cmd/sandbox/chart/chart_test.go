// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The test program plays helm: it tells its arguments and its settings folder, or fails.
const fakeHelm = "SANDBOX_CHART_FAKE_HELM"

func TestMain(m *testing.M) {
	switch os.Getenv(fakeHelm) {
	case "":
		os.Exit(m.Run())
	case "fails":
		fmt.Fprintln(os.Stderr, "Error: credentials: token or clientId is required")
		os.Exit(1)
	}
	said := slices.Concat(os.Args[1:], []string{"config=" + os.Getenv("HELM_CONFIG_HOME"), "cache=" + os.Getenv("KUBECACHEDIR")})
	if os.WriteFile(os.Getenv(fakeHelm), []byte(strings.Join(said, "\n")), 0o600) != nil {
		os.Exit(2)
	}
}

func release(t *testing.T) Release {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"Chart.yaml", "admin.kubeconfig"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Release{
		Helm: os.Args[0], Kubeconfig: filepath.Join(dir, "admin.kubeconfig"), Namespace: "kube-system", Name: "autoscaler", Dir: dir,
		Set: []string{"replicaCount=0", "a.b=c"},
	}
}

func TestInstallPassesEverythingAndKeepsOutOfTheUsersSettings(t *testing.T) {
	r := release(t)
	said := filepath.Join(t.TempDir(), "said")
	t.Setenv(fakeHelm, said)
	if err := Install(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"upgrade", "autoscaler", r.Dir, "--install", "--kubeconfig", r.Kubeconfig, "--namespace", "kube-system",
		"--set", "replicaCount=0", "--set", "a.b=c", "config=" + filepath.Join(r.Dir, "helm", "config"),
		"cache=" + filepath.Join(r.Dir, "helm", "cache"),
	}
	if diff := cmp.Diff(want, strings.Split(string(content), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestInstallTellsWhatHelmSaid(t *testing.T) {
	r := release(t)
	t.Setenv(fakeHelm, "fails")
	err := Install(t.Context(), r)
	for _, want := range []string{"helm upgrade", `release "autoscaler"`, r.Dir, "token or clientId is required"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from: %v", want, err)
		}
	}
}

func TestInstallRefuses(t *testing.T) {
	tests := map[string]struct {
		harm func(*Release)
		want string
	}{
		"a helm that was not built":   {func(r *Release) { r.Helm = "/nowhere/helm" }, "run `make control-plane`"},
		"a folder without a chart":    {func(r *Release) { r.Dir = "/nowhere" }, "give the folder of a chart"},
		"a cluster that never was":    {func(r *Release) { r.Kubeconfig = "/nowhere/kubeconfig" }, "start the sandbox first"},
		"several things, all of them": {func(r *Release) { r.Dir, r.Helm = "/nowhere", "/nowhere/helm" }, "give the folder of a chart"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := release(t)
			said := filepath.Join(t.TempDir(), "said")
			t.Setenv(fakeHelm, said)
			test.harm(&r)
			if err := Install(t.Context(), r); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Install: %v, want %q", err, test.want)
			}
			if _, err := os.Stat(said); err == nil {
				t.Error("helm was run")
			}
		})
	}
}
