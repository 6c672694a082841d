// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package leftover_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/leftover"
)

func TestProcessesFindsTheOnesOfAStateFolder(t *testing.T) {
	state := t.TempDir()
	command := exec.CommandContext(t.Context(), "tail", "-f", "/dev/null", filepath.Join(state, "log"))
	if err := os.WriteFile(filepath.Join(state, "log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	found := func() []string {
		names, err := leftover.Processes(state)
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if diff := cmp.Diff([]string{"tail"}, found()); diff != "" {
		t.Error(diff)
	}
	if err := command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = command.Wait() // it was killed
	if names := found(); names != nil {
		t.Errorf("%v still run", names)
	}
}

func TestFilesListsWhatIsBelow(t *testing.T) {
	home := t.TempDir()
	for _, want := range [][]string{nil, {".kube/cache/discovery.json"}} {
		for _, name := range want {
			path := filepath.Join(home, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := leftover.Files(home)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
	if _, err := leftover.Files(filepath.Join(home, "nowhere")); err == nil {
		t.Error("a folder that is not there was found empty")
	}
}
