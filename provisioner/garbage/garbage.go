// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package garbage finds what the cloud, the Nodes and the VPSieNodes do not agree on: it gives a machine whose VPSieNode was lost its
// VPSieNode back, removes Nodes whose machine is gone, and reports machines that nobody here ordered. It never releases a machine.
package garbage

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// Reasons of the events on Nodes that a Collector looks at.
const (
	EventRecovered   = "Recovered"      // the VPSieNode of the Node's machine was lost and is there again
	EventAbandoned   = "Abandoned"      // the Node's VPSieNode and its NodeGroup are gone; a person has to decide
	EventMachineGone = "MachineGone"    // the Node is removed: neither VPSie nor a VPSieNode knows its machine
	EventUnknown     = "UnknownMachine" // VPSie lists a machine that nobody here ordered; it is left alone, and a person has to decide
)

// Cloud tells what machines there are and what they may have been bought as.
type Cloud interface {
	Inventory(context.Context) (cloudprovider.Inventory, error)
	Offerings(context.Context) ([]scheduling.Offering, error)
}

// Options of a Collector. The zero value is right for production.
type Options struct {
	Clock      clock.WithTicker
	Interval   time.Duration // between two passes; 2m
	MinimumAge time.Duration // how long something must have looked wrong, in every pass, before anything is done; 10m
	Share      float64       // of the cluster's managed Nodes that one pass may change, at least one; 0.1
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Interval == 0 {
		o.Interval = 2 * time.Minute
	}
	if o.MinimumAge == 0 {
		o.MinimumAge = 10 * time.Minute
	}
	if o.Share == 0 {
		o.Share = 0.1
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	return o
}

// Collector compares what is there with what is written down.
type Collector struct {
	kube     client.Client
	reader   client.Reader
	cloud    Cloud
	recorder events.EventRecorder
	options  Options
	metrics  *metrics
	cases    map[finding]*suspicion // what the last pass found; a restart begins to count anew
	unknown  map[string]time.Time   // machines that a person was told of, and when they were last found
}

// suspicion is a finding over several passes.
type suspicion struct {
	since time.Time
	told  bool // a person was told and has to decide
}

// New returns a Collector that writes through kube and reads through reader, which must not be a cache: a VPSieNode that a cache does not
// show yet would be taken for lost.
func New(kube client.Client, reader client.Reader, cloud Cloud, recorder events.EventRecorder, options Options) *Collector {
	options = options.withDefaults()
	return &Collector{
		kube: kube, reader: reader, cloud: cloud, recorder: recorder, options: options,
		metrics: newMetrics(options.Registerer), cases: map[finding]*suspicion{}, unknown: map[string]time.Time{},
	}
}

// SetupWithManager registers the Collector. It runs under leader election, as everything that acts does.
func (c *Collector) SetupWithManager(mgr manager.Manager) error { return mgr.Add(c) }

// NeedLeaderElection says that only the leader may act.
func (c *Collector) NeedLeaderElection() bool { return true }

// Start makes a pass at every interval until ctx ends.
func (c *Collector) Start(ctx context.Context) error {
	ticker := c.options.Clock.NewTicker(c.options.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
			if err := c.Pass(ctx); err != nil && !errors.Is(err, context.Canceled) {
				log.FromContext(ctx).WithName("garbage").Error(err, "failed a pass")
			}
		}
	}
}

// Pass looks once, and does what has looked wrong for long enough.
func (c *Collector) Pass(ctx context.Context) error {
	found, world, err := c.look(ctx)
	c.metrics.passed(err)
	if err != nil {
		return err // what was found before stays found: an outage proves nothing either way
	}
	now := c.options.Clock.Now()
	cases := make(map[finding]*suspicion, len(found))
	for _, f := range found {
		cases[f] = c.cases[f]
		if cases[f] == nil {
			cases[f] = &suspicion{since: now}
			f.report(ctx)
		}
	}
	c.cases = cases
	c.metrics.observe(found)
	return c.act(ctx, world, found, now)
}

