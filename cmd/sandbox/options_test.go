// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

// parsed returns the options that a command line asks for.
func parsed(t *testing.T, args ...string) (stack.Options, error) {
	t.Helper()
	var c common
	cmd := &cobra.Command{}
	c.add(cmd, "demo")
	if err := cmd.ParseFlags(append([]string{"--controller", os.Args[0]}, args...)); err != nil {
		t.Fatal(err)
	}
	return c.options(&bytes.Buffer{})
}

func TestFlagsReachTheStack(t *testing.T) {
	repository := t.TempDir()
	got, err := parsed(t, "--repository", repository, "--worker-limit=7", "--fail-ready=3", "--seed=5", "--boot=fast", "--kube-port=1", "--vpsie-port=65535",
		"--credentials=client", "--scheduler", os.Args[0], "--catalogue=../../cloudprovider/vpsiesim/catalogue.json", "--controller-arg=--a", "--controller-arg=--b")
	if err != nil {
		t.Fatal(err)
	}
	if got.Catalogue == nil || len(got.Catalogue.Offers) == 0 {
		t.Error("the catalogue was not read")
	}
	got.Step, got.Catalogue = nil, nil
	want := stack.Options{
		State: filepath.Join(repository, ".sandbox"), Chart: filepath.Join(repository, "charts", "vpsie-autoscaler"), Controller: os.Args[0],
		ControllerArgs: []string{"--a", "--b"}, VPSiePort: 65535, KubePort: 1, Seed: 5, WorkerLimit: 7, Boot: stack.Fast(),
		Scheduler: os.Args[0], FailReady: 3, Credentials: stack.Client,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFlagThatAsksForNonsenseIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scheduler.txt")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		want string
	}{
		"no worker":                      {[]string{"--worker-limit=0"}, "--worker-limit: 0 is not from 1 to 10000"},
		"fewer workers than none":        {[]string{"--worker-limit=-1"}, "--worker-limit: -1 is not from 1 to 10000"},
		"more workers than names":        {[]string{"--worker-limit=10001"}, "--worker-limit: 10001 is not from 1 to 10000"},
		"a share below none":             {[]string{"--fail-ready=-1"}, "--fail-ready: -1 is not from 0 to 10000"},
		"a port that there is not":       {[]string{"--kube-port=65536"}, "--kube-port: 65536 is not from 0 to 65535"},
		"a negative port":                {[]string{"--vpsie-port=-1"}, "--vpsie-port: -1 is not from 0 to 65535"},
		"a boot nobody knows":            {[]string{"--boot=warp"}, `--boot: "warp" is none of real, demo, fast`},
		"credentials nobody knows":       {[]string{"--credentials=password"}, `--credentials: "password" is none of token, client`},
		"a scheduler that is not there":  {[]string{"--scheduler=/nowhere/s"}, "--scheduler: stat /nowhere/s: no such file or directory"},
		"a scheduler that is no program": {[]string{"--scheduler=" + file}, "--scheduler: " + file + " is not a program"},
		"a catalogue that is not there":  {[]string{"--catalogue=/nowhere/c"}, "--catalogue: reading catalogue: open /nowhere/c: no such file or directory"},
		"a controller that is not built": {[]string{"--controller=/nowhere/v"}, "the controller's program /nowhere/v is missing: run make build"},
		"two at once":                    {[]string{"--boot=warp", "--worker-limit=0"}, "--boot: \"warp\" is none of real, demo, fast\n--worker-limit: 0 is not from 1 to 10000"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := parsed(t, tc.args...)
			if diff := cmp.Diff(tc.want, text(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type stoppable struct{ err error }

func (s stoppable) Stop() error { return s.err }

func TestStopping(t *testing.T) {
	for _, tc := range []struct {
		err  error
		said string
	}{
		{nil, "\nstopping the sandbox ...\nnothing runs any more\n"},
		{errors.New("etcd had to be killed"), "\nstopping the sandbox ...\n"},
	} {
		var said bytes.Buffer
		if err := stop(&said, stoppable{tc.err}); !errors.Is(err, tc.err) || said.String() != tc.said {
			t.Errorf("said %q, returned %v", said.String(), err)
		}
	}
}
