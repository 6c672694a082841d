// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package law

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
)

// noClock reports code that reads the clock by itself. Only commands and tests do; everybody else is given one, or a test could
// not move time and the same input would not give the same plan.
func noClock(r *Repository) []Violation {
	readers := []string{"Now", "Since", "Until", "Sleep", "After", "Tick", "NewTimer", "NewTicker", "AfterFunc"}
	var found []Violation
	for _, file := range r.Go {
		if file.Test() || within(file.Folder(), "cmd") || within(file.Folder(), "test") || within(file.Folder(), "hack") {
			continue
		}
		for _, use := range uses(file, "time") {
			if slices.Contains(readers, use.Sel.Name) {
				found = append(found, file.At(use.Pos(), "time.%s: take the clock from Options (k8s.io/utils/clock)", use.Sel.Name))
			}
		}
	}
	return sorted(found)
}

// noLogging reports logging in scheduling. kube-scheduler's framework wants a logger in its context, so scheduling may make one
// that leads nowhere; it may not write to it.
func noLogging(r *Repository) []Violation {
	silent := map[string][]string{
		"k8s.io/klog/v2":          {"Background", "NewContext", "Logger"},
		"github.com/go-logr/logr": {"Discard", "NewContext", "Logger"},
	}
	var found []Violation
	for _, file := range r.Go {
		if file.Test() || !within(file.Folder(), "scheduling") {
			continue
		}
		for library, allowed := range silent {
			for _, use := range uses(file, library) {
				if !slices.Contains(allowed, use.Sel.Name) {
					found = append(found, file.At(use.Pos(), "%s of %s: %s", use.Sel.Name, library, noLoggers))
				}
			}
		}
	}
	return sorted(found)
}

// uses lists what a file refers to of a package.
func uses(file GoFile, importPath string) []*ast.SelectorExpr {
	name := imported(file.Syntax, importPath)
	if name == "" {
		return nil
	}
	var found []*ast.SelectorExpr
	ast.Inspect(file.Syntax, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			if base, ok := selector.X.(*ast.Ident); ok && base.Name == name {
				found = append(found, selector)
			}
		}
		return true
	})
	return found
}

// noMachineNames reports paths and hosts that exist on a developer's machine only. Patterns are written so that they do not find
// themselves.
func noMachineNames(r *Repository) []Violation {
	paths := regexp.MustCompile(`(^|[^\w.@-])/(wo` + `rk|ro` + `ot|fa` + `rm)/\w`)
	hosts := regexp.MustCompile(`\bproxy\.golang\.or` + `g\b|\bregistry\.npmjs\.or` + `g\b|\bdeb\.debian\.or` + `g\b`)
	return lines(r, func(line string) string {
		if match := paths.FindString(line); match != "" {
			return fmt.Sprintf("names a path of one machine: %s", strings.TrimSpace(match))
		}
		if match := hosts.FindString(line); match != "" {
			return fmt.Sprintf("names %s: leave where packages come from to the machine's settings", match)
		}
		return ""
	})
}

// noPromises reports notes to ourselves.
func noPromises(r *Repository) []Violation {
	words := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME)\b`)
	return lines(r, func(line string) string {
		if match := words.FindString(line); match != "" {
			return match + ": do it, or open an issue and say what the code does today"
		}
		return ""
	})
}

// lines applies a check to every line of every text but licences and checksums.
func lines(r *Repository, check func(line string) string) []Violation {
	var found []Violation
	for name, text := range r.Texts {
		if name == "LICENSE" || strings.HasSuffix(name, "go.sum") {
			continue
		}
		for number, line := range strings.Split(text, "\n") {
			if problem := check(line); problem != "" {
				found = append(found, Violation{name, number + 1, problem})
			}
		}
	}
	return sorted(found)
}
