// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package law turns the files of the repository into a list of broken rules: who may import whom, what every
// file and package must carry, which names must be documented. It reads files and never runs the go command,
// whose answers a cached test would miss.
package law

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// Module is the path of the project's module.
const Module = "github.com/vpsieinc/vpsie-k8s-autoscaler"

// Rule is one law of the repository.
type Rule struct {
	Name  string // a sentence that holds when nothing is reported
	Check func(*Repository) []Violation
}

// Violation is one place where a rule is broken.
type Violation struct {
	File string
	Line int // 0: the file as a whole
	Text string
}

func (v Violation) String() string {
	if v.Line == 0 {
		return fmt.Sprintf("%s: %s", v.File, v.Text)
	}
	return fmt.Sprintf("%s:%d: %s", v.File, v.Line, v.Text)
}

// Rules lists every law, in the order in which they are explained in CONTRIBUTING.md.
func Rules() []Rule {
	return []Rule{
		{"folders import only what the import law allows", importLaw},
		{"decisions do not log", noLogging},
		{"the clock is injected", noClock},
		{"every package has one package comment", packageComments},
		{"every Go file carries the licence header", licenceHeaders},
		{"both modules use the same versions", moduleVersions},
		{"no file names a machine of ours", noMachineNames},
		{"no file promises work instead of doing it", noPromises},
		{"every metric is documented, and nothing else", metricsDocumented},
		{"every event reason is documented, and nothing else", eventsDocumented},
	}
}

// Repository is the content of the tree that rules look at.
type Repository struct {
	Go    []GoFile
	Texts map[string]string // every file that is text, by its slash-separated path
}

// GoFile is one parsed Go file.
type GoFile struct {
	Path   string // from the root, with slashes
	Syntax *ast.File
	Set    *token.FileSet
}

// Folder is the folder of the file, "." for the root.
func (f GoFile) Folder() string { return path.Dir(f.Path) }

// Test says whether the file is compiled for tests only.
func (f GoFile) Test() bool { return strings.HasSuffix(f.Path, "_test.go") }

// Generated says whether a program wrote the file.
func (f GoFile) Generated() bool { return ast.IsGenerated(f.Syntax) }

// At is a violation at a position in the file.
func (f GoFile) At(pos token.Pos, format string, args ...any) Violation {
	return Violation{f.Path, f.Set.Position(pos).Line, fmt.Sprintf(format, args...)}
}

// Load reads and parses the tree. Folders that hold results (.git, .cache, bin) are not part of it.
func Load(tree fs.FS) (*Repository, error) {
	r := &Repository{Texts: map[string]string{}}
	set := token.NewFileSet()
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skipped(name):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return fmt.Errorf("reading the tree: %w", err)
		}
		return r.add(set, name, content)
	})
	return r, err
}

func (r *Repository) add(set *token.FileSet, name string, content []byte) error {
	if !utf8.Valid(content) {
		return nil
	}
	r.Texts[name] = string(content)
	if path.Ext(name) != ".go" || slices.Contains(strings.Split(name, "/"), "testdata") {
		return nil
	}
	syntax, err := parser.ParseFile(set, name, content, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parsing: %w", err)
	}
	r.Go = append(r.Go, GoFile{Path: name, Syntax: syntax, Set: set})
	return nil
}

func skipped(folder string) bool {
	return slices.Contains([]string{".git", ".cache", ".sandbox", "bin"}, folder)
}

// sorted orders violations, so that the same tree gives the same report.
func sorted(violations []Violation) []Violation {
	slices.SortFunc(violations, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
	return violations
}

// within says whether a path is the folder or below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}
