// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// How near a node group was to helping a pod, nearest first. The nearest miss is what a user can most easily do something about.
const (
	missedByLimit = iota
	missedByPods  // those that are planned or running
	missedByChoice
	missedBySize
	missedByPlugin
	missedByAffinity
	missedByTaint
	missedByClosure
)

// miss is why one node group could not help.
type miss struct {
	distance int
	text     string
}

// rejections explains every pod that is left.
func (p *planner) rejections() ([]Rejection, error) {
	rejections := slices.Clone(p.rejected)
	for c := range p.classes {
		if len(p.left[c]) == 0 {
			continue
		}
		message, reasons, err := p.explain(c)
		if err != nil {
			return nil, err
		}
		for _, pod := range p.left[c] {
			rejections = append(rejections, Rejection{Pod: nameOf(pod), Message: message, Reasons: reasons})
		}
	}
	return rejections, nil
}

func (p *planner) explain(c int) (message string, reasons []string, err error) {
	pod := p.left[c][0]
	query := p.engine.Ask(pod)
	if verdict, refused := query.Refused(); refused {
		return verdict.String(), []string{verdict.String()}, nil
	}
	if _, owned := daemonSetOf(pod); owned && tiedTo(pod) != "" {
		node := tiedTo(pod)
		text := fmt.Sprintf("belongs on node %q and is refused there by %s", node, query.Fits(node))
		return text, []string{text}, nil
	}
	var nearest *miss
	for i, pool := range p.pools {
		m, err := p.miss(c, i, pool)
		if err != nil {
			return "", nil, err
		}
		reasons = append(reasons, m.text)
		if nearest == nil || m.distance < nearest.distance {
			nearest = &m
		}
	}
	if existing := p.refusalsOfNodes(query); existing != "" {
		reasons = append(reasons, existing)
	}
	slices.Sort(reasons)
	if nearest == nil {
		return "fits on no node, and there is no node group that may grow", reasons, nil
	}
	return nearest.text, reasons, nil
}

// refusalsOfNodes sums up what the plugins say about the nodes that are there, most frequent first.
func (p *planner) refusalsOfNodes(query *simulate.Query) string {
	counts := map[string]int{}
	nodes := 0
	for _, seat := range p.there {
		nodes++
		if verdict := query.Fits(p.nodeAt(seat)); !verdict.Fits {
			counts[verdict.String()]++
		}
	}
	if nodes == 0 || len(counts) == 0 { // other pods that are planned may be all that speaks against a node
		return ""
	}
	reasons := sortedKeys(counts)
	slices.SortStableFunc(reasons, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	for i, reason := range reasons {
		reasons[i] = fmt.Sprintf("%d %s", counts[reason], reason)
	}
	return fmt.Sprintf("of %d nodes that are there, refused: %s", nodes, strings.Join(reasons, "; "))
}

// miss says why a pool did not help a class.
func (p *planner) miss(c, index int, pool *pool) (miss, error) {
	group := fmt.Sprintf("node group %q", pool.name())
	if pool.closed != "" {
		return miss{missedByClosure, group + " " + pool.closed}, nil
	}
	var possible []int
	for i, candidate := range p.candidates {
		if candidate.pool == index && p.classes[c].allowed[i] {
			possible = append(possible, i)
		}
	}
	if len(possible) == 0 {
		m := p.missStatic(c, index, pool, group)
		if len(pool.asides) > 0 && (m.distance == missedByChoice || m.distance == missedBySize || m.distance == missedByAffinity) {
			m.text += "; set aside for lack of stock or quota: " + strings.Join(pool.asides, ", ")
		}
		return m, nil
	}
	affordable := slices.DeleteFunc(slices.Clone(possible), func(i int) bool {
		return !affords(p.budgets[index], p.candidates[i].draw, nil)
	})
	if len(affordable) == 0 {
		return miss{missedByLimit, limitText(p.candidates[possible[0]], pool, p.budgets[index], group)}, nil
	}
	return p.missDynamic(c, affordable, group)
}

// missStatic explains a class that no empty machine of the pool would hold.
func (p *planner) missStatic(c, index int, pool *pool, group string) miss {
	class, pod := p.classes[c], p.left[c][0]
	counts := map[string]int{}
	var last simulate.Verdict
	for i, candidate := range p.candidates {
		if candidate.pool == index {
			last = class.verdict(i, candidate)
			counts[last.Plugin]++
		}
	}
	switch {
	case counts[byChoice] > 0:
		return miss{missedByChoice, p.choiceText(class, index, group)}
	case counts[byResources]+counts[byDaemonSet] > 0:
		return miss{missedBySize, p.sizeText(class, index, group)}
	case counts["TaintToleration"] > 0:
		taint, _ := schedulinghelper.FindMatchingUntoleratedTaint(logr.Discard(), taints(pool.group.Spec.Template.Taints), pod.Spec.Tolerations,
			func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }, true)
		return miss{missedByTaint, fmt.Sprintf("%s has taint %s, which the pod does not tolerate", group, taint.ToString())}
	case counts["NodeAffinity"] > 0:
		return miss{missedByAffinity, p.selectorText(pod, index, group)}
	}
	return miss{missedByPlugin, fmt.Sprintf("a machine of %s would be refused by %s", group, last)}
}

