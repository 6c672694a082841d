// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// text is the report for a terminal.
func (r *Report) text() string {
	var b strings.Builder
	if purchases := r.purchases(); len(purchases) > 0 {
		fmt.Fprintf(&b, "Machines to buy\n%s\n\n", purchaseTable(purchases, r.plan.Cost))
	}
	if len(r.nodes) > 0 {
		fmt.Fprintf(&b, "Nodes, when the plan is carried out\n%s\n\n", nodeTable(r.nodes))
	}
	if len(r.Rejections) > 0 {
		fmt.Fprintf(&b, "Pods that fit nowhere: %d\n%s\n", len(r.Rejections), r.rejectionText())
	}
	b.WriteString(r.summary())
	return b.String()
}

// purchase is machines of one offering for one group.
type purchase struct {
	group, offering, datacenter string
	price                       scheduling.Price
	cpuMilli, memoryMiB         int64
	count, pods                 int
}

// purchases sums the launches up, dearest together first.
func (r *Report) purchases() []purchase {
	var list []purchase
	for _, launch := range r.plan.Launches {
		best := launch.Offerings[0]
		at := slices.IndexFunc(list, func(p purchase) bool {
			return p.group == launch.Group && p.offering == best.Name && p.datacenter == placeOf(best)
		})
		if at < 0 {
			at = len(list)
			list = append(list, purchase{
				group: launch.Group, offering: best.Name, datacenter: placeOf(best), price: best.Price,
				cpuMilli: best.CPUMilli, memoryMiB: best.MemoryMiB,
			})
		}
		list[at].count++
		list[at].pods += len(launch.Pods)
	}
	slices.SortStableFunc(list, func(a, b purchase) int { return cmp.Compare(b.total(), a.total()) })
	return list
}

func (p purchase) total() scheduling.Price { return p.price * scheduling.Price(p.count) }

func placeOf(o scheduling.Offering) string { return cmp.Or(o.DatacenterName, o.Datacenter) }

func purchaseTable(purchases []purchase, cost scheduling.Price) string {
	w := newTable(table.Row{"count", "offering", "cores", "memory", "datacenter", "node group", "pods", "per hour each", "per hour"}, 1, 3, 4, 7, 8, 9)
	machines, pods := 0, 0
	for _, p := range purchases {
		w.AppendRow(table.Row{p.count, p.offering, cores(p.cpuMilli), mebibytes(p.memoryMiB), p.datacenter, p.group, p.pods, p.price, p.total()})
		machines, pods = machines+p.count, pods+p.pods
	}
	w.AppendFooter(table.Row{machines, "together", "", "", "", "", pods, "", cost})
	return render(w)
}

// nodeTable has a row for each node; neighbours that do not differ share one.
func nodeTable(nodes []node) string {
	w := newTable(table.Row{"node", "", "offering", "pods", "cpu requested", "", "memory requested", ""}, 4, 5, 6, 7, 8)
	for len(nodes) > 0 {
		alike := 1
		for alike < len(nodes) && nodes[alike].looksLike(nodes[0]) {
			alike++
		}
		n := nodes[0]
		name := n.name
		if alike > 1 {
			name = fmt.Sprintf("%s ... %s (%d)", n.name, nodes[alike-1].name, alike)
		}
		w.AppendRow(table.Row{
			name, n.stage, cmp.Or(n.offering, "-"), n.used.pods,
			cores(n.used.cpuMilli) + " of " + cores(n.room.cpuMilli), percent(n.used.cpuMilli, n.room.cpuMilli),
			bytes(n.used.memory) + " of " + bytes(n.room.memory), percent(n.used.memory, n.room.memory),
		})
		nodes = nodes[alike:]
	}
	return render(w)
}

func (n node) looksLike(o node) bool {
	return n.stage == o.stage && n.offering == o.offering && n.used == o.used && n.room == o.room
}

// refusal is pods that were refused for the same reasons.
type refusal struct {
	message string
	reasons []string // beyond the message
	pods    []string
}

func (r *Report) refusals() []refusal {
	var list []refusal
	at := map[string]int{}
	for _, rejection := range r.Rejections {
		key := rejection.Message + "\n" + strings.Join(rejection.Reasons, "\n")
		i, known := at[key]
		if !known {
			i = len(list)
			at[key] = i
			reasons := slices.DeleteFunc(slices.Clone(rejection.Reasons), func(reason string) bool { return reason == rejection.Message })
			list = append(list, refusal{message: rejection.Message, reasons: reasons})
		}
		list[i].pods = append(list[i].pods, rejection.Pod)
	}
	slices.SortStableFunc(list, func(a, b refusal) int { return cmp.Compare(len(b.pods), len(a.pods)) })
	return list
}

