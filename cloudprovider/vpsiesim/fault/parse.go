// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// FieldError says which field of a fault is wrong, and why.
type FieldError struct {
	Field   string
	Problem string
}

// Error names the field and lists the kinds there are, so that the reader need not look them up.
func (e *FieldError) Error() string {
	return fmt.Sprintf("field %q: %s; the kinds of faults are: %s", e.Field, e.Problem, join(Kinds()))
}

// Parse reads one fault, or a list of faults, and checks every field. Field names are exact.
func Parse(data []byte) ([]Fault, error) {
	data = bytes.TrimSpace(data)
	if !bytes.HasPrefix(data, []byte("[")) {
		parsed, err := parseOne(data)
		if err != nil {
			return nil, err
		}
		return []Fault{parsed}, nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, fmt.Errorf("reading the list of faults: %w", err)
	}
	faults := make([]Fault, 0, len(items))
	for i, item := range items {
		parsed, err := parseOne(item)
		if wrong, ok := errors.AsType[*FieldError](err); ok {
			wrong.Field = fmt.Sprintf("[%d].%s", i, wrong.Field)
		}
		if err != nil {
			return nil, err
		}
		faults = append(faults, parsed)
	}
	return faults, nil
}

func parseOne(data []byte) (Fault, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(data, &given); err != nil {
		return Fault{}, fmt.Errorf("reading a fault as a JSON object: %w", err)
	}
	var parsed Fault
	if err := json.Unmarshal(data, &parsed); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Fault{}, &FieldError{wrong.Field, fmt.Sprintf("%s is not a %s", wrong.Value, wrong.Type)}
		}
		return Fault{}, fmt.Errorf("reading a fault: %w", err)
	}
	// The kind is read by its exact name: encoding/json would also take "Kind".
	kind := Kind("")
	if _, ok := given["kind"]; ok {
		kind = parsed.Kind
	}
	r, ok := ruleOf(kind)
	if !ok {
		return Fault{}, &FieldError{"kind", fmt.Sprintf("%q is not a kind of fault", kind)}
	}
	if err := checkNames(kind, r, given); err != nil {
		return Fault{}, err
	}
	if _, ok := given["times"]; !ok {
		parsed.Times = 1
	}
	return parsed, checkValues(parsed, r, given)
}

func checkNames(kind Kind, r rule, given map[string]json.RawMessage) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(r.fields(), name) {
			return &FieldError{name, fmt.Sprintf("kind %q has no such field, its fields are: %s", kind, join(r.fields()))}
		}
	}
	for _, name := range r.needs {
		if _, ok := given[name]; !ok {
			return &FieldError{name, fmt.Sprintf("kind %q needs it", kind)}
		}
	}
	return nil
}

func checkValues(f Fault, r rule, given map[string]json.RawMessage) error {
	positive := func(value float64) string {
		if value > 0 && value <= math.MaxInt32 {
			return ""
		}
		return fmt.Sprintf("%v is not above 0, or far too large", value)
	}
	for _, check := range []struct {
		field   string
		problem func() string
	}{
		{"call", func() string {
			if slices.Contains(r.calls, f.Call) {
				return ""
			}
			return fmt.Sprintf("%q is not a call that kind %q can strike, those are: %s", f.Call, f.Kind, join(r.calls))
		}},
		{"times", func() string {
			if f.Times >= 1 || f.Times == UntilWithdrawn {
				return ""
			}
			return fmt.Sprintf("%d is neither at least 1 nor -1 (until withdrawn)", f.Times)
		}},
		{"skip", func() string {
			if f.Skip >= 0 {
				return ""
			}
			return fmt.Sprintf("%d is negative", f.Skip)
		}},
		{"status", func() string {
			if f.Status >= 400 && f.Status <= 599 {
				return ""
			}
			return fmt.Sprintf("%d is not an HTTP status from 400 to 599", f.Status)
		}},
		{"message", func() string {
			if f.Message != "" {
				return ""
			}
			return "it is empty"
		}},
		{"delaySeconds", func() string { return positive(f.DelaySeconds) }},
		{"retryAfterSeconds", func() string { return positive(float64(f.RetryAfterSeconds)) }},
		{"sizeId", func() string { return positive(float64(f.SizeID)) }},
		{"memoryMB", func() string { return positive(float64(f.MemoryMB)) }},
	} {
		if _, ok := given[check.field]; !ok {
			continue
		}
		if problem := check.problem(); problem != "" {
			return &FieldError{check.field, problem}
		}
	}
	return nil
}
