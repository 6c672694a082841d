// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger turns a picture of a cluster into counts: what is free on each node, and how many pods that matter to a
// constraint are in each topology domain. From them it says in nanoseconds what kube-scheduler's plugins say in
// microseconds: whether one more pod fits. It knows resources, host ports, required affinity and anti-affinity in both
// directions, and strict topology spread. What depends on the pod and the node alone it does not judge, and it never chooses.
package ledger

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// The resources that every node has. Further ones are those that some class requests.
const (
	CPU = iota // milli
	Memory
	PodSlots
	Disk
	Common
)

// Ledger counts nodes and pods. It is for one goroutine at a time.
type Ledger struct {
	extra []corev1.ResourceName // after the common ones

	seats []seat
	free  []int64 // by seat, then resource
	index map[string]int

	fullest []int

	topologies map[string]*topology
	counters   []*counter
	byText     map[string]*counter
	rules      []*rule
	feeds      map[*snapshot.Shape][]*counter
	namespaces map[string]map[string]string // labels by name
	quotas     []*quota
}

type seat struct {
	node  *corev1.Node
	feeds []*counter // by the pods that came with it
	// comers are the shapes of those pods.
	comers []*snapshot.Shape
	gone   bool
}

// New counts the nodes and pods of a picture, for pods of the given shapes. A class is the index of a shape.
// Comers are shapes of further pods, which may come with nodes that are added later.
func New(snap *snapshot.Snapshot, shapes, comers []*snapshot.Shape) *Ledger {
	l := &Ledger{
		topologies: map[string]*topology{}, byText: map[string]*counter{}, namespaces: map[string]map[string]string{},
		feeds: map[*snapshot.Shape][]*counter{},
	}
	for _, namespace := range snap.Objects().Namespaces {
		l.namespaces[namespace.Name] = namespace.Labels
	}
	l.extra = extraResources(shapes, offeredByDevices(snap))
	for _, shape := range shapes {
		l.rules = append(l.rules, l.newRule(shape))
	}
	l.meetOthers(snap.Apart(), comers)
	for _, r := range l.rules {
		r.feeds = l.fed(r.shape)
	}
	l.start(snap)
	l.countKinds(snap.Kinds())
	return l
}

// base is what a ledger of a picture starts with, whatever it counts.
type base struct {
	seats   []seat
	free    []int64 // of the common resources
	fullest []int
}

// start takes the seats and what is free on them from the picture.
func (l *Ledger) start(snap *snapshot.Snapshot) {
	made, _ := snap.Memo(func() any { return newBase(snap) }).(*base)
	l.fullest = made.fullest
	if len(l.extra) == 0 {
		l.free = slices.Clone(made.free)
	} else {
		for _, info := range snap.Infos() {
			l.free = l.appendFree(l.free, info)
		}
	}
	l.seats = slices.Clone(made.seats)
	for number := range l.seats {
		for _, t := range l.topologies {
			t.add(l.seats[number].node, number)
		}
		for _, c := range l.counters {
			c.addSeat(l.seats[number].node, number)
		}
	}
}

func newBase(snap *snapshot.Snapshot) *base {
	b, none := &base{}, &Ledger{}
	var stages []int
	var shares []float64
	for number, info := range snap.Infos() {
		b.seats = append(b.seats, seat{node: info.Node()})
		b.free = none.appendFree(b.free, info)
		b.fullest = append(b.fullest, number)
		stage := 0
		if snap.Planned(info.Node().Name) {
			stage = 1
		}
		has, used := info.GetAllocatable(), info.GetRequested()
		stages = append(stages, stage)
		shares = append(shares, max(share(used.GetMilliCPU(), has.GetMilliCPU()), share(used.GetMemory(), has.GetMemory()),
			share(used.GetEphemeralStorage(), has.GetEphemeralStorage()), share(int64(len(info.GetPods())), int64(has.GetAllowedPodNumber()))))
	}
	slices.SortFunc(b.fullest, func(x, y int) int { // seats are numbered by name
		return cmp.Or(cmp.Compare(stages[x], stages[y]), cmp.Compare(shares[y], shares[x]), cmp.Compare(x, y))
	})
	return b
}

