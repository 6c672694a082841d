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

// OptionalNode is a node of the picture that a plan may do without.
type OptionalNode struct {
	Name  string
	Price Price // per hour that it stays; Input.NodeCost comes on top, as for a launch
	// Movable are the pods on it that may be moved elsewhere. Any other pod keeps the node, unless a DaemonSet or the kubelet itself put it there.
	Movable []*corev1.Pod
	// Group names the one among Input.Groups whose usage counts the node, with CPUMilli and MemoryMiB as sold and Price. What goes is given
	// back to that group's limits. Empty: nothing is given back.
	Group     string
	CPUMilli  int64
	MemoryMiB int64
}

// optional is an OptionalNode with what the picture says of it.
type optional struct {
	OptionalNode
	pods  []*corev1.Pod // that may move
	stays bool          // something on it may not
}

// joint is the search for which optional nodes stay, which go, and what is bought, at once.
type joint struct {
	Input
	nodes []*optional                  // by name
	home  map[types.NamespacedName]int // the optional node of each pod that may move
	asked map[types.NamespacedName]bool
	base  *arrangement // everything stays
	best  *arrangement
	// advised is which optional nodes the latest advice would let go.
	advised []bool
	refused int // placements of any arrangement that the plugins refused
	floor   floor
}

// arrangement is a plan without some of the optional nodes.
type arrangement struct {
	choice
	plan  Plan  // as if the nodes that go had never been
	cost  Price // of what stays and of what is bought
	moved int   // pods that ran and run elsewhere
	left  int   // pods without a place, but for those of DaemonSets that went with their nodes
}

// Bounds of the search.
const (
	roundsOfKeeping = 4     // how often nodes are kept after all because of pods that found no other place
	nodesMore       = 8     // that are looked at beside those that go
	closeEnough     = 1.002 // times the bound
)

// solveJoint decides about the optional nodes and about launches together. It starts from the plan in which every optional node stays, and
// gives it up only for one that leaves no further pod out and costs less: so nothing moves for nothing.
func solveJoint(in Input) (Plan, error) {
	j, err := newJoint(in)
	if err != nil {
		return Plan{}, fmt.Errorf("planning with %d optional nodes: %w", len(in.Optional), err)
	}
	if err := j.search(); err != nil {
		return Plan{}, fmt.Errorf("planning with %d optional nodes: %w", len(in.Optional), err)
	}
	return j.result(), nil
}

func newJoint(in Input) (*joint, error) {
	j := &joint{Input: in, home: map[types.NamespacedName]int{}, asked: map[types.NamespacedName]bool{}}
	j.Optional = nil
	for _, pod := range in.Pods {
		j.asked[nameOf(pod)] = true
	}
	schedulers := in.Scheduler.Names()
	for _, o := range in.Optional {
		if !in.Cluster.Has(o.Name) {
			return nil, fmt.Errorf("optional node %q is not in the picture", o.Name)
		}
		j.nodes = append(j.nodes, j.newOptional(o, schedulers))
	}
	slices.SortFunc(j.nodes, func(a, b *optional) int { return cmp.Compare(a.Name, b.Name) })
	for n, node := range j.nodes {
		if n > 0 && j.nodes[n-1].Name == node.Name {
			return nil, fmt.Errorf("optional node %q is given twice", node.Name)
		}
		for _, pod := range node.pods {
			j.home[nameOf(pod)] = n
		}
	}
	return j, nil
}

func (j *joint) newOptional(o OptionalNode, schedulers []string) *optional {
	movable := map[types.NamespacedName]bool{}
	for _, pod := range o.Movable {
		movable[nameOf(pod)] = true
	}
	node := &optional{OptionalNode: o}
	for _, pod := range j.Cluster.PodsOn(o.Name) {
		_, owned := daemonSetOf(pod)
		_, mirrored := pod.Annotations[corev1.MirrorPodAnnotationKey]
		nominated := pod.Spec.NodeName == "" && j.asked[nameOf(pod)] // it does not run yet, and may be planned for
		switch {
		case owned || mirrored:
		case (movable[nameOf(pod)] || nominated) && unplannable(pod, schedulers) == "":
			node.pods = append(node.pods, pod)
		default:
			node.stays = true
		}
	}
	return node
}

