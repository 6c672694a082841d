// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package field turns a text in YAML or JSON, and the Go type that it should fill, into a list of the fields that do not fit: where
// each stands, what is there and what was expected. It is asked when decoding has failed, and never decodes anything itself.
package field

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one field that does not fit.
type Problem struct {
	Path    string // spec.containers[0].resources.requests.cpu; empty for the text as a whole
	Line    int    // in the text, from 1
	Text    string // what is there and what was expected
	Unknown bool   // the field does not exist; everything else could be read
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Text is one parsed document.
type Text struct {
	root  *yaml.Node
	lines map[string]int
}

// Parse reads a document of YAML or JSON.
func Parse(text []byte) (*Text, error) {
	root := &yaml.Node{}
	if err := yaml.Unmarshal(text, root); err != nil {
		// What is JSON may still not be YAML: tabs before a value, for one. Its lines are lost then, its fields are not.
		var compact bytes.Buffer
		if json.Compact(&compact, text) != nil {
			return nil, err
		}
		if err := yaml.Unmarshal(compact.Bytes(), root); err != nil {
			return nil, err
		}
	}
	return &Text{root: content(root), lines: map[string]int{}}, nil
}

// Check lists what keeps the text from being read into a value of that type, in the order of the text.
func (t *Text) Check(target reflect.Type) []Problem {
	c := &checker{lines: t.lines}
	c.check(t.root, target, "")
	return c.problems
}

// Line returns the line of a field that Check has met, or of the nearest field around it.
func (t *Text) Line(path string) int {
	for {
		if line, met := t.lines[path]; met {
			return line
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return t.root.Line
		}
		path = path[:cut]
	}
}

// content follows what only points at a value.
func content(node *yaml.Node) *yaml.Node {
	for {
		switch {
		case node.Kind == yaml.DocumentNode && len(node.Content) > 0:
			node = node.Content[0]
		case node.Kind == yaml.AliasNode && node.Alias != nil:
			node = node.Alias
		default:
			return node
		}
	}
}

// Within names a field inside another one.
func Within(path, key string) string {
	switch {
	case strings.ContainsAny(key, `.[]/ "`) || key == "":
		return fmt.Sprintf("%s[%q]", path, key)
	case path == "":
		return key
	}
	return path + "." + key
}
