// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Command docs turns the metrics and event reasons that the code declares into docs/metrics.md and docs/events.md. It reads the source, so a
// page cannot speak of something that does not exist.
package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

type metric struct{ name, kind, labels, help string }

type event struct{ reason, emitter, meaning string }

type found struct {
	metrics []metric
	events  []event
}

// sources are the folders whose code runs in a cluster.
var sources = []string{"cloudprovider", "disruption", "provisioner", "scheduling", "state", "cmd/vpsie-autoscaler"}

func run(root string) error {
	var f found
	for _, folder := range sources {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return f.read(root, path)
		})
		if err != nil {
			return fmt.Errorf("reading %s: %w", folder, err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "metrics.md"), []byte(f.metricsPage()), 0o644); err != nil { //nolint:gosec // a page that everybody may read
		return fmt.Errorf("writing the page of metrics: %w", err)
	}
	if err := os.WriteFile(filepath.Join(root, "docs", "events.md"), []byte(f.eventsPage()), 0o644); err != nil { //nolint:gosec // as above
		return fmt.Errorf("writing the page of events: %w", err)
	}
	return nil
}

func (f *found) read(root, path string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return fmt.Errorf("parsing %s: %w", path, err)
	}
	folder, err := filepath.Rel(root, filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("naming the folder of %s: %w", path, err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.CallExpr:
			f.metric(n)
		case *ast.GenDecl:
			if n.Tok == token.CONST {
				f.constants(n, filepath.ToSlash(folder))
			}
		}
		return true
	})
	return nil
}

// metric notes a call such as NewCounterVec(prometheus.CounterOpts{...}, []string{...}).
func (f *found) metric(call *ast.CallExpr) {
	if len(call.Args) == 0 {
		return
	}
	options, ok := call.Args[0].(*ast.CompositeLit)
	if !ok {
		return
	}
	selector, ok := options.Type.(*ast.SelectorExpr)
	if !ok || !strings.HasSuffix(selector.Sel.Name, "Opts") {
		return
	}
	m := metric{kind: strings.ToLower(strings.TrimSuffix(selector.Sel.Name, "Opts"))}
	for _, element := range options.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			switch fmt.Sprint(pair.Key) {
			case "Name":
				m.name = text(pair.Value)
			case "Help":
				m.help = text(pair.Value)
			}
		}
	}
	if len(call.Args) > 1 {
		if labels, ok := call.Args[1].(*ast.CompositeLit); ok {
			var names []string
			for _, label := range labels.Elts {
				names = append(names, text(label))
			}
			m.labels = strings.Join(names, ", ")
		}
	}
	if m.name != "" {
		f.metrics = append(f.metrics, m)
	}
}

// constants notes the reasons: string constants whose names begin with Event, each with a comment.
func (f *found) constants(declaration *ast.GenDecl, folder string) {
	for _, spec := range declaration.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || len(value.Values) != 1 || !strings.HasPrefix(value.Names[0].Name, "Event") {
			continue
		}
		meaning := cmp.Or(value.Comment.Text(), value.Doc.Text(), declaration.Doc.Text())
		meaning = strings.TrimPrefix(strings.Join(strings.Fields(meaning), " "), value.Names[0].Name+" ")
		if reason := text(value.Values[0]); reason != "" {
			f.events = append(f.events, event{reason: reason, emitter: folder, meaning: meaning})
		}
	}
}

// text returns the value of a string literal, also of several that are added up.
func text(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.BasicLit:
		value, err := strconv.Unquote(e.Value)
		if err != nil {
			return ""
		}
		return value
	case *ast.BinaryExpr:
		return text(e.X) + text(e.Y)
	default:
		return ""
	}
}

func (f *found) metricsPage() string {
	slices.SortFunc(f.metrics, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	var page strings.Builder
	page.WriteString("# Metrics\n\nGenerated from the code by `make generate`. Prices are in the account's currency per hour.\n\n")
	page.WriteString("| Metric | Type | Labels | Meaning |\n|---|---|---|---|\n")
	for _, m := range f.metrics {
		fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", m.name, m.kind, m.labels, m.help)
	}
	return page.String()
}

func (f *found) eventsPage() string {
	slices.SortFunc(f.events, func(a, b event) int {
		return cmp.Or(strings.Compare(a.emitter, b.emitter), strings.Compare(a.reason, b.reason))
	})
	var page strings.Builder
	page.WriteString("# Events\n\nGenerated from the code by `make generate`. `kubectl events --for pod/NAME` or `kubectl describe` shows them.\n\n")
	page.WriteString("| Reason | From | Meaning |\n|---|---|---|\n")
	for _, e := range f.events {
		fmt.Fprintf(&page, "| `%s` | %s | %s |\n", e.reason, e.emitter, e.meaning)
	}
	return page.String()
}
