// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// advise asks packing which optional nodes of the scope should stay, what they should hold, and what to buy, while everything outside the
// scope stays as it is. It is advice: the plugins have the last word, when it is carried out.
func (j *joint) advise(scope []bool) (choice, error) {
	j.Cluster.Fork()
	defer j.Cluster.Revert()
	var movers []*corev1.Pod
	for n, node := range j.nodes {
		if !scope[n] {
			continue
		}
		movers = append(movers, node.pods...)
		for _, pod := range node.pods {
			if err := j.Cluster.RemovePod(pod); err != nil {
				return choice{}, err
			}
		}
	}
	in := j.Input
	in.Pods, _ = j.waiting(movers, j.removed(choice{out: scope}))
	in.Promised = j.promisedOutside(scope)
	problem, err := newProblem(in)
	if err != nil {
		return choice{}, err
	}
	advice := j.nothing()
	if len(problem.classes) == 0 {
		for n, node := range j.nodes {
			if advice.out[n] = scope[n] && !node.stays; !advice.out[n] {
				advice.cost += node.Price + j.NodeCost
			}
		}
		j.learn(nil, scope)
		return advice, nil
	}
	err = problem.with(func(p *planner) error {
		if err := p.assess(p.desert, p.book); err != nil {
			return err
		}
		if err := p.keepPromises(); err != nil {
			return err
		}
		m := newModel(j, p, scope)
		j.learn(m, scope)
		advice = m.advice(m.solve())
		return nil
	})
	return advice, err
}

// promisedOutside are the promises of nodes that the advice does not decide about.
func (j *joint) promisedOutside(scope []bool) map[types.NamespacedName]string {
	promised := maps.Clone(j.Promised)
	for n, node := range j.nodes {
		if scope[n] {
			maps.DeleteFunc(promised, func(_ types.NamespacedName, on string) bool { return on == node.Name })
		}
	}
	return promised
}

// model is the pods of some optional nodes and those that wait, in numbers, with the machines that could hold them: the candidates, then
// the nodes that are there.
type model struct {
	*planner
	joint   *joint
	scope   []bool
	classOf map[types.NamespacedName]int
	zones   []string
	nodes   []present
	budgets []pack.Vector
}

// present is a node that is there, without the pods that may move.
type present struct {
	seat    int
	node    int                   // of joint.nodes where it is in the scope and may go, else -1
	own     int                   // of joint.nodes where it is in the scope, else -1
	has     map[int][]*corev1.Pod // by class: the pods that may move
	group   *v1alpha1.NodeGroup   // nil: none of the input's
	machine pack.Machine
	ever    []bool // by class: whether it may hold any, whatever else moves
	most    []int  // by class: how many of them it takes, its room aside; nil where nobody asked
	allowed []bool // by class: the same, as things are planned
	ignored bool   // there are enough others with more room
}

func newModel(j *joint, p *planner, scope []bool) *model {
	m := &model{planner: p, joint: j, scope: scope, classOf: map[types.NamespacedName]int{}, zones: p.zones()}
	for c := range p.classes {
		for _, pod := range p.left[c] {
			m.classOf[nameOf(pod)] = c
		}
	}
	for i, pool := range p.pools {
		budget := slices.Clone(p.budgets[i])
		for n, node := range j.nodes {
			if scope[n] && !node.stays && node.Group == pool.name() {
				add(budget, node.draw())
			}
		}
		m.budgets = append(m.budgets, budget)
	}
	for _, seat := range p.there {
		m.zones = append(m.zones, p.book.Node(seat).Labels[corev1.LabelTopologyZone])
	}
	slices.Sort(m.zones)
	m.zones = slices.Compact(m.zones)
	opaque := m.opaqueVerdicts()
	for _, seat := range p.there {
		m.nodes = append(m.nodes, m.present(seat, opaque))
	}
	m.ignoreFull()
	slices.SortStableFunc(m.nodes, func(a, b present) int { return cmp.Compare(b.pods(), a.pods()) }) // of equal ones the fullest is kept
	return m
}

// mostFixed bounds the nodes outside the scope that packing looks at: each is a kind of its own. Those with the most room are enough for
// advice; when it is carried out, all of them are used.
const mostFixed = 200