// search looks for better arrangements: first over all optional nodes, which may move any pod; then over those alone that would go and a few
// more, while the pods of all others stay where they are. That costs fewer moves, and seldom more money.
func (j *joint) search() error {
	var err error
	if j.base, err = j.carryOut(j.nothing()); err != nil {
		return err
	}
	j.best = j.base
	scope := make([]bool, len(j.nodes))
	for n := range scope {
		scope[n] = true
	}
	if err := j.try(scope); err != nil {
		return err
	}
	before := scope
	for _, more := range []int{0, nodesMore} {
		if more > 0 && j.worth(j.best.cost, j.best.moved) <= closeEnough*float64(j.bound()) {
			return nil
		}
		scope = j.scope(more)
		if slices.Equal(scope, before) || !slices.Contains(scope, true) {
			continue
		}
		if err := j.try(scope); err != nil {
			return err
		}
		before = scope
	}
	return nil
}

// scope is the optional nodes that go in the best arrangement or would by the latest advice, and some of the others: those that have the
// least on them for their price.
func (j *joint) scope(more int) []bool {
	scope := make([]bool, len(j.nodes))
	var others []int
	load := make([]float64, len(j.nodes))
	for n, node := range j.nodes {
		if scope[n] = j.best.out[n] || j.advised[n]; scope[n] || node.stays {
			continue
		}
		others = append(others, n)
		for _, pod := range node.pods {
			load[n] += float64(sizeOf(requestsOf(pod)))
		}
		load[n] /= float64(node.Price + j.NodeCost + 1)
	}
	slices.SortStableFunc(others, func(a, b int) int { return cmp.Compare(load[a], load[b]) })
	for _, n := range others[:min(more, len(others))] {
		scope[n] = true
	}
	return scope
}

// try takes advice about some of the optional nodes, and follows it where that promises to be better.
func (j *joint) try(scope []bool) error {
	if j.Stop != nil && j.Stop() {
		j.advised = make([]bool, len(j.nodes))
		return nil
	}
	advice, err := j.advise(scope)
	if err != nil {
		return err
	}
	j.advised = advice.out
	promised := &arrangement{cost: advice.cost, moved: j.moves(advice)}
	if j.best.left == 0 && j.compare(promised, j.best) >= 0 {
		return nil
	}
	found, err := j.arrange(advice)
	if err != nil || found == nil {
		return err
	}
	if j.compare(found, j.best) < 0 {
		j.best = found
	}
	return nil
}

func (j *joint) compare(a, b *arrangement) int {
	return cmp.Or(
		cmp.Compare(a.left, b.left),
		pack.ComparePrices(int64(j.worth(a.cost, a.moved)), int64(j.worth(b.cost, b.moved))),
		cmp.Compare(a.moved, b.moved),
	)
}

// worth is what an arrangement counts for.
func (j *joint) worth(cost Price, moved int) float64 {
	return float64(cost) + float64(j.MoveCost)*float64(moved)
}

// choice is which optional nodes go, and which pods leave those that stay.
type choice struct {
	out     []bool                          // by optional node
	leaving [][]*corev1.Pod                 // by optional node that stays
	to      map[types.NamespacedName]string // nodes that are there for pods that leave theirs or wait
	cost    Price                           // that is expected
}

func (j *joint) nothing() choice {
	return choice{out: make([]bool, len(j.nodes)), leaving: make([][]*corev1.Pod, len(j.nodes))}
}

// moves counts the pods that run and have to leave their nodes.
func (j *joint) moves(c choice) int {
	pods := 0
	for n, node := range j.nodes {
		if pods += running(c.leaving[n]); c.out[n] {
			pods += running(node.pods)
		}
	}
	return pods
}

// running counts the pods that are more than nominated.
func running(pods []*corev1.Pod) (count int) {
	for _, pod := range pods {
		if pod.Spec.NodeName != "" {
			count++
		}
	}
	return count
}

func (j *joint) result() Plan {
	plan := j.best.plan
	plan.Refused = j.refused
	for n, node := range j.nodes {
		if j.best.out[n] {
			plan.Removed = append(plan.Removed, node.Name)
		}
	}
	plan.Cost = j.best.cost
	plan.bound(j.bound())
	return plan
}
