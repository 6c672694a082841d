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
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// problem is an Input in the form that planning needs. It does not change once it is assessed.
type problem struct {
	input      Input
	pools      []*pool      // by name
	candidates []*candidate // cheapest first, then greatest weight, then by name
	classes    []*class
	daemons    daemons
	running    []Placement // of pods that are on a node already
	rejected   []Rejection // of pods that nobody may plan for

	unusualTopology bool // some pod minds a domain that differs between machines of one datacenter
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
	group  *v1alpha1.NodeGroup
	used   pack.Vector
	limits pack.Vector
	closed string // why it buys nothing at all
	asides []string
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
	room     pack.Vector // for pods, when DaemonSet pods have landed
	whole    pack.Vector // allocatable
	homeless []string    // DaemonSets whose pods belong on it and find no room
	tooSmall string      // the first of them that larger machines of the pool have room for
}

func newProblem(in Input) (*problem, error) {
	p := &problem{input: in, daemons: newDaemons(in.Cluster.Objects())}
	if err := p.addPods(); err != nil {
		return nil, err
	}
	p.addPools()
	return p, nil
}

func (p *problem) addPods() error {
	schedulers := p.input.Scheduler.Names()
	pods := slices.Clone(p.input.Pods)
	slices.SortStableFunc(pods, comparePending)
	pods = slices.CompactFunc(pods, func(a, b *corev1.Pod) bool { return nameOf(a) == nameOf(b) })
	var open []*corev1.Pod
	for _, pod := range pods {
		if node, placed := p.input.Cluster.NodeOf(pod); placed && p.input.Cluster.Has(node) {
			p.running = append(p.running, Placement{Pod: nameOf(pod), Node: node})
			continue
		}
		if reason := unplannable(pod, schedulers); reason != "" {
			p.rejected = append(p.rejected, Rejection{Pod: nameOf(pod), Message: reason, Reasons: []string{reason}})
			continue
		}
		if pod.Spec.NodeName != "" { // its node is gone
			pod = new(*pod)
			pod.Spec.NodeName = ""
		}
		open = append(open, pod)
	}
	classes, err := classify(open)
	p.classes = classes
	p.unusualTopology = slices.ContainsFunc(open, func(pod *corev1.Pod) bool { return !usualTopology(pod) }) ||
		slices.ContainsFunc(p.input.Cluster.Objects().Pods, func(pod *corev1.Pod) bool { return !usualTopology(pod) })
	return err
}