func (m *model) ignoreFull() {
	var fixed []int
	for i := range m.nodes {
		if m.nodes[i].own < 0 {
			fixed = append(fixed, i)
		}
	}
	room := func(i int) int64 {
		free := m.nodes[i].machine.Room
		return min(free[cpu]*2*gibibyte/1000, free[memory])
	}
	slices.SortStableFunc(fixed, func(a, b int) int { return cmp.Compare(room(b), room(a)) })
	for _, i := range fixed[min(len(fixed), mostFixed):] {
		m.nodes[i].ignored = true
	}
}

// draw is what the node takes out of its group's budget.
func (o *optional) draw() pack.Vector {
	return pack.Vector{ofNodes: 1, ofCPU: o.CPUMilli, ofMemory: o.MemoryMiB, ofCost: int64(o.Price)}
}

func add(budget, draw pack.Vector) {
	for d := range budget {
		if budget[d] != pack.Unbounded {
			budget[d] += draw[d]
		}
	}
}

// pods is how many pods run on it that may move.
func (n *present) pods() (pods int) {
	for _, has := range n.has {
		pods += running(has)
	}
	return pods
}

// opaqueVerdicts asks the plugins about the classes that are not counted, on every node that is there.
func (m *model) opaqueVerdicts() map[pairing]bool {
	verdicts := map[pairing]bool{}
	for c, class := range m.classes {
		if !class.opaque {
			continue
		}
		query := m.engine.Ask(aloof(class.pods[0]))
		for _, seat := range m.there {
			verdicts[pairing{c, seat}] = query.Fits(m.nodeAt(seat)).Fits
		}
	}
	return verdicts
}

func (m *model) present(seat int, opaque map[pairing]bool) present {
	node := m.book.Node(seat)
	p := present{seat: seat, node: -1, own: -1, has: map[int][]*corev1.Pod{}}
	domain, _ := slices.BinarySearch(m.zones, node.Labels[corev1.LabelTopologyZone])
	if pool := slices.IndexFunc(m.pools, func(pool *pool) bool { return pool.name() == node.Labels[v1alpha1.NodeGroupLabel] }); pool >= 0 {
		p.group = m.pools[pool].group
	}
	p.machine = pack.Machine{Pool: -1, Domain: domain, Most: 1}
	for _, free := range m.book.Free(seat) {
		p.machine.Room = append(p.machine.Room, max(free, 0))
	}
	at, known := slices.BinarySearchFunc(m.joint.nodes, node.Name, func(o *optional, name string) int { return cmp.Compare(o.Name, name) })
	if known && m.scope[at] {
		p.own = at
		m.own(&p, m.joint.nodes[at])
	}
	outlook := sync.OnceValue(func() ledger.Outlook { return m.book.Outlook(node, &ledger.Template{}) })
	p.ever, p.allowed = make([]bool, len(m.classes)), make([]bool, len(m.classes))
	for c, class := range m.classes {
		if len(p.has[c]) > 0 { // it is there, so it may stay, whatever a scheduler would say now
			p.ever[c], p.allowed[c] = true, true
			continue
		}
		p.ever[c] = (class.opaque && opaque[pairing{c, seat}]) || (!class.opaque && m.admits(c, seat))
		p.allowed[c] = p.ever[c] && m.agrees(c, seat, outlook)
	}
	return p
}

// own says what is on an optional node of the scope, and what keeping it costs.
func (m *model) own(p *present, node *optional) {
	used := make(pack.Vector, len(p.machine.Room))
	for _, pod := range node.pods {
		c, planned := m.classOf[nameOf(pod)]
		if !planned {
			continue
		}
		p.has[c] = append(p.has[c], pod)
		for r, request := range m.classes[c].vector {
			used[r] += request
		}
	}
	for r := range p.machine.Room { // more may be there than has room: that it runs is room enough
		p.machine.Room[r] = max(p.machine.Room[r], used[r])
	}
	if node.stays {
		return
	}
	p.node = p.own
	p.machine.Price = int64(node.Price + m.input.NodeCost)
	p.machine.Draw = node.draw()
	p.machine.Pool = slices.IndexFunc(m.pools, func(pool *pool) bool { return node.Group != "" && pool.name() == node.Group })
}

