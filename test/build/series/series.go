// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package series says how long a series of random trials is: a tenth under the race detector, which makes them ten to twenty times
// slower and finds in few trials what it can find at all.
package series

// Length returns whole, or a tenth of it and at least one under the race detector.
func Length(whole int) int {
	if raced {
		return max(1, whole/10)
	}
	return whole
}
