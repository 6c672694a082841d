// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import "maps"

// Labels are labels of a Node. A map[string]string is assignable to it and it to that.
//
// +kubebuilder:object:generate=false
// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="labels must have keys such as team or example.com/team: a name of at most 63 letters, digits, '-', '_' or '.', after an optional DNS name and '/'"
type Labels map[string]LabelValue

// LabelValue is an alias, so that Labels stays assignable to map[string]string while the schema bounds each value.
//
// +kubebuilder:validation:MaxLength=63
type LabelValue = string

// DeepCopy copies the map. It is written by hand because controller-gen cannot copy maps whose values are an alias.
func (l Labels) DeepCopy() Labels { return maps.Clone(l) }

// Annotations are annotations of a Node. A map[string]string is assignable to it and it to that.
//
// +kubebuilder:object:generate=false
// +kubebuilder:validation:XValidation:rule="self.all(k, !format.qualifiedName().validate(k).hasValue())",message="annotations must have keys such as team or example.com/team: a name of at most 63 letters, digits, '-', '_' or '.', after an optional DNS name and '/'"
type Annotations map[string]AnnotationValue

// AnnotationValue is an alias, so that Annotations stays assignable to map[string]string while the schema bounds each value.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue = string

// DeepCopy copies the map. It is written by hand because controller-gen cannot copy maps whose values are an alias.
func (a Annotations) DeepCopy() Annotations { return maps.Clone(a) }
