// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// Requirement is one term over the labels of an offering, with the operators of a node selector.
//
// +kubebuilder:validation:XValidation:rule="!(self.operator in ['In','NotIn']) || (has(self.values) && self.values.size() > 0)",fieldPath=".values",message="values must not be empty for operator In or NotIn; name at least one value"
// +kubebuilder:validation:XValidation:rule="!(self.operator in ['Exists','DoesNotExist']) || !has(self.values) || self.values.size() == 0",fieldPath=".values",message="values must be left out for operator Exists or DoesNotExist; remove them or use In or NotIn"
// +kubebuilder:validation:XValidation:rule="!(self.operator in ['Gt','Lt']) || (has(self.values) && self.values.size() == 1 && self.values[0].matches('^[0-9]{1,9}$'))",fieldPath=".values",message="values must be exactly one whole number for operator Gt or Lt, such as [\"4\"]"
// +kubebuilder:validation:XValidation:rule="!(self.operator in ['Gt','Lt']) || self.key in ['autoscaler.vpsie.com/cpu','autoscaler.vpsie.com/memory']",fieldPath=".operator",message="operator must not be Gt or Lt unless key is autoscaler.vpsie.com/cpu or autoscaler.vpsie.com/memory, because only those are numbers; use In or NotIn"
// +kubebuilder:validation:XValidation:rule="!has(self.minValues) || !(self.key in ['autoscaler.vpsie.com/datacenter','topology.kubernetes.io/region','topology.kubernetes.io/zone'])",fieldPath=".minValues",message="minValues must be left out where key is datacenter, region or zone, because a machine is ordered in one datacenter; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.minValues) || self.operator != 'DoesNotExist'",fieldPath=".minValues",message="minValues must be left out for operator DoesNotExist, because there are no values to choose from; remove it"
// +kubebuilder:validation:XValidation:rule="!has(self.minValues) || self.operator != 'In' || !has(self.values) || self.values.size() == 0 || self.values.size() >= self.minValues",fieldPath=".minValues",message="minValues must not be greater than the number of values for operator In; name more values or lower minValues"
type Requirement struct {
	// key is the label that the term is about: node.kubernetes.io/instance-type (the offering's name), kubernetes.io/arch,
	// topology.kubernetes.io/region, topology.kubernetes.io/zone, or under autoscaler.vpsie.com/ one of category (shared, compute,
	// general, memory), cpu (virtual CPUs), memory (MiB), offering and datacenter (identifiers).
	// +required
	// +kubebuilder:validation:Enum={"autoscaler.vpsie.com/category","autoscaler.vpsie.com/cpu","autoscaler.vpsie.com/datacenter","autoscaler.vpsie.com/memory","autoscaler.vpsie.com/offering","kubernetes.io/arch","node.kubernetes.io/instance-type","topology.kubernetes.io/region","topology.kubernetes.io/zone"}
	Key string `json:"key,omitempty"`
	// operator is the relation of the label to values.
	// +required
	// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist;Gt;Lt
	Operator corev1.NodeSelectorOperator `json:"operator,omitempty"`
	// values are what the label is compared with.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(v, v != '' && !format.labelValue().validate(v).hasValue())",message="values must each be 1 to 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit, because they are compared with labels"
	Values []string `json:"values,omitempty"`
	// minValues is the least number of different values of the label among the offerings of each order, all of which hold its pods in one
	// datacenter: where VPSie is out of one size, the next is tried at once. Pods that fewer would hold wait. Left out: one will do.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=16
	MinValues *int32 `json:"minValues,omitempty"`
}