const podsNamed = 5

func (r *Report) rejectionText() string {
	var b strings.Builder
	for _, refusal := range r.refusals() {
		shown := refusal.pods[:min(podsNamed, len(refusal.pods))]
		named := strings.Join(shown, ", ")
		if more := len(refusal.pods) - len(shown); more > 0 {
			named += fmt.Sprintf(" and %d more", more)
		}
		b.WriteString(fold("  ", fmt.Sprintf("%s: %s", plural(len(refusal.pods), "pod"), refusal.message)))
		b.WriteString(fold("    ", named))
		for _, reason := range refusal.reasons {
			b.WriteString(fold("    - ", reason))
		}
	}
	return b.String()
}

func (r *Report) summary() string {
	verified := "yes, kube-scheduler's plugins accepted every placement"
	if !r.Verified {
		verified = "NO, the plugins did not accept every placement"
	}
	onNew := 0
	for _, launch := range r.Launches {
		onNew += len(launch.Pods)
	}
	w := table.NewWriter()
	style := table.StyleLight
	style.Options = table.Options{}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	total := onNew + len(r.Placements) + len(r.Rejections)
	w.AppendRow(table.Row{"cost", fmt.Sprintf("%s per hour, %s per month of %d hours", r.plan.Cost, perMonth(r.plan.Cost), scheduling.HoursPerMonth)})
	if r.nodeCost > 0 {
		w.AppendRow(table.Row{"node cost", fmt.Sprintf("%s per hour for each machine beside its price, in the cost and the bound", r.nodeCost)})
	}
	w.AppendRow(table.Row{"lower bound", fmt.Sprintf("%s per hour: no machines of these sizes that make room for these pods cost less", r.plan.LowerBound)})
	w.AppendRow(table.Row{"gap", gapText(r.Gap)})
	w.AppendRow(table.Row{"pods", fmt.Sprintf("%d of %d placed: %d on nodes that are there, %d on %s", onNew+len(r.Placements), total,
		len(r.Placements), onNew, plural(len(r.Launches), "new machine"))})
	w.AppendRow(table.Row{"verified", verified})
	w.AppendRow(table.Row{"planned in", strconv.FormatFloat(r.SolveSeconds, 'f', 3, 64) + " s"})
	w.AppendRow(table.Row{"catalogue", r.Catalogue})
	return "Summary\n" + render(w) + "\n"
}

func gapText(gap *float64) string {
	if gap == nil {
		return "not known: the bound is 0"
	}
	return strconv.FormatFloat(*gap*100, 'f', 2, 64) + " % above the bound at most"
}

// newTable is a table without a frame. The columns named in right hold numbers.
func newTable(header table.Row, right ...int) table.Writer {
	w := table.NewWriter()
	style := table.StyleLight
	style.Options = table.Options{SeparateHeader: true, SeparateFooter: true}
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format = table.FormatOptions{Footer: text.FormatDefault, Header: text.FormatUpper, Row: text.FormatDefault}
	w.SetStyle(style)
	w.AppendHeader(header)
	columns := make([]table.ColumnConfig, 0, len(right))
	for _, number := range right {
		columns = append(columns, table.ColumnConfig{Number: number, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight})
	}
	w.SetColumnConfigs(columns)
	w.SuppressTrailingSpaces()
	return w
}

func render(w table.Writer) string { return "  " + strings.ReplaceAll(w.Render(), "\n", "\n  ") }

const width = 120

// fold breaks a text into lines; those after the first are indented as deep as the first.
func fold(indent, body string) string {
	lines := strings.Split(text.WrapSoft(body, width-len(indent)), "\n")
	deep := strings.Repeat(" ", len(indent))
	for i := range lines {
		lines[i] = deep + strings.TrimRight(lines[i], " ")
	}
	return indent + strings.TrimPrefix(strings.Join(lines, "\n"), deep) + "\n"
}

func cores(milli int64) string { return strconv.FormatFloat(float64(milli)/1000, 'f', -1, 64) }

func mebibytes(n int64) string { return bytes(n << 20) }

func bytes(n int64) string {
	if n >= 1<<30 {
		return strconv.FormatFloat(float64(n*10>>30)/10, 'f', -1, 64) + " GiB"
	}
	return strconv.FormatInt(n>>20, 10) + " MiB"
}

func percent(part, whole int64) string {
	if whole <= 0 {
		return "-"
	}
	return strconv.FormatInt(part*100/whole, 10) + "%"
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return strconv.Itoa(n) + " " + word + "s"
}

func perMonth(p scheduling.Price) string {
	return strconv.FormatFloat(p.Float()*scheduling.HoursPerMonth, 'f', 2, 64)
}
