// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the words that users and controllers share: NodeGroup, a pool of machines with
// constraints; VPSieNode, one machine ordered or running; Disruption, one decision to replace or delete
// machines. It declares types, defaults and validation and never talks to anything.
//
// +kubebuilder:object:generate=true
// +groupName=autoscaler.vpsie.com
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind in this package, and the prefix of every label and annotation.
const Group = "autoscaler.vpsie.com"

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&NodeGroup{}, &NodeGroupList{},
		&VPSieNode{}, &VPSieNodeList{},
		&Disruption{}, &DisruptionList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
