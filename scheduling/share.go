// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
)

// workload is the pods of one controller, some of which wait, as far as groups bound what one of their machines may hold of it.
type workload struct {
	classes []int          // of those that wait
	pods    int            // running and waiting
	on      map[string]int // by node: those that are there
}

// controller identifies a workload. A manifest that was never applied has no UID.
type controller struct {
	namespace, kind, name string
	uid                   types.UID
}

func controllerOf(pod *corev1.Pod) (controller, bool) {
	owner := metav1.GetControllerOfNoCopy(pod)
	if owner == nil {
		return controller{}, false
	}
	return controller{pod.Namespace, owner.Kind, owner.Name, owner.UID}, true
}

// addWorkloads finds the workloads of the classes, where some group bounds them.
func (p *problem) addWorkloads() {
	if !slices.ContainsFunc(p.input.Groups, func(g Group) bool { return g.NodeGroup.Spec.MaxWorkloadShare != nil }) {
		return
	}
	p.classes = byController(p.classes)
	known := map[controller]*workload{}
	for c, class := range p.classes {
		by, controlled := controllerOf(class.pods[0])
		if !controlled {
			continue
		}
		if known[by] == nil {
			known[by] = &workload{on: map[string]int{}}
			p.workloads = append(p.workloads, known[by])
		}
		known[by].classes = append(known[by].classes, c)
	}
	seen := map[types.NamespacedName]bool{}
	for _, pods := range [][]*corev1.Pod{p.input.Pods, p.input.Cluster.Objects().Pods} {
		for _, pod := range pods {
			by, _ := controllerOf(pod)
			of := known[by]
			if of == nil || seen[nameOf(pod)] || !stays(pod) {
				continue
			}
			seen[nameOf(pod)] = true
			of.pods++
			if node, placed := p.input.Cluster.NodeOf(pod); placed {
				of.on[node]++
			}
		}
	}
}

// stays says whether the pod is one that its controller counts: for one that leaves, another comes.
func stays(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// byController splits classes whose pods belong to several controllers. To kube-scheduler they are equal, to a bound on workloads not.
func byController(classes []*class) []*class {
	var split []*class
	for _, whole := range classes {
		parts := map[controller]*class{}
		for _, pod := range whole.pods {
			by, _ := controllerOf(pod)
			part, known := parts[by]
			if !known {
				part = new(*whole)
				part.pods = nil
				parts[by] = part
				split = append(split, part)
			}
			part.pods = append(part.pods, pod)
		}
	}
	return split
}

// most is how many of the workload's pods one machine of a group may hold; 0: any number.
func (w *workload) most(group *v1alpha1.NodeGroup) int {
	if group == nil || group.Spec.MaxWorkloadShare == nil {
		return 0
	}
	return max(w.pods*int(*group.Spec.MaxWorkloadShare)/100, 1)
}

// quotas makes the book keep every node of a group, registered, ordered or planned, within the group's bound.
func (p *problem) quotas(book *ledger.Ledger) {
	groups := map[string]*v1alpha1.NodeGroup{}
	for _, pool := range p.pools {
		groups[pool.name()] = pool.group
	}
	for _, w := range p.workloads {
		book.Bound(w.classes, w.on, func(node *corev1.Node) int { return w.most(groups[node.Labels[v1alpha1.NodeGroupLabel]]) })
	}
}

// strictest is the least of the bounds of the groups that may hold the workload; 0 where none bounds it. Packing knows one bound for all
// machines: where groups differ, a plan may have more machines of the generous one than it must.
func (p *problem) strictest(w *workload) int {
	least := 0
	p.eachBound(w, func(most int) {
		if most > 0 && (least == 0 || most < least) {
			least = most
		}
	})
	return least
}

// loosest is the greatest of those bounds; 0 where some group that may hold the workload does not bound it. No plan can do better.
func (p *problem) loosest(w *workload) int {
	greatest, unbounded := 0, false
	p.eachBound(w, func(most int) { greatest, unbounded = max(greatest, most), unbounded || most == 0 })
	if unbounded {
		return 0
	}
	return greatest
}

// loosestBeside is the loosest of these bounds and those of nodes that are there and may hold the workload.
func (p *problem) loosestBeside(w *workload, nodes []present) int {
	greatest := p.loosest(w)
	for i := range nodes {
		if greatest == 0 {
			break
		}
		if !slices.ContainsFunc(w.classes, func(c int) bool { return nodes[i].ever[c] }) {
			continue
		}
		if most := w.most(nodes[i].group); most == 0 || most > greatest {
			greatest = most
		}
	}
	return greatest
}

func (p *problem) eachBound(w *workload, do func(most int)) {
	for index, pool := range p.pools {
		for i, candidate := range p.candidates {
			if candidate.pool == index && slices.ContainsFunc(w.classes, func(c int) bool { return p.classes[c].allowed[i] }) {
				do(w.most(pool.group))
				break
			}
		}
	}
}

// boundShares tells packing of the workloads. The classes of the packing are at these places.
func (p *problem) boundShares(packing *pack.Problem, at map[int]int, bound func(*workload) int) {
	for _, w := range p.workloads {
		most := bound(w)
		if most == 0 {
			continue
		}
		var members []int
		for _, c := range w.classes {
			place, there := at[c]
			if !there || packing.Classes[place].Count == 0 {
				continue
			}
			class := &packing.Classes[place]
			if class.PerMachine == 0 || class.PerMachine > most {
				class.PerMachine = most
			}
			members = append(members, place)
		}
		if len(members) > 1 {
			packing.Limits = append(packing.Limits, pack.Limit{Classes: members, PerMachine: most})
		}
	}
}
