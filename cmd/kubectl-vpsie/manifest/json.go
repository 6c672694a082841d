// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// jsonSplitter finds where values begin and end, no more: what is in them is for the decoder. Strings, the bulk of a manifest, are
// skipped from quote to quote.
type jsonSplitter struct {
	name string
	in   *bufio.Reader
	line int
	text []byte // of the value that is being read
	use  func(unit)

	longest int // item so far: most are about as long

	apiVersion, kind      string // of the document, as far as it was read
	itemVersion, itemKind string // of the object that was read last
}

// splitJSON cuts objects that follow each other, and the items of lists.
func splitJSON(name string, in *bufio.Reader, use func(unit)) error {
	s := &jsonSplitter{name: name, in: in, line: 1, use: use}
	for {
		c, err := s.skipSpace()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if c != '{' {
			return unexpected(name, s.line, "found %q where an object should begin with '{'", c)
		}
		if err := s.document(); err != nil {
			return err
		}
	}
}

// document reads an object whose brace was read. If it has items, they are handed out one by one and left out of its own text.
func (s *jsonSplitter) document() error {
	line := s.line
	s.text = append(s.text[:0], '{')
	s.apiVersion, s.kind = "", ""
	var items *list
	for {
		key, end, err := s.key()
		if err != nil {
			return s.cutShort(err, line)
		}
		if end {
			break
		}
		c, err := s.skipSpace()
		if err != nil {
			return s.cutShort(err, line)
		}
		if key == `"items"` && c == '[' {
			if items == nil {
				items = &list{}
			}
			s.text = append(s.text, "[]"...)
			if err := s.items(items, line); err != nil {
				return err
			}
			continue
		}
		begin := len(s.text)
		if err := s.value(c); err != nil {
			return s.cutShort(err, line)
		}
		switch key {
		case `"kind"`:
			s.kind = plainText(s.text[begin:])
		case `"apiVersion"`:
			s.apiVersion = plainText(s.text[begin:])
		}
	}
	s.use(unit{at: place{s.name, line}, text: s.cut(), format: inJSON, list: items, isHead: items != nil})
	return nil
}

// key reads up to the colon after the next key of an object, or to the object's end.
func (s *jsonSplitter) key() (key string, end bool, err error) {
	for {
		c, err := s.skipSpace()
		if err != nil {
			return "", false, err
		}
		s.text = append(s.text, c)
		switch c {
		case ',':
			continue
		case '}':
			return "", true, nil
		case '"':
		default:
			return "", false, unexpected(s.name, s.line, "found %q where a field name in quotes or '}' should be", c)
		}
		begin := len(s.text) - 1
		if err := s.rest('"'); err != nil {
			return "", false, err
		}
		key = string(s.text[begin:])
		c, err = s.skipSpace()
		if err != nil {
			return "", false, err
		}
		if c != ':' {
			return "", false, unexpected(s.name, s.line, "found %q where ':' should follow the field name %s", c, key)
		}
		s.text = append(s.text, c)
		return key, false, nil
	}
}

// items hands out the elements of an array whose bracket was read.
func (s *jsonSplitter) items(of *list, line int) error {
	own := s.text
	defer func() { s.text = own }()
	for {
		c, err := s.skipSpace()
		if err != nil {
			return s.cutShort(err, line)
		}
		switch c {
		case ']':
			return nil
		case ',':
			continue
		}
		at := place{s.name, s.line}
		s.text = make([]byte, 0, s.longest)
		if err := s.value(c); err != nil {
			return s.cutShort(err, at.line)
		}
		s.longest = max(s.longest, len(s.text))
		u := unit{at: at, text: s.text, format: inJSON, list: of, apiVersion: s.apiVersion, kind: s.kind}
		u.ownVersion, u.ownKind = s.itemVersion, s.itemKind
		s.use(u)
	}
}

