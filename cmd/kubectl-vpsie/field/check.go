// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package field

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

type checker struct {
	problems []Problem
	lines    map[string]int
}

func (c *checker) report(node *yaml.Node, path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Path: path, Line: node.Line, Text: fmt.Sprintf(format, args...)})
}

// wrong reports a value that is not of the kind that was expected.
func (c *checker) wrong(node *yaml.Node, path, want string) {
	c.report(node, path, "is %s, want %s", describe(node), want)
}

func (c *checker) check(node *yaml.Node, target reflect.Type, path string) {
	node = content(node)
	c.lines[path] = node.Line
	if node.Tag == "!!null" && path != "" {
		return // a field that is null is left out
	}
	for target.Kind() == reflect.Pointer {
		target = target.Elem()
	}
	if c.checkNamed(node, target, path) {
		return
	}
	switch target.Kind() {
	case reflect.Struct:
		c.checkStruct(node, target, path)
	case reflect.Map:
		c.checkMap(node, target, path)
	case reflect.Slice, reflect.Array:
		c.checkList(node, target, path)
	case reflect.Interface:
	default:
		c.checkScalar(node, target, path)
	}
}

// checkNamed checks types that read themselves, and says whether it did.
func (c *checker) checkNamed(node *yaml.Node, target reflect.Type, path string) bool {
	switch target {
	case reflect.TypeFor[resource.Quantity]():
		if _, err := resource.ParseQuantity(node.Value); node.Kind != yaml.ScalarNode || err != nil || node.Tag == "!!bool" {
			c.wrong(node, path, "a quantity such as 500m, 2 or 4Gi")
		}
	case reflect.TypeFor[intstr.IntOrString]():
		if node.Tag != "!!int" && node.Tag != "!!str" {
			c.wrong(node, path, `a whole number, or a percentage such as "25%"`)
		}
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		if _, err := time.Parse(time.RFC3339, node.Value); err != nil {
			c.wrong(node, path, "a time such as 2026-01-31T12:00:00Z")
		}
	case reflect.TypeFor[metav1.Duration]():
		if _, err := time.ParseDuration(node.Value); err != nil {
			c.wrong(node, path, "a duration such as 5m or 1h30m")
		}
	default:
		pointer := reflect.PointerTo(target)
		return pointer.Implements(reflect.TypeFor[json.Unmarshaler]()) || pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
	}
	return true
}

func (c *checker) checkStruct(node *yaml.Node, target reflect.Type, path string) {
	if node.Kind != yaml.MappingNode {
		c.wrong(node, path, "an object")
		return
	}
	fields := map[string]reflect.Type{}
	collect(target, fields)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field, known := fields[key.Value]
		if known {
			c.check(value, field, Within(path, key.Value))
			continue
		}
		text := "is no field that is known here"
		for name := range fields {
			if strings.EqualFold(name, key.Value) {
				text = fmt.Sprintf("is no field that is known here; it is spelled %q", name)
			}
		}
		c.problems = append(c.problems, Problem{Path: Within(path, key.Value), Line: key.Line, Text: text, Unknown: true})
	}
}

// collect lists the fields of a struct by their names in JSON.
func collect(target reflect.Type, fields map[string]reflect.Type) {
	for field := range target.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "" && (field.Anonymous || options == "inline"):
			collect(field.Type, fields)
		case name == "-" || !field.IsExported():
		case name == "":
			fields[field.Name] = field.Type
		default:
			fields[name] = field.Type
		}
	}
}

func (c *checker) checkMap(node *yaml.Node, target reflect.Type, path string) {
	if node.Kind != yaml.MappingNode {
		c.wrong(node, path, "an object")
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		c.check(node.Content[i+1], target.Elem(), Within(path, node.Content[i].Value))
	}
}

func (c *checker) checkList(node *yaml.Node, target reflect.Type, path string) {
	if target.Elem().Kind() == reflect.Uint8 {
		if node.Kind != yaml.ScalarNode {
			c.wrong(node, path, "text in base64")
		}
		return
	}
	if node.Kind != yaml.SequenceNode {
		c.wrong(node, path, "a list")
		return
	}
	for i, item := range node.Content {
		c.check(item, target.Elem(), fmt.Sprintf("%s[%d]", path, i))
	}
}

func (c *checker) checkScalar(node *yaml.Node, target reflect.Type, path string) {
	switch kind := target.Kind(); kind {
	case reflect.String:
		if node.Tag == "!!int" || node.Tag == "!!float" || node.Tag == "!!bool" {
			c.wrong(node, path, fmt.Sprintf("text: put it in quotes, %q", node.Value))
		} else if node.Style == 0 && node.Kind == yaml.ScalarNode && slices.Contains(truths(), strings.ToLower(node.Value)) {
			c.report(node, path, "%s means true or false in YAML, want text: put it in quotes, %q", node.Value, node.Value)
		} else if node.Kind != yaml.ScalarNode {
			c.wrong(node, path, "text")
		}
	case reflect.Bool:
		if node.Tag != "!!bool" {
			c.wrong(node, path, "true or false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if _, err := strconv.ParseInt(node.Value, 10, target.Bits()); node.Tag != "!!int" || err != nil {
			c.wrong(node, path, fmt.Sprintf("a whole number that fits in %d bits", target.Bits()))
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if _, err := strconv.ParseUint(node.Value, 10, target.Bits()); node.Tag != "!!int" || err != nil {
			c.wrong(node, path, "a whole number that is not negative")
		}
	case reflect.Float32, reflect.Float64:
		if _, err := strconv.ParseFloat(node.Value, 64); node.Tag != "!!int" && node.Tag != "!!float" || err != nil {
			c.wrong(node, path, "a number")
		}
	default:
	}
}

// truths are the words that Kubernetes' YAML takes for true or false, beside those themselves.
func truths() []string { return []string{"y", "n", "yes", "no", "on", "off"} }

// longest value that a message quotes.
const quoted = 60

func describe(node *yaml.Node) string {
	value := node.Value
	if len(value) > quoted {
		value = value[:quoted] + "..."
	}
	switch {
	case node.Kind == yaml.MappingNode:
		return "an object"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case node.Tag == "!!int", node.Tag == "!!float":
		return "the number " + value
	case node.Tag == "!!bool":
		return value
	case node.Tag == "!!null":
		return "empty"
	}
	return strconv.Quote(value)
}
