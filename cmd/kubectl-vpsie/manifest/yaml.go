// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// yamlSplitter cuts at lines of three hyphens, and inside a list at the hyphens of its items: parsing 100,000 pods as one document of YAML
// would need many times the memory of the pods.
type yamlSplitter struct {
	name string
	in   *bufio.Reader
	use  func(unit)
	line int

	begin            int    // line of the document
	text             []byte // of the document, without items
	items            *list
	apiVersion, kind string // of the document, as far as it was read

	inItems bool // below a line "items:"
	indent  int  // of the items' hyphens; -1 before the first
	itemAt  int
	item    []byte
}

func splitYAML(name string, in *bufio.Reader, use func(unit)) error {
	s := &yamlSplitter{name: name, in: in, use: use, begin: 1}
	for {
		line, err := s.readLine()
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return err
		}
		if len(line) > 0 {
			s.line++
			s.take(line)
		}
		if last {
			break
		}
	}
	s.endDocument()
	return nil
}

// readLine returns a line with its end, valid until the next call.
func (s *yamlSplitter) readLine() ([]byte, error) {
	line, err := s.in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return line, err
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = s.in.ReadSlice('\n')
		long = append(long, line...)
	}
	return long, err
}

func (s *yamlSplitter) take(line []byte) {
	if rest, separates := bytes.CutPrefix(line, []byte("---")); separates && (len(bytes.TrimSpace(rest)) == 0 || rest[0] == ' ' || rest[0] == '\t') {
		s.endDocument()
		s.begin = s.line
		if rest = bytes.TrimSpace(rest); len(rest) > 0 && rest[0] != '#' { // the document begins on the same line
			s.text = append(append(s.text, rest...), '\n')
			return
		}
		s.begin++
		return
	}
	if s.inItems && s.takeItem(line) {
		return
	}
	s.text = append(s.text, line...)
	key, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return
	}
	value = bytes.TrimSpace(value)
	switch string(key) {
	case "items":
		if len(value) == 0 || value[0] == '#' {
			s.inItems, s.indent = true, -1
		}
	case "kind":
		s.kind = plainText(value)
	case "apiVersion":
		s.apiVersion = plainText(value)
	}
}

// takeItem takes a line below "items:", and says whether it still belongs there.
func (s *yamlSplitter) takeItem(line []byte) bool {
	body := bytes.TrimLeft(line, " ")
	indent := len(line) - len(body)
	blank := len(bytes.TrimSpace(body)) == 0
	hyphen := bytes.HasPrefix(body, []byte("- ")) || string(bytes.TrimSpace(body)) == "-"
	switch {
	case s.indent < 0 && (blank || body[0] == '#'):
	case s.indent < 0 && hyphen:
		s.indent = indent
		s.items = &list{}
		s.beginItem(line)
	case s.indent < 0: // items are no list of lines, or none at all
		s.inItems = false
		return false
	case hyphen && indent == s.indent:
		s.endItem()
		s.beginItem(line)
	case blank || indent > s.indent || body[0] == '#':
		s.item = append(s.item, line...)
	default:
		s.endItem()
		s.inItems = false
		return false
	}
	return true
}

// beginItem turns the hyphen into a space: what stood beside it stands where the rest of the item does.
func (s *yamlSplitter) beginItem(line []byte) {
	s.itemAt = s.line
	s.item = append(s.item[:0:0], line...)
	s.item[s.indent] = ' '
}

func (s *yamlSplitter) endItem() {
	if s.item == nil {
		return
	}
	s.use(unit{at: place{s.name, s.itemAt}, text: s.item, format: inYAML, list: s.items, apiVersion: s.apiVersion, kind: s.kind})
	s.item = nil
}

func (s *yamlSplitter) endDocument() {
	s.endItem()
	if len(bytes.TrimSpace(s.text)) > 0 && !onlyComments(string(s.text)) {
		s.use(unit{at: place{s.name, s.begin}, text: s.text, format: inYAML, list: s.items, isHead: s.items != nil})
	}
	s.text, s.items, s.inItems, s.apiVersion, s.kind = nil, nil, false, "", ""
}

// onlyComments says whether a document has nothing but comments, directives and the mark of its end.
func onlyComments(text string) bool {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && line != "..." && line[0] != '#' && line[0] != '%' {
			return false
		}
	}
	return true
}