func share(used, has int64) float64 {
	if has == 0 {
		return 0
	}
	return float64(used) / float64(has)
}

// Fullest returns the seats of the nodes that were in the picture: registered before planned ones, the fullest first, then by name. It
// must not be changed.
func (l *Ledger) Fullest() []int { return l.fullest }

// Resources returns how many resources a vector has.
func (l *Ledger) Resources() int { return Common + len(l.extra) }

// Extra returns the names of the resources after the common ones.
func (l *Ledger) Extra() []corev1.ResourceName { return l.extra }

// Requests returns what a pod of the class takes from a node.
func (l *Ledger) Requests(class int) []int64 { return l.rules[class].requests }

// Seat returns the number of a node.
func (l *Ledger) Seat(node string) (int, bool) {
	at, known := l.numbers()[node]
	return at, known && !l.seats[at].gone
}

// numbers is the index, which is made when it is first asked for.
func (l *Ledger) numbers() map[string]int {
	if l.index == nil {
		l.index = make(map[string]int, len(l.seats))
		for number := range l.seats {
			l.index[l.seats[number].node.Name] = number
		}
	}
	return l.index
}

// Seats returns how many numbers have been given out.
func (l *Ledger) Seats() int { return len(l.seats) }

// Node returns the node of a number, and nil if it has been removed.
func (l *Ledger) Node(seat int) *corev1.Node {
	if l.seats[seat].gone {
		return nil
	}
	return l.seats[seat].node
}

// Free returns what is free on a node. It must not be changed.
func (l *Ledger) Free(seat int) []int64 {
	r := l.Resources()
	return l.free[seat*r : (seat+1)*r]
}

// Rooms returns what a node has for pods, and what of it is free.
func (l *Ledger) Rooms(info fwk.NodeInfo) (whole, free []int64) {
	whole, used := l.vector(info.GetAllocatable()), l.vector(info.GetRequested())
	whole[PodSlots], used[PodSlots] = int64(info.GetAllocatable().GetAllowedPodNumber()), int64(len(info.GetPods()))
	free = make([]int64, len(whole))
	for r := range whole {
		free[r] = whole[r] - used[r]
	}
	return whole, free
}

// appendFree appends what is free on a node.
func (l *Ledger) appendFree(free []int64, info fwk.NodeInfo) []int64 {
	has, used := info.GetAllocatable(), info.GetRequested()
	free = append(free, has.GetMilliCPU()-used.GetMilliCPU(), has.GetMemory()-used.GetMemory(),
		int64(has.GetAllowedPodNumber()-len(info.GetPods())), has.GetEphemeralStorage()-used.GetEphemeralStorage())
	for _, name := range l.extra {
		free = append(free, has.GetScalarResources()[name]-used.GetScalarResources()[name])
	}
	return free
}

func (l *Ledger) vector(r fwk.Resource) []int64 {
	v := make([]int64, l.Resources())
	v[CPU], v[Memory], v[Disk] = r.GetMilliCPU(), r.GetMemory(), r.GetEphemeralStorage()
	if len(l.extra) > 0 {
		scalars := r.GetScalarResources()
		for i, name := range l.extra {
			v[Common+i] = scalars[name]
		}
	}
	return v
}

// Template is what nodes that are made alike start with: their room, and the pods that come with them.
type Template struct {
	Whole []int64 // allocatable
	Room  []int64 // free
	feeds []*counter
	// comers are the shapes of the pods.
	comers []*snapshot.Shape
}

// Template reads a node with the pods that are on it.
func (l *Ledger) Template(info fwk.NodeInfo) *Template {
	t := &Template{}
	t.Whole, t.Room = l.Rooms(info)
	for _, pod := range info.GetPods() {
		if shape, known := snapshot.ShapeOf(pod); known {
			t.feeds = append(t.feeds, l.fed(shape)...)
			t.comers = append(t.comers, shape)
		}
	}
	return t
}

