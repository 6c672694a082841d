// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import "math"

// dualBound returns a cost that no set of machines that holds all items undercuts, from any values of the items.
//
// Proof. Let v be any values of the items that are not negative, t(k) >= 0 what the prices of the budgets add to one machine of kind k, and
// U(k) at least the value of every content of such a machine. Scale each item's value by the least ratio (price(k) + t(k)) / U(k) of the
// unlimited kinds that it fits on. Then no content of an unlimited kind k is worth more than price(k) + t(k): all its items
// are scaled by that ratio or less. Take any solution. Its items are worth V = sum(count * value), for spread classes at least the
// least that a distribution among the domains is worth. Each machine of an unlimited kind holds at most price + t of this value, and each of a limited
// kind at most price + t + max(0, U - price - t). So cost + sum(t) + sum over limited kinds(most * max(0, U - price - t)) >= V. The budgets admit
// machines for at most `spent` of t in sum; what is left is the bound. It is the bound of Lasdon (1970) and Farley (1990), with one ratio for each
// item instead of one for all, and Lagrange's for the limited kinds.
func (in *instance) dualBound(values, uppers []float64, toll func(int) float64, spent float64) float64 {
	ratio := make([]float64, len(in.items))
	for i := range ratio {
		ratio[i] = math.Inf(1)
	}
	for k := range in.kinds {
		kind := &in.kinds[k]
		if kind.most > 0 || uppers[k] <= 0 {
			continue
		}
		r := (float64(kind.price) + toll(k)) / uppers[k]
		for _, i := range kind.fits {
			ratio[i] = math.Min(ratio[i], r)
		}
	}
	scaled := make([]float64, len(values))
	for i, value := range values {
		if math.IsInf(ratio[i], 1) {
			ratio[i] = 1
		}
		scaled[i] = value * ratio[i]
	}
	bound := -spent
	for k := range in.kinds {
		kind := &in.kinds[k]
		if kind.most == 0 {
			continue
		}
		most := 0.0
		for _, i := range kind.fits {
			most = math.Max(most, ratio[i])
		}
		bound -= float64(kind.most) * math.Max(0, uppers[k]*most-float64(kind.price)-toll(k))
	}
	for i := range in.items {
		if in.items[i].share < 0 && in.placeable(i) {
			bound += scaled[i] * float64(in.items[i].count)
		}
	}
	for s := range in.shares {
		share := &in.shares[s]
		if share.count > 0 {
			bound += share.cheapest(scaled, make([]int, share.domains))
		}
	}
	return bound
}

// placeable says whether the item fits anywhere. One that fits nowhere is in no solution, and says nothing about the cost of those.
func (in *instance) placeable(i int) bool {
	for k := range in.kinds {
		if in.kinds[k].set.has(i) {
			return true
		}
	}
	return false
}

// countBound is the cost of the machines that one class alone needs for being split, or of the machine that any pod needs.
func (in *instance) countBound() int64 {
	var bound int64
	for i := range in.items {
		it := &in.items[i]
		least := int64(math.MaxInt64)
		for k := range in.kinds {
			if in.kinds[k].set.has(i) || (it.share >= 0 && in.holdsShare(k, it.share)) {
				least = min(least, in.kinds[k].price)
			}
		}
		if least == math.MaxInt64 || it.count == 0 {
			continue
		}
		count := it.count
		if it.share >= 0 {
			count = in.shares[it.share].count
		}
		bound = max(bound, int64((count+it.cap-1)/max(it.cap, 1))*least)
	}
	return bound
}

func (in *instance) holdsShare(k, s int) bool {
	share := &in.shares[s]
	for d := range share.domains {
		if in.kinds[k].set.has(share.first + d) {
			return true
		}
	}
	return false
}

// safe turns a bound of floating point arithmetic into a price: that is exact to a few parts in 10^13; a part in 10^8 is given away for it. Prices
// are whole multiples of a step, and so is every cost.
func (in *instance) safe(bound float64) int64 {
	if bound <= 0 || math.IsNaN(bound) || math.IsInf(bound, 0) {
		return 0
	}
	least := int64(math.Ceil(bound*(1-1e-8) - 1e-6))
	step := int64(0)
	for k := range in.kinds {
		step = gcd(step, in.kinds[k].price)
	}
	if step > 1 {
		least = (least + step - 1) / step * step
	}
	return max(least, 0)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
