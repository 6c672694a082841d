// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package disruption turns machines that are no longer worth their money into decisions to remove them. A decision is written
// down as a Disruption; package execute carries it out. It never touches a node, never orders a machine and never removes a machine
// that any rule in keep.go protects.
//
// The way of a decision: candidates -> keep.go (may it go?) -> a reason's file, such as empty.go (why should it?) -> bounds.go
// (how many, with budget.go; what if, with whatif.go) -> Disruption.
package disruption

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// Reasons of events.
const (
	// EventDecided on a VPSieNode: a Disruption was written down that removes it.
	EventDecided = "DisruptionDecided"
	// EventMistake on a VPSieNode or its NodeGroup: something there cannot be read, and nothing is removed until it is corrected.
	EventMistake = "DisruptionBlocked"
)

const actionDecide = "Decide"

// Options are what a Reconciler can do without. The zero value is right for production, without events and metrics.
type Options struct {
	Clock      clock.PassiveClock
	Recorder   events.EventRecorder
	Registerer prometheus.Registerer
	Interval   time.Duration // between two looks at all machines; 10s
	// Scheduler is the kube-scheduler whose verdicts count, and whose waiting pods keep machines; nil: a stock one.
	Scheduler *simulate.Scheduler
	NodeCost  scheduling.Price // what a machine costs per hour beside its price, and saves when it goes
}

// Reconciler looks at all machines again and again.
type Reconciler struct {
	kube      client.Client
	reader    client.Reader
	cluster   *state.Cluster
	clock     clock.PassiveClock
	recorder  events.EventRecorder
	interval  time.Duration
	scheduler *simulate.Scheduler
	nodeCost  scheduling.Price
	metrics   *metrics
	quiet     *quiet
	said      map[string]Kept   // by VPSieNode: what was logged last
	warned    map[string]string // by UID: what an event told last
}

// New returns a Reconciler that decides on pictures of cluster and writes decisions through kube. Reader must not be a cache: what a
// decision could hurt is read through it right before it is carried out.
func New(kube client.Client, reader client.Reader, cluster *state.Cluster, o Options) *Reconciler {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Recorder == nil {
		o.Recorder = &events.FakeRecorder{} // without a channel it discards
	}
	if o.Interval <= 0 {
		o.Interval = 10 * time.Second
	}
	return &Reconciler{
		kube: kube, reader: reader, cluster: cluster, clock: o.Clock, recorder: o.Recorder, interval: o.Interval, scheduler: o.Scheduler,
		nodeCost: o.NodeCost, metrics: newMetrics(o.Registerer), quiet: newQuiet(), said: map[string]Kept{},
	}
}

// SetupWithManager starts the Reconciler with the manager, under leader election. One worker: two passes at a time would spend the
// same budget twice.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	once := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{NamespacedName: client.ObjectKey{Name: "cluster"}})
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("disruption").
		WatchesRawSource(once).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: 1,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Second, time.Minute),
		}).
		Complete(r)
}

// Reconcile looks at all machines once and writes down what was decided.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	picture, err := r.cluster.Snapshot(ctx)
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("taking a picture of the cluster: %w", err)
	}
	now := r.clock.Now()
	r.quiet.Observe(picture, now)
	out, err := Decide(r.input(picture, now))
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("deciding which machines to remove: %w", err)
	}
	r.metrics.looked(picture, out, r.clock.Since(now))
	r.tell(ctx, picture, out.Kept)
	var errs []error
	for _, d := range out.Decisions {
		errs = append(errs, r.write(ctx, picture, d))
	}
	if err := errors.Join(errs...); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: r.interval}, nil
}

func (r *Reconciler) input(picture *state.Picture, now time.Time) Input {
	return Input{Now: now, Picture: picture, Quiet: r.quiet.Since(), Scheduler: r.scheduler, NodeCost: r.nodeCost}
}

// write creates the Disruption. One that exists was decided in a pass whose result the watches did not show yet.
func (r *Reconciler) write(ctx context.Context, picture *state.Picture, d *v1alpha1.Disruption) error {
	err := r.kube.Create(ctx, d)
	if apierrors.IsAlreadyExists(err) {
		log.FromContext(ctx).V(1).Info("decision was already written", "disruption", klog.KObj(d))
		return nil
	}
	if err != nil {
		return fmt.Errorf("creating Disruption %q: %w", d.Name, err)
	}
	r.metrics.decisions.WithLabelValues(string(d.Spec.Reason)).Inc()
	log.FromContext(ctx).Info("decided to remove machines", "disruption", klog.KObj(d), "reason", d.Spec.Reason, "nodeGroup", d.Spec.NodeGroup,
		"machines", len(d.Spec.Remove), "savingsPerHour", d.Spec.SavingsPerHour, "approved", d.Spec.Approved)
	for _, removal := range d.Spec.Remove {
		m, _ := picture.Machine(removal.VPSieNode)
		r.recorder.Eventf(m.VPSieNode, d, corev1.EventTypeNormal, EventDecided, actionDecide, "Disruption %s (%s) removes it and saves %s per hour", d.Name, d.Spec.Reason, d.Spec.SavingsPerHour)
	}
	return nil
}

// tell says why machines stay, once per change: in the log, and where a person should correct something as an event.
func (r *Reconciler) tell(ctx context.Context, picture *state.Picture, kept []Kept) {
	said, warned := make(map[string]Kept, len(kept)), map[string]string{}
	for _, k := range kept {
		said[k.VPSieNode] = k
		if r.said[k.VPSieNode] != k {
			log.FromContext(ctx).V(1).Info("kept machine", "vpsieNode", k.VPSieNode, "rule", k.Rule, "why", k.Message)
		}
		if k.Rule.Mistake() {
			r.warn(picture, k, warned)
		}
	}
	r.said, r.warned = said, warned
}

// warn puts an event where the mistake is, unless the last pass did.
func (r *Reconciler) warn(picture *state.Picture, k Kept, warned map[string]string) {
	m, _ := picture.Machine(k.VPSieNode)
	var where client.Object = m.VPSieNode
	if k.Rule == RuleBudgetUnread {
		where = picture.NodeGroup(m.VPSieNode.Spec.NodeGroup)
	}
	uid := string(where.GetUID())
	if r.warned[uid] != k.Message && warned[uid] != k.Message {
		r.recorder.Eventf(where, nil, corev1.EventTypeWarning, EventMistake, actionDecide, "No machine is removed here: VPSieNode %s %s", k.VPSieNode, k.Message)
	}
	warned[uid] = k.Message
}
