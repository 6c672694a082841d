// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
)

// flag is a yes or no that VPSie sends as boolean, number or string.
type flag bool

// UnmarshalJSON takes every scalar; a string that is not a known word for no is yes.
func (f *flag) UnmarshalJSON(data []byte) error {
	word := strings.TrimSpace(wordOf(data))
	switch strings.ToLower(word) {
	case "", "false", "no", "null":
		*f = false
		return nil
	}
	if value, err := strconv.ParseFloat(word, 64); err == nil {
		*f = value != 0
		return nil
	}
	if isComposite(data) {
		return errors.New("not a flag")
	}
	*f = true
	return nil
}

// text is a string that VPSie may send as a number. Nothing, false, true and composite values are the empty text.
type text string

// UnmarshalJSON never fails: no text is worth losing an answer.
func (t *text) UnmarshalJSON(data []byte) error {
	*t = ""
	if word := wordOf(data); !isComposite(data) && (isString(data) || isNumber(word)) {
		*t = text(strings.TrimSpace(word))
	}
	return nil
}

// number is an amount that VPSie may send as a string. What is no finite number is 0: unknown.
type number float64

// UnmarshalJSON never fails: a row with an unknown number is for the caller to judge.
func (n *number) UnmarshalJSON(data []byte) error {
	*n = 0
	word := strings.TrimSpace(wordOf(data))
	value, err := strconv.ParseFloat(word, 64)
	if err == nil && !math.IsNaN(value) && !math.IsInf(value, 0) && !isComposite(data) {
		*n = number(value)
	}
	return nil
}

// whole returns the number if it is a whole one that fits, else 0.
func (n number) whole() int64 {
	if math.Abs(float64(n)) > 1<<52 || math.Trunc(float64(n)) != float64(n) {
		return 0
	}
	return int64(n)
}

// wordOf returns a JSON scalar without its quotes, null as the empty word.
func wordOf(data []byte) string {
	data = bytes.TrimSpace(data)
	if isString(data) {
		var s string
		if json.Unmarshal(data, &s) != nil {
			return ""
		}
		return s
	}
	if string(data) == "null" {
		return ""
	}
	return string(data)
}

func isString(data []byte) bool { return len(data) > 0 && data[0] == '"' }

func isComposite(data []byte) bool { return len(data) > 0 && (data[0] == '{' || data[0] == '[') }

func isNumber(word string) bool {
	_, err := strconv.ParseFloat(word, 64)
	return err == nil
}