// value reads the rest of a value whose first byte was read.
func (s *jsonSplitter) value(c byte) error {
	s.text = append(s.text, c)
	switch c {
	case '{', '[', '"':
		return s.rest(c)
	case '}', ']', ':', ',':
		return unexpected(s.name, s.line, "found %q where a value should be", c)
	}
	for { // a number, true, false or null
		next, err := s.in.Peek(1)
		if err != nil {
			return err
		}
		switch next[0] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return nil
		}
		s.text = append(s.text, next[0])
		if _, err := s.in.Discard(1); err != nil {
			return err
		}
	}
}

// rest reads to the end of an object, an array or a string. Of an object it remembers what kind it says it is: asking a decoder for that
// would cost as much again as cutting.
func (s *jsonSplitter) rest(open byte) error {
	if open == '"' {
		return s.restOfString()
	}
	word := wordReader{value: open == '['}
	s.itemVersion, s.itemKind = "", ""
	for depth := 1; depth > 0; {
		if err := s.skipTo(&depth, &word); err != nil {
			return err
		}
		if depth == 0 {
			return nil
		}
		begin := len(s.text) - 1
		if err := s.restOfString(); err != nil {
			return err
		}
		if depth > 1 || open != '{' {
			continue
		}
		switch text := s.text[begin:]; {
		case !word.value:
			word.key = string(text)
		case word.key == `"kind"`:
			s.itemKind = plainText(text)
		case word.key == `"apiVersion"`:
			s.itemVersion = plainText(text)
		}
	}
	return nil
}

// wordReader knows whether the next string of an object is a field's name or its value.
type wordReader struct {
	value bool
	key   string
}

// skipTo reads up to the next quote, or to where depth becomes 0.
func (s *jsonSplitter) skipTo(depth *int, word *wordReader) error {
	for {
		chunk, err := s.in.Peek(max(1, s.in.Buffered()))
		if err != nil {
			return err
		}
		for i, c := range chunk {
			switch c {
			case '{', '[':
				*depth++
			case '}', ']':
				*depth--
			case '\n':
				s.line++
			case ':':
				if *depth == 1 {
					word.value = true
				}
			case ',':
				if *depth == 1 {
					word.value = false
				}
			}
			if c == '"' || *depth == 0 {
				return s.keep(chunk[:i+1])
			}
		}
		if err := s.keep(chunk); err != nil {
			return err
		}
	}
}

// keep takes bytes that were looked at.
func (s *jsonSplitter) keep(chunk []byte) error {
	s.text = append(s.text, chunk...)
	_, err := s.in.Discard(len(chunk))
	return err
}

func (s *jsonSplitter) restOfString() error {
	for {
		chunk, err := s.in.ReadSlice('"')
		s.text = append(s.text, chunk...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return err
		}
		escapes := 0
		for i := len(s.text) - 2; i >= 0 && s.text[i] == '\\'; i-- {
			escapes++
		}
		if escapes%2 == 0 {
			return nil
		}
	}
}

// skipSpace returns the next byte that means something. Lines stay countable: the line breaks of a document's own text are kept.
func (s *jsonSplitter) skipSpace() (byte, error) {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return 0, err
		}
		switch c {
		case '\n':
			s.line++
			s.text = append(s.text, c)
		case ' ', '\t', '\r':
		default:
			return c, nil
		}
	}
}

// plainText returns what a quoted word says, or nothing where that is less than obvious.
func plainText(quoted []byte) string {
	word := strings.Trim(string(quoted), "\"'")
	for _, c := range word {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '/' && c != '.' {
			return ""
		}
	}
	return word
}

func (s *jsonSplitter) cut() []byte {
	text := s.text
	s.text = nil
	return text
}

func (s *jsonSplitter) cutShort(err error, line int) error {
	if errors.Is(err, io.EOF) {
		return unexpected(s.name, s.line, "the file ends inside the object that begins on line %d; its closing brace is missing", line)
	}
	return err
}
