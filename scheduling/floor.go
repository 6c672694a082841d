// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// LowerBound returns a price that no set of machines of the groups undercuts that holds the pods. It plans nothing, so it costs much less
// than Solve. Pods on nodes of the cluster do not count: leave the nodes out whose pods should. Limits, pauses and empty stocks do not
// count either, nor does the name of a pod's scheduler. Pods that no machine of the groups would hold are left out: without them the
// bound is lower than it could be, and still one.
func LowerBound(in Input) (Price, error) {
	in.Offerings = slices.Clone(in.Offerings)
	for i := range in.Offerings {
		in.Offerings[i].Available = true
	}
	in.Groups = slices.Clone(in.Groups)
	for i := range in.Groups {
		in.Groups[i] = Group{NodeGroup: unbounded(in.Groups[i].NodeGroup)}
	}
	in.Pods = slices.Clone(in.Pods)
	served := in.Scheduler.Names()
	for i, pod := range in.Pods {
		if !slices.Contains(served, pod.Spec.SchedulerName) {
			in.Pods[i] = new(*pod)
			in.Pods[i].Spec.SchedulerName = served[0]
		}
	}
	p, err := newProblem(in)
	if err != nil {
		return 0, fmt.Errorf("bounding the cost of %d pods: %w", len(in.Pods), err)
	}
	if len(p.classes) == 0 {
		return 0, nil
	}
	var bound Price
	err = p.with(func(planner *planner) error {
		if err := p.assess(p.desert, planner.book); err != nil {
			return err
		}
		counts := make([]int, len(p.classes))
		for c, class := range p.classes {
			if slices.Contains(class.admitted(), true) {
				counts[c] = len(class.pods)
			}
		}
		bound = planner.bound(counts)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("bounding the cost of %d pods: %w", len(in.Pods), err)
	}
	return bound, nil
}

// launchBound is the bound for the pods on new machines.
func (p *planner) launchBound() Price {
	counts := make([]int, len(p.classes))
	for _, m := range p.machines {
		for _, pod := range m.pods {
			counts[pod.class]++
		}
	}
	return p.bound(counts)
}

// bound is a price that no set of allowed machines undercuts which holds that many pods of each class.
func (p *planner) bound(counts []int) Price {
	return p.boundOf(counts, p.mostEach(counts, p.alone(counts)), nil)
}

// boundOf is the same where one machine holds so many of each class at most, and beside kinds of nodes that are there.
func (p *planner) boundOf(counts, most []int, nodes []present) Price {
	if !slices.ContainsFunc(counts, func(n int) bool { return n > 0 }) {
		return 0
	}
	packing := pack.Problem{Machines: p.kinds(p.zones())}
	for i := range nodes {
		packing.Machines = append(packing.Machines, nodes[i].machine)
	}
	places := map[int]int{}
	for c, class := range p.classes {
		if counts[c] == 0 {
			continue
		}
		places[c] = len(packing.Classes)
		allowed := slices.Clip(class.admitted())
		for i := range nodes {
			allowed = append(allowed, nodes[i].ever[c])
		}
		packing.Classes = append(packing.Classes, pack.Class{Requests: class.vector, Count: counts[c], PerMachine: most[c], Allowed: allowed})
	}
	p.keepOffHosts(&packing, places)
	p.boundShares(&packing, places, func(w *workload) int { return p.loosestBeside(w, nodes) })
	limited := packing
	limited.Limits = slices.Clip(limited.Limits)
	p.boundVolumes(&limited, places, nodes, cmp.Compare)
	return Price(p.boundHosts(packing, places, counts, pack.Bound(limited, p.boundEffort())))
}

// partOfBound is the part of its effort that the bound of a stopped search gets, in percent. A quarter takes about a sixth of a second for
// ten thousand pods and comes within a hundredth of the whole.
const partOfBound = 25

// boundEffort is not ended by Stop: a bound that was cut short would tell of a gap that is not there.
func (p *planner) boundEffort() pack.Options {
	effort := cmp.Or(p.input.Effort, wholeEffort)
	if p.input.Stop != nil && p.input.Stop() {
		effort = max(1, effort*partOfBound/100)
	}
	return pack.Options{Effort: effort}
}

// wholeEffort is what an Effort of 0 stands for.
const wholeEffort = 100

// perMachine returns how many of a class one machine may hold in any plan, 0 for any number.
func (p *planner) perMachine(c int) int {
	for _, constraint := range p.book.Apart(c) {
		if (constraint.Key == ledger.Node || constraint.Key == corev1.LabelHostname) && slices.Contains(constraint.Members, c) {
			return 1
		}
	}
	return p.classes[c].perMachine
}

// lone is a number of machines that some classes need because no machine holds more than a few of their pods.
type lone struct {
	classes  []int
	machines int
}

// alone lists them, the most machines first.
func (p *planner) alone(counts []int) []lone {
	var all []lone
	for c := range p.classes {
		if most := p.perMachine(c); most > 0 && counts[c] > 0 {
			all = append(all, lone{[]int{c}, (counts[c] + most - 1) / most})
		}
		for _, constraint := range p.book.Apart(c) {
			if counts[c] > 0 && constraint.Mutual && (constraint.Key == ledger.Node || constraint.Key == corev1.LabelHostname) {
				all = append(all, lone{constraint.Members, lo.SumBy(constraint.Members, func(member int) int { return counts[member] })})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b lone) int { return cmp.Compare(b.machines, a.machines) })
	return all
}

// mostEach is evenly of each class.
func (p *planner) mostEach(counts []int, alone []lone) []int {
	most := make([]int, len(p.classes))
	for c := range p.classes {
		if counts[c] > 0 {
			most[c] = p.evenly(c, counts, alone)
		}
	}
	return most
}

// evenly is perMachine, less where a class is spread over hosts: where D of them count at least and N pods at most, of which the fullest host has
// f, the emptiest other host has (N-f)/(D-1) at most, and f is
// the skew more at most: so f <= skew + (N-skew)/D. What is alone adds new machines to D.
func (p *planner) evenly(c int, counts []int, alone []lone) int {
	most := p.perMachine(c)
	for _, constraint := range p.book.Spreads(c) {
		if constraint.Key != corev1.LabelHostname || !constraint.Self {
			continue
		}
		_, hosts := constraint.Least()
		pods := constraint.Total()
		for _, m := range p.machines {
			if constraint.Includes(m.node) {
				hosts--
			}
			for _, pod := range m.pods {
				if slices.Contains(constraint.Members, pod.class) {
					pods--
				}
			}
		}
		for _, member := range constraint.Members {
			pods += counts[member]
		}
		for _, l := range alone {
			if p.includes(constraint, l.classes) {
				hosts += l.machines
				break
			}
		}
		hosts = max(hosts, constraint.MinDomains)
		limit := math.MaxInt
		if hosts > 0 {
			limit = constraint.MaxSkew + max(pods-constraint.MaxSkew, 0)/hosts
		}
		if limit = min(limit, p.heldBack(constraint, counts)); limit < math.MaxInt && (most == 0 || limit < most) {
			most = limit
		}
	}
	return most
}

// heldBack is how many pods of a spread a host may have because of those that count and get none: the skew more than they have.
func (p *planner) heldBack(spread ledger.Constraint, counts []int) int {
	most := math.MaxInt
	if len(p.there) > mostFixed {
		return most // too much to look for
	}
	for _, seat := range p.there {
		node := p.book.Node(seat)
		gets := slices.ContainsFunc(spread.Members, func(c int) bool {
			return counts[c] > 0 && p.book.Holds(c, seat) > 0 && p.admits(c, seat)
		})
		if has, counted := spread.Count(node.Labels[corev1.LabelHostname]); counted && !gets && spread.Includes(node) {
			most = min(most, spread.MaxSkew+has)
		}
	}
	return most
}

// includes says whether every machine that may hold one of the classes counts for a spread.
func (p *planner) includes(spread ledger.Constraint, classes []int) bool {
	for i, c := range p.candidates {
		if !spread.Includes(c.node) && slices.ContainsFunc(classes, func(class int) bool { return p.classes[class].admitted()[i] }) {
			return false
		}
	}
	return true
}

func unbounded(group *v1alpha1.NodeGroup) *v1alpha1.NodeGroup {
	group = new(*group)
	group.Spec.Paused, group.Spec.MaxNodes, group.Spec.Limits = v1alpha1.PauseNone, nil, nil
	return group
}
