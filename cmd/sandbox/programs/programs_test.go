// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testingclock "k8s.io/utils/clock/testing"
)

// The test program also plays the go command: it answers `go env`, and `go build` writes the
// programs unless the folder holds a file that asks it to fail.
const fakeGo = "SANDBOX_PROGRAMS_FAKE_GO"

func TestMain(m *testing.M) {
	if os.Getenv(fakeGo) == "" {
		os.Exit(m.Run())
	}
	os.Exit(playGo(os.Args[1:]))
}

func playGo(args []string) int {
	if args[0] == "env" {
		fmt.Println(os.Getenv(fakeGo)) // stands for the Go version
		return 0
	}
	calls, err := os.OpenFile("calls", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 2
	}
	_, _ = fmt.Fprintln(calls, strings.Join(args, " "), os.Getenv("CGO_ENABLED"))
	_ = calls.Close()
	fmt.Fprintln(os.Stderr, "go: downloading k8s.io/api v0.37.2")
	fmt.Fprintln(os.Stderr, "k8s.io/api/core/v1")
	if _, err := os.Stat("fail"); err == nil {
		fmt.Fprintln(os.Stderr, "# k8s.io/kubernetes/pkg/x")
		fmt.Fprintln(os.Stderr, "x.go:1:1: undefined: y")
		return 1
	}
	for i, arg := range args {
		if arg != "-o" {
			continue
		}
		for _, name := range append(names()[1:], "server") {
			if os.WriteFile(filepath.Join(args[i+1], name), []byte("program "+name), 0o700) != nil {
				return 2
			}
		}
	}
	return 0
}

const goMod = `module example.com/controlplane

require k8s.io/kubernetes v1.37.2 // indirect
`

