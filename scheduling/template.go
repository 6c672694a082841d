// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"maps"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// What a machine keeps from pods unless its NodeGroup, or a registered node of that size, says otherwise.
const (
	defaultReservedCPUMilli  = 100
	defaultReservedMemoryMiB = 256
	defaultMaxPods           = 110
	// The kubelet evicts pods when less than a tenth of the disk is free, and does not count that tenth as allocatable.
	usableDiskPercent = 90
)

const mebibyte, gibibyte = 1 << 20, 1 << 30

// OfferingLabels returns the labels that every node of an offering has. Requirements of NodeGroups are matched against them.
func OfferingLabels(o Offering) map[string]string {
	labels := map[string]string{
		corev1.LabelInstanceTypeStable: labelValue(o.Name),
		corev1.LabelArchStable:         cmp.Or(labelValue(o.Arch), "amd64"),
		corev1.LabelOSStable:           "linux",
		v1alpha1.OfferingLabel:         labelValue(o.ID),
		v1alpha1.CPULabel:              strconv.FormatInt(o.CPUMilli/1000, 10),
		v1alpha1.MemoryLabel:           strconv.FormatInt(o.MemoryMiB, 10),
	}
	for label, value := range map[string]string{
		corev1.LabelTopologyZone:   o.Zone,
		corev1.LabelTopologyRegion: o.Region,
		v1alpha1.DatacenterLabel:   o.Datacenter,
		v1alpha1.CategoryLabel:     o.Category,
	} {
		if value = labelValue(value); value != "" {
			labels[label] = value
		}
	}
	return labels
}

// labelValue makes a valid label value of a name: what is not allowed becomes a hyphen.
func labelValue(name string) string {
	value := []byte(name)
	for i, c := range value {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			value[i] = '-'
		}
	}
	if len(value) > 63 {
		value = value[:63]
	}
	return strings.Trim(string(value), "-_.")
}

// Allocatable returns what a new machine of an offering leaves for pods, DaemonSet pods included: its size less what the kubelet and
// the system keep. What registered nodes of that size have shown goes before what the NodeGroup says.
func Allocatable(group *v1alpha1.NodeGroup, o Offering) corev1.ResourceList {
	reservedCPU, reservedMemory := int64(defaultReservedCPUMilli), int64(defaultReservedMemoryMiB*mebibyte)
	if reserved := group.Spec.Template.Reserved; reserved != nil {
		if reserved.CPU != nil {
			reservedCPU = reserved.CPU.MilliValue()
		}
		if reserved.Memory != nil {
			reservedMemory = reserved.Memory.Value()
		}
	}
	reservedCPU = cmp.Or(o.ReservedCPUMilli, reservedCPU)
	reservedMemory = cmp.Or(o.ReservedMiB*mebibyte, reservedMemory)
	memory := cmp.Or(o.VisibleMemoryMiB, o.MemoryMiB) * mebibyte
	allocatable := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(max(o.CPUMilli-reservedCPU, 0), resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(max(memory-reservedMemory, 0), resource.BinarySI),
		corev1.ResourcePods:   *resource.NewQuantity(int64(ptr.Deref(group.Spec.Template.MaxPods, defaultMaxPods)), resource.DecimalSI),
	}
	if o.DiskGiB > 0 {
		allocatable[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(o.DiskGiB*gibibyte*usableDiskPercent/100, resource.BinarySI)
	}
	return allocatable
}

func capacity(o Offering) corev1.ResourceList {
	sold := corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewMilliQuantity(o.CPUMilli, resource.DecimalSI),
		corev1.ResourceMemory: *resource.NewQuantity(o.MemoryMiB*mebibyte, resource.BinarySI),
	}
	if o.DiskGiB > 0 {
		sold[corev1.ResourceEphemeralStorage] = *resource.NewQuantity(o.DiskGiB*gibibyte, resource.BinarySI)
	}
	return sold
}

