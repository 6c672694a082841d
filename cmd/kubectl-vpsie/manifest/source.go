// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const standardInput = "-"

// display is how messages call a file.
func display(name string) string {
	if name == standardInput {
		return "standard input"
	}
	return name
}

// expand replaces folders by the manifests in them, by name. Folders in folders are left alone, as kubectl does.
func expand(paths []string) ([]string, error) {
	var files, problems []string
	for _, path := range paths {
		found, problem := filesOf(path)
		if problem != "" {
			problems = append(problems, problem)
		}
		for _, file := range found {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	if len(problems) > 0 {
		return nil, &InvalidError{Problems: problems}
	}
	return files, nil
}

func filesOf(path string) (files []string, problem string) {
	if path == standardInput {
		return []string{path}, ""
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Sprintf("%s: there is no such file or folder", path)
	case err != nil:
		return nil, fmt.Sprintf("%s: %v", path, errors.Unwrap(err))
	case !info.IsDir():
		return []string{path}, ""
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Sprintf("%s: reading the folder: %v", path, err)
	}
	for _, entry := range entries {
		if slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(entry.Name()))) && !entry.IsDir() {
			files = append(files, filepath.Join(path, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Sprintf("%s: no file in this folder ends in .yaml, .yml or .json", path)
	}
	return files, ""
}

func open(name string, stdin io.Reader) (io.ReadCloser, error) {
	if name == standardInput {
		return io.NopCloser(stdin), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, &InvalidError{Problems: []string{fmt.Sprintf("%s: %v", name, errors.Unwrap(err))}}
	}
	return file, nil
}
