// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// advice turns patterns into who stays and who moves where.
func (m *model) advice(patterns []pack.Pattern) choice {
	advice := m.joint.nothing()
	mixes := make([][]int, len(m.nodes))
	for _, pattern := range patterns {
		if at := pattern.Machine - len(m.candidates); at >= 0 {
			mixes[at] = pattern.Mix
		} else {
			advice.cost += m.price(m.candidates[pattern.Machine]) * Price(pattern.Copies)
		}
	}
	m.match(mixes)
	spare := make([][]*corev1.Pod, len(m.classes)) // by class: pods that need a place
	for c := range m.classes {
		for _, pod := range m.left[c] {
			if n, movable := m.joint.home[nameOf(pod)]; !movable || !m.scope[n] {
				spare[c] = append(spare[c], pod)
			}
		}
	}
	for i := range m.nodes {
		m.release(&m.nodes[i], mixes[i], &advice, spare)
	}
	advice.to = map[types.NamespacedName]string{}
	for i := range m.nodes {
		for c, wanted := range mixes[i] {
			incoming := spare[c][:min(max(wanted-len(m.nodes[i].has[c]), 0), len(spare[c]))]
			for _, pod := range incoming {
				advice.to[nameOf(pod)] = m.nodeAt(m.nodes[i].seat)
			}
			spare[c] = spare[c][len(incoming):]
		}
	}
	for n, node := range m.joint.nodes {
		if !advice.out[n] {
			advice.cost += node.Price + m.input.NodeCost
		}
	}
	return advice
}

// release decides which of a node's pods have to leave it. Whoever finds room beside those that packing wants there stays.
func (m *model) release(node *present, mix []int, advice *choice, spare [][]*corev1.Pod) {
	switch {
	case node.own < 0:
		return
	case mix == nil && node.node >= 0:
		advice.out[node.node] = true
		for _, c := range sortedKeys(node.has) {
			spare[c] = append(spare[c], node.has[c]...)
		}
		return
	case mix == nil: // it stays in any case, and so may its pods
		return
	}
	room := slices.Clone(node.machine.Room)
	for c, wanted := range mix {
		for r, request := range m.classes[c].vector {
			room[r] -= request * int64(wanted)
		}
	}
	for _, c := range sortedKeys(node.has) {
		staying := min(mix[c], len(node.has[c]))
		for ; staying < len(node.has[c]) && largerThan(room, m.classes[c].vector); staying++ {
			for r, request := range m.classes[c].vector {
				room[r] -= request
			}
		}
		advice.leaving[node.own] = append(advice.leaving[node.own], node.has[c][staying:]...)
		spare[c] = append(spare[c], node.has[c][staying:]...)
	}
}

// mostPairs bounds the effort to match patterns with nodes.
const mostPairs = 250_000

// match exchanges what equal nodes should hold, so that most of their pods stay where they are.
func (m *model) match(mixes [][]int) {
	equal := map[string][]int{}
	for i := range m.nodes {
		if node := &m.nodes[i]; node.node >= 0 {
			key := fmt.Sprint(node.machine, node.allowed)
			equal[key] = append(equal[key], i)
		}
	}
	for _, key := range sortedKeys(equal) {
		m.matchEqual(equal[key], mixes)
	}
}

func (m *model) matchEqual(nodes []int, mixes [][]int) {
	var wanted [][]int
	for _, i := range nodes {
		if mixes[i] != nil {
			wanted = append(wanted, mixes[i])
		}
	}
	if len(nodes) < 2 || len(wanted)*len(nodes) > mostPairs {
		return
	}
	type pair struct{ mix, node, staying int }
	var pairs []pair
	for w, mix := range wanted {
		for _, i := range nodes {
			staying := 0
			for c, has := range m.nodes[i].has {
				staying += min(len(has), mix[c])
			}
			pairs = append(pairs, pair{w, i, staying})
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.staying, a.staying) })
	for _, i := range nodes {
		mixes[i] = nil
	}
	done := make([]bool, len(wanted))
	for _, p := range pairs {
		if !done[p.mix] && mixes[p.node] == nil {
			done[p.mix], mixes[p.node] = true, wanted[p.mix]
		}
	}
}
