// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle carries one VPSieNode from its order to a Node that runs pods, and back until its machine is gone
// from the cloud's inventory. It never decides that a machine is needed or no longer needed.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// Cloud is the part of a cloudprovider.Provider that a machine's life needs.
type Cloud interface {
	Order(context.Context, cloudprovider.Order) error
	Inventory(context.Context) (cloudprovider.Inventory, error)
	Release(ctx context.Context, instanceID string) error
}

// Drain makes one pass over a Node's pods and says whether none is left that must go, and what it waits for. A zero
// deadline means that it may wait for ever.
type Drain func(ctx context.Context, node *corev1.Node, deadline time.Time) (done bool, waiting []string, err error)

// Options of a Reconciler. The zero value is right for production.
type Options struct {
	Clock               clock.PassiveClock
	OrderSettle         time.Duration // how long an order of unknown outcome may take to show up; 2m
	LaunchTimeout       time.Duration // how long an accepted order may take to show up; 15m
	RegistrationTimeout time.Duration // how long a machine may take to join and become ready; 20m
	FailedTTL           time.Duration // how long a failed VPSieNode is kept to be read; 30m
	InventoryInterval   time.Duration // the least time between two reads of the inventory; 5s
	ReleaseTimeout      time.Duration // how long a machine may take to go before its destruction is asked for again; 15m
	GoneShare           float64       // of the machines that may be taken for gone within OrderSettle, at least one; 0.1
	OpenTogether        time.Duration // how long a Node that is Ready waits for the others of its plan; 0: not at all
	Workers             int           // VPSieNodes that are worked on at the same time; 10
	Registerer          prometheus.Registerer
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	for _, d := range []struct {
		value    *time.Duration
		fallback time.Duration
	}{
		{&o.OrderSettle, 2 * time.Minute},
		{&o.LaunchTimeout, 15 * time.Minute},
		{&o.RegistrationTimeout, 20 * time.Minute},
		{&o.FailedTTL, 30 * time.Minute},
		{&o.ReleaseTimeout, 15 * time.Minute},
		{&o.InventoryInterval, 5 * time.Second},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if o.GoneShare == 0 {
		o.GoneShare = 0.1
	}
	if o.Workers == 0 {
		o.Workers = 10
	}
	if o.Registerer == nil {
		o.Registerer = prometheus.NewRegistry()
	}
	return o
}

// Reconciler carries VPSieNodes through their lives.
type Reconciler struct {
	kube        client.Client
	cloud       Cloud
	drain       Drain
	recorder    events.EventRecorder
	options     Options
	inventories *inventories
	claims      *claims
	sending     *sendings
	permits     *permits
	verdicts    *verdicts
	farewells   *farewells
	metrics     *metrics

	admissions    admissions
	announcements announcements
	uids          sync.Map // of VPSieNodes that were reconciled, by name
}

// New returns a Reconciler. Of all writers, it alone writes the status of VPSieNodes.
func New(kube client.Client, cloud Cloud, drain Drain, recorder events.EventRecorder, options Options) *Reconciler {
	options = options.withDefaults()
	m := newMetrics(options.Registerer)
	return &Reconciler{
		kube: kube, cloud: cloud, drain: drain, recorder: recorder, options: options, metrics: m,
		inventories: &inventories{
			cloud: cloud, clock: options.Clock, interval: options.InventoryInterval, metrics: m, memory: options.patience(v1alpha1.OrderAccepted),
		},
		claims:    &claims{held: map[string]claimant{}},
		sending:   &sendings{},
		permits:   &permits{recorded: map[types.UID]string{}},
		verdicts:  &verdicts{given: map[types.UID]time.Time{}},
		farewells: &farewells{of: map[types.UID]farewell{}},
	}
}

// Reconcile takes the next step in the life of one VPSieNode.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	vn := &v1alpha1.VPSieNode{}
	if err := r.kube.Get(ctx, request.NamespacedName, vn); err != nil {
		if apierrors.IsNotFound(err) {
			r.lose(request.Name, "")
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	r.lose(vn.Name, vn.UID)
	if vn.DeletionTimestamp.IsZero() && controllerutil.AddFinalizer(vn, v1alpha1.VPSieNodeFinalizer) {
		// Before anything is ordered: a machine without the finalizer would be forgotten when the object is deleted.
		return reconcile.Result{}, r.patchMetadata(ctx, vn)
	}
	before := vn.DeepCopy()
	wait, err := r.advance(ctx, vn)
	released := errors.Is(err, errReleased)
	if released {
		err = nil
	}
	summarise(vn, r.options.Clock.Now())
	saved := r.saveStatus(ctx, before, vn)
	if released && saved == nil {
		saved = r.dropFinalizer(ctx, vn)
	}
	r.announcements.publish(vn.UID, saved)
	if errors.Is(saved, errGone) {
		saved = nil
	}
	err = errors.Join(err, saved)
	if apierrors.IsConflict(err) {
		// Computed from a copy that is no longer true; the watch brings the new one.
		log.FromContext(ctx).V(1).Info("started again from a newer copy", "vpsieNode", klog.KObj(vn))
		return reconcile.Result{RequeueAfter: 200 * time.Millisecond}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	r.metrics.observe(vn)
	if released {
		r.metrics.forget(vn.Name)
	}
	return reconcile.Result{RequeueAfter: wait}, nil
}

// lose forgets the VPSieNode of that name that was there before the present one, if there is any. One that lets go in order has been forgotten; one
// that somebody removed by force has not.
func (r *Reconciler) lose(name string, present types.UID) {
	before, known := r.uids.Swap(name, present)
	if present == "" {
		r.uids.Delete(name)
		r.metrics.forget(name)
	}
	uid, _ := before.(types.UID)
	if !known || uid == present || uid == "" {
		return
	}
	r.claims.orphan(uid, r.options.Clock.Now().Add(r.options.patience(v1alpha1.OrderAccepted)))
	r.sending.forget(uid)
	r.farewells.forget(uid)
	r.announcements.publish(uid, errGone)
}

// advance changes vn in memory and the world outside it; it returns how long to wait for the next step.
func (r *Reconciler) advance(ctx context.Context, vn *v1alpha1.VPSieNode) (time.Duration, error) {
	switch {
	case !vn.DeletionTimestamp.IsZero():
		return r.terminate(ctx, vn)
	case vn.Status.Phase == v1alpha1.PhaseFailed:
		return r.bury(ctx, vn)
	case vn.Status.InstanceID == "":
		return r.launch(ctx, vn)
	default:
		return r.join(ctx, vn)
	}
}

// lastWords is how long a process that ends may take to note what became of an order. Managers wait 30 seconds for what they run.
const lastWords = 10 * time.Second

func (r *Reconciler) saveStatus(ctx context.Context, before, vn *v1alpha1.VPSieNode) error {
	sent := r.sending.justTaken(vn.UID)
	if equality.Semantic.DeepEqual(before.Status, vn.Status) {
		return nil
	}
	// With the resource version: a step that was computed from a stale copy must not overwrite what is known of an order. What became of an order
	// that was sent just now is written in any case: nobody else knows it, and this is the only writer.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if sent {
		patch = client.MergeFrom(before)
		// Also by a process that was told to end meanwhile: the next one would look for the machine, or for none, until its time is over.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
	}
	err := r.kube.Status().Patch(ctx, vn, patch)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of VPSieNode %q: %w", vn.Name, err)
	}
	return nil
}

func (r *Reconciler) patchMetadata(ctx context.Context, vn *v1alpha1.VPSieNode) error {
	before := vn.DeepCopy()
	controllerutil.RemoveFinalizer(before, v1alpha1.VPSieNodeFinalizer)
	if err := r.kube.Patch(ctx, vn, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("adding the finalizer to VPSieNode %q: %w", vn.Name, err)
	}
	return nil
}

// errGone says that the object went before this step could be written down.
var errGone = errors.New("the VPSieNode is gone")

// dropFinalizer lets go of the object. errGone says that an earlier step had, and has told of it.
func (r *Reconciler) dropFinalizer(ctx context.Context, vn *v1alpha1.VPSieNode) error {
	before := vn.DeepCopy()
	if !controllerutil.RemoveFinalizer(vn, v1alpha1.VPSieNodeFinalizer) {
		return errGone
	}
	err := r.kube.Patch(ctx, vn, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err == nil || apierrors.IsNotFound(err) {
		r.claims.release(vn.UID)
	}
	switch {
	case apierrors.IsNotFound(err):
		return errGone
	case err != nil:
		return fmt.Errorf("removing the finalizer of VPSieNode %q: %w", vn.Name, err)
	}
	return nil
}

// event tells of a change, once the change is written down: a step that was computed from a stale copy is taken again, and would be
// told of again.
func (r *Reconciler) event(vn *v1alpha1.VPSieNode, kind, reason, action, note string, args ...any) {
	about := vn.DeepCopy()
	r.announcements.add(vn.UID, func() { r.recorder.Eventf(about, nil, kind, reason, action, note, args...) })
}

// logOnce logs a change once it is written down, as event tells of it.
func (r *Reconciler) logOnce(ctx context.Context, vn *v1alpha1.VPSieNode, message string, keysAndValues ...any) {
	logger := log.FromContext(ctx)
	r.announcements.add(vn.UID, func() { logger.Info(message, keysAndValues...) })
}

// announcements are events and log lines that wait for the write of what they tell of.
type announcements struct {
	mu      sync.Mutex
	waiting map[types.UID][]func()
}

func (a *announcements) add(uid types.UID, tell func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[types.UID][]func(){}
	}
	a.waiting[uid] = append(a.waiting[uid], tell)
}

// publish tells what waits, or forgets it when the write failed.
func (a *announcements) publish(uid types.UID, failure error) {
	a.mu.Lock()
	waiting := a.waiting[uid]
	delete(a.waiting, uid)
	a.mu.Unlock()
	if failure != nil {
		return
	}
	for _, tell := range waiting {
		tell()
	}
}

// SetupWithManager registers the Reconciler. It runs under leader election, as everything that acts does.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	if err := (unregisteredNodes{r}).setup(mgr); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("lifecycle").
		For(&v1alpha1.VPSieNode{}).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.owner)).
		Watches(&v1alpha1.NodeGroup{}, handler.EnqueueRequestsFromMapFunc(r.barredOf), builder.WithPredicates(predicate.Or[client.Object](
												predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.unanswered)). // the credentials: the cache holds no other
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.options.Workers,
			RateLimiter:             retries(),
		}).
		Complete(patient{r, retries()})
}

