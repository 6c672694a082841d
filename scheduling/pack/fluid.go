// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"math"
	"slices"
)

// fluid returns a first value for each item, in money: its cheapest share of a machine, where each resource stands for a part of the
// price. The parts are the same for all kinds and are chosen to make the sum over all pods as large as possible: that sum is the
// dual of the relaxation in which pods flow into machines, and makes a scarce resource dear. Where column generation starts.
func (in *instance) fluid() []float64 {
	dims := len(in.dims)
	values := make([]float64, len(in.items))
	if dims == 0 || len(in.kinds) == 0 {
		in.floorValues(values)
		return values
	}
	best := make([]float64, dims)
	for r := range best {
		best[r] = 1 / float64(dims)
	}
	work := len(in.items) * len(in.kinds) * dims
	trials := min(200, 12_000_000/max(work, 1))
	most := in.share(best, values)
	for step := 0.5; step > 5e-3; {
		improved := false
		for from := range dims {
			for to := range dims {
				if from == to || best[from] == 0 || trials <= 0 {
					continue
				}
				trials--
				moved := slices.Clone(best)
				amount := math.Min(step, moved[from])
				moved[from] -= amount
				moved[to] += amount
				if sum := in.share(moved, values); sum > most {
					best, most, improved = moved, sum, true
				}
			}
		}
		if !improved {
			step /= 2
		}
	}
	in.share(best, values)
	in.floorValues(values)
	return values
}

// share computes the values for given parts, and their sum over all pods.
func (in *instance) share(parts, values []float64) float64 {
	dims := len(in.dims)
	for i := range values {
		values[i] = math.Inf(1)
	}
	rates := make([]float64, dims)
	for k := range in.kinds {
		kind := &in.kinds[k]
		if kind.price <= 0 {
			continue // there are few machines that cost nothing, and most pods need others
		}
		for r, part := range parts {
			rates[r] = 0
			if kind.free[r] > 0 {
				rates[r] = part * float64(kind.price) / kind.free[r]
			}
		}
		for _, i := range kind.fits {
			value := 0.0
			for r, size := range in.sizes[int(i)*dims : (int(i)+1)*dims] {
				value += rates[r] * size
			}
			values[i] = math.Min(values[i], value)
		}
	}
	sum := 0.0
	for i, value := range values {
		if math.IsInf(value, 1) {
			values[i] = 0 // it fits nowhere, or on what costs nothing alone
			continue
		}
		sum += value * float64(in.items[i].count)
	}
	return sum
}

// floorValues makes every value positive: a pod that requests nothing that is scarce still wants a place.
func (in *instance) floorValues(values []float64) {
	least := 1.0
	for k := range in.kinds {
		least = max(least, float64(in.kinds[k].price))
	}
	for i := range values {
		values[i] = math.Max(values[i], least*1e-6)
	}
}
