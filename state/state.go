// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package state turns the watched objects of a cluster into a Picture: machines with their nodes and pods, pools with
// what they use, and the snapshot that plans are made on. It never asks the cloud and never changes an object.
package state

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// Cluster makes Pictures.
type Cluster struct {
	reader   client.Reader
	clock    clock.PassiveClock
	follower *follower // nil: every Picture reads everything
	whole    bool      // with the Optional kinds
	metrics  *metrics
}

// New returns a Cluster that reads everything from reader for each Picture. Follow makes later ones cheaper.
func New(reader client.Reader, clock clock.PassiveClock) *Cluster {
	return NewMeasured(reader, clock, prometheus.NewRegistry())
}

// NewMeasured returns the same with metrics.
func NewMeasured(reader client.Reader, clock clock.PassiveClock, registerer prometheus.Registerer) *Cluster {
	return &Cluster{reader: reader, clock: clock, metrics: newMetrics(registerer)}
}

// Machine is a VPSieNode with the Node it became and what is bound to that.
type Machine struct {
	VPSieNode *v1alpha1.VPSieNode
	Node      *corev1.Node  // nil until it joined
	Pods      []*corev1.Pod // bound and not terminated, by namespace and name
}

// Initialized says whether pods may be bound to the machine.
func (m Machine) Initialized() bool {
	return m.Node != nil && meta.IsStatusConditionTrue(m.VPSieNode.Status.Conditions, v1alpha1.ConditionInitialized)
}

// Name returns what the machine is called in a Picture's Snapshot: its Node's name, and before it has one the VPSieNode's.
func (m Machine) Name() string {
	if m.Node != nil {
		return m.Node.Name
	}
	return m.VPSieNode.Name
}

// Promised returns, for each pod that a machine was bought for, that machine's name in the Snapshot. Planning again without
// it would move pods about among machines that are on their way, and buy more for those that no longer find room. Of several
// machines for one pod the newest counts, and one that failed or is leaving never does.
func (p *Picture) Promised() map[types.NamespacedName]string {
	machines := slices.DeleteFunc(slices.Clone(p.Machines), func(m Machine) bool { return !Owned(m.VPSieNode) || !m.VPSieNode.DeletionTimestamp.IsZero() })
	slices.SortStableFunc(machines, func(a, b Machine) int {
		return a.VPSieNode.CreationTimestamp.Compare(b.VPSieNode.CreationTimestamp.Time)
	})
	promised := map[types.NamespacedName]string{}
	for _, m := range machines {
		for key := range strings.SplitSeq(m.VPSieNode.Annotations[v1alpha1.PodsAnnotation], ",") {
			if namespace, name, ok := strings.Cut(key, "/"); ok {
				promised[types.NamespacedName{Namespace: namespace, Name: name}] = m.Name()
			}
		}
	}
	return promised
}

// Picture is the cluster at one time. Its objects are shared with the watches and must not be changed; its Snapshot belongs to
// the caller alone.
type Picture struct {
	TakenAt              time.Time
	Snapshot             *snapshot.Snapshot
	NodeGroups           []*v1alpha1.NodeGroup  // by name
	Machines             []Machine              // by name of the VPSieNode
	Disruptions          []*v1alpha1.Disruption // by name
	Pending              []*corev1.Pod          // that kube-scheduler could not place, by namespace and name
	PodDisruptionBudgets []*policyv1.PodDisruptionBudget
}

// Snapshot returns a new Picture. It may be asked for by several goroutines.
func (c *Cluster) Snapshot(ctx context.Context) (*Picture, error) {
	if c.follower != nil {
		if err := c.follower.await(ctx); err != nil {
			c.metrics.failed()
			return nil, err
		}
	}
	started := c.clock.Now()
	picture, way, err := c.picture(ctx)
	if err != nil {
		c.metrics.failed()
		return nil, err
	}
	c.metrics.took(picture, way, c.clock.Since(started))
	return picture, nil
}

func (c *Cluster) picture(ctx context.Context) (*Picture, way, error) {
	if c.follower != nil {
		return c.follower.picture()
	}
	picture, err := c.read(ctx)
	return picture, byReading, err
}

