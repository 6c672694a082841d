// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// choose asks for machines for the pods that are left: evenly over all zones where a spread wants that, and where a budget does not go so
// far, over the zones that have nodes, which is all that kube-scheduler insists on.
func (p *planner) choose() []pack.Pattern {
	patterns := p.chooseIn(allZones)
	if len(patterns) == 0 && p.unplaced() > 0 {
		patterns = p.chooseIn(zonesWithNodes)
	}
	return patterns
}

// evenness says over which zones a spread over zones is planned.
type evenness int

const (
	allZones evenness = iota
	zonesWithNodes
)

func (p *planner) chooseIn(even evenness) []pack.Pattern {
	packing, loose := p.packing(even)
	if len(packing.Classes) == 0 || (even != allZones && len(packing.Spreads) == 0) {
		return nil
	}
	if loose {
		return p.chooseHosts(packing)
	}
	return pack.Solve(packing, p.effort()).Patterns
}

func (p *problem) effort() pack.Options {
	return pack.Options{Effort: p.input.Effort, Stop: p.input.Stop}
}

// packing is the pods that are left, in numbers. Loose says that how many hosts there will be matters.
func (p *planner) packing(even evenness) (packing pack.Problem, loose bool) {
	zones := p.zones()
	packing = pack.Problem{Pools: p.budgets, Machines: p.kinds(zones)}
	outlooks := make([]ledger.Outlook, len(p.candidates))
	for i, c := range p.candidates {
		outlooks[i] = p.book.Outlook(c.node, c.template)
	}
	total := 0
	places := make(map[int]int, len(p.classes))
	for c, class := range p.classes {
		places[c] = c
		count := len(p.left[c])
		if class.priority < p.floor {
			count = 0
		}
		total += count
		packing.Classes = append(packing.Classes, pack.Class{
			Requests: class.vector, Count: count, PerMachine: class.perMachine, Allowed: p.allowedNow(c, count, outlooks),
		})
	}
	if total == 0 {
		return pack.Problem{}, false
	}
	p.boundShares(&packing, places, p.strictest)
	p.keepOffHosts(&packing, places)
	loose = p.constrain(&packing, zones, even)
	if !loose { // where hosts are counted, what each gets is taken off before packing sees it
		p.boundVolumes(&packing, places, nil, fewest)
	}
	return packing, loose
}

// allowedNow says which candidates may hold the class as things are.
func (p *planner) allowedNow(c, count int, outlooks []ledger.Outlook) []bool {
	class := p.classes[c]
	if count == 0 || (!p.book.Related(c) && len(p.barred) == 0) {
		return class.allowed
	}
	near := p.book.Near(c)
	awaits := slices.ContainsFunc(near, func(term ledger.Constraint) bool { // others of which it may be near are to come
		return slices.ContainsFunc(term.Members, func(other int) bool { return len(p.left[other]) > 0 })
	})
	allowed := slices.Clone(class.allowed)
	for i := range allowed {
		allowed[i] = allowed[i] && !p.barred[pairing{c, i}] && !p.book.Barred(c, outlooks[i]) &&
			(len(near) == 0 || awaits || !p.book.Lonely(c, outlooks[i]))
	}
	return allowed
}

// zones returns the zones of the candidates, sorted. They are the domains that packing knows.
func (p *problem) zones() []string {
	var zones []string
	for _, c := range p.candidates {
		zones = append(zones, c.node.Labels[corev1.LabelTopologyZone])
	}
	slices.Sort(zones)
	return slices.Compact(zones)
}

func (p *problem) kinds(zones []string) []pack.Machine {
	kinds := make([]pack.Machine, 0, len(p.candidates))
	for _, c := range p.candidates {
		domain, _ := slices.BinarySearch(zones, c.node.Labels[corev1.LabelTopologyZone])
		kinds = append(kinds, pack.Machine{Room: c.room, Price: int64(p.price(c)), Pool: c.pool, Draw: c.draw, Domain: domain})
	}
	return kinds
}

// price is what a machine of the candidate counts for.
func (p *problem) price(c *candidate) Price { return c.offering.Price + p.input.NodeCost }

