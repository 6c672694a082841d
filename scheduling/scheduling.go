// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package scheduling turns pending pods and a picture of the cluster into a plan: which pod goes where, which
// machines to buy for those that fit nowhere, and the reason for every pod that cannot be helped. It judges fit with
// kube-scheduler's own plugins. It never asks the API server, never reads the clock and never logs.
package scheduling

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// Input is everything a plan depends on. Solve does not change it.
type Input struct {
	Cluster   *snapshot.Snapshot // nodes, virtual nodes, their pods, and the objects that plugins read
	Pods      []*corev1.Pod      // the pods to place, in any order
	Groups    []Group            // pools that may grow, in any order
	Offerings []Offering         // what can be bought, in any order
	// Promised are, by pod, the machines in the cluster that an earlier plan bought for them. Pods go there if the plugins accept it.
	Promised map[types.NamespacedName]string
	// Optional are nodes of the picture that the plan may remove, in any order, where what comes in their place costs less. See OptionalNode.
	Optional []OptionalNode
	// MoveCost is what moving one pod that runs off its node weighs against savings per hour. It is part of no price in the plan. At 0 pods
	// move for any saving, and of equal plans the one that moves fewer is taken.
	MoveCost Price
	// Scheduler is the kube-scheduler whose verdicts count; nil: a stock one. Pods that ask for none of its profiles are rejected.
	Scheduler *simulate.Scheduler
	NodeCost  Price // what a machine costs per hour beside its offering's price: a licence, an address, an agent
	// Effort scales the bounds on the search for cheaper machines: 0 is 100 percent, about a second for ten thousand pods. Equal inputs
	// have equal plans at equal effort.
	Effort int
	// Stop is asked now and then, and ends the search with the best plan so far. It is for an emergency: a plan that it cut short depends
	// on the speed of the machine. The bound on the cost is then computed with less effort, but never cut short. nil never stops.
	Stop func() bool
}

// Group is a pool that may grow, with what it already uses of its limits.
type Group struct {
	NodeGroup *v1alpha1.NodeGroup
	Nodes     int   // VPSieNodes that are not Failed
	CPUMilli  int64 // sold, summed over them
	MemoryMiB int64
	Cost      Price
}

// Plan is what to start, where pods go, and why nothing could be done for the rest. Every pod of the input is in exactly one of
// Placements and Rejections. Where nodes are optional, Placements also has the pods that move from one node to another, and no others that
// run: a pod that stays is not mentioned. A pod that runs is never among the Rejections because of the plan: then its node stays.
type Plan struct {
	Launches   []Launch    // in the order of their numbers: by group, then price
	Placements []Placement // by pod; Node is an existing node, a virtual node or a Launch's Name
	Rejections []Rejection // by pod
	Removed    []string    // nodes of Input.Optional that go, by name
	Cost       Price       // of the launches and of the optional nodes that stay, per hour, with Input.NodeCost for each
	// LowerBound is a cost per hour that no plan undercuts which places the same pods and keeps the promises, whatever of them it puts on nodes
	// that are there and where movable pods go.
	LowerBound Price
	Gap        float64 // Cost / LowerBound - 1: how much cheaper a plan could be at the very most; 0 where the bound is
	// Verified says that the real plugins accepted each of these placements in the last check: on a picture with all launches there, and where
	// pods are placed before any machine comes, with none of them.
	Verified bool
	// Refused counts the placements that planning had counted on and that the last check refused, also of pods that then found another
	// place. A number other than 0 is worth an alert: planning counts what the plugins would say.
	Refused int
	// Omitted counts the pods that were refused so often that they were given up. They are among the Rejections.
	Omitted int
}

// Launch is one machine to buy.
type Launch struct {
	Name      string // unique within the plan, and no name of a node: new-1, new-2, ...
	Group     string
	Offerings []Offering // that would hold the same pods, cheapest first; the first is what the plan counts on
	Pods      []types.NamespacedName
	Requests  corev1.ResourceList // of Pods, summed; DaemonSet pods not included
	Why       string              // one sentence for a person
}

// Placement says where a pod goes.
type Placement struct {
	Pod  types.NamespacedName
	Node string
}

// Rejection says why a pod could not be helped.
type Rejection struct {
	Pod     types.NamespacedName
	Message string   // one sentence: the nearest miss
	Reasons []string // one per group or per cause, sorted
}

// Solve makes a plan. Pods come in a total order (priority, size, name); nodes that are there, registered and virtual, are used before
// any machine is bought; every step, and in the end the whole plan once more, is confirmed by kube-scheduler's plugins. The same input
// gives the same plan, in whatever order its parts come.
func Solve(in Input) (Plan, error) {
	if len(in.Optional) > 0 {
		return solveJoint(in)
	}
	return withGangs(in, solve)
}

func solve(in Input) (Plan, error) { return solveBy(in, (*planner).cheapest) }

