// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// maxAlternatives bounds the offerings of one launch.
const maxAlternatives = 8

// launches turns the planned machines into launches named new-1, new-2 and so on, and says which machine got which name.
func (p *planner) launches() (launches []Launch, names map[string]string) {
	machines := slices.Clone(p.machines)
	for _, m := range machines {
		slices.SortFunc(m.pods, func(a, b member) int { return snapshot.ComparePods(a.pod, b.pod) })
	}
	slices.SortFunc(machines, func(a, b *machine) int {
		return cmp.Or(
			cmp.Compare(p.pools[a.pool].name(), p.pools[b.pool].name()),
			CompareOfferings(a.offering, b.offering),
			snapshot.ComparePods(a.pods[0].pod, b.pods[0].pod),
		)
	})
	equal := map[int]int{}
	for _, m := range machines {
		equal[m.index]++
	}
	known := map[string]bool{}
	names = map[string]string{}
	number := 0
	for _, m := range machines {
		for number++; p.input.Cluster.Has(fmt.Sprintf("new-%d", number)); number++ {
		}
		launch := Launch{Name: fmt.Sprintf("new-%d", number), Group: p.pools[m.pool].name(), Requests: p.requests(m)}
		for _, pod := range m.pods {
			launch.Pods = append(launch.Pods, nameOf(pod.pod))
		}
		launch.Offerings = p.alternatives(m, known)
		launch.Why = why(launch, equal[m.index], p.reason(m, launch.Group))
		names[m.name] = launch.Name
		launches = append(launches, launch)
	}
	return launches, names
}

func (p *planner) requests(m *machine) corev1.ResourceList {
	sum := corev1.ResourceList{corev1.ResourceCPU: resource.Quantity{}, corev1.ResourceMemory: resource.Quantity{}}
	for _, pod := range m.pods {
		for name, quantity := range p.classes[pod.class].requests {
			total := sum[name]
			total.Add(quantity)
			sum[name] = total
		}
	}
	return sum
}

// alternatives returns the offerings of the machine's group and datacenter that would hold the same pods, cheapest first: those that its group
// wants to fall back on, and the cheapest others.
func (p *planner) alternatives(m *machine, known map[string]bool) []Offering {
	offerings := []Offering{m.offering}
	for _, index := range m.with {
		offerings = append(offerings, p.candidates[index].offering)
	}
	mix := p.mixText(m)
	for index, c := range p.candidates {
		if len(offerings) >= maxAlternatives {
			break
		}
		if c.pool != m.pool || CompareOfferings(c.offering, m.offering) <= 0 ||
			slices.ContainsFunc(offerings, func(o Offering) bool { return o.ID == c.offering.ID }) {
			continue
		}
		if p.wouldHold(m, index, mix, known) {
			offerings = append(offerings, c.offering)
		}
	}
	slices.SortFunc(offerings, CompareOfferings)
	return offerings
}

// wouldHold says whether another candidate would hold a machine's pods. The answer is the same for every machine with the same mix, so
// it is kept.
func (p *planner) wouldHold(m *machine, index int, mix string, known map[string]bool) bool {
	c := p.candidates[index]
	if c.offering.Datacenter != m.offering.Datacenter || !affords(p.budgets[m.pool], drawOf(c.offering), m.draw) {
		return false
	}
	key := fmt.Sprintf("%d for %d: %s", index, m.index, mix)
	holds, asked := known[key]
	if !asked {
		holds = p.hasRoom(c, func(class *class) bool { return class.holdable()[index] }, m.pods) && sameDomains(p.book, m.candidate, c)
		known[key] = holds
	}
	return holds
}

// mixText writes down which classes a machine holds how often.
func (p *planner) mixText(m *machine) string {
	var b strings.Builder
	for c, n := range p.mix(m) {
		if n > 0 {
			fmt.Fprintf(&b, "%d*%d ", n, c)
		}
	}
	return b.String()
}

func (p *planner) mix(m *machine) []int {
	mix := make([]int, len(p.classes))
	for _, pod := range m.pods {
		mix[pod.class]++
	}
	return mix
}

// reason says why it is this machine, up to what it holds.
func (p *planner) reason(m *machine, group string) string {
	if m.liked {
		return fmt.Sprintf("what is preferred, and node group %q pays for that, by", group)
	}
	return fmt.Sprintf("cheapest of node group %q that holds", group)
}

// why says in one sentence what is bought, for what, and what would have been next.
func why(launch Launch, equal int, reason string) string {
	best := launch.Offerings[0]
	var b strings.Builder
	if equal > 1 {
		fmt.Fprintf(&b, "one of %d machines ", equal)
	}
	pods := "1 pod requesting"
	if len(launch.Pods) != 1 {
		pods = fmt.Sprintf("%d pods requesting", len(launch.Pods))
	}
	fmt.Fprintf(&b, "%s (%s) at %s/h: %s %s %s", best.Name,
		sizeText(best.CPUMilli, best.MemoryMiB*mebibyte), best.Price, reason, pods,
		sizeText(launch.Requests.Cpu().MilliValue(), launch.Requests.Memory().Value()))
	if len(launch.Offerings) > 1 {
		fmt.Fprintf(&b, "; next best %s at %s/h", launch.Offerings[1].Name, launch.Offerings[1].Price)
	} else {
		b.WriteString("; there is no alternative")
	}
	return b.String()
}