// retries are the waits between attempts that failed.
func retries() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Second, time.Minute)
}

// patient tries again what the cloud failed to do, with growing waits as after any failure and without an error in the log for each try:
// that the cloud fails is expected, conditions say it, and the log says when it begins and ends.
type patient struct {
	reconcile.Reconciler
	waits workqueue.TypedRateLimiter[reconcile.Request]
}

func (p patient) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	result, err := p.Reconciler.Reconcile(ctx, request)
	if failure, ok := errors.AsType[*cloudprovider.Error](err); ok {
		log.FromContext(ctx).V(1).Info("could not go on with a machine", "reason", failure.Reason, "err", err.Error())
		return reconcile.Result{RequeueAfter: p.waits.When(request)}, nil
	}
	p.waits.Forget(request)
	return result, err
}

// owner returns the VPSieNode that a Node belongs to. A Node that has just joined carries no label of ours, only the machine's name.
func (r *Reconciler) owner(ctx context.Context, node client.Object) []reconcile.Request {
	if name := node.GetLabels()[v1alpha1.VPSieNodeLabel]; name != "" {
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: name}}}
	}
	all, err := r.all(ctx)
	if err != nil {
		return nil
	}
	for i := range all {
		if strings.EqualFold(all[i].Status.Hostname, node.GetName()) {
			return []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(&all[i])}}
		}
	}
	return nil
}
