// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack_test

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/series"
)

// random makes a small instance: few enough pods for the optimum to be found by trying everything. Each kind of term is in some of them.
func random(r *rand.Rand) pack.Problem {
	p := pack.Problem{Pools: free()}
	resources, machines, domains := 1+r.IntN(3), 1+r.IntN(5), 1+r.IntN(3)
	for range machines {
		room := make([]int64, resources)
		for i := range room {
			room[i] = 5 + r.Int64N(60)
		}
		m := machine(1+r.Int64N(1000), room...)
		m.Domain = r.IntN(domains)
		if r.IntN(6) == 0 {
			m.Most = 1 + r.IntN(2)
			m.Price *= r.Int64N(2)
		}
		p.Machines = append(p.Machines, m)
	}
	for pods := 1 + r.IntN(7); pods > 0; {
		class := pack.Class{Requests: make(pack.Vector, resources), Count: 1 + r.IntN(pods), Allowed: make([]bool, machines)}
		for i := range class.Requests {
			class.Requests[i] = r.Int64N(30)
		}
		for m := range class.Allowed {
			class.Allowed[m] = r.IntN(5) > 0
		}
		if r.IntN(4) == 0 {
			class.PerMachine = 1 + r.IntN(2)
		}
		pods -= class.Count
		p.Classes = append(p.Classes, class)
	}
	relateRandomly(r, &p, domains)
	if r.IntN(3) == 0 {
		p.Pools = []pack.Vector{{1 + r.Int64N(4)}}
	}
	return p
}

func relateRandomly(r *rand.Rand, p *pack.Problem, domains int) {
	some := func() (classes []int) {
		for c := range p.Classes {
			if r.IntN(2) == 0 {
				classes = append(classes, c)
			}
		}
		return classes
	}
	if classes := some(); r.IntN(3) == 0 && len(classes) > 0 {
		p.Limits = append(p.Limits, pack.Limit{Classes: classes, PerMachine: 1 + r.IntN(2)})
	}
	if r.IntN(3) == 0 {
		s := pack.Spread{Classes: []int{r.IntN(len(p.Classes))}, MaxSkew: r.IntN(3), Most: r.IntN(2) * (1 + r.IntN(3))}
		if r.IntN(3) == 0 {
			s.Classes = append(s.Classes, (s.Classes[0]+1)%len(p.Classes))
			s.Classes = s.Classes[:min(2, len(p.Classes))]
		}
		for range domains {
			s.Existing = append(s.Existing, r.IntN(4)-1)
		}
		p.Spreads = append(p.Spreads, s)
	}
	if classes := some(); r.IntN(4) == 0 && len(classes) > 0 {
		p.Together = append(p.Together, classes)
	}
	if a, b := r.IntN(len(p.Classes)), r.IntN(len(p.Classes)); a != b && r.IntN(2) == 0 {
		p.Limits = append(p.Limits, pack.Exclude(a, 1+r.IntN(2), b, 1+r.IntN(3)))
	}
}

// pods lists the class of each pod.
func pods(p pack.Problem) (classes []int) {
	for c, class := range p.Classes {
		for range class.Count {
			classes = append(classes, c)
		}
	}
	return classes
}

func domainsOf(p pack.Problem) int {
	domains := 0
	for _, m := range p.Machines {
		domains = max(domains, m.Domain+1)
	}
	return domains
}

// admissible says whether the counts by class and domain keep to spreads and sets that stay together.
func admissible(p pack.Problem, counts [][]int) bool {
	for _, set := range p.Together {
		home := -1
		for _, c := range set {
			for d, n := range counts[c] {
				if n > 0 && home >= 0 && home != d {
					return false
				}
				if n > 0 {
					home = d
				}
			}
		}
	}
	for _, s := range p.Spreads {
		if !spreadKept(s, counts) {
			return false
		}
	}
	return true
}

