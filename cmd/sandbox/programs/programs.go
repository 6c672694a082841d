// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package programs turns hack/controlplane/go.mod into the programs of a real cluster: etcd,
// kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and helm, in one folder. It
// builds only when something changed, never downloads a program, and never touches the project's
// own module.
package programs

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The names of the programs in the folder that Build returns.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Scheduler         = "kube-scheduler"
	Kubectl           = "kubectl"
	Helm              = "helm"
)

// stampFile says what a folder was built from. It is written last, so a folder without it is a
// build that did not finish.
const stampFile = "stamp.json"

// names lists every program, in the order in which messages mention them.
func names() []string {
	return []string{Etcd, APIServer, ControllerManager, Scheduler, Kubectl, Helm}
}

// Folder is where the programs of the repository at root are kept.
func Folder(root string) string {
	return filepath.Join(root, ".cache", "bin")
}

// stamp is the content of the stamp file.
type stamp struct {
	// Key is a hash of everything that decides what is built.
	Key string `json:"key"`
	// Sizes tells a whole program from a half-copied one, without reading it.
	Sizes map[string]int64 `json:"sizes"`
}

// Check refuses a folder that does not hold a complete build, and says which file is wrong.
func Check(bin string) error {
	built, err := readStamp(bin)
	if err != nil {
		return err
	}
	for _, name := range names() {
		if err := checkOne(filepath.Join(bin, name), built.Sizes[name]); err != nil {
			return err
		}
	}
	return nil
}

func readStamp(bin string) (stamp, error) {
	path := filepath.Join(bin, stampFile)
	content, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		return stamp{}, fmt.Errorf("the control plane's programs in %q are not built, or their build did not finish (%q is missing): run `make control-plane`", bin, stampFile)
	}
	var built stamp
	if err := json.Unmarshal(content, &built); err != nil {
		return stamp{}, fmt.Errorf("%q is damaged: run `make control-plane`", path)
	}
	return built, nil
}

func checkOne(path string, size int64) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("the program %q is missing: run `make control-plane`", path)
	case !info.Mode().IsRegular() || info.Mode()&fs.FileMode(0o100) == 0:
		return fmt.Errorf("%q is not a program that can be run: run `make control-plane`", path)
	case info.Size() != size:
		return fmt.Errorf("the program %q is half-built or foreign (%d bytes, want %d): run `make control-plane`", path, info.Size(), size)
	}
	return nil
}

func writeStamp(bin, key string) error {
	built := stamp{Key: key, Sizes: map[string]int64{}}
	for _, name := range names() {
		info, err := os.Stat(filepath.Join(bin, name))
		if err != nil {
			return fmt.Errorf("looking for the built program: %w", err)
		}
		built.Sizes[name] = info.Size()
	}
	content, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the stamp: %w", err)
	}
	if err := os.WriteFile(filepath.Join(bin, stampFile), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the stamp: %w", err)
	}
	return nil
}