// AddSeat adds a node that is like a template.
func (l *Ledger) AddSeat(node *corev1.Node, template *Template) int {
	number := l.seat(node)
	l.free = append(l.free, template.Room...)
	for _, c := range template.feeds {
		c.count(number, 1)
	}
	l.seats[number].feeds, l.seats[number].comers = template.feeds, template.comers
	return number
}

func (l *Ledger) seat(node *corev1.Node) int {
	number := len(l.seats)
	l.seats = append(l.seats, seat{node: node})
	if l.index != nil {
		l.index[node.Name] = number
	}
	for _, t := range l.topologies {
		t.add(node, number)
	}
	for _, c := range l.counters {
		c.addSeat(node, number)
	}
	for _, q := range l.quotas {
		q.addSeat(node)
	}
	return number
}

// RemoveSeat removes the node that was given that number. No entered pod may be on it.
func (l *Ledger) RemoveSeat(number int) {
	for _, c := range l.seats[number].feeds {
		c.count(number, -1)
	}
	l.seats[number].gone = true
	for _, c := range l.counters {
		c.removeSeat(number)
	}
}

// countKinds enters the pods that are in the picture.
func (l *Ledger) countKinds(kinds map[*snapshot.Shape]map[string]int) {
	if len(l.counters) == 0 { // in a large cluster each of thousands of pods may be of a kind of its own
		return
	}
	for shape, on := range kinds {
		counters := l.fed(shape)
		if len(counters) == 0 {
			continue
		}
		for node, pods := range on {
			number := l.numbers()[node]
			for _, c := range counters {
				c.count(number, int32(pods)) //nolint:gosec // a node holds no two billion pods
			}
		}
	}
}

// Enter writes down pods of a class on a node, without asking whether they fit.
func (l *Ledger) Enter(class, number, pods int) { l.change(class, number, int64(pods)) }

// Erase takes back what Enter wrote down.
func (l *Ledger) Erase(class, number, pods int) { l.change(class, number, -int64(pods)) }

func (l *Ledger) change(class, number int, pods int64) {
	rule := l.rules[class]
	free := l.Free(number)
	for r, request := range rule.requests {
		free[r] -= pods * request
	}
	if rule.quota != nil {
		rule.quota.counts[number] += int(pods)
	}
	for _, c := range rule.feeds {
		c.count(number, int32(pods)) //nolint:gosec // a node holds no two billion pods
	}
}

// Holds says how many more pods of the class a node has room for, within its quota, constraints between pods aside.
func (l *Ledger) Holds(class, number int) int {
	free := l.Free(number)
	most := max(free[PodSlots], 0)
	for r, request := range l.rules[class].requests {
		if request > 0 {
			most = min(most, max(free[r], 0)/request)
		}
	}
	if rule := l.rules[class]; rule.quota != nil {
		return min(int(most), rule.quota.left(number))
	}
	return int(most)
}

// Fits says whether one more pod of the class fits on a node.
func (l *Ledger) Fits(class, number int) bool {
	rule := l.rules[class]
	free := l.free[number*len(rule.requests):]
	for r, request := range rule.requests {
		if request > 0 && request > free[r] {
			return false
		}
	}
	return rule.admits(number)
}

// Admits says whether constraints between pods admit one more pod of the class to a node, whatever room it has.
func (l *Ledger) Admits(class, number int) bool { return l.rules[class].admits(number) }

// Repels says whether pods that are counted now keep the class off a node for as long as they stay, whatever room it has.
func (l *Ledger) Repels(class, number int) bool {
	return slices.ContainsFunc(l.rules[class].apart, func(c *counter) bool { return c.at(number) > 0 })
}

// Related says whether the class has, or meets, any constraint between pods, host ports included.
func (l *Ledger) Related(class int) bool { return l.rules[class].related() }
