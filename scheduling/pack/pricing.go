// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"cmp"
	"math"
	"slices"
)

// portion is a number of pods of one item on a machine.
type portion struct {
	item  int32
	count int32
}

// pricer finds the most valuable content of one kind of machine: a knapsack with several resources, bounded counts and limits over
// classes, by branch and bound on its relaxation. It remembers where the relaxation ended, for values change little from call to call.
type pricer struct {
	relax  relaxation
	limits []int // of the problem: those that the relaxation heeds, because it ran into them
}

// limitRows bounds how many limits over classes the relaxation heeds. More are still kept to by the search; the bound is weaker.
const limitRows = 12

// priced is what a pricer found.
type priced struct {
	mix   []portion // the best content, if it is worth more than was asked for
	value float64
	upper float64 // no content is worth more
	nodes int
}

// pricing is the work space of a pricer. Each worker has one.
type pricing struct {
	in    *instance
	k     knapsack
	free  []int64 // of the machine that is being filled
	spare []int   // by limit of the problem
	mix   []portion
	tree  tree
	pinch []float64
}

func newPricing(in *instance) *pricing {
	w := &pricing{in: in, free: make([]int64, len(in.dims)), spare: make([]int, len(in.problem.Limits))}
	w.k.where = make([]int32, len(in.items))
	for i := range in.items {
		w.pinch = append(w.pinch, 1+1e-7*math.Mod(float64(i)*0.6180339887, 1))
	}
	return w
}

// question is what a pricer is asked: the best content at these values, of the pods that are left, worth more than the floor.
type question struct {
	values []float64
	left   []int // by item; nil: all
	floor  float64
	nodes  int     // of the search tree
	close  float64 // how close to the value the upper bound has to be
}

// best answers for one kind of machine.
func (w *pricing) best(p *pricer, kind int, q question) priced {
	k := &w.in.kinds[kind]
	w.gather(p, k, q)
	if len(w.k.item) == 0 {
		return priced{}
	}
	upper := p.relax.solve(&w.k, q.floor)
	for range 2 {
		if upper <= q.floor || !w.heed(p, k) {
			break
		}
		w.gather(p, k, q)
		upper = p.relax.solve(&w.k, q.floor)
	}
	if upper <= q.floor || q.nodes == 0 {
		return priced{upper: upper}
	}
	w.focus(upper - q.floor)
	return w.branch(p, k, q, upper)
}

// gather copies what is for sale into the knapsack.
func (w *pricing) gather(p *pricer, kind *kind, q question) {
	k, dims := &w.k, len(w.in.dims)
	k.rows = dims + len(p.limits)
	k.item, k.value, k.most, k.size = k.item[:0], k.value[:0], k.most[:0], k.size[:0]
	for i := range k.where {
		k.where[i] = -1
	}
	for position, item := range kind.fits {
		most := float64(kind.holds[position])
		if q.left != nil {
			most = math.Min(most, float64(q.left[item]))
		}
		if most <= 0 || q.values[item] <= 0 {
			continue
		}
		k.where[item] = int32(len(k.item))
		// A pinch of value, different for each, keeps ties from making the relaxation cycle. More value leaves the bound an upper one.
		value := q.values[item] * w.pinch[item]
		k.item, k.value, k.most = append(k.item, item), append(k.value, value), append(k.most, most)
		k.size = append(k.size, w.in.sizes[int(item)*dims:(int(item)+1)*dims]...)
		for _, l := range p.limits {
			size := 0.0
			for _, part := range w.in.items[item].limits {
				if part.limit == l {
					size = float64(part.weight) / float64(w.in.problem.Limits[l].PerMachine)
				}
			}
			k.size = append(k.size, size)
		}
	}
	k.room = append(k.room[:0], kind.free...)
	for range p.limits {
		k.room = append(k.room, 1)
	}
}

// heed adds the limits to the relaxation that its solution exceeds most.
func (w *pricing) heed(p *pricer, kind *kind) bool {
	if len(w.spare) == 0 || len(p.limits) >= limitRows {
		return false
	}
	for l := range w.spare {
		w.spare[l] = w.in.problem.Limits[l].PerMachine
	}
	type excess struct {
		limit int
		loss  float64
	}
	var found []excess
	for j, gain := range w.k.gain {
		if gain <= 0 {
			continue
		}
		for _, l := range w.in.items[w.k.item[j]].limits {
			w.spare[l.limit] -= int(w.k.most[j]) * l.weight
			loss := -float64(w.spare[l.limit]) / float64(l.weight) * gain
			if loss > 1e-4*float64(kind.price) && !slices.Contains(p.limits, l.limit) {
				found = append(found, excess{l.limit, loss})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b excess) int { return cmp.Compare(b.loss, a.loss) })
	before := len(p.limits)
	for _, f := range found {
		if len(p.limits) < limitRows && len(p.limits) < before+4 && !slices.Contains(p.limits, f.limit) {
			p.limits = append(p.limits, f.limit)
		}
	}
	return len(p.limits) > before
}

// focus drops the items whose loss at the prices of the relaxation is the given amount or more: no content that beats the floor has one.
func (w *pricing) focus(slack float64) {
	k, kept := &w.k, 0
	for j, gain := range k.gain {
		if -gain >= slack {
			k.where[k.item[j]] = -1
			continue
		}
		k.where[k.item[j]] = int32(kept)
		k.item[kept], k.value[kept], k.most[kept], k.gain[kept] = k.item[j], k.value[j], k.most[j], gain
		copy(k.size[kept*k.rows:(kept+1)*k.rows], k.size[j*k.rows:(j+1)*k.rows])
		kept++
	}
	k.item, k.value, k.most, k.gain, k.size = k.item[:kept], k.value[:kept], k.most[:kept], k.gain[:kept], k.size[:kept*k.rows]
}
