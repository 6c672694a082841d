// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// byChoice is who refuses a machine beside which a group has too few others that would do. No plugin does.
const byChoice = "MinValues"

// mostFallbacks bounds the offerings beside the first that an order may have.
const mostFallbacks = 31

// demand is a requirement with minValues.
type demand struct {
	field string
	key   string
	least int
}

func demandsOf(group *v1alpha1.NodeGroup) (demands []demand) {
	for i, requirement := range group.Spec.Template.Requirements {
		if requirement.MinValues != nil {
			demands = append(demands, demand{
				fmt.Sprintf("spec.template.requirements[%d].minValues", i), requirement.Key, int(*requirement.MinValues),
			})
		}
	}
	return demands
}

// values counts the different values of the demand's label.
func (d demand) values(candidates ...*candidate) int {
	offerings := make([]Offering, len(candidates))
	for i, c := range candidates {
		offerings[i] = c.offering
	}
	return d.valuesOf(offerings)
}

func (d demand) valuesOf(offerings []Offering) int {
	seen := map[string]bool{}
	for _, o := range offerings {
		if value := OfferingLabels(o)[d.key]; value != "" {
			seen[value] = true
		}
	}
	return len(seen)
}

// variants are the ways to buy one candidate.
type variant struct {
	candidate int
	with      []int // candidates that are ordered with it; nil: it is not to be bought for lack of them
	bought    bool
}

// demandChoice makes candidates of groups with minValues ones that are bought together with others to fall back on, which hold whatever the
// first holds. Beside each stays the bare one, which is not bought: it is something to fall back on.
func (p *problem) demandChoice(book *ledger.Ledger) {
	if !slices.ContainsFunc(p.pools, func(pool *pool) bool { return len(pool.demands) > 0 }) {
		return
	}
	var all []variant
	at := make([]int, len(p.candidates)) // where a candidate itself will be
	for i, c := range p.candidates {
		if len(p.pools[c.pool].demands) > 0 {
			for _, with := range p.fallbacks(i, book) {
				all = append(all, variant{i, with, true})
			}
		}
		at[i] = len(all)
		all = append(all, variant{i, nil, len(p.pools[c.pool].demands) == 0})
	}
	candidates := make([]*candidate, len(all))
	for v, variant := range all {
		candidates[v] = p.candidates[variant.candidate]
		if variant.bought && len(variant.with) > 0 {
			candidates[v] = p.accompanied(candidates[v], variant.with, at)
		}
	}
	for _, class := range p.classes {
		class.choose(all, candidates)
	}
	p.candidates = candidates
}

// fallbacks returns the sets of candidates with which a candidate may be bought: one that does for all classes where there is one, else one
// for each set of candidates that some class may be on.
func (p *problem) fallbacks(index int, book *ledger.Ledger) (sets [][]int) {
	larger := p.largerThan(index, book)
	common := larger
	var each [][]int
	for _, class := range p.classes {
		if !class.allowed[index] {
			continue
		}
		may := func(i int) bool { return class.allowed[i] }
		set, enough := p.enough(index, keep(larger, may))
		if !enough {
			continue
		}
		common = keep(common, may)
		if !slices.ContainsFunc(each, func(other []int) bool { return slices.Equal(other, set) }) {
			each = append(each, set)
		}
	}
	if len(each) == 0 {
		return nil
	}
	if set, enough := p.enough(index, common); enough {
		return [][]int{set}
	}
	return each
}

func keep(list []int, may func(int) bool) []int {
	return slices.DeleteFunc(slices.Clone(list), func(i int) bool { return !may(i) })
}

// largerThan returns the dearer candidates that have at least the room of a candidate, in the same group and place.
func (p *problem) largerThan(index int, book *ledger.Ledger) (larger []int) {
	small := p.candidates[index]
	for i, c := range p.candidates {
		if c.pool != small.pool || c.offering.Datacenter != small.offering.Datacenter || c.offering.ID == small.offering.ID ||
			CompareOfferings(c.offering, small.offering) <= 0 || !sameDomains(book, c, small) {
			continue
		}
		enough := true
		for r := range c.room {
			enough = enough && c.room[r] >= small.room[r]
		}
		if enough {
			larger = append(larger, i)
		}
	}
	return larger
}

