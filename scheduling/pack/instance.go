// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"fmt"
	"slices"
)

// instance is a Problem in the form that the optimisation works on. A class that is spread becomes one item for each domain, so that a
// column is nothing but counts of items on a kind of machine.
type instance struct {
	problem *Problem
	items   []item
	kinds   []kind // none of them dominated
	shares  []share
	pools   []Vector
	byClass [][]int32 // items
	dims    []int     // resources that some item requests
	sizes   []float64 // requests, item by item, each resource divided by the greatest room
}

// item is the part of a class that may lie on the same machines.
type item struct {
	class    int
	domain   int // anywhere: -1
	share    int // the share it is part of: -1 if none
	requests []int64
	count    int
	cap      int // on one machine, and not more than there are
	own      int // on one machine, however many there are
	limits   []part
}

// part is what one pod of an item takes of a limit.
type part struct {
	limit  int // index into the problem's Limits
	weight int
}

const anywhere = -1

// kind is a set of the problem's machines that the optimisation need not tell apart.
type kind struct {
	machines []int // of the problem; several only where they are limited
	room     []int64
	free     []float64 // room, each resource divided by the greatest room
	price    int64
	pool     int
	draw     Vector
	domain   int
	most     int // 0: any number
	fits     []int32
	holds    []int32 // by position in fits: how many one machine holds at most
	set      bitset  // the same as fits
}

type bitset []uint64

func (b bitset) add(i int)      { b[i/64] |= 1 << (i % 64) }
func (b bitset) has(i int) bool { return b[i/64]&(1<<(i%64)) != 0 }

func (b bitset) within(other bitset) bool {
	for i := range b {
		if b[i]&^other[i] != 0 {
			return false
		}
	}
	return true
}

// newInstance reads a problem. The domain that a class is held to, or anywhere, comes from home.
func newInstance(p *Problem, home []int) *instance {
	in := &instance{problem: p, pools: p.Pools}
	spreads := make([][]int, len(p.Classes))
	for s := range p.Spreads {
		for _, c := range p.Spreads[s].Classes {
			spreads[c] = append(spreads[c], s)
		}
	}
	limits := p.parts()
	domains := p.domains()
	in.chooseDims()
	for c := range p.Classes {
		class := &p.Classes[c]
		if class.Count <= 0 {
			continue
		}
		it := item{class: c, domain: anywhere, share: -1, count: class.Count, cap: class.Count, limits: limits[c]}
		if class.PerMachine > 0 {
			it.cap = min(it.cap, class.PerMachine)
		}
		for _, l := range limits[c] {
			it.cap = min(it.cap, max(p.Limits[l.limit].PerMachine, 0)/l.weight)
		}
		it.own = it.cap
		for _, r := range in.dims {
			it.requests = append(it.requests, class.Requests[r])
		}
		if len(spreads[c]) == 0 {
			in.items = append(in.items, it)
			continue
		}
		it.share = len(in.shares)
		first := len(in.items)
		for d := range domains {
			it.domain = d
			in.items = append(in.items, it)
		}
		in.shares = append(in.shares, newShare(p, c, spreads[c], first, domains))
	}
	in.byClass = make([][]int32, len(p.Classes))
	for i := range in.items {
		in.byClass[in.items[i].class] = append(in.byClass[in.items[i].class], int32(i))
	}
	in.addKinds(home)
	in.reduce()
	in.measure()
	in.closeShares()
	return in
}

// parts lists by class the limits that bound it, each once.
func (p *Problem) parts() [][]part {
	parts := make([][]part, len(p.Classes))
	for l := range p.Limits {
		for position, c := range p.Limits[l].Classes {
			if !slices.ContainsFunc(parts[c], func(other part) bool { return other.limit == l }) {
				parts[c] = append(parts[c], part{l, p.Limits[l].weight(position)})
			}
		}
	}
	return parts
}

