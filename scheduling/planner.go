// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"math"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// planner is a plan in the making, on a picture of its own. Every step of it was accepted by the plugins.
type planner struct {
	*problem
	engine *simulate.Engine

	left     [][]*corev1.Pod // by class: the pods that have no place yet
	budgets  []pack.Vector   // by pool
	machines []*machine      // in the order in which they were opened
	settled  []settlement    // on nodes that were there before, in the order in which it happened
	opened   int             // numbers the machines

	floor   int32             // classes below this priority wait
	barred  map[pairing]bool  // did not work out, and will not before something is placed
	refused []map[string]bool // by class: nodes that said no for good
	changes int               // counts what was placed and opened
	asked   []int             // by class: changes when no node took a pod

	refusals int // of attempts to improve the plan
}

// machine is a machine to buy, with the pods that are planned for it.
type machine struct {
	name string
	*candidate
	index int // of the candidate
	pods  []member
}

type member struct {
	class int
	pod   *corev1.Pod
}

type settlement struct {
	member
	node string
}

type pairing struct{ class, candidate int }

// newPlanner starts from the cluster as it is. The planner must be closed.
func (p *problem) newPlanner() (*planner, error) {
	engine, err := simulate.New(p.input.Cluster.Clone(), simulate.Options{Scheduler: p.input.Scheduler})
	if err != nil {
		return nil, err
	}
	planner := &planner{
		problem: p, engine: engine, barred: map[pairing]bool{}, floor: math.MinInt32,
		left: make([][]*corev1.Pod, len(p.classes)), refused: make([]map[string]bool, len(p.classes)), asked: make([]int, len(p.classes)),
	}
	mine := map[types.NamespacedName]bool{}
	for c := range p.classes {
		planner.left[c] = slices.Clone(p.classes[c].pods)
		planner.refused[c] = map[string]bool{}
		planner.asked[c] = -1
		for _, pod := range p.classes[c].pods {
			mine[nameOf(pod)] = true
		}
	}
	for _, pool := range p.pools {
		planner.budgets = append(planner.budgets, pool.budget())
	}
	if err := awaitDaemons(engine, p.daemons, func(pod *corev1.Pod) bool { return mine[nameOf(pod)] }); err != nil {
		planner.close()
		return nil, err
	}
	return planner, nil
}

func (p *planner) close() { p.engine.Close() }

// plan places what can be placed: on the nodes that are there, then on new machines, until nothing moves any more.
func (p *planner) plan() error {
	for {
		if err := p.settle(); err != nil {
			return err
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

// settle places pods on nodes that are in the picture: registered ones, virtual ones, and machines that are planned already.
func (p *planner) settle() error {
	for again := true; again; {
		again = false
		for c := range p.classes {
			placed := 0
			for len(p.left[c]) > 0 && p.classes[c].priority >= p.floor && p.asked[c] != p.changes {
				node, err := p.settleOne(c)
				if err != nil {
					return err
				}
				if node == "" {
					p.asked[c] = p.changes // its twins are not asked again before something changes
					break
				}
				placed++
			}
			again = again || placed > 0
		}
	}
	return nil
}

// settleOne places the first pod of a class on the best node that takes it, and returns its name.
func (p *planner) settleOne(c int) (string, error) {
	nodes := p.preferred(c)
	if len(nodes) == 0 {
		return "", nil
	}
	pod := p.left[c][0]
	query := p.engine.Ask(pod)
	if _, refused := query.Refused(); refused {
		return "", nil
	}
	for _, node := range nodes {
		verdict := query.Fits(node)
		if verdict.Fits {
			var err error
			if verdict, err = query.Place(node); err != nil {
				return "", err
			}
		}
		if verdict.Fits {
			p.left[c] = p.left[c][1:]
			p.join(member{c, pod}, node)
			return node, nil
		}
		if !p.classes[c].relational {
			p.refused[c][node] = true
		}
	}
	return "", nil
}

// join writes down that a pod is on a node.
func (p *planner) join(m member, node string) {
	p.changes++
	for _, machine := range p.machines {
		if machine.name == node {
			machine.pods = append(machine.pods, m)
			return
		}
	}
	p.settled = append(p.settled, settlement{m, node})
}

// preferred lists the nodes that have not refused the class for good: registered nodes before virtual ones before planned machines,
// the fullest first so that others empty, then by name.
func (p *planner) preferred(c int) []string {
	type choice struct {
		name  string
		stage int
		share float64
	}
	infos, _ := p.engine.Snapshot().NodeInfos().List() // never fails
	choices := make([]choice, 0, len(infos))
	for _, info := range infos {
		name := info.Node().Name
		if p.refused[c][name] {
			continue
		}
		stage := 0
		switch {
		case !p.input.Cluster.Has(name):
			stage = 2
		case p.input.Cluster.Planned(name):
			stage = 1
		}
		whole, room := roomOf(info)
		share := 0.0
		for r := range whole {
			if whole[r] > 0 {
				share = max(share, float64(whole[r]-room[r])/float64(whole[r]))
			}
		}
		choices = append(choices, choice{name, stage, share})
	}
	slices.SortFunc(choices, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.stage, b.stage), cmp.Compare(b.share, a.share), cmp.Compare(a.name, b.name))
	})
	names := make([]string, len(choices))
	for i := range choices {
		names[i] = choices[i].name
	}
	return names
}
