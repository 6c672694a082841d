// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

// Size returns how many pods and shapes are remembered.
func (s *Shapes) Size() int { return len(s.byPod) + len(s.byText) }
