// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

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

// render indents a table, its lines included.
func render(w table.Writer) string {
	return "  " + strings.ReplaceAll(w.Render(), "\n", "\n  ")
}

// workloadTable lists what waits, by workload.
func workloadTable(pods []pod) string {
	w := newTable(table.Row{"workload", "pods", "cores each", "memory each", "where it may run"}, 2, 3, 4)
	sorted := slices.Clone(pods)
	slices.SortStableFunc(sorted, func(a, b pod) int { return cmp.Compare(a.Workload, b.Workload) })
	var cpu, memory int64
	for len(sorted) > 0 {
		first := sorted[0]
		n := count(sorted, func(p pod) bool { return p.Workload == first.Workload })
		for _, p := range sorted[:n] {
			cpu, memory = cpu+p.CPU, memory+p.Memory
		}
		w.AppendRow(table.Row{first.Workload, n, cores(first.CPU), bytesText(first.Memory), cmp.Or(first.Wishes, "anywhere")})
		sorted = sorted[n:]
	}
	w.AppendFooter(table.Row{"together", len(pods), cores(cpu), bytesText(memory)})
	return render(w)
}

// planTable lists the machines to buy, dearest first.
func planTable(s scene) string {
	w := newTable(table.Row{"machine", "offering", "cores", "memory", "per hour", "pods"}, 3, 4, 5, 6)
	var cpu, memory int64
	total := 0
	for _, m := range dearestFirst(s.Machines) {
		planned := count(s.shopPods(), func(p pod) bool { return p.Machine == m.Name })
		w.AppendRow(table.Row{m.Name, m.Offering, cores(m.CPU), bytesText(m.Memory), money(m.Price), planned})
		cpu, memory, total = cpu+m.CPU, memory+m.Memory, total+planned
	}
	w.AppendFooter(table.Row{"together", plural(len(s.Machines), "machine"), cores(cpu), bytesText(memory), money(s.price()), total})
	return render(w)
}

// reasons says of each machine why it was chosen, once for all with the same reason.
func reasons(s scene) string {
	var b strings.Builder
	left := slices.DeleteFunc(dearestFirst(s.Machines), func(m machine) bool { return m.Why == "" })
	for len(left) > 0 {
		why := left[0].Why
		var alike []string
		left = slices.DeleteFunc(left, func(m machine) bool {
			if m.Why == why {
				alike = append(alike, m.Name)
			}
			return m.Why == why
		})
		b.WriteString(fold("  ", strings.Join(alike, ", ")) + fold("    ", why))
	}
	return b.String()
}

const width = 120

// fold breaks a text into indented lines.
func fold(indent, body string) string {
	lines := strings.Split(text.WrapSoft(body, width-len(indent)), "\n")
	for i := range lines {
		lines[i] = indent + strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n") + "\n"
}

func dearestFirst(machines []machine) []machine {
	sorted := slices.Clone(machines)
	slices.SortFunc(sorted, func(a, b machine) int {
		return cmp.Or(cmp.Compare(b.Price, a.Price), cmp.Compare(a.Name, b.Name))
	})
	return sorted
}

// nodeTable lists the nodes with what runs on them.
func nodeTable(s scene) string {
	w := newTable(table.Row{"node", "offering", "pods", "cores requested", "memory requested", "per hour"}, 3, 4, 5, 6)
	var pods int
	var cpu, memory, cpuHave, memoryHave int64
	for _, m := range dearestFirst(s.Machines) {
		n, ok := find(s.Nodes, func(n node) bool { return n.Machine == m.Name })
		if !ok {
			continue
		}
		on, wantCPU, wantMemory := s.on(n.Name)
		w.AppendRow(table.Row{n.Name, m.Offering, on, used(wantCPU, n.CPU, cores), used(wantMemory, n.Memory, bytesText), money(m.Price)})
		pods, cpu, memory = pods+on, cpu+wantCPU, memory+wantMemory
		cpuHave, memoryHave = cpuHave+n.CPU, memoryHave+n.Memory
	}
	w.AppendFooter(table.Row{"together", plural(len(s.Nodes), "node"), pods, used(cpu, cpuHave, cores), used(memory, memoryHave, bytesText), money(s.price())})
	return render(w)
}

// on is what runs on a node: how many pods, and what they request.
func (s scene) on(name string) (pods int, cpu, memory int64) {
	for _, p := range s.Pods {
		if p.Node == name {
			pods, cpu, memory = pods+1, cpu+p.CPU, memory+p.Memory
		}
	}
	return pods, cpu, memory
}

// used writes how much of the whole is requested.
func used(part, whole int64, write func(int64) string) string {
	return fmt.Sprintf("%s of %s (%s)", write(part), write(whole), share(part, whole))
}
