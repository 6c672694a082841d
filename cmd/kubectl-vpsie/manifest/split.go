// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"
)

// format is how a unit is written.
type format int

const (
	inYAML format = iota
	inJSON
)

// unit is the text of one object: a document, or an item of a list.
type unit struct {
	at     place
	text   []byte
	format format
	list   *list // that it belongs to, or nil
	isHead bool  // what is left of the list without its items
	// What is known of the list when the item is cut. The kind may follow the items.
	apiVersion, kind string
	// What the object says itself, where cutting it has shown that.
	ownVersion, ownKind string
}

// list is a document whose items are units.
type list struct {
	apiVersion, kind string // once its head was decoded
	broken           bool   // its head cannot be read
}

// syntaxError is a text that cannot be cut into objects.
type syntaxError struct {
	place
	text string
}

func (e *syntaxError) Error() string { return e.place.String() + ": " + e.text }

const bufferSize = 1 << 20

// split cuts a file into units and hands them out in order.
func split(name string, r io.Reader, use func(unit)) error {
	buffered := bufio.NewReaderSize(r, bufferSize)
	head, err := buffered.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if bytes.IndexByte(head, 0) >= 0 {
		return &syntaxError{place{name, 1}, "this is no text; want Kubernetes manifests in YAML or JSON"}
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) { // a byte order mark
		if _, err := buffered.Discard(3); err != nil {
			return err
		}
	}
	head = bytes.TrimLeftFunc(head, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
	if len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		return splitJSON(name, buffered, use)
	}
	return splitYAML(name, buffered, use)
}

func unexpected(name string, line int, format string, args ...any) error {
	return &syntaxError{place{name, line}, fmt.Sprintf(format, args...)}
}
