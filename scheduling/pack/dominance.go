// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

// reduce drops kinds that another one dominates: it holds whatever they hold, costs no more, draws no more on the same
// budget and can be had in any number. Some optimal solution does without the dominated ones.
func (in *instance) reduce() {
	kept := make([]kind, 0, len(in.kinds))
	for a := range in.kinds {
		dominated := false
		for b := range in.kinds {
			if a != b && in.dominates(&in.kinds[b], &in.kinds[a], b < a) {
				dominated = true
				break
			}
		}
		if !dominated {
			kept = append(kept, in.kinds[a])
		}
	}
	in.kinds = kept
}

// dominates says whether the optimisation can do with kind b instead of kind a. Of two that are equal the earlier dominates.
func (in *instance) dominates(b, a *kind, earlier bool) bool {
	if b.most > 0 || b.price > a.price {
		return false
	}
	equal := b.price == a.price
	for r := range a.room {
		if b.room[r] < a.room[r] {
			return false
		}
		equal = equal && b.room[r] == a.room[r]
	}
	if !a.set.within(b.set) {
		return false
	}
	equal = equal && b.set.within(a.set)
	same, ok := in.drawsNoMore(b, a)
	equal = equal && same && a.most == 0
	return ok && (!equal || earlier)
}

func (in *instance) drawsNoMore(b, a *kind) (same, ok bool) {
	if !in.bounded(b.pool) {
		return !in.bounded(a.pool), true
	}
	if b.pool != a.pool {
		return false, false
	}
	same = true
	for d, left := range in.pools[b.pool] {
		if left == Unbounded || (b.draw == nil && a.draw == nil) {
			continue
		}
		if b.draw[d] > a.draw[d] {
			return false, false
		}
		same = same && b.draw[d] == a.draw[d]
	}
	return same, true
}
