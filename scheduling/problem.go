// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// problem is an Input in the form that planning needs. It does not change once it is assessed.
type problem struct {
	input      Input
	pools      []*pool      // by name
	candidates []*candidate // cheapest first, then greatest weight, then by name
	classes    []*class
	daemons    daemons
	comers     []*snapshot.Shape // of the DaemonSet pods that come with machines
	running    []Placement       // of pods that are on a node already
	moving     bool              // some pods run, on nodes that they are to leave
	rejected   []Rejection       // of pods that nobody may plan for
	workloads  []*workload       // of the classes, where some group bounds them
	attached   attachments

	statics  *statics
	desert   *simulate.Engine // over a picture without nodes
	assessed bool
	shadowed bool // some class is opaque: the picture follows every step, because the plugins are asked on the way
}

// The dimensions of a pool's budget.
const (
	ofNodes = iota
	ofCPU   // milli
	ofMemory
	ofCost
	budgets
)

// pool is a group with what it may still buy.
type pool struct {
	group   *v1alpha1.NodeGroup
	used    pack.Vector
	limits  pack.Vector
	closed  string // why it buys nothing at all
	asides  []string
	demands []demand
	pays    Price // for what a pod prefers at a weight of 100
}

func (p *pool) name() string { return p.group.Name }

func (p *pool) budget() pack.Vector {
	left := make(pack.Vector, budgets)
	for d := range left {
		left[d] = pack.Unbounded
		if p.limits[d] != pack.Unbounded {
			left[d] = max(p.limits[d]-p.used[d], 0)
		}
	}
	return left
}

// candidate is a machine that could be bought: an offering for a pool.
type candidate struct {
	pool     int
	offering Offering
	draw     pack.Vector
	template *ledger.Template
	node     *corev1.Node // as it will look, under a name of its own
	room     pack.Vector  // for pods, when DaemonSet pods have landed
	whole    pack.Vector  // allocatable
	homeless []string     // DaemonSets whose pods belong on it and find no room
	with     []int        // candidates to fall back on that are ordered with it, because its group asks for a choice
	tooSmall string       // the first of them that larger machines of the pool have room for
}

func newProblem(in Input) (*problem, error) {
	p := &problem{input: in, daemons: newDaemons(in.Cluster.Objects())}
	if err := p.addPods(); err != nil {
		return nil, err
	}
	p.addWorkloads()
	p.attached = p.newAttachments()
	p.addPools()
	return p, nil
}

func (p *problem) addPods() error {
	schedulers := p.input.Scheduler.Names()
	var open []*corev1.Pod
	seen := make(map[*corev1.Pod]bool, len(p.input.Pods))
	for _, pod := range p.input.Pods {
		if seen[pod] {
			continue
		}
		seen[pod] = true
		if node, placed := p.input.Cluster.NodeOf(pod); placed && p.input.Cluster.Has(node) {
			p.running = append(p.running, Placement{Pod: nameOf(pod), Node: node})
			continue
		}
		if reason := unplannable(pod, schedulers); reason != "" {
			p.rejected = append(p.rejected, Rejection{Pod: nameOf(pod), Message: reason, Reasons: []string{reason}})
			continue
		}
		if pod.Spec.NodeName != "" { // its node is gone
			p.moving = true
			pod = new(*pod)
			pod.Spec.NodeName = ""
		}
		open = append(open, pod)
	}
	var err error
	if p.classes, err = classify(p.input.Cluster.Shapes(), open); err != nil {
		return err
	}
	for _, class := range p.classes {
		// A device that a driver offers under the name of a resource is taken by a plugin, not counted on the node.
		class.opaque = class.opaque ||
			(len(p.input.Cluster.Objects().DeviceClasses) > 0 && len(class.shape.Resources().GetScalarResources()) > 0)
	}
	return nil
}

func (p *problem) addPools() {
	groups := slices.Clone(p.input.Groups)
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Compare(a.NodeGroup.Name, b.NodeGroup.Name) })
	for _, group := range groups {
		p.pools = append(p.pools, newPool(group))
	}
}

// addCandidates works out what the pools may buy.
func (p *problem) addCandidates() {
	for i, pool := range p.pools {
		if pool.closed != "" {
			continue
		}
		eligible, reasons := EligibleOfferings(pool.group, p.input.Offerings)
		available := filter(eligible, func(o Offering) bool { return o.Available })
		switch {
		case len(eligible) == 0:
			pool.closed = "has no offering: " + strings.Join(reasons, "; ")
		case len(available) == 0:
			pool.closed = "has only offerings that are set aside for lack of stock or quota: " +
				distinct(eligible, func(o Offering) string { return o.Name })
		case len(available) < len(eligible):
			pool.asides = append(pool.asides, distinct(filter(eligible, func(o Offering) bool { return !o.Available }),
				func(o Offering) string { return o.Name }))
		}
		for _, o := range available {
			p.candidates = append(p.candidates, &candidate{pool: i, offering: o, draw: drawOf(o)})
		}
	}
	slices.SortStableFunc(p.candidates, func(a, b *candidate) int {
		return cmp.Or(
			cmp.Compare(a.offering.Price, b.offering.Price),
			cmp.Compare(ptr.Deref(p.pools[b.pool].group.Spec.Weight, 1), ptr.Deref(p.pools[a.pool].group.Spec.Weight, 1)),
			cmp.Compare(p.pools[a.pool].name(), p.pools[b.pool].name()),
			CompareOfferings(a.offering, b.offering),
		)
	})
}

func newPool(group Group) *pool {
	spec := &group.NodeGroup.Spec
	p := &pool{
		group: group.NodeGroup, demands: demandsOf(group.NodeGroup),
		used:   pack.Vector{ofNodes: int64(group.Nodes), ofCPU: group.CPUMilli, ofMemory: group.MemoryMiB, ofCost: int64(group.Cost)},
		limits: pack.Vector{ofNodes: pack.Unbounded, ofCPU: pack.Unbounded, ofMemory: pack.Unbounded, ofCost: pack.Unbounded},
	}
	if spec.Paused == v1alpha1.PauseProvisioning || spec.Paused == v1alpha1.PauseAll {
		p.closed = fmt.Sprintf("is paused (spec.paused: %s)", spec.Paused)
	}
	if spec.MaxNodes != nil {
		p.limits[ofNodes] = int64(*spec.MaxNodes)
	}
	if spec.PreferencePrice != nil {
		price, err := ParsePrice(*spec.PreferencePrice)
		if err != nil {
			p.closed = fmt.Sprintf("has a price that cannot be read: spec.preferencePrice: %v", err)
		}
		p.pays = price
	}
	limits := spec.Limits
	if limits == nil {
		return p
	}
	if limits.Nodes != nil {
		p.limits[ofNodes] = min(p.limits[ofNodes], int64(*limits.Nodes))
	}
	if limits.CPU != nil {
		p.limits[ofCPU] = limits.CPU.MilliValue()
	}
	if limits.Memory != nil {
		p.limits[ofMemory] = limits.Memory.Value() / mebibyte
	}
	if limits.CostPerHour != nil {
		price, err := ParsePrice(*limits.CostPerHour)
		if err != nil {
			p.closed = fmt.Sprintf("has a limit that cannot be read: spec.limits.costPerHour: %v", err)
		}
		p.limits[ofCost] = int64(price)
	}
	return p
}

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}
