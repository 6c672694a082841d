// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

//go:embed page.html.tmpl
var pageTemplate string

// pagePods is how many pods are drawn one by one. Above that, equal pods of a workload on a node share one block: a browser grows slow
// with the number of blocks, and a person sees no more in them.
const pagePods = 20_000

type page struct {
	*Report
	CostPerMonth string
	Cost, Bound  string
	NodeCost     string // empty: none
	GapText      string
	Placed       int
	Total        int
	Purchases    []pagePurchase
	Refusals     []pageRefusal
	Workloads    []pageWorkload
	Nodes        []pageNode
}

type pagePurchase struct {
	Count, Pods                                                int
	Offering, Cores, Memory, Datacenter, Group, Each, Together string
}

type pageRefusal struct {
	Title   string
	Message string
	Reasons []string
	Pods    string
}

type pageWorkload struct {
	Name     string
	Pods     int
	Hue      int
	Lighter  int // percent
	Saturate int // percent
}

type pageNode struct {
	Name, Stage, Class, Offering, Where, Price string
	CPU, Memory                                bar
	Pods                                       int
	Search                                     string
}

type bar struct {
	What, Amount, Percent string
	Blocks                []block
}

// block is one pod, or equal ones, in a bar.
type block struct {
	Share    string // of the bar's height, in percent
	Workload int
	Origin   string // a class: running, daemon or planned
	Title    string
}

func (r *Report) writePage(w io.Writer) error {
	parsed, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return fmt.Errorf("parsing the page: %w", err)
	}
	return parsed.Execute(w, r.page())
}

func (r *Report) page() page {
	p := page{
		Report: r, Cost: r.plan.Cost.String(), Bound: r.plan.LowerBound.String(), CostPerMonth: perMonth(r.plan.Cost), GapText: "not known",
		Placed: len(r.Placements),
	}
	if r.nodeCost > 0 {
		p.NodeCost = r.nodeCost.String()
	}
	if r.Gap != nil {
		p.GapText = strconv.FormatFloat(*r.Gap*100, 'f', 2, 64) + " %"
	}
	for _, launch := range r.Launches {
		p.Placed += len(launch.Pods)
	}
	p.Total = p.Placed + len(r.Rejections)
	for _, b := range r.purchases() {
		p.Purchases = append(p.Purchases, pagePurchase{
			Count: b.count, Pods: b.pods, Offering: b.offering, Cores: cores(b.cpuMilli), Memory: mebibytes(b.memoryMiB),
			Datacenter: b.datacenter, Group: b.group, Each: b.price.String(), Together: b.total().String(),
		})
	}
	for _, refusal := range r.refusals() {
		p.Refusals = append(p.Refusals, pageRefusal{
			Title: plural(len(refusal.pods), "pod"), Message: refusal.message, Reasons: refusal.reasons, Pods: strings.Join(refusal.pods, "\n"),
		})
	}
	indexes := map[string]int{}
	p.Workloads = r.workloads(indexes)
	drawn := 0
	for _, n := range r.nodes {
		drawn += len(n.pods)
	}
	for _, n := range r.nodes {
		p.Nodes = append(p.Nodes, n.card(indexes, drawn > pagePods))
	}
	return p
}

// workloads lists the workloads with a colour each, those with most pods first: neighbours in the list are far apart on the colour circle.
func (r *Report) workloads(indexes map[string]int) []pageWorkload {
	var list []pageWorkload
	for _, n := range r.nodes {
		for _, t := range n.pods {
			at, known := indexes[t.workload]
			if !known {
				at = len(list)
				indexes[t.workload] = at
				list = append(list, pageWorkload{Name: t.workload})
			}
			list[at].Pods++
		}
	}
	slices.SortFunc(list, func(a, b pageWorkload) int { return cmp.Or(cmp.Compare(b.Pods, a.Pods), cmp.Compare(a.Name, b.Name)) })
	const goldenAngle = 137.508
	for i := range list {
		indexes[list[i].Name] = i
		list[i].Hue = int(math.Mod(210+float64(i)*goldenAngle, 360))
		list[i].Lighter = []int{0, 12, -10}[i/8%3]
		list[i].Saturate = []int{62, 45, 78}[i/24%3]
	}
	return list
}

func (n node) card(indexes map[string]int, together bool) pageNode {
	card := pageNode{
		Name: n.name, Stage: n.stage.String(), Class: []string{"there", "ordered", "buy"}[n.stage], Offering: cmp.Or(n.offering, "unknown size"),
		Where: n.datacenter, Pods: len(n.pods),
		CPU:    bar{What: "cpu", Amount: cores(n.used.cpuMilli) + " of " + cores(n.room.cpuMilli), Percent: percent(n.used.cpuMilli, n.room.cpuMilli)},
		Memory: bar{What: "memory", Amount: ofBytes(n.used.memory, n.room.memory), Percent: percent(n.used.memory, n.room.memory)},
	}
	if n.stage == toBuy {
		card.Price = n.price.String()
	}
	search := []string{n.name, n.offering, n.datacenter, n.group, n.stage.String()}
	for i := 0; i < len(n.pods); {
		first := n.pods[i]
		alike := 1
		for together && i+alike < len(n.pods) && n.pods[i+alike].looksLike(first) {
			alike++
		}
		here := n.pods[i : i+alike]
		title := titleOf(here)
		b := block{Workload: indexes[first.workload], Origin: []string{"r", "d", "p"}[first.origin], Title: title}
		count := int64(len(here))
		b.Share = share(first.size.cpuMilli*count, n.room.cpuMilli)
		card.CPU.Blocks = append(card.CPU.Blocks, b)
		b.Share = share(first.size.memory*count, n.room.memory)
		card.Memory.Blocks = append(card.Memory.Blocks, b)
		if len(search) < 5+podsNamed*4 || search[len(search)-1] != first.workload {
			search = append(search, first.workload)
		}
		i += alike
	}
	card.Search = strings.ToLower(strings.Join(slices.Compact(search), " "))
	return card
}

// ofBytes says the unit once where both have the same.
func ofBytes(part, whole int64) string {
	a, b := bytes(part), bytes(whole)
	if a[len(a)-3:] == b[len(b)-3:] {
		a = a[:len(a)-len(" GiB")]
	}
	return a + " of " + b
}

func (t tenant) looksLike(o tenant) bool {
	return t.workload == o.workload && t.size == o.size && t.origin == o.origin
}

func titleOf(tenants []tenant) string {
	var b strings.Builder
	for i, t := range tenants {
		if i == podsNamed*2 {
			fmt.Fprintf(&b, "and %d more\n", len(tenants)-i)
			break
		}
		b.WriteString(t.name + "\n")
	}
	first := tenants[0]
	fmt.Fprintf(&b, "%s, cpu %s, memory %s", []string{"running", "DaemonSet", "planned"}[first.origin], cores(first.size.cpuMilli), bytes(first.size.memory))
	return b.String()
}

func share(part, whole int64) string {
	if whole <= 0 {
		return "0"
	}
	return strconv.FormatFloat(float64(part)*100/float64(whole), 'f', 2, 64)
}
