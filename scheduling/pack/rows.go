// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Bounds of the master. Up to as many items have a row of their own; beyond that, items that may lie on the same machines share rows.
const (
	fewRows    = 64
	exactRows  = 320 // once classes are held to their domains, from where on little is left to do
	sharedRows = 160
)

// features says in which rows of the master an item counts, and how much. The value of an item is the sum of its rows' duals by these
// weights. With one row for each item the duals are free. Where items share rows, the values are held to a linear function of the
// requests, one for each group of items of similar size: the master is a relaxation then, and the bound from its duals is as
// valid, for any values give a bound. With hundreds of classes, each of which is a small part of the whole, it loses next to nothing.
type features struct {
	rows  int
	terms [][]term // by item
}

type term struct {
	row    int
	weight float64
}

func (f *features) value(item int, duals []float64) float64 {
	sum := 0.0
	for _, t := range f.terms[item] {
		sum += t.weight * duals[t.row]
	}
	return sum
}

// fit returns duals that give the items about these values, none of them negative: least squares, one row after the other.
func (f *features) fit(values []float64) []float64 {
	type entry struct {
		item   int
		weight float64
	}
	duals, members := make([]float64, f.rows), make([][]entry, f.rows)
	rest := make([]float64, len(values)) // relative to the value
	for i, terms := range f.terms {
		rest[i] = 1
		for _, t := range terms {
			members[t.row] = append(members[t.row], entry{i, t.weight / values[i]})
		}
	}
	for range 40 {
		for r, entries := range members {
			along, square := 0.0, 0.0
			for _, e := range entries {
				along += e.weight * rest[e.item]
				square += e.weight * e.weight
			}
			if square == 0 {
				continue
			}
			step := math.Max(along/square, -duals[r])
			duals[r] += step
			for _, e := range entries {
				rest[e.item] -= step * e.weight
			}
		}
	}
	return duals
}

func (in *instance) features(worth []float64, most int) *features {
	if len(in.items) <= most {
		f := &features{rows: len(in.items), terms: make([][]term, len(in.items))}
		for i := range in.items {
			f.terms[i] = []term{{i, 1}}
		}
		return f
	}
	machines := in.machinesGuess(worth)
	var f *features
	for _, width := range []float64{1, 2, 4, 64} {
		if f = in.shared(worth, machines, width); f.rows <= sharedRows {
			break
		}
	}
	return f
}

// machinesGuess is about how many machines the pods need.
func (in *instance) machinesGuess(worth []float64) float64 {
	total, dearest := 0.0, 1.0
	for i := range in.items {
		if in.items[i].share < 0 || in.items[i].domain == 0 {
			total += worth[i] * float64(in.items[i].count)
		}
	}
	for k := range in.kinds {
		dearest = math.Max(dearest, float64(in.kinds[k].price))
	}
	return math.Max(total/dearest, 1)
}

// shared groups items by where they may lie, how large they are (width: in powers of two), and whether their cap binds.
func (in *instance) shared(worth []float64, machines, width float64) *features {
	places := in.places()
	var groups [][]int
	index := map[string]int{}
	for i := range in.items {
		it := &in.items[i]
		tight := math.Ceil(math.Max(math.Log2(float64(it.count)/math.Max(float64(it.cap), 1)/machines), 0) / math.Max(width/2, 1))
		key := fmt.Sprint(places[i], math.Floor(math.Log2(worth[i])/width), tight)
		g, seen := index[key]
		if !seen {
			g = len(groups)
			index[key] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	f := &features{terms: make([][]term, len(in.items))}
	for _, group := range groups {
		in.groupTerms(f, group)
	}
	return f
}

// groupTerms gives a group of items its rows: one for each, if they are few, else one for each resource and one for their number.
func (in *instance) groupTerms(f *features, group []int) {
	dims := len(in.dims)
	if len(group) <= dims+1 {
		for _, i := range group {
			f.terms[i] = []term{{f.rows, 1}}
			f.rows++
		}
		return
	}
	counted := false
	for r := range dims {
		mean := 0.0
		least, most := math.Inf(1), 0.0
		for _, i := range group {
			size := in.sizes[i*dims+r]
			mean += size / float64(len(group))
			least, most = math.Min(least, size), math.Max(most, size)
		}
		if most == 0 {
			continue
		}
		counted = counted || least == most
		for _, i := range group {
			if weight := in.sizes[i*dims+r] / mean; weight > 0 {
				f.terms[i] = append(f.terms[i], term{f.rows, weight})
			}
		}
		f.rows++
	}
	if !counted {
		for _, i := range group {
			f.terms[i] = append(f.terms[i], term{f.rows, 1})
		}
		f.rows++
	}
}

// places names, by item, the set of kinds that it fits on, sizes aside: two items that fit on the same domains and pools are alike
// even though the larger does not fit on the smallest kinds.
func (in *instance) places() []string {
	seen := make([][]string, len(in.items))
	for k := range in.kinds {
		name := fmt.Sprint(in.kinds[k].pool, "/", in.kinds[k].domain)
		for _, i := range in.kinds[k].fits {
			if !slices.Contains(seen[i], name) {
				seen[i] = append(seen[i], name)
			}
		}
	}
	names := make([]string, len(in.items))
	for i := range seen {
		names[i] = strings.Join(seen[i], ",")
	}
	return names
}
