// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
)

// fleet keeps the machines, and what stands in for those on their way.
type fleet struct {
	machines []Machine        // by name of the VPSieNode
	of       map[string][]int // the numbers of machines by the name of their node, joined or not
	standIns map[int]standIn  // by number
}

// follow brings the machines from the VPSieNodes before to those after. Touched are the names of the nodes that are not what they were, or whose pods
// are not. It says whether there are other stand-ins now.
func (f *fleet) follow(before, after []*v1alpha1.VPSieNode, touched map[string]bool, nodes []*corev1.Node, podsOn map[string][]*corev1.Pod) bool {
	changes := roster.Diff(before, after)
	if slices.ContainsFunc(changes, moves) {
		f.rebuild(machines(after, nodes, podsOn))
		return true
	}
	changed := map[int]Machine{}
	for _, change := range changes {
		number, _ := slices.BinarySearchFunc(f.machines, change.After.Name, func(m Machine, name string) int { return cmp.Compare(m.VPSieNode.Name, name) })
		changed[number] = Machine{VPSieNode: change.After, Node: f.machines[number].Node, Pods: f.machines[number].Pods}
	}
	for name := range touched {
		for _, number := range f.of[name] {
			m, is := changed[number]
			if !is {
				m = f.machines[number]
			}
			if m.Node, m.Pods = roster.Find(nodes, "", name), nil; m.Node != nil {
				m.Pods = podsOn[name]
			}
			changed[number] = m
		}
	}
	others := false
	for number, m := range changed {
		last := f.machines[number]
		f.machines[number] = m
		if last.VPSieNode != m.VPSieNode || last.Node != m.Node {
			others = f.stand(number) || others
		}
	}
	return others
}

// moves says whether a VPSieNode came, went, or has another node than before.
func moves(change roster.Change[*v1alpha1.VPSieNode]) bool {
	return change.Before == nil || change.After == nil || NodeName(change.Before) != NodeName(change.After)
}

func (f *fleet) rebuild(machines []Machine) {
	f.machines, f.of, f.standIns = machines, make(map[string][]int, len(machines)), map[int]standIn{}
	for number, m := range machines {
		if name := NodeName(m.VPSieNode); name != "" {
			f.of[name] = append(f.of[name], number)
		}
		f.stand(number)
	}
}

// stand makes a machine's stand-in anew if it needs one, and says whether it has or had one.
func (f *fleet) stand(number int) bool {
	_, had := f.standIns[number]
	delete(f.standIns, number)
	m := f.machines[number]
	if !m.onItsWay() {
		return had
	}
	f.standIns[number] = newStandIn(m)
	return true
}

// comers returns the stand-ins, in order of their machines.
func (f *fleet) comers() []standIn {
	comers := make([]standIn, 0, len(f.standIns))
	for _, number := range slices.Sorted(maps.Keys(f.standIns)) {
		comers = append(comers, f.standIns[number])
	}
	return comers
}