// repository is a folder that looks like ours to Build.
func repository(t *testing.T) BuildOptions {
	t.Helper()
	t.Setenv(fakeGo, "go1.26.8")
	root := t.TempDir()
	write(t, filepath.Join(root, "hack", "controlplane", "go.mod"), goMod)
	write(t, filepath.Join(root, "hack", "controlplane", "go.sum"), "sums")
	return BuildOptions{Root: root, Go: os.Args[0]}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func builds(t *testing.T, o BuildOptions) []string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(o.Root, "hack", "controlplane", "calls"))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func build(t *testing.T, o BuildOptions) string {
	t.Helper()
	bin, err := Build(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

func TestBuildMakesEveryProgramOnce(t *testing.T) {
	o := repository(t)
	bin := build(t, o)
	build(t, o)
	if err := Check(bin); err != nil {
		t.Error(err)
	}
	calls := builds(t, o)
	if len(calls) != 1 {
		t.Fatalf("go build ran %d times, want once: %v", len(calls), calls)
	}
	for _, want := range []string{"-X k8s.io/component-base/version.gitVersion=v1.37.2", "gitMinor=37", "tool 0"} {
		if !strings.Contains(calls[0], want) {
			t.Errorf("%q is missing from: %s", want, calls[0])
		}
	}
	if strings.Contains(calls[0], "trimpath") {
		t.Errorf("-trimpath would compile everything a second time: %s", calls[0])
	}
	content, err := os.ReadFile(filepath.Join(bin, Etcd))
	if err != nil || string(content) != "program server" {
		t.Errorf("etcd is %q, %v; want a copy of the program that go names server", content, err)
	}
	if _, err := os.Stat(filepath.Join(bin, "server")); err != nil {
		t.Errorf("the next build has to link etcd again: %v", err)
	}
}

func TestBuildRunsAgainWhen(t *testing.T) {
	tests := map[string]func(t *testing.T, o BuildOptions, bin string){
		"go.mod changed": func(t *testing.T, o BuildOptions, _ string) {
			write(t, filepath.Join(o.Root, "hack", "controlplane", "go.mod"), goMod+"\n// changed\n")
		},
		"go.sum changed": func(t *testing.T, o BuildOptions, _ string) {
			write(t, filepath.Join(o.Root, "hack", "controlplane", "go.sum"), "other sums")
		},
		"the Go version changed": func(t *testing.T, _ BuildOptions, _ string) { t.Setenv(fakeGo, "go1.27.0") },
		"a program is missing": func(t *testing.T, _ BuildOptions, bin string) {
			if err := os.Remove(filepath.Join(bin, Helm)); err != nil {
				t.Fatal(err)
			}
		},
		"a program is half-copied": func(t *testing.T, _ BuildOptions, bin string) {
			write(t, filepath.Join(bin, APIServer), "prog")
		},
		"the build was interrupted": func(t *testing.T, _ BuildOptions, bin string) {
			if err := os.Remove(filepath.Join(bin, stampFile)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			o := repository(t)
			bin := build(t, o)
			change(t, o, bin)
			build(t, o)
			if calls := builds(t, o); len(calls) != 2 {
				t.Errorf("go build ran %d times, want twice", len(calls))
			}
			if err := Check(bin); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFailedBuildTellsWhyAndLeavesNothingThatLooksComplete(t *testing.T) {
	o := repository(t)
	bin := build(t, o)
	write(t, filepath.Join(o.Root, "hack", "controlplane", "go.sum"), "other sums")
	write(t, filepath.Join(o.Root, "hack", "controlplane", "fail"), "")
	_, err := Build(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "x.go:1:1: undefined: y") {
		t.Errorf("Build says %v, want the compiler's message", err)
	}
	if err != nil && strings.Contains(err.Error(), "downloading") {
		t.Errorf("the message is mixed with progress: %v", err)
	}
	if err := Check(bin); err == nil {
		t.Error("Check accepts the folder of a failed build")
	}
}

func TestBuildRefusesAModuleWithoutAKubernetesVersion(t *testing.T) {
	o := repository(t)
	write(t, filepath.Join(o.Root, "hack", "controlplane", "go.mod"), "module example.com/x\n")
	if _, err := Build(t.Context(), o); err == nil || !strings.Contains(err.Error(), "k8s.io/kubernetes") {
		t.Errorf("Build says %v", err)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	tests := map[string]struct {
		harm func(bin string) error
		want []string
	}{
		"nothing was built": {
			harm: os.RemoveAll,
			want: []string{"not built", "make control-plane"},
		},
		"a program is missing": {
			harm: func(bin string) error { return os.Remove(filepath.Join(bin, Scheduler)) },
			want: []string{Scheduler, "missing", "make control-plane"},
		},
		"a program is cut short": {
			harm: func(bin string) error { return os.Truncate(filepath.Join(bin, Etcd), 3) },
			want: []string{Etcd, "half-built", "3 bytes, want 14", "make control-plane"},
		},
		"a program may not be run": {
			harm: func(bin string) error { return os.Chmod(filepath.Join(bin, Kubectl), 0o600) },
			want: []string{Kubectl, "not a program that can be run", "make control-plane"},
		},
		"the stamp is damaged": {
			harm: func(bin string) error { return os.Truncate(filepath.Join(bin, stampFile), 5) },
			want: []string{stampFile, "damaged", "make control-plane"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bin := build(t, repository(t))
			if err := test.harm(bin); err != nil {
				t.Fatal(err)
			}
			err := Check(bin)
			if err == nil {
				t.Fatal("Check accepts it")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing from: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %v", err)
			}
		})
	}
}

func TestProgressCountsPackagesAndKeepsMessages(t *testing.T) {
	var out bytes.Buffer
	clock := testingclock.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	p := newProgress(&out, clock)
	for _, chunk := range []string{"go: downloading a v1\nk8s.io/a", "pi\nk8s.io/b\n\n# k8s.io/c\n", "c.go:1: bad", " thing"} {
		if n, err := p.Write([]byte(chunk)); n != len(chunk) || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	clock.Step(83 * time.Second)
	p.print()
	clock.Step(5 * time.Second)
	p.print()
	want := "control plane: 1m23s, 2 packages compiled, 1 module downloaded\n" +
		"control plane: 1m28s, 2 packages compiled, 1 module downloaded, linking\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff("# k8s.io/c\nc.go:1: bad thing", p.messages()); diff != "" {
		t.Error(diff)
	}
}

func TestABuildThatCompilesNothingSaysThatItLinks(t *testing.T) {
	var out bytes.Buffer
	clock := testingclock.NewFakeClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	p := newProgress(&out, clock)
	clock.Step(5 * time.Second)
	p.print()
	if diff := cmp.Diff("control plane: 5s, 0 packages compiled, 0 modules downloaded, linking\n", out.String()); diff != "" {
		t.Error(diff)
	}
}
