// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// claimFile marks a folder as a sandbox's state. The sandbox that uses the folder holds a lock on
// it, which the kernel drops with the process: a stale pid can never lock anybody out.
const claimFile = "sandbox.pid"

// StateError says why a folder cannot be this sandbox's state, and what to do about it.
type StateError struct{ message string }

func (e *StateError) Error() string { return e.message }

// claim is the right to use a state folder.
type claim struct {
	file *os.File
}

// claimState makes the state folder this sandbox's own and empties it of what an earlier sandbox
// left. It refuses a folder that a live sandbox uses, and one with files that no sandbox wrote:
// emptying that would delete somebody's work.
func claimState(dir string) (*claim, error) {
	if err := refuseForeign(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the state folder: %w", err)
	}
	path := filepath.Join(dir, claimFile)
	file, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claiming the state folder: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := readPID(path)
		return nil, errors.Join(&StateError{fmt.Sprintf("the state folder %q is in use by a running sandbox (process %s):"+
			" stop that one, or give this one another folder", dir, holder)}, file.Close())
	}
	c := &claim{file: file}
	if err := c.begin(dir); err != nil {
		return nil, errors.Join(err, c.release())
	}
	return c, nil
}

// begin writes who holds the folder and removes what the last holder left.
func (c *claim) begin(dir string) error {
	if err := c.file.Truncate(0); err != nil {
		return fmt.Errorf("claiming the state folder: %w", err)
	}
	if _, err := c.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("claiming the state folder: %w", err)
	}
	for _, folder := range []string{etcdFolder, pkiFolder, kubeconfigFolder, logFolder} {
		path := filepath.Join(dir, folder)
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("emptying the state folder: %w", err)
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			return fmt.Errorf("preparing the state folder: %w", err)
		}
	}
	return nil
}

// release gives the folder back. The file stays, as the mark that the folder is a sandbox's.
func (c *claim) release() error {
	if err := c.file.Close(); err != nil {
		return fmt.Errorf("releasing the state folder: %w", err)
	}
	return nil
}

func refuseForeign(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the state folder: %w", err)
	}
	if len(entries) == 0 {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, claimFile)); err == nil {
		return nil
	}
	return &StateError{fmt.Sprintf("the folder %q holds files that no sandbox put there (%q, for one):"+
		" give an empty one or a new one as the state folder", dir, entries[0].Name())}
}

func readPID(path string) string {
	content, err := os.ReadFile(filepath.Clean(path))
	if pid := strings.TrimSpace(string(content)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}
