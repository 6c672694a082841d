// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// objects are what a watch has shown. They are never changed, only exchanged.
type objects struct {
	machines map[string]*v1alpha1.VPSieNode
	nodes    map[string]*corev1.Node
}

func (o objects) clone() objects { return objects{maps.Clone(o.machines), maps.Clone(o.nodes)} }

// get answers from the watches; watched is false for kinds that are not watched.
func (o objects) get(key client.ObjectKey, into client.Object) (err error, watched bool) { //nolint:revive // the error is the answer
	switch object := into.(type) {
	case *v1alpha1.VPSieNode:
		if known := o.machines[key.Name]; known != nil {
			known.DeepCopyInto(object)
			return nil, true
		}
	case *corev1.Node:
		if known := o.nodes[key.Name]; known != nil {
			known.DeepCopyInto(object)
			return nil, true
		}
	default:
		return nil, false
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: "watched"}, key.Name), true
}

func (o objects) list(into client.ObjectList, opts []client.ListOption) bool {
	selector := labels.Everything()
	options := (&client.ListOptions{}).ApplyOptions(opts)
	if options.LabelSelector != nil {
		selector = options.LabelSelector
	}
	switch list := into.(type) {
	case *v1alpha1.VPSieNodeList:
		for _, name := range slices.Sorted(maps.Keys(o.machines)) {
			if selector.Matches(labels.Set(o.machines[name].Labels)) {
				list.Items = append(list.Items, *o.machines[name].DeepCopy())
			}
		}
	case *corev1.NodeList:
		for _, name := range slices.Sorted(maps.Keys(o.nodes)) {
			if selector.Matches(labels.Set(o.nodes[name].Labels)) {
				list.Items = append(list.Items, *o.nodes[name].DeepCopy())
			}
		}
	default:
		return false
	}
	return true
}

// unregistered names the Nodes that carry the taint of a machine that is not registered, and belong to nobody.
func (o objects) unregistered() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(o.nodes)) {
		node := o.nodes[name]
		if node.Labels[v1alpha1.VPSieNodeLabel] == "" && slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == v1alpha1.UnregisteredTaint }) {
			names = append(names, name)
		}
	}
	return names
}

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Name: name}}
}
