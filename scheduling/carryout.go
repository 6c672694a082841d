// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// arrange carries a choice out, and where a pod finds no other place keeps its node as it is. It returns nil where that does not help.
func (j *joint) arrange(c choice) (*arrangement, error) {
	c.out, c.leaving = slices.Clone(c.out), slices.Clone(c.leaving)
	for range roundsOfKeeping {
		found, err := j.carryOut(c)
		if err != nil {
			return nil, err
		}
		kept, hopeless := j.missed(found)
		switch {
		case hopeless:
			return nil, nil
		case len(kept) == 0:
			return found, nil
		}
		for n := range kept {
			c.out[n], c.leaving[n] = false, nil
		}
	}
	return nil, nil
}

// missed returns the optional nodes without which a pod is left out that would not be if everything stayed, or without which a
// group has fewer nodes than it should. Hopeless says that a pod is left out for no such reason.
func (j *joint) missed(a *arrangement) (kept map[int]bool, hopeless bool) {
	kept = map[int]bool{}
	out := map[types.NamespacedName]bool{}
	for _, r := range j.base.plan.Rejections {
		out[r.Pod] = true
	}
	places := map[types.NamespacedName]string{}
	for _, placement := range j.base.plan.Placements {
		places[placement.Pod] = placement.Node
	}
	gone := j.removed(a.choice)
	for _, r := range a.plan.Rejections {
		if out[r.Pod] || slices.Contains(r.Reasons, leftBehind) {
			continue
		}
		n, movable := j.home[r.Pod]
		if !movable {
			n, movable = gone[places[r.Pod]]
		}
		if !movable {
			return nil, true
		}
		kept[n] = true
	}
	for _, group := range j.Groups {
		j.keepLeast(group, a, kept)
	}
	return kept, a.plan.Omitted > j.base.plan.Omitted
}

// keepLeast keeps as many nodes as a group lacks of its least number, the cheapest first.
func (j *joint) keepLeast(group Group, a *arrangement, kept map[int]bool) {
	name := group.NodeGroup.Name
	nodes := group.Nodes
	var gone []int
	for n, node := range j.nodes {
		if a.out[n] && node.Group == name {
			nodes--
			gone = append(gone, n)
		}
	}
	for _, launch := range a.plan.Launches {
		if launch.Group == name {
			nodes++
		}
	}
	least := min(int(ptr.Deref(group.NodeGroup.Spec.MinNodes, 0)), group.Nodes)
	if least == 0 {
		return
	}
	lacking := least - nodes
	slices.SortStableFunc(gone, func(x, y int) int { return cmp.Compare(j.nodes[x].Price, j.nodes[y].Price) })
	for _, n := range gone[:min(max(lacking, 0), len(gone))] {
		kept[n] = true
	}
}

// removed are the numbers of the nodes that go, by name.
func (j *joint) removed(c choice) map[string]int {
	gone := map[string]int{}
	for n, node := range j.nodes {
		if c.out[n] {
			gone[node.Name] = n
		}
	}
	return gone
}

// carryOut plans with the nodes gone and the leaving pods waiting, exactly as for pending pods.
func (j *joint) carryOut(c choice) (*arrangement, error) {
	j.Cluster.Fork()
	defer j.Cluster.Revert()
	a := &arrangement{choice: c}
	in := j.Input
	in.Groups = slices.Clone(j.Groups)
	var movers []*corev1.Pod
	for n, node := range j.nodes {
		if !c.out[n] {
			a.cost += node.Price + j.NodeCost
			movers = append(movers, c.leaving[n]...)
			for _, pod := range c.leaving[n] {
				if err := j.Cluster.RemovePod(pod); err != nil {
					return nil, err
				}
			}
			continue
		}
		movers = append(movers, node.pods...)
		if err := j.Cluster.RemoveNode(node.Name); err != nil {
			return nil, err
		}
		node.giveBack(in.Groups)
	}
	var stranded []Rejection
	in.Pods, stranded = j.waiting(movers, j.removed(c))
	in.Promised = maps.Clone(j.Promised)
	if in.Promised == nil {
		in.Promised = map[types.NamespacedName]string{}
	}
	maps.Copy(in.Promised, c.to)
	plan, err := withGangs(in, func(in Input) (Plan, error) { return solveBy(in, (*planner).finish) })
	if err != nil {
		return nil, err
	}
	j.refused += plan.Refused
	j.rename(&plan, j.removed(c))
	a.left = len(plan.Rejections)
	plan.Rejections = append(plan.Rejections, stranded...)
	plan.Placements = slices.DeleteFunc(plan.Placements, func(p Placement) bool { // it stays where it is
		n, movable := j.home[p.Pod]
		back := movable && j.nodes[n].Name == p.Node
		return back && !j.asked[p.Pod]
	})
	plan.sort()
	a.plan, a.moved = plan, j.moved(plan)
	a.cost += plan.Cost
	return a, nil
}

// moved counts the pods that ran and run elsewhere.
func (j *joint) moved(plan Plan) int {
	elsewhere := map[types.NamespacedName]bool{}
	for _, p := range plan.Placements {
		if n, movable := j.home[p.Pod]; movable && j.nodes[n].Name != p.Node {
			elsewhere[p.Pod] = true
		}
	}
	count := 0
	for _, node := range j.nodes {
		for _, pod := range node.pods {
			if elsewhere[nameOf(pod)] && pod.Spec.NodeName != "" {
				count++
			}
		}
	}
	return count
}

// rename gives launches names that no node has, of those that go neither.
func (j *joint) rename(plan *Plan, gone map[string]int) {
	names, number := map[string]string{}, 0
	for i := range plan.Launches {
		name := ""
		for taken := true; taken; {
			number++
			name = fmt.Sprintf("new-%d", number)
			_, goes := gone[name]
			taken = goes || j.Cluster.Has(name)
		}
		names[plan.Launches[i].Name] = name
	}
	for i := range plan.Launches {
		plan.Launches[i].Name = names[plan.Launches[i].Name]
	}
	for i := range plan.Placements {
		if name, launched := names[plan.Placements[i].Node]; launched {
			plan.Placements[i].Node = name
		}
	}
}

// waiting are the pods to plan for: those of the input, and those that leave their nodes. A DaemonSet's pod that waits for a node that goes is
// left behind with it.
func (j *joint) waiting(movers []*corev1.Pod, gone map[string]int) (pods []*corev1.Pod, stranded []Rejection) {
	moving := make(map[types.NamespacedName]bool, len(movers))
	for _, pod := range movers {
		moving[nameOf(pod)] = true
	}
	for _, pod := range j.Pods {
		if moving[nameOf(pod)] {
			continue
		}
		_, owned := daemonSetOf(pod)
		node := tiedTo(pod)
		if _, goes := gone[node]; owned && goes {
			stranded = append(stranded, Rejection{
				Pod: nameOf(pod), Message: fmt.Sprintf("belongs on node %q, which goes", node), Reasons: []string{leftBehind},
			})
			continue
		}
		pods = append(pods, pod)
	}
	return append(pods, movers...), stranded
}

const leftBehind = "its node is one that the plan removes"

// giveBack takes a node out of what its group uses.
func (o *optional) giveBack(groups []Group) {
	for i := range groups {
		if g := &groups[i]; o.Group != "" && g.NodeGroup.Name == o.Group {
			g.Nodes, g.CPUMilli = max(g.Nodes-1, 0), max(g.CPUMilli-o.CPUMilli, 0)
			g.MemoryMiB, g.Cost = max(g.MemoryMiB-o.MemoryMiB, 0), max(g.Cost-o.Price, 0)
		}
	}
}