func (in *instance) chooseDims() {
	p := in.problem
	for r := range p.resources() {
		if slices.ContainsFunc(p.Classes, func(c Class) bool { return c.Count > 0 && c.Requests[r] > 0 }) {
			in.dims = append(in.dims, r)
		}
	}
}

func (p *Problem) resources() int {
	if len(p.Classes) == 0 {
		return 0
	}
	return len(p.Classes[0].Requests)
}

// addKinds makes a kind of each machine that can hold anything. Equal machines of which there are few become one kind.
func (in *instance) addKinds(home []int) {
	few := map[string]int{}
	for m := range in.problem.Machines {
		k, ok := in.newKind(m, home)
		if !ok {
			continue
		}
		if k.most > 0 {
			key := fmt.Sprint(k.room, k.price, k.pool, k.draw, k.domain, k.set)
			if same, seen := few[key]; seen {
				in.kinds[same].machines = append(in.kinds[same].machines, m)
				in.kinds[same].most += k.most
				continue
			}
			few[key] = len(in.kinds)
		}
		in.kinds = append(in.kinds, k)
	}
}

func (in *instance) newKind(m int, home []int) (kind, bool) {
	machine := &in.problem.Machines[m]
	k := kind{
		machines: []int{m}, price: machine.Price, pool: machine.Pool, draw: machine.Draw, domain: machine.Domain, most: machine.Most,
		set: make(bitset, (len(in.items)+63)/64),
	}
	if k.pool < 0 || k.pool >= len(in.pools) {
		k.pool, k.draw = -1, nil // without a budget
	}
	for _, r := range in.dims {
		k.room = append(k.room, max(machine.Room[r], 0))
	}
	if machine.Most < 0 || !in.affordable(&k) {
		return k, false
	}
	demand := make([]int64, len(in.dims))
	for i := range in.items {
		it := &in.items[i]
		if !in.problem.Classes[it.class].Allowed[m] || (it.domain != anywhere && it.domain != machine.Domain) ||
			(home != nil && home[it.class] != anywhere && home[it.class] != machine.Domain) || it.most(k.room) == 0 {
			continue
		}
		k.fits = append(k.fits, int32(i))
		k.holds = append(k.holds, int32(it.most(k.room)))
		k.set.add(i)
		for r, request := range it.requests {
			demand[r] += request * int64(it.count)
		}
	}
	for r := range k.room { // more room than all its pods together can use is no reason to prefer a machine
		k.room[r] = min(k.room[r], demand[r])
	}
	return k, len(k.fits) > 0
}

// affordable says whether the budget admits one machine of a kind.
func (in *instance) affordable(k *kind) bool {
	for d, draw := range k.draw {
		if left := in.pools[k.pool][d]; left != Unbounded && draw > left && draw > 0 {
			return false
		}
	}
	return true
}

// most returns how many of an item fit into the room, limits aside.
func (it *item) most(room []int64) int {
	n := int64(it.cap)
	for r, request := range it.requests {
		if request > 0 {
			n = min(n, room[r]/request)
		}
	}
	return int(max(n, 0))
}

// measure brings the resources to one scale, so that the arithmetic of the relaxations keeps its precision.
func (in *instance) measure() {
	scale := make([]float64, len(in.dims))
	for k := range in.kinds {
		for r, room := range in.kinds[k].room {
			scale[r] = max(scale[r], float64(room))
		}
	}
	for r := range scale {
		scale[r] = 1 / max(scale[r], 1)
	}
	for k := range in.kinds {
		for r, room := range in.kinds[k].room {
			in.kinds[k].free = append(in.kinds[k].free, float64(room)*scale[r])
		}
	}
	in.sizes = make([]float64, 0, len(in.items)*len(in.dims))
	for i := range in.items {
		for r, request := range in.items[i].requests {
			in.sizes = append(in.sizes, float64(request)*scale[r])
		}
	}
}

// bounded says whether some budget of the pool is finite.
func (in *instance) bounded(pool int) bool {
	return pool >= 0 && slices.ContainsFunc(in.pools[pool], func(left int64) bool { return left != Unbounded })
}
