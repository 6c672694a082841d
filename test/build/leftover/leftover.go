// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package leftover turns the path of a sandbox's state folder into the processes that still run for it, and a folder into the files in it.
// It never ends a process and never removes a file.
package leftover

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Processes names the programs of the live processes that were started with the state folder in their arguments.
func Processes(state string) ([]string, error) {
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, fmt.Errorf("looking for processes: %w", err)
	}
	if len(lines) == 0 {
		return nil, errors.New("looking for processes: there is no /proc to see them in")
	}
	var found []string
	for _, file := range lines {
		// One that has ended meanwhile has no line any more.
		if line, err := os.ReadFile(filepath.Clean(file)); err == nil && strings.Contains(string(line), state) {
			program, _, _ := strings.Cut(string(line), "\x00")
			found = append(found, filepath.Base(program))
		}
	}
	return found, nil
}

// Files lists the files below a folder, by their paths in it.
func Files(folder string) ([]string, error) {
	var found []string
	err := fs.WalkDir(os.DirFS(folder), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for files: %w", err)
	}
	return found, nil
}