// TemplateNode returns the node that a machine of a group and an offering is expected to become. Startup taints are left out:
// pods are planned for the time when they are gone.
func TemplateNode(group *v1alpha1.NodeGroup, o Offering, name string) *corev1.Node {
	node := bareNode(name, group.Name, group.Spec.Template.Labels, OfferingLabels(o))
	node.Annotations = maps.Clone(group.Spec.Template.Annotations)
	node.Spec.Taints = taints(group.Spec.Template.Taints)
	node.Status.Capacity = capacity(o)
	node.Status.Allocatable = Allocatable(group, o)
	return node
}

// VirtualNode returns the node that an ordered machine is expected to become, under the name of its VPSieNode.
func VirtualNode(n *v1alpha1.VPSieNode) *corev1.Node {
	choice := chosen(n)
	node := bareNode(n.Name, n.Spec.NodeGroup, n.Spec.Labels, choice.Labels)
	node.Labels[v1alpha1.VPSieNodeLabel] = n.Name
	node.Annotations = maps.Clone(n.Spec.Annotations)
	node.Spec.Taints = taints(n.Spec.Taints)
	node.Status.Capacity = choice.Capacity.DeepCopy()
	node.Status.Allocatable = choice.Allocatable.DeepCopy()
	if len(n.Status.Allocatable) > 0 {
		node.Status.Allocatable = n.Status.Allocatable.DeepCopy()
	}
	if node.Status.Allocatable == nil {
		node.Status.Allocatable = corev1.ResourceList{}
	}
	if _, told := node.Status.Allocatable[corev1.ResourcePods]; !told {
		node.Status.Allocatable[corev1.ResourcePods] = *resource.NewQuantity(defaultMaxPods, resource.DecimalSI)
	}
	return node
}

// chosen returns the offering that was bought, else the one that is being ordered, else the first.
func chosen(n *v1alpha1.VPSieNode) v1alpha1.OfferingChoice {
	for _, choice := range n.Spec.Offerings {
		if n.Status.Offering != "" && choice.Name == n.Status.Offering {
			return choice
		}
	}
	for _, choice := range n.Spec.Offerings {
		if n.Status.Order != nil && choice.ID == n.Status.Order.Offering {
			return choice
		}
	}
	if len(n.Spec.Offerings) == 0 {
		return v1alpha1.OfferingChoice{}
	}
	return n.Spec.Offerings[0]
}

// NodeSpec returns the spec of the VPSieNode that a launch becomes.
func NodeSpec(group *v1alpha1.NodeGroup, launch Launch, reason v1alpha1.CreationReason) v1alpha1.VPSieNodeSpec {
	template := group.Spec.Template.DeepCopy()
	spec := v1alpha1.VPSieNodeSpec{
		NodeGroup:              group.Name,
		Labels:                 template.Labels,
		Annotations:            template.Annotations,
		Taints:                 template.Taints,
		StartupTaints:          template.StartupTaints,
		Resources:              launch.Requests.DeepCopy(),
		CreationReason:         reason,
		TerminationGracePeriod: template.TerminationGracePeriod,
		ExpireAfter:            template.ExpireAfter,
	}
	for _, o := range launch.Offerings {
		spec.Offerings = append(spec.Offerings, v1alpha1.OfferingChoice{
			ID: o.ID, Name: o.Name, PricePerHour: o.Price.API(),
			Capacity: capacity(o), Allocatable: Allocatable(group, o), Labels: OfferingLabels(o),
		})
		spec.Datacenter = cmp.Or(spec.Datacenter, o.Datacenter)
	}
	return spec
}

// bareNode returns a ready node with the labels that all machines of a group have. Labels of the offering go before those of the
// template, as they do at registration.
func bareNode(name, group string, template, offering map[string]string) *corev1.Node {
	labels := map[string]string{}
	maps.Copy(labels, template)
	maps.Copy(labels, offering)
	maps.Copy(labels, map[string]string{
		corev1.LabelHostname:    name,
		v1alpha1.ManagedLabel:   v1alpha1.ManagedValue,
		v1alpha1.NodeGroupLabel: group,
	})
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
	}
}

func taints(of []v1alpha1.Taint) []corev1.Taint {
	var all []corev1.Taint
	for _, taint := range of {
		all = append(all, corev1.Taint{Key: taint.Key, Value: taint.Value, Effect: taint.Effect})
	}
	return all
}