// read makes a Picture of everything.
func (c *Cluster) read(ctx context.Context) (*Picture, error) {
	objects, err := c.list(ctx)
	if err != nil {
		return nil, err
	}
	p := &Picture{
		TakenAt:              c.clock.Now(),
		NodeGroups:           objects.nodeGroups,
		Disruptions:          objects.disruptions,
		PodDisruptionBudgets: objects.PodDisruptionBudgets,
	}
	podsOn := map[string][]*corev1.Pod{}
	for _, pod := range objects.Pods {
		if pod.Spec.NodeName != "" {
			podsOn[pod.Spec.NodeName] = append(podsOn[pod.Spec.NodeName], pod)
		} else if Unschedulable(pod) {
			p.Pending = append(p.Pending, pod)
		}
	}
	p.Machines = machines(objects.vpsieNodes, objects.Nodes, podsOn)
	var comers []standIn
	for _, m := range p.Machines {
		if m.onItsWay() {
			comers = append(comers, newStandIn(m))
		}
	}
	objects.Nodes, objects.VirtualNodes = replace(objects.Nodes, comers)
	p.Snapshot, err = snapshot.New(objects.Objects)
	if err != nil {
		return nil, fmt.Errorf("building the snapshot: %w", err)
	}
	return p, nil
}

// Unschedulable says whether kube-scheduler tried to place the pod and found no node. The pods of a DaemonSet are not asked about: each belongs to a
// node that is there already, and no other would help it.
func Unschedulable(pod *corev1.Pod) bool {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil {
		return false
	}
	if owner := metav1.GetControllerOf(pod); owner != nil && owner.Kind == "DaemonSet" {
		return false
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled {
			return condition.Status == corev1.ConditionFalse && condition.Reason == corev1.PodReasonUnschedulable
		}
	}
	return false
}

func machines(vpsieNodes []*v1alpha1.VPSieNode, nodes []*corev1.Node, podsOn map[string][]*corev1.Pod) []Machine {
	byName := lo.KeyBy(nodes, func(node *corev1.Node) string { return node.Name })
	result := make([]Machine, 0, len(vpsieNodes))
	for _, vn := range vpsieNodes {
		machine := Machine{VPSieNode: vn, Node: byName[NodeName(vn)]}
		if machine.Node != nil {
			machine.Pods = podsOn[machine.Node.Name]
		}
		result = append(result, machine)
	}
	return result
}

// NodeName returns the name that the Node of a VPSieNode has or will have, empty while it is not known.
func NodeName(vn *v1alpha1.VPSieNode) string {
	return cmp.Or(vn.Status.NodeName, strings.ToLower(vn.Status.Hostname))
}

// settled says whether the Node shows what its VPSieNode says of it. The two come by watches of their own, and Kubernetes takes its own taint off a little
// after a Node has become Ready: planned with as it is, a Node of that moment takes no pod, and one more machine is bought.
func settled(node *corev1.Node) bool {
	ready := slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
	return !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool {
		return t.Key == v1alpha1.UnregisteredTaint || (ready && Transient(t))
	})
}

// Transient says whether Kubernetes takes the taint off by itself a little after the Node has become Ready.
func Transient(taint corev1.Taint) bool {
	return taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable
}

// onItsWay says whether the machine is not to be planned with as the Node that it has, if it has one, but as the Node that it will be:
// otherwise its pods would be bought for again.
func (m Machine) onItsWay() bool {
	return (!m.Initialized() || !settled(m.Node)) && m.VPSieNode.DeletionTimestamp.IsZero() && Owned(m.VPSieNode)
}

// standIn is what a machine on its way will look like.
type standIn struct {
	node     *corev1.Node
	replaces bool // a Node that joined
}

func newStandIn(m Machine) standIn {
	s := standIn{node: scheduling.VirtualNode(m.VPSieNode), replaces: m.Node != nil}
	if s.replaces {
		adopt(s.node, m.Node)
	}
	return s
}

// replace returns the nodes without those that have stand-ins, and the stand-ins.
func replace(nodes []*corev1.Node, comers []standIn) (registered, virtual []*corev1.Node) {
	replaced := map[string]bool{}
	for _, comer := range comers {
		virtual = append(virtual, comer.node)
		if comer.replaces {
			replaced[comer.node.Name] = true
		}
	}
	if len(replaced) == 0 {
		return nodes, virtual
	}
	return slices.DeleteFunc(slices.Clone(nodes), func(n *corev1.Node) bool { return replaced[n.Name] }), virtual
}

