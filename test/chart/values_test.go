// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package chart_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// everyValue sets each value to something else than its default.
const everyValue = chartDir + "/ci/every-value.yaml"

var _ = Describe("The chart's values", Label("basic"), func() {
	It("each stand in values.yaml, right below a comment", func() {
		commented := commentedKeys(filepath.Join(chartDir, "values.yaml"))
		for _, path := range settings() {
			Expect(commented).To(HaveKeyWithValue(strings.Join(path, "."), true), "a comment says what the value does and what breaks")
		}
	})

	It("each differ from their default in the file that the checks render with", func() {
		defaults, other := valuesIn(filepath.Join(chartDir, "values.yaml")), valuesIn(everyValue)
		for _, path := range settings() {
			standard, found, err := unstructured.NestedFieldNoCopy(defaults, path...)
			Expect(err).NotTo(HaveOccurred())
			Expect(found).To(BeTrue(), "%v has no default", path)
			changed, found, err := unstructured.NestedFieldNoCopy(other, path...)
			Expect(err).NotTo(HaveOccurred())
			Expect(found).To(BeTrue(), "%v is not set", path)
			Expect(changed).NotTo(Equal(standard), "%v", path)
		}
	})
})

// schema is the part of a JSON schema that says which values there are.
type schema struct {
	Properties map[string]schema `json:"properties"`
}

// walk calls visit with the path of each value that has no values of the chart below it.
func (s schema) walk(path []string, visit func([]string)) {
	if len(s.Properties) == 0 {
		visit(path)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		s.Properties[name].walk(append(slices.Clone(path), name), visit)
	}
}

// settings lists the paths of all values that values.schema.json knows.
func settings() [][]string {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	Expect(err).NotTo(HaveOccurred())
	var schema schema
	Expect(json.Unmarshal(text, &schema)).To(Succeed())
	delete(schema.Properties, "global") // for charts that use this one as a part; it has no value of its own
	var paths [][]string
	schema.walk(nil, func(path []string) { paths = append(paths, path) })
	Expect(len(paths)).To(BeNumerically(">", 30))
	return paths
}

// commentedKeys says of every key of a YAML file, by its path, whether the line above it is a comment.
func commentedKeys(file string) map[string]bool {
	GinkgoHelper()
	text, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	commented := map[string]bool{}
	var path []string
	previous := ""
	for line := range strings.Lines(string(text)) {
		trimmed := strings.TrimSpace(line)
		key, _, isKey := strings.Cut(trimmed, ":")
		if isKey && !strings.HasPrefix(trimmed, "#") && !strings.HasPrefix(trimmed, "-") {
			depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
			path = append(path[:min(depth, len(path))], key)
			commented[strings.Join(path, ".")] = strings.HasPrefix(previous, "#")
		}
		previous = trimmed
	}
	return commented
}

func valuesIn(file string) map[string]any {
	GinkgoHelper()
	text, err := os.ReadFile(file)
	Expect(err).NotTo(HaveOccurred())
	values := map[string]any{}
	Expect(yaml.UnmarshalStrict(text, &values)).To(Succeed())
	return values
}

// controllerFlags lists the flags that the controller defines, read from its source.
func controllerFlags() []string {
	GinkgoHelper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../cmd/vpsie-autoscaler/config.go", nil, parser.SkipObjectResolution)
	Expect(err).NotTo(HaveOccurred())
	var flags []string
	ast.Inspect(file, func(n ast.Node) bool {
		call, isCall := n.(*ast.CallExpr)
		if !isCall || len(call.Args) < 4 {
			return true
		}
		method, isMethod := call.Fun.(*ast.SelectorExpr)
		if !isMethod || !strings.HasSuffix(method.Sel.Name, "Var") {
			return true
		}
		if name, isLiteral := call.Args[1].(*ast.BasicLit); isLiteral && name.Kind == token.STRING {
			flag, err := strconv.Unquote(name.Value)
			Expect(err).NotTo(HaveOccurred())
			flags = append(flags, flag)
		}
		return true
	})
	Expect(flags).To(ContainElements("leader-elect", "credentials-secret"), "the flags are no longer defined where this test reads them")
	return flags
}

// jsonOf writes a value as JSON, so that 5 and 5.0 are the same.
func jsonOf(value any) string {
	GinkgoHelper()
	text, err := json.MarshalIndent(value, "", " ")
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}