func (p *problem) addPools() {
	groups := slices.Clone(p.input.Groups)
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Compare(a.NodeGroup.Name, b.NodeGroup.Name) })
	for i, group := range groups {
		pool := newPool(group)
		p.pools = append(p.pools, pool)
		if pool.closed != "" {
			continue
		}
		eligible, reasons := EligibleOfferings(group.NodeGroup, p.input.Offerings)
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
			p.candidates = append(p.candidates, &candidate{
				pool: i, offering: o, draw: pack.Vector{ofNodes: 1, ofCPU: o.CPUMilli, ofMemory: o.MemoryMiB, ofCost: int64(o.Price)},
			})
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
		group:  group.NodeGroup,
		used:   pack.Vector{ofNodes: int64(group.Nodes), ofCPU: group.CPUMilli, ofMemory: group.MemoryMiB, ofCost: int64(group.Cost)},
		limits: pack.Vector{ofNodes: pack.Unbounded, ofCPU: pack.Unbounded, ofMemory: pack.Unbounded, ofCost: pack.Unbounded},
	}
	if spec.Paused == v1alpha1.PauseProvisioning || spec.Paused == v1alpha1.PauseAll {
		p.closed = fmt.Sprintf("is paused (spec.paused: %s)", spec.Paused)
	}
	if spec.MaxNodes != nil {
		p.limits[ofNodes] = int64(*spec.MaxNodes)
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

// assess asks the plugins what may ever run where: each class on an empty machine of each candidate. It leaves the engine as it was.
func (p *problem) assess(engine *simulate.Engine) error {
	engine.Fork()
	defer engine.Revert()
	names := make([]string, len(p.candidates))
	for i, c := range p.candidates {
		names[i] = fmt.Sprintf("candidate-%d.%s", i, v1alpha1.Group)
		homeless, err := p.raise(engine, c, names[i])
		if err != nil {
			return err
		}
		c.homeless = homeless
		info, err := engine.Snapshot().NodeInfos().Get(names[i])
		if err != nil {
			return err
		}
		c.whole, c.room = roomOf(info)
	}
	p.markTooSmall()
	for _, class := range p.classes {
		query := engine.Ask(aloof(class.pods[0]))
		class.verdicts = make([]simulate.Verdict, len(names))
		for i, name := range names {
			if class.verdicts[i] = query.Fits(name); p.candidates[i].tooSmall != "" {
				class.verdicts[i] = simulate.Verdict{Plugin: byDaemonSet, Reasons: []string{p.candidates[i].tooSmall}}
			}
		}
		if err := p.probe(engine, class, names); err != nil {
			return err
		}
	}
	return nil
}

// byDaemonSet is who refuses a machine that has no room for a DaemonSet's pod. No plugin does: kube-scheduler would fill the machine
// and then evict from it for the pod that every node needs.
const byDaemonSet = "DaemonSet"

// markTooSmall marks candidates that lack room for a DaemonSet's pod which other candidates of their pool have. A DaemonSet that
// fits on no machine of a pool is a mistake of its own and must not keep the pool from growing.
func (p *problem) markTooSmall() {
	type key struct {
		pool int
		set  string
	}
	candidates, homeless := map[int]int{}, map[key]int{}
	for _, c := range p.candidates {
		candidates[c.pool]++
		for _, set := range c.homeless {
			homeless[key{c.pool, set}]++
		}
	}
	for _, c := range p.candidates {
		for _, set := range c.homeless {
			if c.tooSmall == "" && homeless[key{c.pool, set}] < candidates[c.pool] {
				c.tooSmall = fmt.Sprintf("%s has no room for the pod of DaemonSet %q", c.offering.Name, set)
			}
		}
	}
}

// probe finds out whether twins can share a machine. It asks one candidate of each pool: what keeps twins apart on one machine, ports
// and anti-affinity, depends on the labels of the pool at most.
func (p *problem) probe(engine *simulate.Engine, class *class, names []string) error {
	if class.plain || len(class.pods) < 2 {
		return nil
	}
	asked := map[int]bool{}
	for i, name := range names {
		pool := p.candidates[i].pool
		if asked[pool] || !class.verdicts[i].Fits {
			continue
		}
		asked[pool] = true
		apart, err := keptApart(engine, class, name)
		if err != nil || !apart {
			return err
		}
	}
	if len(asked) > 0 {
		class.perMachine = 1
	}
	return nil
}

func keptApart(engine *simulate.Engine, class *class, node string) (bool, error) {
	engine.Fork()
	defer engine.Revert()
	if first, err := engine.Place(weightless(aloof(class.pods[0])), node); err != nil || !first.Fits {
		return false, err
	}
	second := engine.Fits(weightless(aloof(class.pods[1])), node)
	return second.Plugin == "NodePorts" || second.Plugin == "InterPodAffinity", nil
}

// raise adds the node that a candidate is expected to become, with its DaemonSet pods, and names the DaemonSets that found no room.
func (p *problem) raise(engine *simulate.Engine, c *candidate, name string) (homeless []string, err error) {
	snap := engine.Snapshot()
	if err := snap.AddNode(snap.AsRegistered(TemplateNode(p.pools[c.pool].group, c.offering, name))); err != nil {
		return nil, err
	}
	return p.daemons.land(engine, name)
}

func roomOf(node fwk.NodeInfo) (whole, room pack.Vector) {
	allocatable, requested := node.GetAllocatable(), node.GetRequested()
	whole = pack.Vector{
		cpu: allocatable.GetMilliCPU(), memory: allocatable.GetMemory(),
		podSlots: int64(allocatable.GetAllowedPodNumber()), disk: allocatable.GetEphemeralStorage(),
	}
	return whole, pack.Vector{
		cpu: whole[cpu] - requested.GetMilliCPU(), memory: whole[memory] - requested.GetMemory(),
		podSlots: whole[podSlots] - int64(len(node.GetPods())), disk: whole[disk] - requested.GetEphemeralStorage(),
	}
}

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}