// constrain tells packing of the constraints between pods that it can heed. The others are heeded when its machines are filled.
func (p *planner) constrain(packing *pack.Problem, zones []string, even evenness) (loose bool) {
	var known []ledger.Constraint
	together := newUnion(len(p.classes))
	for c := range p.classes {
		if packing.Classes[c].Count == 0 {
			continue
		}
		for _, constraint := range p.book.Apart(c) {
			if constraint.Key == corev1.LabelTopologyZone && !slices.ContainsFunc(known, constraint.Equal) && slices.Contains(constraint.Members, c) {
				known = append(known, constraint)
				p.keepApart(packing, constraint, c, zones)
			}
		}
		for _, constraint := range p.book.Spreads(c) {
			if !constraint.Self {
				continue
			}
			if constraint.Key == corev1.LabelHostname {
				p.evenHosts(&packing.Classes[c], constraint)
				loose = true
			} else if constraint.Key == corev1.LabelTopologyZone && !slices.ContainsFunc(known, constraint.Equal) {
				known = append(known, constraint)
				packing.Spreads = append(packing.Spreads, p.evenZones(constraint, zones, even))
			}
		}
		for _, constraint := range p.book.Near(c) {
			p.keepTogether(together, packing, constraint, c)
		}
	}
	packing.Together = together.sets()
	return loose
}

// keepApart handles an anti-affinity over zones of which the class's own pods are the objects.
func (p *planner) keepApart(packing *pack.Problem, constraint ledger.Constraint, c int, zones []string) {
	members := constraint.Members
	if !constraint.Mutual {
		members = []int{c}
	}
	existing := make([]int, len(zones))
	for z, zone := range zones {
		existing[z], _ = constraint.Count(zone)
	}
	packing.Spreads = append(packing.Spreads, pack.Spread{Classes: members, Most: 1, Existing: existing})
}

// evenZones spreads over all zones where machines can be had, also those that have no node yet and that kube-scheduler would not miss:
// whoever asks for a spread over zones wants more than one.
func (p *planner) evenZones(constraint ledger.Constraint, zones []string, even evenness) pack.Spread {
	spread := pack.Spread{Classes: constraint.Members, MaxSkew: constraint.MaxSkew, Existing: make([]int, len(zones))}
	anywhere := false
	for z, zone := range zones {
		count, exists := constraint.Count(zone)
		if spread.Existing[z] = count; !exists && even == zonesWithNodes {
			spread.Existing[z] = pack.Absent
		}
		anywhere = anywhere || exists
	}
	if !anywhere && even == zonesWithNodes && len(zones) > 0 {
		z, _ := slices.BinarySearch(zones, p.candidates[0].node.Labels[corev1.LabelTopologyZone])
		spread.Existing[z] = 0
	}
	if len(zones) < constraint.MinDomains {
		spread.Most = constraint.MaxSkew
	}
	return spread
}

// keepTogether has classes go to one zone that must share it and have no pods there yet.
func (p *planner) keepTogether(together union, packing *pack.Problem, constraint ledger.Constraint, c int) {
	if constraint.Key != corev1.LabelTopologyZone || constraint.Total() > 0 {
		return
	}
	together.join(c, c)
	for _, member := range constraint.Members {
		if packing.Classes[member].Count > 0 {
			together.join(c, member)
		}
	}
}

// union is a partition of classes, of which only sets that somebody asked for matter.
type union struct {
	parent []int
	asked  []bool
}

func newUnion(n int) union {
	u := union{make([]int, n), make([]bool, n)}
	for i := range u.parent {
		u.parent[i] = i
	}
	return u
}

func (u union) find(i int) int {
	for u.parent[i] != i {
		i = u.parent[i]
	}
	return i
}

func (u union) join(a, b int) {
	u.asked[a], u.asked[b] = true, true
	a, b = u.find(a), u.find(b)
	u.parent[max(a, b)] = min(a, b)
}

func (u union) sets() [][]int {
	byRoot := map[int][]int{}
	for i := range u.parent {
		if u.asked[i] {
			byRoot[u.find(i)] = append(byRoot[u.find(i)], i)
		}
	}
	var sets [][]int
	for _, root := range sortedKeys(byRoot) {
		sets = append(sets, byRoot[root])
	}
	return sets
}
