// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import "slices"

// rebuild buys machines for what is left, the best value for its price first, or one for everything where that is cheaper. It gives up as
// soon as it cannot be cheaper than before.
func (x *improver) rebuild(before state) {
	for {
		rest := 0.0
		for _, item := range x.list {
			rest += float64(x.left[item]) * x.value[item]
		}
		if rest == 0 {
			return
		}
		kind, mix := x.choose(rest)
		if kind < 0 || (x.cost+x.in.kinds[kind].price > before.cost && before.unplaced == 0) {
			return
		}
		b := x.newBin(kind, mix)
		for _, part := range mix {
			x.left[part.item] -= int(part.count)
		}
		x.bins = append(x.bins, b)
		x.count(kind, 1)
		x.added++
	}
}

// choose returns the machine to buy next. What is not worth it for a full machine may be for the last: its price then counts against
// all that is left.
func (x *improver) choose(rest float64) (kind int, mix []portion) {
	best, all := -1, -1
	bestRate := 0.0
	for _, k := range x.kinds {
		if x.admits(k, 1) == 0 {
			continue
		}
		trial, value := x.pour(k)
		if len(trial) == 0 {
			continue
		}
		price := float64(x.in.kinds[k].price) + x.toll[k]
		rate := value / (price + 1e-9) * (1 + 0.02*x.rng.Float64())
		if rate > bestRate {
			best, bestRate, mix = k, rate, append(mix[:0], trial...)
		}
	}
	for k := range x.in.kinds {
		price := x.in.kinds[k].price
		if (all < 0 || price < x.in.kinds[all].price) && x.admits(k, 1) > 0 && (best < 0 || float64(price) < rest/bestRate*1.1) && x.holdsAll(k) {
			all = k
		}
	}
	if all >= 0 && (best < 0 || float64(x.in.kinds[all].price)+x.toll[all] <= rest/bestRate*1.05) {
		mix = mix[:0]
		for _, item := range x.list {
			if n := x.left[item]; n > 0 {
				mix = append(mix, portion{item, int32(n)})
			}
		}
		return all, mix
	}
	return best, mix
}

// pour fills a machine in the order of this trial.
func (x *improver) pour(kind int) ([]portion, float64) {
	k := &x.in.kinds[kind]
	x.steps -= len(x.list)
	x.w.openRoom(k.room)
	x.mix = x.mix[:0]
	value := 0.0
	for _, item := range x.list {
		n := x.left[item]
		if n == 0 || !k.set.has(int(item)) {
			continue
		}
		if n = x.w.fitting(item, min(n, x.in.items[item].cap)); n > 0 {
			x.w.charge(item, n)
			x.mix = append(x.mix, portion{item, int32(n)})
			value += float64(n) * x.value[item]
		}
	}
	return x.mix, value
}

func (x *improver) holdsAll(kind int) bool {
	k := &x.in.kinds[kind]
	x.w.openRoom(k.room)
	x.steps--
	return !slices.ContainsFunc(x.list, func(item int32) bool {
		n := x.left[item]
		if n == 0 {
			return false
		}
		if !k.set.has(int(item)) || n > x.in.items[item].cap || x.w.fitting(item, n) < n {
			return true
		}
		x.w.charge(item, n)
		return false
	})
}
