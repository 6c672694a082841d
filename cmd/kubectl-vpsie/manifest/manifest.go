// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest turns files of Kubernetes manifests, in YAML or JSON, into objects, and what is wrong with them into sentences that
// name file, line, object and field. Lists are read item by item, so that one of 100,000 pods needs the memory of its pods and not
// of its text. It never asks a cluster and never fills in defaults.
package manifest

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
)

// Strictness says what to do about what is not understood but could be left out.
type Strictness int

// The degrees of strictness.
const (
	Lenient Strictness = iota // unknown kinds and fields become warnings
	Strict                    // they are errors
)

// Options of Read.
type Options struct {
	Kinds      []client.Object // one object of each kind that is wanted; others are skipped
	Scheme     *runtime.Scheme
	Strictness Strictness
	Stdin      io.Reader // what the path - stands for
}

// Result is what files say.
type Result struct {
	Objects  *objects.Set
	Warnings []string // sorted
}

// InvalidError is one or several mistakes in what was read, each on a line of its own.
type InvalidError struct{ Problems []string }

func (e *InvalidError) Error() string { return strings.Join(e.Problems, "\n") }

// problemsShown bounds the mistakes of one run: a hundred thousand equal ones help nobody.
const problemsShown = 20

// Read reads files, and the files in folders that end in .yaml, .yml or .json. What is wrong comes back as an InvalidError.
func Read(paths []string, options Options) (*Result, error) {
	r := &reader{options: options, wanted: map[schema.GroupVersionKind]bool{}, seen: map[identity]place{},
		skipped: map[string]int{}, unknown: map[string]int{}, set: objects.New(options.Scheme)}
	for _, sample := range options.Kinds {
		kinds, _, err := options.Scheme.ObjectKinds(sample)
		if err != nil {
			return nil, fmt.Errorf("looking up the kind of %T: %w", sample, err)
		}
		for _, kind := range kinds {
			r.wanted[kind] = true
		}
	}
	files, err := expand(paths)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := r.readFile(file); err != nil {
			return nil, err
		}
	}
	if len(r.problems) > 0 {
		return nil, r.invalid()
	}
	return &Result{Objects: r.set, Warnings: r.warnings()}, nil
}

// reader collects the objects of all files.
type reader struct {
	options  Options
	wanted   map[schema.GroupVersionKind]bool
	set      *objects.Set
	seen     map[identity]place
	skipped  map[string]int // by kind
	unknown  map[string]int // by field
	problems []string
	total    int // of problems
}

type identity struct {
	kind            string
	namespace, name string
}

type place struct {
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

func (r *reader) fail(at place, format string, args ...any) {
	r.total++
	if len(r.problems) < problemsShown {
		r.problems = append(r.problems, at.String()+": "+fmt.Sprintf(format, args...))
	}
}

func (r *reader) invalid() *InvalidError {
	if more := r.total - len(r.problems); more > 0 {
		r.problems = append(r.problems, fmt.Sprintf("and %d more", more))
	}
	return &InvalidError{Problems: r.problems}
}

func (r *reader) readFile(name string) error {
	file, err := open(name, r.options.Stdin)
	if err != nil {
		return err
	}
	defer file.Close()
	pipe := newPipeline(r.decode)
	splitting := split(display(name), file, pipe.add)
	results := pipe.finish()
	for _, d := range results {
		r.take(d)
	}
	var invalid *syntaxError
	switch {
	case errors.As(splitting, &invalid):
		r.fail(invalid.place, "%s", invalid.text)
	case splitting != nil:
		return fmt.Errorf("reading %s: %w", display(name), splitting)
	case len(results) == 0:
		r.fail(place{display(name), 1}, "there is nothing in it; want Kubernetes manifests in YAML or JSON")
	}
	return nil
}

// take adds what became of one document or item.
func (r *reader) take(d decoded) {
	for _, item := range d.items {
		r.take(item)
	}
	for _, problem := range d.problems {
		r.fail(problem.at, "%s", problem.text)
	}
	for _, unknown := range d.unknown {
		r.unknown[unknown.text]++
		if r.options.Strictness == Strict {
			r.fail(unknown.at, "%s: no such field is known; correct it, or do without --strict", unknown.text)
		}
	}
	switch {
	case d.skipped != "":
		r.skipped[d.skipped]++
		if r.options.Strictness == Strict {
			r.fail(d.at, "kind %s is not used by a plan; leave it out, or do without --strict", d.skipped)
		}
	case d.object != nil && len(d.problems) == 0:
		r.add(d)
	}
}

func (r *reader) add(d decoded) {
	id := identity{d.kind, d.object.GetNamespace(), d.object.GetName()}
	if first, twice := r.seen[id]; twice && id.name != "" {
		r.fail(d.at, "%s is there twice; it is also at %s", d.title(), first)
		return
	}
	r.seen[id] = d.at
	r.set.Add(d.object)
}

func (r *reader) warnings() []string {
	var warnings []string
	if len(r.skipped) > 0 {
		var kinds []string
		total := 0
		for _, kind := range slices.Sorted(maps.Keys(r.skipped)) {
			kinds = append(kinds, fmt.Sprintf("%d %s", r.skipped[kind], kind))
			total += r.skipped[kind]
		}
		warnings = append(warnings, fmt.Sprintf("skipped %s of a kind that a plan does not use: %s", plural(total), strings.Join(kinds, ", ")))
	}
	for _, path := range slices.Sorted(maps.Keys(r.unknown)) {
		warnings = append(warnings, fmt.Sprintf("ignored %s in %s: no such field is known", path, plural(r.unknown[path])))
	}
	return warnings
}

func plural(objects int) string {
	if objects == 1 {
		return "1 object"
	}
	return fmt.Sprintf("%d objects", objects)
}