func spreadKept(s pack.Spread, counts [][]int) bool {
	domains := max(len(counts[0]), len(s.Existing))
	total, added, least := make([]int, domains), make([]int, domains), math.MaxInt
	for d := range domains {
		existing := 0
		if d < len(s.Existing) {
			existing = s.Existing[d]
		}
		for _, c := range s.Classes {
			if d < len(counts[c]) {
				added[d] += counts[c][d]
			}
		}
		if existing == pack.Absent {
			if added[d] > 0 {
				return false
			}
			continue
		}
		total[d] = existing + added[d]
		least = min(least, total[d])
	}
	for d := range domains {
		if added[d] > 0 && ((s.MaxSkew > 0 && total[d]-least > s.MaxSkew) || (s.Most > 0 && total[d] > s.Most)) {
			return false
		}
	}
	return true
}

// fits says whether one machine holds the pods of the set.
func fits(p pack.Problem, pods []int, set, m int) bool {
	used, count := make([]int64, len(p.Machines[m].Room)), make([]int, len(p.Classes))
	for i, c := range pods {
		if set&(1<<i) == 0 {
			continue
		}
		if count[c]++; !p.Classes[c].Allowed[m] || (p.Classes[c].PerMachine > 0 && count[c] > p.Classes[c].PerMachine) {
			return false
		}
		for r := range used {
			if used[r] += p.Classes[c].Requests[r]; used[r] > p.Machines[m].Room[r] {
				return false
			}
		}
	}
	for _, l := range p.Limits {
		n := 0
		for position, c := range l.Classes {
			weight := 1
			if l.Weights != nil {
				weight = l.Weights[position]
			}
			n += weight * count[c]
		}
		if n > l.PerMachine {
			return false
		}
	}
	return true
}

// optimum tries every way to place the pods; -1 where there is none.
func optimum(p pack.Problem) int64 {
	all, domains := pods(p), domainsOf(p)
	if len(all) == 0 {
		return 0
	}
	o := oracle{p: p, pods: all, fit: make([][]bool, len(p.Machines)), best: math.MaxInt64}
	for m := range p.Machines {
		o.fit[m] = make([]bool, 1<<len(all))
		for set := range o.fit[m] {
			o.fit[m][set] = fits(p, all, set, m)
		}
	}
	o.used = make([]int, len(p.Machines))
	o.nodes = math.MaxInt64
	if len(p.Pools) > 0 {
		o.nodes = p.Pools[0][0]
	}
	o.counts = make([][]int, len(p.Classes))
	for c := range o.counts {
		o.counts[c] = make([]int, domains)
	}
	o.place(1<<len(all)-1, 0, 0)
	if o.best == math.MaxInt64 {
		return -1
	}
	return o.best
}

type oracle struct {
	p      pack.Problem
	pods   []int
	fit    [][]bool
	used   []int
	counts [][]int
	nodes  int64
	best   int64
}

// place buys a machine for the first pod that is left, with every set of others.
func (o *oracle) place(rest int, cost, nodes int64) {
	if cost >= o.best || nodes > o.nodes {
		return
	}
	if rest == 0 {
		if admissible(o.p, o.counts) {
			o.best = cost
		}
		return
	}
	first := 1 << bits.TrailingZeros(uint(rest))
	for sub := rest; sub > 0; sub = (sub - 1) & rest {
		if sub&first == 0 {
			continue
		}
		for m := range o.p.Machines {
			machine := &o.p.Machines[m]
			if !o.fit[m][sub] || (machine.Most > 0 && o.used[m] >= machine.Most) {
				continue
			}
			o.move(sub, machine.Domain, 1)
			o.used[m]++
			o.place(rest&^sub, cost+machine.Price, nodes+1)
			o.used[m]--
			o.move(sub, machine.Domain, -1)
		}
	}
}

func (o *oracle) move(set, domain, by int) {
	for i, c := range o.pods {
		if set&(1<<i) != 0 {
			o.counts[c][domain] += by
		}
	}
}

