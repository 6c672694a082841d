// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// planner is a plan in the making. Its book counts every step; the engine's picture follows only where the plugins are asked on the way.
type planner struct {
	*problem
	engine *simulate.Engine
	depth  int // of the picture before anything was placed
	book   *ledger.Ledger

	left     [][]*corev1.Pod // by class: the pods that have no place yet
	budgets  []pack.Vector   // by pool
	machines []*machine      // in the order in which they were opened
	settled  []settlement    // on nodes that were there before, in the order in which it happened
	opened   int             // numbers the machines

	there   []int            // seats of the nodes that were there, in the order in which they are used
	looks   []int            // by seat that was there
	floor   int32            // classes below this priority wait
	barred  map[pairing]bool // did not work out, and will not before something is placed
	banned  map[ban]bool     // refused by the plugins in the end
	wishes  *ledger.Wishes   // nil where nobody prefers anything
	changes int              // counts what was placed and opened
	asked   []int            // by class: changes when no node took a pod

	promised map[types.NamespacedName]string // by pod: the node that it gets before any other does
}

// machine is a machine to buy, with the pods that are planned for it.
type machine struct {
	name string
	*candidate
	index int // of the candidate
	seat  int
	pods  []member
	liked bool // it costs more than it must, for what its pods prefer
}

type member struct {
	class int
	pod   *corev1.Pod
}

type settlement struct {
	member
	node  string
	first bool // kube-scheduler gets to it before any machine comes
}

type pairing struct{ class, candidate int }

type ban struct {
	class int
	node  string
}

// newPlanner starts from the cluster as it is: the engine's picture, where DaemonSet pods have landed.
func (p *problem) newPlanner(engine *simulate.Engine) *planner {
	shapes := p.shapes()
	planner := &planner{problem: p, engine: engine, depth: engine.Depth(), promised: p.input.Promised, book: ledger.New(engine.Snapshot(), shapes, p.comers)}
	p.quotas(planner.book)
	planner.wishes = p.newWishes(engine.Snapshot(), shapes, planner.book)
	for c, class := range p.classes {
		class.vector = planner.book.Requests(c)
	}
	engine.Fork()
	planner.reset()
	planner.there = planner.book.Fullest()
	planner.looks = make([]int, planner.book.Seats())
	for seat := range planner.looks {
		planner.looks[seat] = -1
	}
	return planner
}

// shapes are those of the classes.
func (p *problem) shapes() []*snapshot.Shape {
	shapes := make([]*snapshot.Shape, len(p.classes))
	for c, class := range p.classes {
		shapes[c] = class.shape
	}
	return shapes
}

// startOver forgets the plan.
func (p *planner) startOver() {
	p.engine.RevertTo(p.depth)
	p.engine.Fork()
	p.reset()
	if p.wishes != nil {
		p.wishes = ledger.NewWishes(p.engine.Snapshot(), p.shapes(), p.book)
	}
}

// reset takes everything that is planned out of the book.
func (p *planner) reset() {
	for _, s := range p.settled {
		seat, _ := p.book.Seat(s.node)
		p.book.Erase(s.class, seat, 1)
	}
	for _, m := range p.machines {
		for _, pod := range m.pods {
			p.book.Erase(pod.class, m.seat, 1)
		}
		p.book.RemoveSeat(m.seat)
	}
	p.settled, p.machines, p.opened, p.changes = nil, nil, 0, 0
	p.floor, p.barred, p.banned = math.MinInt32, map[pairing]bool{}, map[ban]bool{}
	p.left, p.asked, p.budgets = make([][]*corev1.Pod, len(p.classes)), make([]int, len(p.classes)), nil
	for c := range p.classes {
		p.left[c] = slices.Clone(p.classes[c].pods)
		p.asked[c] = -1
	}
	for _, pool := range p.pools {
		p.budgets = append(p.budgets, pool.budget())
	}
}

// plan places what can be placed: on the nodes that are there, then on new machines, until nothing moves any more.
func (p *planner) plan() error {
	for round := 0; ; round++ {
		if err := p.place(); err != nil {
			return err
		}
		if loosened, err := p.loosen(); err != nil || !loosened || round >= roundsOfStanding {
			return err
		}
	}
}

// place is plan for once: it does not look back at what others have made impossible where it was.
func (p *planner) place() error {
	for {
		if err := p.settle(); err != nil {
			return err
		}
		if len(p.machines) == 0 { // it is now that those must stand whom kube-scheduler places before machines come
			if _, err := p.loosen(); err != nil {
				return err
			}
		}
		bought, err := p.buy()
		if err != nil {
			return err
		}
		if bought {
			continue
		}
		enlarged, err := p.enlarge()
		if err != nil || !enlarged {
			return err
		}
	}
}

// run plans the classes of the greatest priority first where floors has several entries, and makes the result cheaper.
func (p *planner) run(floors []int32) error {
	if err := p.keepPromises(); err != nil {
		return err
	}
	for _, floor := range floors {
		p.floor = floor
		if err := p.plan(); err != nil {
			return err
		}
	}
	if err := p.improve(); err != nil {
		return err
	}
	if p.unplaced() == 0 {
		return nil
	}
	if err := p.plan(); err != nil { // what improve gave back to the budgets may serve them
		return err
	}
	return p.shrinkAll()
}

func (p *planner) unplaced() int {
	pods := 0
	for _, left := range p.left {
		pods += len(left)
	}
	return pods
}

// nodeAt returns the name of the node with that seat.
func (p *planner) nodeAt(seat int) string { return p.book.Node(seat).Name }

// admits says whether the plugins that look at the pod and the node alone admit the class to a seat.
func (p *planner) admits(c, seat int) bool {
	class := p.classes[c]
	if len(p.banned) > 0 && p.banned[ban{c, p.nodeAt(seat)}] {
		return false
	}
	if class.opaque {
		return true // the plugins are asked for each pod
	}
	if p.looks[seat] < 0 {
		p.looks[seat] = p.statics.look(p.book.Node(seat))
	}
	return p.statics.admits(class.still, p.looks[seat])
}

// enter writes down pods on a seat: in the book, and in the picture where plugins will be asked on the way.
func (p *planner) enter(c, seat int, pods []*corev1.Pod) error {
	p.book.Enter(c, seat, len(pods))
	p.changes++
	if !p.shadowed || p.classes[c].opaque {
		return nil
	}
	node := p.nodeAt(seat)
	for _, pod := range pods {
		if err := p.engine.Snapshot().AddPod(pod, node); err != nil {
			return fmt.Errorf("writing down pod %q: %w", nameOf(pod), err)
		}
	}
	return nil
}

// erase takes back what enter wrote down.
func (p *planner) erase(c, seat int, pods []*corev1.Pod) error {
	p.book.Erase(c, seat, len(pods))
	p.changes++
	if !p.shadowed {
		return nil
	}
	for _, pod := range pods {
		if err := p.engine.Remove(pod); err != nil {
			return fmt.Errorf("striking pod %q: %w", nameOf(pod), err)
		}
	}
	return nil
}

// join writes down who got a seat.
func (p *planner) join(c int, pods []*corev1.Pod, m *machine, node string) {
	for _, pod := range pods {
		if m != nil {
			m.pods = append(m.pods, member{c, pod})
		} else {
			p.settled = append(p.settled, settlement{member{c, pod}, node, p.comesFirst()})
		}
	}
}

func (p *planner) machine(node string) *machine {
	for _, m := range p.machines {
		if m.name == node {
			return m
		}
	}
	return nil
}