// adopt gives a stand-in what the joined node is known to have.
func adopt(standIn, node *corev1.Node) {
	standIn.Name = node.Name
	standIn.Labels[corev1.LabelHostname] = cmp.Or(node.Labels[corev1.LabelHostname], node.Name)
	for name, quantity := range node.Status.Allocatable {
		if !quantity.IsZero() {
			standIn.Status.Allocatable[name] = quantity
		}
	}
	standIn.Status.DeclaredFeatures = node.Status.DeclaredFeatures
}

// Groups returns the pools that the controller acts on, with what they use.
func (p *Picture) Groups() []scheduling.Group {
	var groups []scheduling.Group
	for _, ng := range p.NodeGroups {
		if !ng.Managed() || !ng.DeletionTimestamp.IsZero() {
			continue
		}
		groups = append(groups, Group(ng, lo.Map(p.Machines, func(m Machine, _ int) *v1alpha1.VPSieNode { return m.VPSieNode })))
	}
	return groups
}

// Group returns the pool with what it uses: those of the VPSieNodes that are its.
func Group(ng *v1alpha1.NodeGroup, nodes []*v1alpha1.VPSieNode) scheduling.Group {
	group := scheduling.Group{NodeGroup: ng}
	for _, vn := range nodes {
		if vn.Spec.NodeGroup == ng.Name && Owned(vn) {
			addUse(&group, vn)
		}
	}
	return group
}

// Owned says whether the VPSieNode stands for a machine that is paid for, or may be.
func Owned(vn *v1alpha1.VPSieNode) bool {
	return vn.Status.Phase != v1alpha1.PhaseFailed && !vn.Barred()
}

// Failure returns the condition that says why the VPSieNode failed, nil where it did not: the last of those that tell how far it came.
func Failure(vn *v1alpha1.VPSieNode) *metav1.Condition {
	if vn.Status.Phase != v1alpha1.PhaseFailed {
		return nil
	}
	var last *metav1.Condition
	for _, kind := range []string{v1alpha1.ConditionLaunched, v1alpha1.ConditionRegistered, v1alpha1.ConditionInitialized} {
		c := meta.FindStatusCondition(vn.Status.Conditions, kind)
		if c != nil && c.Status == metav1.ConditionFalse && (last == nil || c.LastTransitionTime.After(last.LastTransitionTime.Time)) {
			last = c
		}
	}
	return last
}

func addUse(group *scheduling.Group, vn *v1alpha1.VPSieNode) {
	choice := Choice(vn)
	group.Nodes++
	group.CPUMilli += choice.Capacity.Cpu().MilliValue()
	group.MemoryMiB += choice.Capacity.Memory().Value() >> 20
	if price, err := scheduling.ParsePrice(cmp.Or(vn.Status.PricePerHour, choice.PricePerHour)); err == nil {
		group.Cost += price
	}
}

// Choice returns the offering that the VPSieNode was bought as; until that is known, the one it will most likely be.
func Choice(vn *v1alpha1.VPSieNode) v1alpha1.OfferingChoice {
	for _, choice := range vn.Spec.Offerings {
		if vn.Status.Order != nil && choice.ID == vn.Status.Order.Offering {
			return choice
		}
	}
	if len(vn.Spec.Offerings) == 0 {
		return v1alpha1.OfferingChoice{}
	}
	return vn.Spec.Offerings[0]
}

// Machine returns the machine of that name.
func (p *Picture) Machine(name string) (Machine, bool) {
	i, found := slices.BinarySearchFunc(p.Machines, name, func(m Machine, name string) int {
		return cmp.Compare(m.VPSieNode.Name, name)
	})
	if !found {
		return Machine{}, false
	}
	return p.Machines[i], true
}

// NodeGroup returns the pool of that name, nil where there is none.
func (p *Picture) NodeGroup(name string) *v1alpha1.NodeGroup {
	for _, ng := range p.NodeGroups {
		if ng.Name == name {
			return ng
		}
	}
	return nil
}

// Pod returns the pod of that name among all that are not terminated, nil where there is none.
func (p *Picture) Pod(name types.NamespacedName) *corev1.Pod {
	pods := p.Snapshot.Objects().Pods // by namespace and name
	i, found := slices.BinarySearchFunc(pods, name, func(pod *corev1.Pod, name types.NamespacedName) int {
		return cmp.Or(cmp.Compare(pod.Namespace, name.Namespace), cmp.Compare(pod.Name, name.Name))
	})
	if !found {
		return nil
	}
	return pods[i]
}
