// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package garbage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// kind is what is wrong.
type kind string

const (
	unknownMachine kind = "unknownMachine" // VPSie lists it; no VPSieNode has or awaits it and no Node of ours names it
	lostVPSieNode  kind = "lostVPSieNode"  // the Node says whose machine it is, and that VPSieNode is gone
	lostNodeGroup  kind = "lostNodeGroup"  // and so is the NodeGroup
	lostMachine    kind = "lostMachine"    // a Node of ours that is not Ready, whose machine neither VPSie nor a VPSieNode knows
)

func kinds() []kind { return []kind{unknownMachine, lostVPSieNode, lostNodeGroup, lostMachine} }

// finding is one thing that is wrong. Two passes that find the same are one case.
type finding struct {
	kind    kind
	machine string
	node    string
}

func (f finding) report(ctx context.Context) {
	log.FromContext(ctx).Info("found a disagreement", "kind", string(f.kind), "instanceID", f.machine, "node", f.node)
}

// world is all that is compared, from one pass.
type world struct {
	machines map[string]cloudprovider.Instance
	nodes    map[string]*corev1.Node // that carry a VPSieNode's name
	hosts    map[string]*corev1.Node // all, by name in lower case
	groups   map[string]*v1alpha1.NodeGroup
	records  map[string]*v1alpha1.VPSieNode
	managed  int // Nodes with a VPSieNode's name on them
}

var errEmpty = errors.New("VPSie lists no machine at all although there are Nodes of ours; nothing is concluded from that. Should the machines of Nodes that are not Ready be gone, delete those Nodes with kubectl")

// look compares. The inventory is read first: a machine that is ordered and recorded later than that cannot look lost.
func (c *Collector) look(ctx context.Context) ([]finding, *world, error) {
	inventory, err := c.cloud.Inventory(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the inventory: %w", err)
	}
	w, err := c.read(ctx, inventory)
	if err != nil {
		return nil, nil, err
	}
	if inventory.Contradicts(w.managed) {
		return nil, nil, errEmpty
	}
	return w.compare(), w, nil
}

func (c *Collector) read(ctx context.Context, inventory cloudprovider.Inventory) (*world, error) {
	w := &world{
		machines: map[string]cloudprovider.Instance{}, nodes: map[string]*corev1.Node{}, hosts: map[string]*corev1.Node{},
		groups: map[string]*v1alpha1.NodeGroup{}, records: map[string]*v1alpha1.VPSieNode{},
	}
	for _, instance := range inventory.Instances {
		w.machines[instance.ID] = instance
	}
	nodes, groups, records := &corev1.NodeList{}, &v1alpha1.NodeGroupList{}, &v1alpha1.VPSieNodeList{}
	// Nodes before VPSieNodes: a Node that is registered between the two must not look as if its VPSieNode were lost.
	for _, list := range []client.ObjectList{nodes, records, groups} {
		if err := c.reader.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing %T: %w", list, err)
		}
	}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		w.hosts[strings.ToLower(node.Name)] = node
		if node.Labels[v1alpha1.ManagedLabel] == v1alpha1.ManagedValue && node.Labels[v1alpha1.VPSieNodeLabel] != "" {
			w.managed++
			w.nodes[node.Name] = node
		}
	}
	for i := range records.Items {
		w.records[records.Items[i].Name] = &records.Items[i]
	}
	for i := range groups.Items {
		w.groups[groups.Items[i].Name] = &groups.Items[i]
	}
	return w, nil
}

// compare returns what is wrong, in a total order.
func (w *world) compare() []finding {
	named := map[string]bool{} // machines that a Node of ours names
	var found []finding
	for _, node := range w.nodes {
		id := node.Annotations[v1alpha1.VPSIDAnnotation]
		if id == "" {
			continue
		}
		named[id] = true
		if k, wrong := w.judge(node, id); wrong {
			found = append(found, finding{kind: k, machine: id, node: node.Name})
		}
	}
	for id, instance := range w.machines {
		if !named[id] && !instance.Deleting && !w.expects(instance) {
			found = append(found, finding{kind: unknownMachine, machine: id})
		}
	}
	slices.SortFunc(found, func(a, b finding) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.node, b.node), cmp.Compare(a.machine, b.machine))
	})
	return found
}

// judge says what is wrong with a Node of ours that names a machine.
func (w *world) judge(node *corev1.Node, id string) (kind, bool) {
	instance, listed := w.machines[id]
	record := w.records[node.Labels[v1alpha1.VPSieNodeLabel]]
	switch {
	case record != nil && (record.Status.InstanceID == "" || record.Status.InstanceID == id):
		return "", false
	case record != nil && listed:
		// Its name went to another machine: nobody can give this one its VPSieNode back.
		return unknownMachine, !instance.Deleting
	case !listed:
		return lostMachine, !ready(node)
	case w.groups[node.Labels[v1alpha1.NodeGroupLabel]] == nil:
		return lostNodeGroup, !instance.Deleting
	default:
		return lostVPSieNode, !instance.Deleting
	}
}

// expects says whether a VPSieNode has the machine or may still claim it.
func (w *world) expects(instance cloudprovider.Instance) bool {
	for _, n := range w.records {
		switch {
		case n.Status.InstanceID == instance.ID:
			return true
		case n.Status.InstanceID == "" && n.Status.Order != nil && instance.Matches(n.Status.Order.Offering) &&
			!slices.Contains(n.Status.Order.Seen, instance.ID):
			return true
		}
	}
	return false
}

func ready(node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