func TestNoSetOfMachinesUndercutsTheBound(t *testing.T) {
	trials := series.Length(6000)
	feasible, whole, bounds, plans := 0, 0, 0.0, 0.0
	for seed := range uint64(trials) {
		p := random(rand.New(rand.NewPCG(seed, 7)))
		s := pack.Solve(p, pack.Options{})
		checkSolution(t, seed, p, s)
		placed := p
		placed.Classes = append([]pack.Class{}, p.Classes...)
		for c := range placed.Classes {
			placed.Classes[c].Count -= s.Unplaced[c]
		}
		if best := optimum(placed); s.LowerBound > best || s.Cost < best {
			t.Fatalf("seed %d: bound %d, cost %d, optimum of what is placed %d: %+v", seed, s.LowerBound, s.Cost, best, p)
		}
		best := optimum(p)
		if best < 0 {
			continue
		}
		if bound := pack.Bound(p, pack.Options{}); bound > best {
			t.Fatalf("seed %d: bound %d, optimum %d: %+v", seed, bound, best, p)
		}
		feasible++
		if sum(s.Unplaced) > 0 {
			continue
		}
		whole++
		if best == 0 {
			bounds, plans = bounds+1, plans+1
			if s.Cost > 0 {
				t.Errorf("seed %d: cost %d, optimum 0", seed, s.Cost)
			}
			continue
		}
		bounds += float64(s.LowerBound) / float64(best)
		plans += float64(s.Cost) / float64(best)
	}
	if feasible*12 < trials*5 {
		t.Fatalf("only %d feasible instances", feasible)
	}
	t.Logf("%d feasible instances, %d with every pod placed; bound/optimum %.4f, plan/optimum %.4f on average",
		feasible, whole, bounds/float64(whole), plans/float64(whole))
	if got := plans / float64(whole); got > 1.005 {
		t.Errorf("plans cost %.4f times the optimum on average", got)
	}
	if whole*100 < feasible*98 {
		t.Errorf("only in %d of %d feasible instances every pod was placed", whole, feasible)
	}
}

func sum(counts []int) (total int) {
	for _, n := range counts {
		total += n
	}
	return total
}

// checkSolution checks that a solution keeps to all terms and accounts for every pod.
func checkSolution(t *testing.T, seed uint64, p pack.Problem, s pack.Solution) {
	t.Helper()
	cost, nodes := int64(0), int64(0)
	used, counts := make([]int, len(p.Machines)), make([][]int, len(p.Classes))
	for c := range counts {
		counts[c] = make([]int, domainsOf(p))
	}
	for _, pattern := range s.Patterns {
		var content []int
		for c, n := range pattern.Mix {
			counts[c][p.Machines[pattern.Machine].Domain] += n * pattern.Copies
			for range n {
				content = append(content, c)
			}
		}
		if len(content) == 0 || !fits(p, content, 1<<len(content)-1, pattern.Machine) {
			t.Fatalf("seed %d: pattern %+v is empty or does not fit: %+v", seed, pattern, p)
		}
		used[pattern.Machine] += pattern.Copies
		cost += int64(pattern.Copies) * p.Machines[pattern.Machine].Price
		nodes += int64(pattern.Copies)
	}
	for m, n := range used {
		if most := p.Machines[m].Most; most > 0 && n > most {
			t.Fatalf("seed %d: %d of machine %d, of which there are %d", seed, n, m, most)
		}
	}
	for c, class := range p.Classes {
		if sum(counts[c])+s.Unplaced[c] != class.Count {
			t.Fatalf("seed %d: class %d: %d placed, %d not, of %d", seed, c, sum(counts[c]), s.Unplaced[c], class.Count)
		}
	}
	if cost != s.Cost || nodes > p.Pools[0][0] || !admissible(p, counts) {
		t.Fatalf("seed %d: cost %d (stated %d), %d machines, counts %v: %+v", seed, cost, s.Cost, nodes, counts, p)
	}
}
