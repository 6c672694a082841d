// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// byDaemonSet is who refuses a machine that has no room for a DaemonSet's pod. No plugin does: kube-scheduler would fill the machine
// and then evict from it for the pod that every node needs.
const byDaemonSet = "DaemonSet"

// assess asks the plugins what may ever run where: each class on an empty machine of each candidate. The engine's picture has no
// nodes; it leaves it with the candidates. It is done when the first pod needs a machine: most pods of most days need none.
func (p *problem) assess(engine *simulate.Engine, book *ledger.Ledger) error {
	if p.assessed {
		return nil
	}
	p.assessed = true
	p.addCandidates()
	names := make([]string, len(p.candidates))
	for i, c := range p.candidates {
		names[i] = fmt.Sprintf("candidate-%d.%s", i, v1alpha1.Group)
		c.node = p.input.Cluster.AsRegistered(TemplateNode(p.pools[c.pool].group, c.offering, names[i]))
		if err := engine.Snapshot().AddNode(c.node); err != nil {
			return err
		}
		var err error
		if c.homeless, err = p.daemons.land(engine, names[i]); err != nil {
			return err
		}
		info, err := engine.Snapshot().NodeInfos().Get(names[i])
		if err != nil {
			return err
		}
		c.template = book.Template(info)
		c.whole, c.room = c.template.Whole, c.template.Room
	}
	p.markTooSmall()
	known := map[*still][]simulate.Verdict{}
	for c, class := range p.classes {
		if class.opaque {
			class.verdicts = p.verdicts(engine.Ask(aloof(class.pods[0])), names)
		} else {
			if known[class.still] == nil {
				known[class.still] = p.verdicts(class.still.query, names)
			}
			class.verdicts = known[class.still]
		}
		class.allowed = make([]bool, len(names))
		for i, candidate := range p.candidates {
			class.allowed[i] = class.verdicts[i].Fits && largerThan(candidate.room, class.vector)
		}
		if book.Related(c) {
			class.barred = make([]bool, len(names))
			for i, candidate := range p.candidates {
				class.barred[i] = book.Barred(c, book.Outlook(candidate.node, candidate.template))
			}
		}
		if err := p.probe(engine, class, names); err != nil {
			return err
		}
	}
	p.demandChoice(book)
	return nil
}

// verdicts asks about every candidate.
func (p *problem) verdicts(query *simulate.Query, names []string) []simulate.Verdict {
	verdicts := make([]simulate.Verdict, len(names))
	for i, name := range names {
		if verdicts[i] = query.Fits(name); p.candidates[i].tooSmall != "" {
			verdicts[i] = simulate.Verdict{Plugin: byDaemonSet, Reasons: []string{p.candidates[i].tooSmall}}
		}
	}
	return verdicts
}

// verdict says what the plugins say of a class on an empty machine of a candidate, relations to other pods aside.
func (c *class) verdict(index int, candidate *candidate) simulate.Verdict {
	if verdict := c.verdicts[index]; !verdict.Fits || c.allowed[index] {
		return verdict
	}
	return simulate.Verdict{Plugin: byResources, Reasons: []string{"Insufficient room on " + candidate.offering.Name}}
}

// byResources is kube-scheduler's plugin for what nodes have and pods request, of which the number of pods is one.
const byResources = "NodeResourcesFit"

func largerThan(room, vector []int64) bool {
	for r, request := range vector {
		if request > 0 && request > room[r] {
			return false
		}
	}
	return true
}

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

// probe finds out whether twins that are not counted can share a machine. It asks one candidate of each pool: what keeps twins apart on
// one machine, ports and anti-affinity, depends on the labels of the pool at most.
func (p *problem) probe(engine *simulate.Engine, class *class, names []string) error {
	if !class.opaque || len(class.pods) < 2 {
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

// raise adds the node that a candidate is expected to become to a picture, with its DaemonSet pods.
func (p *problem) raise(engine *simulate.Engine, c *candidate, name string) error {
	if err := engine.Snapshot().AddNode(p.named(c, name)); err != nil {
		return err
	}
	_, err := p.daemons.land(engine, name)
	return err
}

// named returns the candidate's node under another name.
func (p *problem) named(c *candidate, name string) *corev1.Node {
	node := new(*c.node)
	node.Name = name
	node.Labels = make(map[string]string, len(c.node.Labels))
	for key, value := range c.node.Labels {
		if value == c.node.Name {
			value = name
		}
		node.Labels[key] = value
	}
	return node
}
