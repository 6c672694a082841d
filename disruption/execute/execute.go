// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package execute turns a Disruption into machines that are gone: it checks the decision once more, taints the leaving nodes, waits
// for what comes in their place, drains, deletes the VPSieNodes and waits until they have disappeared; or it puts everything back. It
// never decides: a Disruption that is no longer right is dropped, not bent.
package execute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
)

// Judge says why a Disruption is no longer right, nil while it is.
type Judge interface {
	Recheck(context.Context, *v1alpha1.Disruption) (*disruption.Kept, error)
}

// Drainer empties nodes, and lets pods come back to them.
type Drainer interface {
	Taint(context.Context, *corev1.Node) error
	Drain(ctx context.Context, node *corev1.Node, deadline time.Time) (drain.Progress, error)
	Undo(context.Context, *corev1.Node) error
}

// Launcher starts a machine by creating its VPSieNode.
type Launcher interface {
	Launch(context.Context, *v1alpha1.VPSieNode) error
}

// Options are what a Reconciler can do without. The zero value is right for production, without events and metrics.
type Options struct {
	Clock         clock.PassiveClock
	Recorder      events.EventRecorder
	Registerer    prometheus.Registerer
	Launcher      Launcher      // creates VPSieNodes through the client
	LaunchTimeout time.Duration // after which machines that are not Ready are given up; 30m
	GiveUpAfter   time.Duration // after which a Disruption that only saves money and still drains is rolled back; 1h
	KeepFor       time.Duration // how long finished Disruptions can be read; 24h
	KeepAtMost    int           // how many finished Disruptions can be read; 200
}

// Reconciler carries Disruptions out. Whatever it does can be done again: it survives being stopped after any step.
type Reconciler struct {
	kube    client.Client
	reader  client.Reader
	judge   Judge
	drainer Drainer
	o       Options
	metrics *metrics
}

// New returns a Reconciler that writes through kube and reads through reader, which must not be a cache.
func New(kube client.Client, reader client.Reader, judge Judge, drainer Drainer, o Options) *Reconciler {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Recorder == nil {
		o.Recorder = &events.FakeRecorder{} // without a channel it discards
	}
	if o.Launcher == nil {
		o.Launcher = creator{kube}
	}
	if o.LaunchTimeout <= 0 {
		o.LaunchTimeout = 30 * time.Minute
	}
	if o.GiveUpAfter <= 0 {
		o.GiveUpAfter = time.Hour
	}
	if o.KeepFor <= 0 {
		o.KeepFor = 24 * time.Hour
	}
	if o.KeepAtMost <= 0 {
		o.KeepAtMost = 200
	}
	return &Reconciler{kube: kube, reader: reader, judge: judge, drainer: drainer, o: o, metrics: newMetrics(o.Registerer)}
}

// SetupWithManager starts the Reconciler with the manager, under leader election. One worker: of two Disruptions that are checked
// at the same time, neither would count in the budget of the other.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("disruption-execute").
		For(&v1alpha1.Disruption{}).
		Watches(&v1alpha1.VPSieNode{}, handler.EnqueueRequestsFromMapFunc(r.concerned)).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(r)
}

// concerned returns the unfinished Disruptions that name the VPSieNode.
func (r *Reconciler) concerned(ctx context.Context, vn client.Object) []reconcile.Request {
	var list v1alpha1.DisruptionList
	if err := r.kube.List(ctx, &list); err != nil {
		return nil // each unfinished Disruption also comes back by itself
	}
	var requests []reconcile.Request
	for i := range list.Items {
		d := &list.Items[i]
		named := false
		for _, removal := range d.Spec.Remove {
			named = named || removal.VPSieNode == vn.GetName()
		}
		for _, replacement := range d.Spec.Launch {
			named = named || replacement.Name == vn.GetName()
		}
		if named && !d.Status.Phase.Finished() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(d)})
		}
	}
	return requests
}

// Reconcile carries one Disruption one step further.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var d v1alpha1.Disruption
	if err := r.reader.Get(ctx, request.NamespacedName, &d); err != nil { // a phase that is out of date would repeat a step
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	switch held := controllerutil.ContainsFinalizer(&d, disruption.Finalizer); {
	case !d.DeletionTimestamp.IsZero():
		return reconcile.Result{}, r.stop(ctx, &d)
	case d.Status.Phase.Finished() && held:
		return reconcile.Result{}, r.letGo(ctx, &d)
	case d.Status.Phase.Finished():
		return r.collect(ctx)
	case !held:
		return reconcile.Result{}, r.hold(ctx, &d)
	}
	before := d.DeepCopy()
	wait, err := r.advance(ctx, &d)
	err = errors.Join(err, r.save(ctx, before, &d))
	if err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{RequeueAfter: wait}, nil
}

// save makes the one status write, and tells of a new phase once that is certain.
func (r *Reconciler) save(ctx context.Context, before, d *v1alpha1.Disruption) error {
	if d.Status.Phase == "" {
		d.Status.Phase = v1alpha1.DisruptionProposed
	}
	d.Status.ObservedGeneration = d.Generation
	d.Status.Removed, d.Status.Launched = d.Spec.RemovedNames(), d.Spec.LaunchedNames()
	setReady(d)
	if equality.Semantic.DeepEqual(before.Status, d.Status) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.kube.Status().Patch(ctx, d.DeepCopy(), patch); err != nil {
		return fmt.Errorf("writing the status of Disruption %q: %w", d.Name, err)
	}
	if before.Status.Phase != d.Status.Phase {
		r.announce(ctx, before, d)
	}
	return nil
}

// hold makes sure that the Disruption cannot disappear while its nodes are tainted.
func (r *Reconciler) hold(ctx context.Context, d *v1alpha1.Disruption) error {
	before := d.DeepCopy()
	controllerutil.AddFinalizer(d, disruption.Finalizer)
	if err := r.kube.Patch(ctx, d, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("adding the finalizer to Disruption %q: %w", d.Name, err)
	}
	return nil
}

func (r *Reconciler) letGo(ctx context.Context, d *v1alpha1.Disruption) error {
	before := d.DeepCopy()
	if !controllerutil.RemoveFinalizer(d, disruption.Finalizer) {
		return nil
	}
	err := r.kube.Patch(ctx, d, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the finalizer of Disruption %q: %w", d.Name, err)
	}
	return nil
}

// stop puts everything back for a Disruption that somebody deletes to stop it. What is being released already cannot be.
func (r *Reconciler) stop(ctx context.Context, d *v1alpha1.Disruption) error {
	if disruption.Started(d.Status.Phase) {
		if err := r.putBack(ctx, d); err != nil {
			return err
		}
		r.o.Recorder.Eventf(d, nil, corev1.EventTypeWarning, EventStopped, actionExecute, "Was deleted while %s; what is not being released yet stays", d.Status.Phase)
	}
	return r.letGo(ctx, d)
}
