// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"math"
	"slices"
	"strconv"

	"github.com/samber/lo"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// floor is a price that no plan undercuts which has a place for that many pods of each class, whatever of them it puts on the nodes that are
// there. The model is of no optional nodes.
func (m *model) floor(counts []int) (Price, error) {
	nodes := slices.Clone(m.nodes)
	m.limit(nodes, counts)
	coarsen(lo.Map(nodes, func(_ present, i int) *pack.Machine { return &nodes[i].machine }))
	kinds := m.alike(nodes, counts)
	most := m.mostEach(counts, nil) // pods may be on the nodes that are there before any machine comes
	bound := m.boundOf(counts, most, kinds)
	fills, err := m.fills(kinds, counts, most)
	if err != nil {
		return 0, err
	}
	least := Price(-1)
	for _, fill := range fills {
		rest := slices.Clone(counts)
		for c := range rest {
			rest[c] -= fill[c]
		}
		if price := m.boundOf(rest, most, nil); least < 0 || price < least {
			least = price
		}
	}
	return max(bound, least), nil
}

// limit says how many pods of a class a node takes at most where a group's bound on workloads is less than its room.
func (m *model) limit(nodes []present, counts []int) {
	for i := range nodes {
		node := &nodes[i]
		node.most = make([]int, len(m.classes))
		for c := range m.classes {
			if counts[c] == 0 || !node.ever[c] || m.book.Repels(c, node.seat) {
				continue
			}
			room, holds := m.fitting(c, node.machine.Room, counts[c]), m.book.Holds(c, node.seat)
			if node.most[c] = holds; holds >= room && room > 0 {
				node.most[c] = unlimited
			}
		}
	}
}

const unlimited = math.MaxInt

// fitting is how many of so many pods of a class fit into a room.
func (m *model) fitting(c int, room pack.Vector, count int) int {
	fit := int64(count)
	for r, request := range m.classes[c].vector {
		if request > 0 {
			fit = min(fit, room[r]/request)
		}
	}
	return int(fit)
}

// alike joins the nodes that are there into kinds, and leaves those out on which no pod may be that counts.
func (m *model) alike(nodes []present, counts []int) (kinds []present) {
	known := map[string]int{}
	var key []byte
	for _, node := range nodes {
		node.ever = make([]bool, len(counts))
		key = key[:0]
		for c, most := range node.most {
			node.ever[c] = most > 0
			key = strconv.AppendInt(append(key, ' '), int64(most), 10)
			if most > 0 && m.classes[c].opaque { // what its volumes and devices are is the node's own
				key = append(append(key, ' '), m.nodeAt(node.seat)...)
			}
		}
		if !slices.Contains(node.ever, true) {
			continue
		}
		for _, room := range node.machine.Room {
			key = strconv.AppendInt(append(key, ' '), room, 10)
		}
		if node.group != nil {
			key = append(append(key, ' '), node.group.Name...)
		}
		if at, seen := known[string(key)]; seen {
			kinds[at].machine.Most++
			continue
		}
		known[string(key)] = len(kinds)
		kinds = append(kinds, node)
	}
	return kinds
}

// They bound how closely ways to fill the nodes that are there are looked at. Beyond them the relaxation has to do, which shares nodes out in fractions.
const (
	mostFills      = 32
	stepsOfFilling = 10_000
)

// fills lists what nodes that are there can take, in numbers by class: whatever they take in a plan is no more than one of these says. It
// lists nothing where there are too many ways.
func (m *model) fills(kinds []present, counts, most []int) ([][]int, error) {
	all := [][]int{make([]int, len(counts))}
	steps := stepsOfFilling
	for _, kind := range kinds {
		f := filling{model: m, kind: kind, counts: counts, most: most, steps: steps, mix: make([]int, len(counts)), room: slices.Clone(kind.machine.Room)}
		if err := f.fill(0); err != nil {
			return nil, err
		}
		steps = f.steps
		for range kind.machine.Most {
			all = maximal(all, f.ways, counts)
			if len(all) > mostFills || steps <= 0 {
				return nil, nil
			}
		}
	}
	return all, nil
}

// filling goes through what one node can hold, in numbers by class.
type filling struct {
	*model
	kind         present
	counts, most []int
	steps        int // that are left
	mix          []int
	room         pack.Vector
	ways         [][]int
}

// fill adds the ways to go on with the classes from c on.
func (f *filling) fill(c int) error {
	if f.steps--; f.steps <= 0 {
		return nil
	}
	if c == len(f.counts) {
		if !f.wants() {
			f.ways = append(f.ways, slices.Clone(f.mix))
		}
		return nil
	}
	whole := f.fitting(c, f.room, f.atMost(c))
	if f.classes[c].opaque && whole > 0 {
		return f.fillOpaque(c, whole)
	}
	for n := whole; n >= 0; n-- {
		f.put(c, n)
		if err := f.fill(c + 1); err != nil {
			return err
		}
		f.put(c, -n)
	}
	return nil
}

// fillOpaque asks the plugins about each pod, other pods than those on the node aside.
func (f *filling) fillOpaque(c, whole int) error {
	depth := f.engine.Depth()
	defer f.engine.RevertTo(depth)
	taken := 0
	for _, pod := range f.left[c][:min(whole, len(f.left[c]))] {
		f.engine.Fork()
		f.steps--
		verdict, err := f.engine.Place(aloof(pod), f.nodeAt(f.kind.seat))
		if err != nil {
			return err
		}
		if !verdict.Fits {
			f.engine.Revert()
			break
		}
		taken++
	}
	for n := taken; n >= 0; n-- {
		f.engine.RevertTo(depth + n)
		f.put(c, n)
		if err := f.fill(c + 1); err != nil {
			return err
		}
		f.put(c, -n)
	}
	return nil
}

// wants says whether a pod more could be counted in.
func (f *filling) wants() bool {
	for c, class := range f.classes {
		if !class.opaque && f.mix[c] < f.atMost(c) && largerThan(f.room, class.vector) {
			return true
		}
	}
	return false
}

func (f *filling) put(c, pods int) {
	f.mix[c] += pods
	for r, request := range f.classes[c].vector {
		f.room[r] -= request * int64(pods)
	}
}

// atMost is how many pods of a class a node of the kind takes, its room aside.
func (f *filling) atMost(c int) int {
	if !f.kind.ever[c] {
		return 0
	}
	limit := min(f.counts[c], f.kind.most[c])
	if f.most[c] > 0 {
		limit = min(limit, f.most[c])
	}
	return limit
}

// maximal adds each of the ways to each of the sums, no further than the counts, and keeps those that no other has as much of everything as.
func maximal(sums, ways [][]int, counts []int) (kept [][]int) {
	for _, sum := range sums {
		for _, way := range ways {
			next := make([]int, len(sum))
			for c := range next {
				next[c] = min(sum[c]+way[c], counts[c])
			}
			if slices.ContainsFunc(kept, func(other []int) bool { return covers(other, next) }) {
				continue
			}
			kept = append(slices.DeleteFunc(kept, func(other []int) bool { return covers(next, other) }), next)
			if len(kept) > mostFills {
				return kept
			}
		}
	}
	return kept
}

func covers(a, b []int) bool {
	for c := range a {
		if a[c] < b[c] {
			return false
		}
	}
	return true
}