func solveBy(in Input, finish func(*planner) (Plan, error)) (Plan, error) {
	problem, err := newProblem(in)
	if err != nil {
		return Plan{}, fmt.Errorf("planning: %w", err)
	}
	if len(problem.classes) == 0 {
		return problem.settledPlan(), nil
	}
	var plan Plan
	err = problem.with(func(planner *planner) error {
		plan, err = finish(planner)
		return err
	})
	if err != nil {
		return Plan{}, fmt.Errorf("planning for %d pods: %w", len(in.Pods), err)
	}
	return plan, nil
}

// with lends a planner, whose picture is the input's own and is as before afterwards.
func (p *problem) with(do func(*planner) error) error {
	still, err := simulate.New(p.input.Cluster.Empty(), simulate.Options{Scheduler: p.input.Scheduler})
	if err != nil {
		return err
	}
	defer still.Close()
	engine, err := simulate.New(p.input.Cluster, simulate.Options{Scheduler: p.input.Scheduler})
	if err != nil {
		return err
	}
	defer engine.Close()
	// Everything happens in the input's own picture, and is taken back: copying it would cost more than planning.
	depth := engine.Depth()
	engine.Fork()
	defer engine.RevertTo(depth)
	mine := map[types.NamespacedName]bool{}
	for _, class := range p.classes {
		class.alien = !engine.Usual(class.pods[0])
		class.opaque = class.opaque || class.alien
		p.shadowed = p.shadowed || class.opaque
		for _, pod := range class.pods {
			mine[nameOf(pod)] = true
		}
	}
	if err := awaitDaemons(engine, p.daemons, func(pod *corev1.Pod) bool { return mine[nameOf(pod)] }); err != nil {
		return err
	}
	if p.statics, err = newStatics(still, p.classes); err != nil {
		return err
	}
	if p.comers, err = p.daemons.shapes(p.input.Cluster); err != nil {
		return err
	}
	p.desert = still
	return do(p.newPlanner(engine))
}

// finish carries the plan through. It does not bound its cost.
func (p *planner) finish() (Plan, error) {
	if err := p.run([]int32{math.MinInt32}); err != nil {
		return Plan{}, err
	}
	if p.favoursTheUnimportant() {
		// All pods were packed together, which is cheapest, and a limit then hit the wrong ones.
		p.startOver()
		if err := p.run(p.priorities()); err != nil {
			return Plan{}, err
		}
	}
	if err := p.prefer(); err != nil {
		return Plan{}, err
	}
	seen, err := p.verify()
	if err != nil {
		return Plan{}, err
	}
	return p.result(seen)
}

// priorities are the priorities of the classes, greatest first.
func (p *problem) priorities() []int32 {
	var floors []int32
	for _, class := range p.classes { // in descending order
		if len(floors) == 0 || class.priority < floors[len(floors)-1] {
			floors = append(floors, class.priority)
		}
	}
	return floors
}

// favoursTheUnimportant says whether a limit left a pod out while a machine was bought for a pod of less priority.
func (p *planner) favoursTheUnimportant() bool {
	left, launched := int32(math.MinInt32), int32(math.MaxInt32)
	for c, class := range p.classes {
		for i, candidate := range p.candidates {
			if len(p.left[c]) > 0 && class.allowed[i] && !affords(p.budgets[candidate.pool], candidate.draw, nil) {
				left = max(left, class.priority)
			}
		}
	}
	for _, m := range p.machines {
		for _, pod := range m.pods {
			launched = min(launched, p.classes[pod.class].priority)
		}
	}
	return left > launched
}

// settledPlan is the plan for pods that all are running or cannot be planned for.
func (p *problem) settledPlan() Plan {
	plan := Plan{Placements: p.running, Rejections: p.rejected, Verified: true} // nothing was placed that could be refused
	plan.sort()
	return plan
}

func (p *planner) result(seen check) (Plan, error) {
	launches, names := p.launches()
	rejections, err := p.rejections()
	if err != nil {
		return Plan{}, err
	}
	plan := Plan{
		Launches: launches, Placements: slices.Clone(p.running), Rejections: rejections,
		Cost: p.cost(), Verified: seen.accepted == len(p.placements()), Refused: seen.refused, Omitted: seen.omitted,
	}
	for _, s := range p.settled {
		plan.Placements = append(plan.Placements, Placement{Pod: nameOf(s.pod), Node: s.node})
	}
	for _, m := range p.machines {
		for _, pod := range m.pods {
			plan.Placements = append(plan.Placements, Placement{Pod: nameOf(pod.pod), Node: names[m.name]})
		}
	}
	plan.sort()
	return plan, nil
}

// bound says that no plan costs less.
func (p *Plan) bound(least Price) {
	if p.LowerBound, p.Gap = least, 0; least > 0 {
		p.Gap = float64(p.Cost)/float64(least) - 1
	}
}

// cost is what the planned machines cost per hour.
func (p *planner) cost() (sum Price) {
	for _, m := range p.machines {
		sum += p.price(m.candidate)
	}
	return sum
}

func (p *Plan) sort() {
	slices.SortFunc(p.Placements, func(a, b Placement) int { return compareNames(a.Pod, b.Pod) })
	slices.SortFunc(p.Rejections, func(a, b Rejection) int { return compareNames(a.Pod, b.Pod) })
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}
