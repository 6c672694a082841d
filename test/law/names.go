// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package law

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	metricsPage = "docs/metrics.md"
	eventsPage  = "docs/events.md"
)

// declared is a name that code declares and a page must explain.
type declared struct {
	name string
	at   Violation // where, without text
}

// metricsDocumented compares the metrics that code declares with docs/metrics.md.
func metricsDocumented(r *Repository) []Violation {
	var names []declared
	var found []Violation
	for _, file := range r.Go {
		if file.Test() || within(file.Folder(), "test") || within(file.Folder(), "hack") {
			continue
		}
		metrics, unclear := metricNames(r, file)
		names = append(names, metrics...)
		found = append(found, unclear...)
	}
	onPage := regexp.MustCompile(`\bvpsie_autoscaler_[a-z0-9_]+\b`).FindAllString(r.Texts[metricsPage], -1)
	for i, name := range onPage {
		onPage[i] = family(name, names)
	}
	return sorted(append(found, compareNames(metricsPage, "metric", names, onPage)...))
}

// family is the name of a metric without the suffix that a histogram's series carry in queries.
func family(series string, names []declared) string {
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, ok := strings.CutSuffix(series, suffix)
		if ok && slices.ContainsFunc(names, func(d declared) bool { return d.name == base }) {
			return base
		}
	}
	return series
}

// metricNames lists the metrics that a file declares: the names in prometheus' Opts, and string literals that look like one. A name
// that is put together at run time is reported, because nobody can look it up.
func metricNames(r *Repository, file GoFile) (names []declared, unclear []Violation) {
	seen := map[string]bool{}
	add := func(name string, pos token.Pos) {
		if !seen[name] {
			seen[name] = true
			names = append(names, declared{name, file.At(pos, "")})
		}
	}
	prometheus := imported(file.Syntax, "github.com/prometheus/client_golang/prometheus")
	literal := regexp.MustCompile(`^vpsie_autoscaler_[a-z0-9_]*[a-z0-9]$`)
	ast.Inspect(file.Syntax, func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.BasicLit:
			if text, err := strconv.Unquote(node.Value); err == nil && literal.MatchString(text) {
				add(text, node.Pos())
			}
		case *ast.CompositeLit:
			if !isOpts(node.Type, prometheus) {
				return true
			}
			name, ok := optsName(r, file, node)
			if !ok {
				unclear = append(unclear, file.At(node.Pos(), "the name of this metric is not made of constants of its package, so it cannot be looked up"))
			} else if name != "" {
				add(name, node.Pos())
			}
			return false
		}
		return true
	})
	return names, unclear
}

func isOpts(expr ast.Expr, prometheus string) bool {
	selector, ok := expr.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	base, ok := selector.X.(*ast.Ident)
	return ok && prometheus != "" && base.Name == prometheus && strings.HasSuffix(selector.Sel.Name, "Opts") && selector.Sel.Name != "HandlerOpts"
}

// optsName joins Namespace, Subsystem and Name as prometheus does.
func optsName(r *Repository, file GoFile, opts *ast.CompositeLit) (string, bool) {
	parts := map[string]string{}
	for _, element := range opts.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok {
			return "", false
		}
		key, ok := pair.Key.(*ast.Ident)
		if !ok || !slices.Contains([]string{"Namespace", "Subsystem", "Name"}, key.Name) {
			continue
		}
		if parts[key.Name], ok = constant(r, file, pair.Value); !ok {
			return "", false
		}
	}
	joined := []string{parts["Namespace"], parts["Subsystem"], parts["Name"]}
	return strings.Join(slices.DeleteFunc(joined, func(part string) bool { return part == "" }), "_"), true
}

// constant evaluates a string made of literals and constants of the file's package.
func constant(r *Repository, file GoFile, expr ast.Expr) (string, bool) {
	switch expr := expr.(type) {
	case *ast.ParenExpr:
		return constant(r, file, expr.X)
	case *ast.BasicLit:
		text, err := strconv.Unquote(expr.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		left, okLeft := constant(r, file, expr.X)
		right, okRight := constant(r, file, expr.Y)
		return left + right, okLeft && okRight && expr.Op == token.ADD
	case *ast.Ident:
		for _, other := range r.Go {
			if other.Folder() != file.Folder() {
				continue
			}
			for _, spec := range constants(other) {
				if at := slices.IndexFunc(spec.Names, func(name *ast.Ident) bool { return name.Name == expr.Name }); at >= 0 && at < len(spec.Values) {
					return constant(r, other, spec.Values[at])
				}
			}
		}
	}
	return "", false
}

// constants lists the constants that a file declares outside functions.
func constants(file GoFile) []*ast.ValueSpec {
	var found []*ast.ValueSpec
	for _, declaration := range file.Syntax.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			if value, ok := spec.(*ast.ValueSpec); ok {
				found = append(found, value)
			}
		}
	}
	return found
}

// eventsDocumented compares the constants named Event... with the reasons in the first column of docs/events.md's tables.
func eventsDocumented(r *Repository) []Violation {
	eventName := regexp.MustCompile(`^[eE]vent[A-Z]`)
	var names []declared
	for _, file := range r.Go {
		if file.Test() || within(file.Folder(), "test") || within(file.Folder(), "hack") {
			continue
		}
		for _, spec := range constants(file) {
			for i, ident := range spec.Names {
				if !eventName.MatchString(ident.Name) || i >= len(spec.Values) {
					continue
				}
				if reason, ok := constant(r, file, spec.Values[i]); ok {
					names = append(names, declared{reason, file.At(ident.Pos(), "")})
				}
			}
		}
	}
	var onPage []string
	for _, match := range regexp.MustCompile("(?m)^\\| *`([A-Za-z]+)` *\\|").FindAllStringSubmatch(r.Texts[eventsPage], -1) {
		onPage = append(onPage, match[1])
	}
	return sorted(compareNames(eventsPage, "event reason", names, onPage))
}

// compareNames reports names that only code or only the page knows.
func compareNames(page, kind string, names []declared, onPage []string) []Violation {
	documented, known := map[string]bool{}, map[string]bool{}
	for _, name := range onPage {
		documented[name] = true
	}
	var found []Violation
	for _, declared := range names {
		known[declared.name] = true
		if !documented[declared.name] {
			found = append(found, Violation{declared.at.File, declared.at.Line, fmt.Sprintf("%s %s has no row in %s (| `%s` | ...)", kind, declared.name, page, declared.name)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(documented)) {
		if !known[name] {
			found = append(found, Violation{File: page, Text: fmt.Sprintf("%s %s is declared nowhere: drop it", kind, name)})
		}
	}
	return found
}
