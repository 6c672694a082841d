// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package build

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// NodeGroup is a node group in the making.
type NodeGroup struct{ group v1alpha1.NodeGroup }

// MakeNodeGroup makes a managed group without bounds that allows every offering.
func MakeNodeGroup(name string) *NodeGroup {
	return &NodeGroup{v1alpha1.NodeGroup{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "NodeGroup"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID("group-" + name), Generation: 1,
			Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue},
		},
	}}
}

// Obj returns the group.
func (g *NodeGroup) Obj() *v1alpha1.NodeGroup { return g.group.DeepCopy() }

// With changes what the other methods do not reach.
func (g *NodeGroup) With(change func(*v1alpha1.NodeGroup)) *NodeGroup { change(&g.group); return g }

// MinNodes sets the least number of nodes.
func (g *NodeGroup) MinNodes(nodes int32) *NodeGroup { g.group.Spec.MinNodes = &nodes; return g }

// MaxNodes sets the greatest number of nodes.
func (g *NodeGroup) MaxNodes(nodes int32) *NodeGroup { g.group.Spec.MaxNodes = &nodes; return g }

// Weight sets the weight.
func (g *NodeGroup) Weight(weight int32) *NodeGroup { g.group.Spec.Weight = &weight; return g }

// Paused pauses the group.
func (g *NodeGroup) Paused(mode v1alpha1.PauseMode) *NodeGroup { g.group.Spec.Paused = mode; return g }

// Label adds a label to the template.
func (g *NodeGroup) Label(key, value string) *NodeGroup {
	if g.group.Spec.Template.Labels == nil {
		g.group.Spec.Template.Labels = map[string]string{}
	}
	g.group.Spec.Template.Labels[key] = value
	return g
}

// Taint adds a NoSchedule taint to the template.
func (g *NodeGroup) Taint(key, value string) *NodeGroup {
	g.group.Spec.Template.Taints = append(g.group.Spec.Template.Taints,
		v1alpha1.Taint{Key: key, Value: value, Effect: corev1.TaintEffectNoSchedule})
	return g
}

// Requirement narrows the offerings.
func (g *NodeGroup) Requirement(key string, operator corev1.NodeSelectorOperator, values ...string) *NodeGroup {
	g.group.Spec.Template.Requirements = append(g.group.Spec.Template.Requirements,
		v1alpha1.Requirement{Key: key, Operator: operator, Values: values})
	return g
}

// Offerings allows only these, by identifier or name.
func (g *NodeGroup) Offerings(names ...string) *NodeGroup {
	g.group.Spec.VPSie.Offerings = names
	return g
}

// Datacenter allows only this one, by identifier, zone or name.
func (g *NodeGroup) Datacenter(name string) *NodeGroup {
	g.group.Spec.VPSie.Datacenter = name
	return g
}

// LimitCPU bounds the sum of cores.
func (g *NodeGroup) LimitCPU(cpu string) *NodeGroup {
	g.limits().CPU = new(resource.MustParse(cpu))
	return g
}

// LimitMemory bounds the sum of memory.
func (g *NodeGroup) LimitMemory(memory string) *NodeGroup {
	g.limits().Memory = new(resource.MustParse(memory))
	return g
}

// LimitNodes bounds the number of machines.
func (g *NodeGroup) LimitNodes(nodes int32) *NodeGroup { g.limits().Nodes = &nodes; return g }

// LimitCost bounds the sum of prices per hour.
func (g *NodeGroup) LimitCost(price string) *NodeGroup {
	g.limits().CostPerHour = new(v1alpha1.Price(price))
	return g
}

func (g *NodeGroup) limits() *v1alpha1.NodeGroupLimits {
	if g.group.Spec.Limits == nil {
		g.group.Spec.Limits = &v1alpha1.NodeGroupLimits{}
	}
	return g.group.Spec.Limits
}

// Offering is an offering in the making.
type Offering struct{ offering scheduling.Offering }

// MakeOffering makes an available offering in the datacenter "hel" whose identifier is its name in lower case.
func MakeOffering(name string, cpu, memoryGiB int64, perMonth float64) *Offering {
	return &Offering{scheduling.Offering{
		ID: strings.ToLower(name), Name: name, Category: "general", Arch: "amd64",
		Datacenter: "dc-hel", Zone: "hel", Region: "fi",
		CPUMilli: cpu * 1000, MemoryMiB: memoryGiB * 1024, DiskGiB: 20 * cpu,
		Price: scheduling.PerMonth(perMonth), Available: true,
	}}
}

// Obj returns the offering.
func (o *Offering) Obj() scheduling.Offering { return o.offering }

// In moves the offering to another datacenter, whose identifier is "dc-" and the zone.
func (o *Offering) In(zone string) *Offering {
	o.offering.Zone, o.offering.Datacenter = zone, "dc-"+zone
	return o
}

// Category sets the category.
func (o *Offering) Category(category string) *Offering { o.offering.Category = category; return o }

// Unavailable sets the offering aside.
func (o *Offering) Unavailable() *Offering { o.offering.Available = false; return o }

// Catalogue returns twelve offerings in one datacenter, cheapest last so that nobody relies on their order.
func Catalogue() []scheduling.Offering {
	return []scheduling.Offering{
		MakeOffering("Enterprise", 16, 64, 384).Obj(),
		MakeOffering("Memory-L", 8, 64, 320).Category("memory").Obj(),
		MakeOffering("Compute-L", 16, 32, 256).Category("compute").Obj(),
		MakeOffering("Business", 8, 32, 192).Obj(),
		MakeOffering("Memory-M", 4, 32, 160).Category("memory").Obj(),
		MakeOffering("Compute-M", 8, 16, 128).Category("compute").Obj(),
		MakeOffering("Advanced", 8, 16, 96).Category("shared").Obj(),
		MakeOffering("Memory-S", 2, 16, 80).Category("memory").Obj(),
		MakeOffering("Compute-S", 4, 8, 64).Category("compute").Obj(),
		MakeOffering("Professional", 4, 8, 48).Category("shared").Obj(),
		MakeOffering("Starter", 2, 4, 24).Category("shared").Obj(),
		MakeOffering("Micro", 1, 2, 12).Category("shared").Obj(),
	}
}

// DaemonSet is a DaemonSet in the making.
type DaemonSet struct{ set appsv1.DaemonSet }

// MakeDaemonSet makes a DaemonSet in kube-system whose pods look like the given one.
func MakeDaemonSet(name string, pod *Pod) *DaemonSet {
	labels := map[string]string{"daemon": name}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod.Obj().Spec}
	return &DaemonSet{appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: name, UID: types.UID("DaemonSet-" + name)},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}}
}

// Obj returns the DaemonSet.
func (d *DaemonSet) Obj() *appsv1.DaemonSet { return d.set.DeepCopy() }