// enough picks the cheapest of some candidates that together with the first meet the demands of its group.
func (p *problem) enough(index int, from []int) (set []int, enough bool) {
	chosen := []*candidate{p.candidates[index]}
	for _, d := range p.pools[p.candidates[index].pool].demands {
		for _, i := range from {
			if d.values(chosen...) >= d.least {
				break
			}
			if !slices.Contains(set, i) && d.values(append(slices.Clone(chosen), p.candidates[i])...) > d.values(chosen...) {
				set, chosen = append(set, i), append(chosen, p.candidates[i])
			}
		}
		if d.values(chosen...) < d.least {
			return nil, false
		}
	}
	slices.Sort(set)
	return set, len(set) <= mostFallbacks
}

// accompanied is a candidate that is bought with others to fall back on. It draws as much as the greediest of them: whichever is delivered, no
// limit is exceeded.
func (p *problem) accompanied(c *candidate, with, at []int) *candidate {
	c = new(*c)
	c.draw = slices.Clone(c.draw)
	for _, i := range with {
		c.with = append(c.with, at[i])
		for d, draw := range p.candidates[i].draw {
			c.draw[d] = max(c.draw[d], draw)
		}
	}
	return c
}

// holdable says, by candidate, whether an empty machine would hold the class, to be bought or to fall back on.
func (c *class) holdable() []bool {
	if c.fits == nil {
		return c.allowed
	}
	return c.fits
}

// choose restates what a class may be on in terms of the variants.
func (c *class) choose(all []variant, candidates []*candidate) {
	verdicts, fits, allowed := make([]simulate.Verdict, len(all)), make([]bool, len(all)), make([]bool, len(all))
	possible := map[int]bool{}
	var barred []bool
	for v, variant := range all {
		i := variant.candidate
		verdicts[v], fits[v] = c.verdicts[i], c.allowed[i]
		allowed[v] = c.allowed[i] && variant.bought && !slices.ContainsFunc(variant.with, func(w int) bool { return !c.allowed[w] })
		possible[i] = possible[i] || allowed[v]
		if fits[v] && !allowed[v] {
			verdicts[v] = simulate.Verdict{Plugin: byChoice, Reasons: []string{"too few others to fall back on beside " + candidates[v].offering.Name}}
		}
		if c.barred != nil {
			barred = append(barred, c.barred[i])
		}
	}
	// A mix of classes may have fallbacks that none of the variants names: the bound on the cost does without them.
	c.conceivable = make([]bool, len(all))
	for v, variant := range all {
		c.conceivable[v] = possible[variant.candidate] && fits[v]
	}
	c.verdicts, c.fits, c.allowed, c.barred = verdicts, fits, allowed, barred
}

// choiceText says which demands of a group leave no machine to buy for a class.
func (p *problem) choiceText(class *class, index int, group string) string {
	holding := map[string][]*candidate{} // by datacenter
	for i, c := range p.candidates {
		if c.pool == index && class.holdable()[i] {
			holding[c.offering.Datacenter] = append(holding[c.offering.Datacenter], c)
		}
	}
	var fields []string
	for _, d := range p.pools[index].demands {
		most := 0
		for _, candidates := range holding {
			most = max(most, d.values(candidates...))
		}
		if most < d.least {
			return fmt.Sprintf("%s wants %d values of %s in each order (%s), and of its offerings that would hold the pod no datacenter has more than %d",
				group, d.least, d.key, d.field, most)
		}
		fields = append(fields, d.field)
	}
	return fmt.Sprintf("%s has no offering that would hold the pod and beside which others, at least as large and in the same datacenter, meet %s",
		group, strings.Join(fields, " and "))
}

// sameDomains says whether machines of two candidates are in the same topology domains, but for being hosts of their own.
func sameDomains(book *ledger.Ledger, a, b *candidate) bool {
	return !slices.ContainsFunc(book.Topologies(), func(key string) bool {
		return key != corev1.LabelHostname && a.node.Labels[key] != b.node.Labels[key]
	})
}