// act does what is due, in the order of the findings, within the share of one pass.
func (c *Collector) act(ctx context.Context, w *world, found []finding, now time.Time) error {
	left := cloudprovider.AtOnce(c.options.Share, w.managed)
	var errs []error
	for _, f := range found {
		if now.Sub(c.cases[f].since) < c.options.MinimumAge || c.cases[f].told {
			continue
		}
		if f.kind == unknownMachine { // nothing is done, and so nothing is bounded
			c.tell(w, f, now)
			continue
		}
		if left--; left < 0 {
			log.FromContext(ctx).V(1).Info("left the rest to the next pass", "found", len(found))
			break
		}
		if err := c.settle(ctx, w, f); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// toldFor is how long a machine that is found no more is remembered, so that a list that is short now and then does not make it news again.
const toldFor = 24 * time.Hour

// tell reports a machine that nobody here ordered, once. The event is on its Node, also where it has not joined.
func (c *Collector) tell(w *world, f finding, now time.Time) {
	maps.DeleteFunc(c.unknown, func(_ string, found time.Time) bool { return now.Sub(found) > toldFor })
	_, told := c.unknown[f.machine]
	c.unknown[f.machine] = now
	if told {
		return
	}
	hostname := w.machines[f.machine].Hostname
	node := w.hosts[strings.ToLower(hostname)]
	if node == nil {
		node = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: hostname}}
	}
	c.recorder.Eventf(node, nil, corev1.EventTypeWarning, EventUnknown, "Collect",
		"VPSie lists machine %s (%s), which no VPSieNode has or waits for; it is paid for and left alone. If nobody added it by hand, drain its node and remove it in VPSie", f.machine, hostname)
}

func (c *Collector) settle(ctx context.Context, w *world, f finding) error {
	node := w.nodes[f.node]
	switch f.kind {
	case lostVPSieNode:
		return c.recover(ctx, w, f, node)
	case lostNodeGroup:
		c.cases[f].told = true
		c.recorder.Eventf(node, nil, corev1.EventTypeWarning, EventAbandoned, "Collect",
			"VPSieNode %s and NodeGroup %s of this node are gone, and machine %s is still paid for; create the NodeGroup again, or drain the node and remove the machine in VPSie",
			node.Labels[v1alpha1.VPSieNodeLabel], node.Labels[v1alpha1.NodeGroupLabel], f.machine)
		return nil
	default:
		return c.remove(ctx, node)
	}
}

// recover writes the VPSieNode again. Its life cycle finds the machine through the Node that names it, and orders nothing.
func (c *Collector) recover(ctx context.Context, w *world, f finding, node *corev1.Node) error {
	group := w.groups[node.Labels[v1alpha1.NodeGroupLabel]]
	offerings, err := c.cloud.Offerings(ctx)
	if err != nil {
		return fmt.Errorf("finding out what machine %q was bought as: %w", f.machine, err)
	}
	instance := w.machines[f.machine]
	offerings = slices.DeleteFunc(slices.Clone(offerings), func(o scheduling.Offering) bool {
		return !instance.Matches(o.ID) || o.Datacenter != node.Labels[v1alpha1.DatacenterLabel]
	})
	if len(offerings) == 0 {
		return fmt.Errorf("writing VPSieNode %q of machine %q again: VPSie offers nothing like it in datacenter %q",
			node.Labels[v1alpha1.VPSieNodeLabel], f.machine, node.Labels[v1alpha1.DatacenterLabel])
	}
	owner := *metav1.NewControllerRef(group, v1alpha1.GroupVersion.WithKind("NodeGroup"))
	owner.BlockOwnerDeletion = nil
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{
			Name:   node.Labels[v1alpha1.VPSieNodeLabel],
			Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue, v1alpha1.NodeGroupLabel: group.Name},
			Annotations: map[string]string{
				v1alpha1.CreationReasonAnnotation: string(v1alpha1.CreatedToRecover),
				v1alpha1.WhyAnnotation:            fmt.Sprintf("machine %s was there and its VPSieNode was not", f.machine),
			},
			Finalizers:      []string{v1alpha1.VPSieNodeFinalizer},
			OwnerReferences: []metav1.OwnerReference{owner},
		},
		Spec: scheduling.NodeSpec(group, scheduling.Launch{Group: group.Name, Offerings: offerings[:1]}, v1alpha1.CreatedToRecover),
	}
	if err := c.kube.Create(ctx, vn); err != nil {
		return fmt.Errorf("writing VPSieNode %q of machine %q again: %w", vn.Name, f.machine, err)
	}
	c.metrics.acted(f.kind)
	c.recorder.Eventf(node, nil, corev1.EventTypeWarning, EventRecovered, "Collect", "VPSieNode %s of this node was lost; wrote it again for machine %s", vn.Name, f.machine)
	log.FromContext(ctx).Info("recovered VPSieNode", "vpsieNode", vn.Name, "node", node.Name, "instanceID", f.machine)
	return nil
}

// remove deletes the Node of a machine that is gone. Its pods are then made again elsewhere.
func (c *Collector) remove(ctx context.Context, node *corev1.Node) error {
	c.recorder.Eventf(node, nil, corev1.EventTypeWarning, EventMachineGone, "Collect", "Neither VPSie nor a VPSieNode knows the machine of this node; removing the node")
	if err := c.kube.Delete(ctx, node, client.Preconditions{UID: &node.UID, ResourceVersion: &node.ResourceVersion}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing node %q, whose machine is gone: %w", node.Name, err)
	}
	c.metrics.acted(lostMachine)
	log.FromContext(ctx).Info("removed node whose machine is gone", "node", node.Name)
	return nil
}
