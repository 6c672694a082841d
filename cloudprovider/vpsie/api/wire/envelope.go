// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// Envelope is what VPSie wraps every answer in.
type Envelope struct {
	Failed  bool
	Message string
	Data    json.RawMessage
}

// ParseEnvelope reads {"error":…,"data":…,"message":…}. What is wrong goes into the error in words of its own: a body
// that came from outside is not quoted.
func ParseEnvelope(body []byte) (Envelope, error) {
	var raw struct {
		Error   json.RawMessage `json:"error"`
		Data    json.RawMessage `json:"data"`
		Message text            `json:"message"`
	}
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		return Envelope{}, errors.New("it is empty")
	case trimmed[0] == '<':
		return Envelope{}, errors.New("it is a web page, as gateways send, not JSON")
	case trimmed[0] != '{':
		return Envelope{}, errors.New("it is not a JSON object")
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		return Envelope{}, errors.New("it is broken JSON")
	}
	e := Envelope{Message: string(raw.Message), Data: raw.Data}
	var failed flag
	if len(raw.Error) > 0 && failed.UnmarshalJSON(raw.Error) != nil {
		failed = true // an object or a list of errors
	}
	e.Failed = bool(failed)
	if word := wordOf(raw.Error); e.Failed && e.Message == "" && !isNumber(word) && !strings.EqualFold(word, "true") {
		e.Message = word // {"error":"what went wrong"}
	}
	return e, nil
}

// IsAbsent says whether data is one of VPSie's ways to say that there is no such thing.
func IsAbsent(data json.RawMessage) bool {
	word := string(bytes.TrimSpace(data))
	return word == "" || word == "null" || word == "false"
}

// IsFalse says whether data is false: for a read, that there is no such thing; for a change, nobody knows.
func IsFalse(data json.RawMessage) bool { return string(bytes.TrimSpace(data)) == "false" }

// list returns the elements of data, which is a list or {"rows": list}. Anything else is an error: what cannot be read
// must not look like an empty list.
func list(data json.RawMessage) ([]json.RawMessage, error) {
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		var rows struct {
			Rows json.RawMessage `json:"rows"`
		}
		if err := json.Unmarshal(data, &rows); err != nil {
			return nil, errors.New("its data is broken")
		}
		data = rows.Rows
	}
	if IsAbsent(data) {
		return nil, errors.New("it has no data where a list belongs")
	}
	var items []json.RawMessage
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, errors.New("its data is not a list")
	}
	return items, nil
}
