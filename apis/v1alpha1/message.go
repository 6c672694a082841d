// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "strings"

// Shorten returns as many whole characters of a text as fit into that many bytes: messages of Conditions, Refusals and Events are
// bounded, and the API server takes nothing that was cut within a character.
func Shorten(text string, bytes int) string {
	return strings.ToValidUTF8(text[:min(len(text), bytes)], "")
}
