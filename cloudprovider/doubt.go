// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudprovider

// Contradicts says whether the inventory is empty although so many machines are known. Nothing is concluded from such a one: a list
// that was cut off, or of an account that lost sight of its cluster, looks the same as one of which all machines are gone.
func (i Inventory) Contradicts(known int) bool { return len(i.Instances) == 0 && known > 0 }

// AtOnce returns how many of so many machines one may act on at once because an inventory lacks them: a share of them, and at least one.
func AtOnce(share float64, of int) int { return max(1, int(share*float64(of))) }
