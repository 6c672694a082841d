// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package provisioner turns pods that kube-scheduler could not place into VPSieNodes, one for each machine to buy, and tells
// each pod what is coming or why nothing is. It never buys anything itself and never removes anything.
package provisioner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// Offers tells what can be bought, and whether anything can.
type Offers interface {
	Ready(context.Context) error
	Offerings(context.Context) ([]scheduling.Offering, error)
}

// Options of a Provisioner. The zero value is right for production.
type Options struct {
	Clock      clock.PassiveClock
	BatchIdle  time.Duration       // a batch is closed when no new pod came for that long; 1s
	BatchMax   time.Duration       // or when its first pod has waited that long; 10s
	Resync     time.Duration       // the plan is made again at least that often while pods wait; 10s
	Scheduler  *simulate.Scheduler // the kube-scheduler whose verdicts count; nil: a stock one
	NodeCost   scheduling.Price    // what a machine costs per hour beside its price
	Registerer prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.BatchIdle == 0 {
		o.BatchIdle = time.Second
	}
	if o.BatchMax == 0 {
		o.BatchMax = 10 * time.Second
	}
	if o.Resync == 0 {
		o.Resync = 10 * time.Second
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	return o
}

// Provisioner makes plans and VPSieNodes. One goroutine drives it.
type Provisioner struct {
	kube     client.Client
	cluster  *state.Cluster
	offers   Offers
	recorder events.EventRecorder
	options  Options
	batch    *batch
	told     told
	expected expectations
	metrics  *metrics
	rest     time.Time // no plan is made before
	outage   string    // why the last plan could buy nothing, in one word; empty when it could
}

// New returns a Provisioner.
func New(kube client.Client, cluster *state.Cluster, offers Offers, recorder events.EventRecorder, options Options) *Provisioner {
	options = options.withDefaults()
	return &Provisioner{
		kube: kube, cluster: cluster, offers: offers, recorder: recorder, options: options,
		batch: newBatch(options.BatchIdle, options.BatchMax), told: told{}, expected: expectations{},
		metrics: newMetrics(options.Registerer),
	}
}

// Reconcile makes one plan for everything that waits. Requests carry no name: there is one cluster.
func (p *Provisioner) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	picture, err := p.cluster.Snapshot(ctx)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("taking a picture of the cluster: %w", err)
	}
	now := p.options.Clock.Now()
	if p.expected.outstanding(picture, now) {
		// The watches do not show yet what the last plan created: planning now would order it a second time.
		return reconcile.Result{RequeueAfter: 200 * time.Millisecond}, nil
	}
	p.told.forget(picture)
	p.metrics.waiting(len(picture.Pending))
	if wait := p.batch.observe(now, picture.Pending); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if wait := p.rest.Sub(now); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	err = p.provision(ctx, picture)
	// Each change of each machine asks for a plan, and while many start there are several a second. At least as long as planning
	// took, others have the processor.
	done := p.options.Clock.Now()
	p.rest = done.Add(max(p.options.BatchIdle, done.Sub(now)))
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: p.options.Resync}, nil
}

// provision plans, creates the VPSieNodes of the plan and tells the pods. While the cloud does not say what it sells, it plans with what
// is there and on its way, so that pods hear of that and of the outage.
func (p *Provisioner) provision(ctx context.Context, picture *state.Picture) error {
	offerings, outage := p.offers.Offerings(ctx)
	if outage != nil {
		offerings, outage = nil, fmt.Errorf("reading the offerings: %w", outage)
	}
	return p.provisionFrom(ctx, picture, offerings, outage)
}

// provisionFrom provisions with these offerings; with none while outage says why.
func (p *Provisioner) provisionFrom(ctx context.Context, picture *state.Picture, offerings []scheduling.Offering, outage error) error {
	groups, held := withoutHeld(picture, p.options.Clock.Now())
	started := p.options.Clock.Now()
	in := scheduling.Input{
		Cluster: picture.Snapshot, Pods: podsToPlace(picture, groups), Groups: groups, Offerings: offerings, Promised: picture.Promised(),
		Scheduler: p.options.Scheduler, NodeCost: p.options.NodeCost,
	}
	plan, err := scheduling.Solve(in)
	if err != nil {
		return fmt.Errorf("planning for %d pods: %w", len(picture.Pending), err)
	}
	p.metrics.planned(plan, p.options.Clock.Since(started))
	orders := ordersOf(plan, picture)
	orders = append(orders, minNodes(picture, groups, offerings, orders)...)
	if len(orders) > 0 {
		// Prices are known for minutes after the credentials were taken back; what is planned on them could only fail.
		if err := p.offers.Ready(ctx); cloudprovider.ReactionTo(err) == cloudprovider.GiveUp {
			return p.provisionFrom(ctx, picture, nil, err)
		}
	}
	p.note(ctx, outage)
	var failures []error
	var created []order
	for _, order := range orders {
		if err := p.create(ctx, order); err != nil {
			failures = append(failures, err)
			continue
		}
		created = append(created, order)
	}
	var reasons map[types.NamespacedName]reason
	if outage != nil {
		reasons = outageReasons(plan, outage)
	} else {
		reasons, err = whyNot(in, plan, held)
		failures = append(failures, err)
	}
	p.tell(picture, plan, created, reasons, outage)
	if outage == nil { // that is told by the NodeGroup's conditions
		p.tellGroups(groups, reasons)
	}
	if plan.Refused > 0 {
		log.FromContext(ctx).Info("planned placements that kube-scheduler's plugins refused", "placements", plan.Refused, "podsLeftOut", plan.Omitted)
	}
	if len(created) > 0 {
		log.FromContext(ctx).Info("planned machines", "machines", len(created), "pods", len(picture.Pending),
			"costPerHour", plan.Cost.String(), "lowerBoundPerHour", plan.LowerBound.String(), "verified", plan.Verified)
	}
	return errors.Join(failures...)
}

// note logs an outage when it begins, is another, or ends.
func (p *Provisioner) note(ctx context.Context, outage error) {
	reason := ""
	if outage != nil {
		reason = cloudprovider.ReasonOf(outage)
	}
	switch logger := log.FromContext(ctx); {
	case reason == p.outage:
	case outage != nil:
		logger.Info("could not buy anything", "reason", reason, "err", outage.Error())
	default:
		logger.Info("could buy again")
	}
	p.outage = reason
}

func podsToPlace(picture *state.Picture, groups []scheduling.Group) []*corev1.Pod {
	pods := append([]*corev1.Pod{}, picture.Pending...)
	for _, group := range groups {
		pods = append(pods, scheduling.Headroom(group.NodeGroup)...)
	}
	return pods
}
