// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package law

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// header is what every Go file starts with, before an empty line.
const header = "// Copyright The VPSie Autoscaler Authors.\n// SPDX-License-Identifier: Apache-2.0\n"

// licenceHeaders reports Go files without the header. Generators put their build constraint before it.
func licenceHeaders(r *Repository) []Violation {
	var found []Violation
	for _, file := range r.Go {
		text := r.Texts[file.Path]
		if strings.HasPrefix(text, header+"\n") || file.Generated() && strings.Contains(text, "\n"+header) {
			continue
		}
		found = append(found, Violation{
			File: file.Path, Line: 1,
			Text: "does not start with the licence header of hack/boilerplate.go.txt and an empty line",
		})
	}
	return sorted(found)
}

// packageComments reports packages without a comment, with several, with one that does not begin as godoc wants, and with one in
// a file where nobody starts to read.
func packageComments(r *Repository) []Violation {
	byFolder := map[string][]GoFile{}
	for _, file := range r.Go {
		byFolder[file.Folder()] = append(byFolder[file.Folder()], file)
	}
	var found []Violation
	for _, folder := range slices.Sorted(maps.Keys(byFolder)) {
		found = append(found, checkPackage(folder, byFolder[folder])...)
	}
	return sorted(found)
}

func checkPackage(folder string, files []GoFile) []Violation {
	var commented []GoFile
	for _, file := range files {
		if file.Syntax.Doc != nil {
			commented = append(commented, file)
		}
	}
	switch {
	case len(commented) == 0:
		return []Violation{{File: folder, Text: "no file has a package comment"}}
	case len(commented) > 1:
		var all []Violation
		for _, file := range commented[1:] {
			all = append(all, file.At(file.Syntax.Doc.Pos(), "second package comment; the first is in %s", path.Base(commented[0].Path)))
		}
		return all
	}
	found := checkComment(commented[0])
	if !testsOnly(files) { // packages of tests have no file where everybody starts to read
		found = append(found, checkHome(commented[0])...)
	}
	return found
}

// checkComment looks at how the one comment of a package begins.
func checkComment(file GoFile) []Violation {
	doc := file.Syntax.Doc
	begin := "Package " + file.Syntax.Name.Name + " "
	if file.Syntax.Name.Name == "main" {
		begin = "Command " + path.Base(file.Folder()) + " "
	}
	if text := doc.Text(); strings.HasPrefix(text, begin) || strings.HasPrefix(text, strings.TrimSuffix(begin, "_test ")+" ") {
		return nil
	}
	return []Violation{file.At(doc.Pos(), "the package comment does not begin with %q", begin)}
}

// checkHome looks at which file the one comment of a package is in.
func checkHome(file GoFile) []Violation {
	homes := []string{path.Base(file.Folder()) + ".go"}
	if file.Syntax.Name.Name == "main" {
		homes = append(homes, "main.go")
	}
	if slices.Contains(homes, path.Base(file.Path)) {
		return nil
	}
	return []Violation{file.At(file.Syntax.Doc.Pos(), "the package comment belongs where reading starts: %s", strings.Join(homes, " or "))}
}

func testsOnly(files []GoFile) bool {
	return !slices.ContainsFunc(files, func(file GoFile) bool { return !file.Test() })
}

// imported is the name by which a file refers to a package, or nothing if it does not import it.
func imported(file *ast.File, importPath string) string {
	for _, spec := range file.Imports {
		if strings.Trim(spec.Path.Value, "`\"") != importPath {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		base := path.Base(importPath)
		if strings.HasPrefix(base, "v") && strings.Trim(base[1:], "0123456789") == "" {
			base = path.Base(path.Dir(importPath)) // a major version is not the name
		}
		return base
	}
	return ""
}