// agrees says whether pods that stay in any case admit the class to a node. Spreads are for packing to see to.
func (m *model) agrees(c, seat int, outlook func() ledger.Outlook) bool {
	if !m.book.Related(c) || m.book.Admits(c, seat) {
		return true
	}
	if m.book.Barred(c, outlook()) || !m.classes[c].relational {
		return false
	}
	near := m.book.Near(c)
	awaits := slices.ContainsFunc(near, func(term ledger.Constraint) bool { return len(term.Members) > 0 })
	return len(near) == 0 || awaits || !m.book.Lonely(c, outlook())
}

// roundsOfCounting is how often it is counted how many machines there will be.
const roundsOfCounting = 3

// solve packs. How even a spread over hosts has to be depends on how many hosts there will be, so that is counted first.
func (m *model) solve() []pack.Pattern {
	expected := 0
	packing, loose := m.packing(expected)
	for round := 0; loose && round < roundsOfCounting; round++ {
		rough := pack.Solve(packing, pack.Options{Effort: effortOfCounting, Stop: m.input.Stop})
		expected = lo.SumBy(rough.Patterns, func(p pack.Pattern) int { return p.Copies })
		packing, loose = m.packing(expected)
	}
	return pack.Solve(packing, m.effort()).Patterns
}

// keepsake is by how much less a node that is there counts than a new one of its price: a plan moves nothing for a thousandth.
const keepsake = 1000

func (m *model) packing(machines int) (packing pack.Problem, loose bool) {
	outlooks := make([]ledger.Outlook, len(m.candidates))
	for i, c := range m.candidates {
		outlooks[i] = m.book.Outlook(c.node, c.template)
	}
	packing = m.problemOf(func(c int) pack.Class {
		class, count := m.classes[c], len(m.left[c])
		allowed := slices.Clone(m.allowedNow(c, count, outlooks))
		for i := range m.nodes {
			allowed = append(allowed, m.nodes[i].allowed[c] && !m.nodes[i].ignored)
		}
		return pack.Class{Requests: class.vector, Count: count, PerMachine: class.perMachine, Allowed: allowed}
	})
	packing.Pools = m.budgets
	for i := range packing.Machines[len(m.candidates):] {
		machine := &packing.Machines[len(m.candidates)+i]
		machine.Price -= machine.Price / keepsake
	}
	places := make(map[int]int, len(m.classes))
	for c := range m.classes {
		places[c] = c
	}
	m.keepOffHosts(&packing, places)
	m.constrain(&packing, m.zones, allZones)
	for c := range m.classes {
		loose = m.evenOut(&packing.Classes[c], c, machines) || loose
	}
	if m.zones[0] == "" { // nodes without a zone are no domain
		for s := range packing.Spreads {
			packing.Spreads[s].Existing[0] = pack.Absent
		}
	}
	return packing, loose
}

// evenOut bounds how many pods of a class that is spread over hosts one machine gets, where all of them may find another place: hosts that
// are there and have none now hold back nobody.
func (m *model) evenOut(class *pack.Class, c int, machines int) (loose bool) {
	for _, spread := range m.book.Spreads(c) {
		if spread.Key != corev1.LabelHostname || !spread.Self {
			continue
		}
		class.PerMachine = m.perMachine(c)
		limit := class.Count
		if machines > 0 {
			limit = max((class.Count+machines-1)/machines, spread.MaxSkew)
		}
		if loose = true; class.PerMachine == 0 || class.PerMachine > limit {
			class.PerMachine = limit
		}
	}
	return loose
}

// problemOf is all machines with the given classes.
func (m *model) problemOf(class func(c int) pack.Class) pack.Problem {
	packing := pack.Problem{Machines: m.kinds(m.zones)}
	for i := range m.nodes {
		packing.Machines = append(packing.Machines, m.nodes[i].machine)
	}
	for c := range m.classes {
		packing.Classes = append(packing.Classes, class(c))
	}
	return packing
}
