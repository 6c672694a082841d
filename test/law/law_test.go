// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package law

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestTheRepositoryKeepsItsRules(t *testing.T) {
	repository, err := Load(os.DirFS("../.."))
	if err != nil {
		t.Fatal(err)
	}
	if len(repository.Go) == 0 || repository.Texts[projectFile] == "" {
		t.Fatalf("found %d Go files and %d bytes of %s: this is not the repository", len(repository.Go), len(repository.Texts[projectFile]), projectFile)
	}
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, violation := range rule.Check(repository) {
				t.Error(violation)
			}
		})
	}
}

// sample is a small tree and what one rule must say about it.
type sample struct {
	rule string
	tree map[string]string
	want []string // nothing: the tree keeps the rule
}

func TestRulesSeeWhatBreaksThemAndNothingElse(t *testing.T) {
	caught := map[string]bool{}
	for name, tc := range samples() {
		t.Run(name, func(t *testing.T) {
			got := check(t, tc)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
		if len(tc.want) > 0 {
			caught[tc.rule] = true
		}
	}
	for _, rule := range Rules() {
		if !caught[rule.Name] {
			t.Errorf("no sample breaks the rule %q, so nobody knows whether it can fail", rule.Name)
		}
	}
}

func check(t *testing.T, tc sample) []string {
	t.Helper()
	tree := fstest.MapFS{}
	for name, content := range tc.tree {
		tree[name] = &fstest.MapFile{Data: []byte(content)}
	}
	repository, err := Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range Rules() {
		if rule.Name != tc.rule {
			continue
		}
		var got []string
		for _, violation := range rule.Check(repository) {
			got = append(got, violation.String())
		}
		return got
	}
	t.Fatalf("there is no rule %q", tc.rule)
	return nil
}

func TestLoadRefusesAFileThatDoesNotParse(t *testing.T) {
	_, err := Load(fstest.MapFS{"a/a.go": {Data: []byte("pakage a")}})
	if err == nil || !strings.Contains(err.Error(), "a/a.go:1:1") {
		t.Errorf("got error %v, want one that names a/a.go:1:1", err)
	}
}

func TestLoadLeavesOutResultsAndTestdata(t *testing.T) {
	repository, err := Load(fstest.MapFS{
		".cache/x/x.go":     {Data: []byte("broken")},
		"bin/y.go":          {Data: []byte("broken")},
		"a/testdata/bad.go": {Data: []byte("broken")},
		"a/a.go":            {Data: []byte("package a")},
		"a/binary":          {Data: []byte{0xff, 0xfe}},
		"cmd/z/bin/z.go":    {Data: []byte("package bin")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, file := range repository.Go {
		got = append(got, file.Path)
	}
	if diff := cmp.Diff([]string{"a/a.go", "cmd/z/bin/z.go"}, got); diff != "" {
		t.Errorf("parsed files (-want +got):\n%s", diff)
	}
	if _, ok := repository.Texts["a/binary"]; ok {
		t.Error("a file that is not text was read as text")
	}
}
