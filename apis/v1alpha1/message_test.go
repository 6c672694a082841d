// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "testing"

func TestShorten(t *testing.T) {
	cases := map[string]struct {
		text  string
		bytes int
		want  string
	}{
		"a short text stays as it is":              {"größer", 8, "größer"},
		"a long one is cut":                        {"größer", 2, "gr"},
		"never within a character":                 {"größer", 3, "gr"},
		"nor within the second half of a long one": {"€€", 5, "€"},
		"after a whole character it may be":        {"größer", 4, "grö"},
		"what is no text at all is left out of it": {"a\xffb", 10, "ab"},
		"nothing fits into nothing":                {"€", 0, ""},
		"a character that is too long is left out": {"€", 2, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Shorten(tc.text, tc.bytes); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