// sizeText says which request is too large for the pool's machines, or that no machine has all of them together.
func (p *planner) sizeText(class *class, index int, group string) string {
	for r := range ledger.Common {
		var largest *candidate
		for _, candidate := range p.candidates {
			if candidate.pool == index && candidate.tooSmall == "" && (largest == nil || candidate.room[r] > largest.room[r]) {
				largest = candidate
			}
		}
		if largest == nil { // each lacks room for another DaemonSet
			return fmt.Sprintf("no offering of %s has room for all DaemonSet pods that belong on it", group)
		}
		if class.vector[r] <= largest.room[r] {
			continue
		}
		text := fmt.Sprintf("needs %s; the largest offering of %s is %s with %s allocatable",
			needText(r, class.vector[r]), group, largest.offering.Name, amountText(r, largest.whole[r]))
		if daemons := largest.whole[r] - largest.room[r]; daemons > 0 {
			text += fmt.Sprintf(", of which DaemonSet pods take %s", amountText(r, daemons))
		}
		return text
	}
	for _, name := range sortedKeys(class.requests) {
		switch name {
		case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		default:
			return fmt.Sprintf("needs %s, which no offering of %s has", name, group)
		}
	}
	return fmt.Sprintf("needs %s together; no offering of %s has both", sizeText(class.vector[cpu], class.vector[memory]), group)
}

// limitText names the limit that keeps the pool from buying the candidate.
func limitText(c *candidate, pool *pool, budget pack.Vector, group string) string {
	if budget[ofNodes] < 1 {
		limit := pool.group.Spec.MaxNodes
		if limit != nil && int64(*limit) == pool.limits[ofNodes] {
			return fmt.Sprintf("%s is at maxNodes %d", group, *limit)
		}
		return fmt.Sprintf("%s is at limits.nodes %d", group, pool.limits[ofNodes])
	}
	for _, limit := range []struct {
		dimension int
		field     string
		text      func(int64) string
	}{
		{ofCPU, "cpu", func(n int64) string { return amountText(cpu, n) }},
		{ofMemory, "memory", func(n int64) string { return amountText(memory, n*mebibyte) }},
		{ofCost, "costPerHour", func(n int64) string { return Price(n).String() + "/h" }},
	} {
		d := limit.dimension
		if budget[d] != pack.Unbounded && c.draw[d] > budget[d] {
			name := c.offering.Name
			if len(c.with) > 0 {
				name += " or what it falls back on"
			}
			return fmt.Sprintf("%s would exceed limits.%s: %s of %s are in use or planned, and %s adds %s", group, limit.field,
				limit.text(pool.limits[d]-budget[d]), limit.text(pool.limits[d]), name, limit.text(c.draw[d]))
		}
	}
	return group + " is at its limits"
}

// missDynamic asks new machines once more, now beside everything that is planned.
func (p *planner) missDynamic(c int, candidates []int, group string) (miss, error) {
	var first string
	for _, index := range candidates {
		verdict, err := p.ifBought(c, index)
		if err != nil {
			return miss{}, err
		}
		name := p.candidates[index].offering.Name
		if verdict.Fits {
			return miss{missedByPods, fmt.Sprintf("%s could hold the pod on a new %s, but not beside the rest of this plan", group, name)}, nil
		}
		if first == "" {
			first = fmt.Sprintf("a new %s of %s would be refused by %s", name, group, verdict)
		}
	}
	return miss{missedByPods, first}, nil
}

// ifBought asks a machine that is in the picture for no longer than the question.
func (p *planner) ifBought(c, index int) (simulate.Verdict, error) {
	p.engine.Fork()
	defer p.engine.Revert()
	name := p.nextName()
	if err := p.raise(p.engine, p.candidates[index], name); err != nil {
		return simulate.Verdict{}, err
	}
	return p.engine.Fits(p.left[c][0], name), nil
}
