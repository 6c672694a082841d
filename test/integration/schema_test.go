// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// schemaRule is one thing that the schema of a kind demands.
type schemaRule struct {
	kind    string
	path    string // "[]" stands for any item of a list, "{}" for any value of a map
	keyword string // enum, minimum, ...; cel for a rule in CEL
	message string // of a rule in CEL
}

func (r schemaRule) String() string {
	return strings.TrimSpace(strings.Join([]string{r.kind, r.path, r.keyword, r.message}, " "))
}

// readCRDs returns the generated CRDs, by kind.
func readCRDs() (map[string]apiextensionsv1.CustomResourceDefinition, error) {
	files, err := filepath.Glob(filepath.Join(crdDir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	crds := map[string]apiextensionsv1.CustomResourceDefinition{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			return nil, fmt.Errorf("reading %q: %w", file, err)
		}
		crds[crd.Spec.Names.Kind] = crd
	}
	return crds, nil
}

// schemaRules lists all rules of a kind, by path.
func schemaRules(crd apiextensionsv1.CustomResourceDefinition) []schemaRule {
	var rules []schemaRule
	walkSchema("", *crd.Spec.Versions[0].Schema.OpenAPIV3Schema, func(path string, schema apiextensionsv1.JSONSchemaProps) {
		for _, keyword := range keywords(schema) {
			rules = append(rules, schemaRule{crd.Spec.Names.Kind, path, keyword, ""})
		}
		for _, field := range schema.Required {
			rules = append(rules, schemaRule{crd.Spec.Names.Kind, join(path, field), "required", ""})
		}
		for _, validation := range schema.XValidations {
			rules = append(rules, schemaRule{crd.Spec.Names.Kind, path, "cel", validation.Message})
		}
	})
	slices.SortFunc(rules, func(a, b schemaRule) int { return strings.Compare(a.String(), b.String()) })
	return rules
}

// walkSchema calls visit for a schema and all below it.
func walkSchema(path string, schema apiextensionsv1.JSONSchemaProps, visit func(string, apiextensionsv1.JSONSchemaProps)) {
	visit(path, schema)
	for name, property := range schema.Properties {
		walkSchema(join(path, name), property, visit)
	}
	if schema.Items != nil {
		walkSchema(path+"[]", *schema.Items.Schema, visit)
	}
	if schema.AdditionalProperties != nil {
		walkSchema(path+"{}", *schema.AdditionalProperties.Schema, visit)
	}
}

// keywords lists what a schema demands of its own value, apart from its type.
func keywords(schema apiextensionsv1.JSONSchemaProps) []string {
	list := schema.XListType
	demands := map[string]bool{
		"enum":          len(schema.Enum) > 0,
		"maxItems":      schema.MaxItems != nil,
		"maxLength":     schema.MaxLength != nil,
		"maxProperties": schema.MaxProperties != nil,
		"maximum":       schema.Maximum != nil,
		"minItems":      schema.MinItems != nil,
		"minLength":     schema.MinLength != nil,
		"minProperties": schema.MinProperties != nil,
		"minimum":       schema.Minimum != nil,
		"pattern":       schema.Pattern != "",
		"unique":        list != nil && *list != "atomic",
	}
	var present []string
	for keyword, demanded := range demands {
		if demanded {
			present = append(present, keyword)
		}
	}
	return present
}

// join appends a field to a path. The field "" or "." is the object itself.
func join(path, field string) string {
	switch {
	case field == "" || (field == "." && path != ""):
		return path
	case path == "":
		return field
	default:
		return path + "." + field
	}
}

// unbounded lists the strings, lists and maps of our own that may grow without end. Quantities and times are bounded by
// their format; apiVersion and kind are compared with known texts.
func unbounded(crd apiextensionsv1.CustomResourceDefinition) []string {
	var found []string
	walkSchema("", *crd.Spec.Versions[0].Schema.OpenAPIV3Schema, func(path string, schema apiextensionsv1.JSONSchemaProps) {
		switch {
		case path == "apiVersion" || path == "kind" || schema.Format == "date-time":
		case schema.Type == "string" && schema.MaxLength == nil && len(schema.Enum) == 0,
			schema.Type == "array" && schema.MaxItems == nil,
			schema.AdditionalProperties != nil && schema.MaxProperties == nil:
			found = append(found, path)
		}
	})
	return found
}

// fieldNames lists the names of all fields of a kind.
func fieldNames(crd apiextensionsv1.CustomResourceDefinition) []string {
	var names []string
	walkSchema("", *crd.Spec.Versions[0].Schema.OpenAPIV3Schema, func(path string, _ apiextensionsv1.JSONSchemaProps) {
		names = append(names, path[strings.LastIndex(path, ".")+1:])
	})
	return names
}
