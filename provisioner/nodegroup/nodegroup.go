// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package nodegroup turns the machines of a NodeGroup into its status: counts, cost and the conditions that say whether it can
// do its work and, if not, what to change. When a NodeGroup is deleted it removes its machines. It never orders any.
package nodegroup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// EventNotReady says on a NodeGroup why it cannot do its work.
const EventNotReady = "NotReady"

// Cloud tells whether machines can be bought, and which.
type Cloud interface {
	Ready(context.Context) error
	Offerings(context.Context) ([]scheduling.Offering, error)
}

// Cluster tells what runs and waits.
type Cluster interface {
	Snapshot(context.Context) (*state.Picture, error)
}

// Options of a Reconciler. The zero value is right for production.
type Options struct {
	Clock         clock.PassiveClock
	Resync        time.Duration       // conditions that depend on the cloud are checked that often; 1m
	BoundInterval time.Duration       // the lower bound of a pool's cost is found that often at most; 5m
	Scheduler     *simulate.Scheduler // the kube-scheduler whose verdicts count; nil: a stock one
	NodeCost      scheduling.Price    // what a machine costs per hour beside its price
	Registerer    prometheus.Registerer
}

// Reconciler keeps the status of NodeGroups.
type Reconciler struct {
	kube     client.Client
	cloud    Cloud
	recorder events.EventRecorder
	resync   time.Duration
	nodeCost scheduling.Price
	bounds   *bounds
	metrics  *metrics
}

// New returns a Reconciler. Of all writers, it alone writes the status of NodeGroups.
func New(kube client.Client, cloud Cloud, cluster Cluster, recorder events.EventRecorder, options Options) *Reconciler {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.BoundInterval == 0 {
		options.BoundInterval = 5 * time.Minute
	}
	if options.Resync == 0 {
		options.Resync = time.Minute
	}
	if options.Registerer == nil {
		options.Registerer = prometheus.NewRegistry()
	}
	return &Reconciler{
		kube: kube, cloud: cloud, recorder: recorder, resync: options.Resync, nodeCost: options.NodeCost,
		metrics: newMetrics(options.Registerer),
		bounds: &bounds{
			cluster: cluster, cloud: cloud, clock: options.Clock, interval: options.BoundInterval,
			scheduler: options.Scheduler, nodeCost: options.NodeCost, found: map[string]bound{},
		},
	}
}

// Reconcile brings the status of one NodeGroup up to date.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	ng := &v1alpha1.NodeGroup{}
	if err := r.kube.Get(ctx, request.NamespacedName, ng); err != nil {
		r.metrics.forget(request.Name)
		r.bounds.forget(request.Name)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	nodes, err := r.nodes(ctx, ng.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !ng.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, r.remove(ctx, ng, nodes)
	}
	// One that is not managed now and has machines from before must not go without them: nobody would know whose they are.
	if (ng.Managed() || len(nodes) > 0) && !controllerutil.ContainsFinalizer(ng, v1alpha1.NodeGroupFinalizer) {
		return reconcile.Result{}, r.addFinalizer(ctx, ng)
	}
	before := ng.DeepCopy()
	count(&ng.Status, nodes, r.nodeCost)
	r.judge(ctx, ng, nodes)
	ng.Status.LowerBoundPerHour = r.bounds.of(ctx, ng)
	ng.Status.ObservedGeneration = ng.Generation
	if err := r.save(ctx, before, ng); err != nil {
		if apierrors.IsConflict(err) {
			return reconcile.Result{RequeueAfter: 200 * time.Millisecond}, nil // the copy was behind
		}
		return reconcile.Result{}, err
	}
	r.metrics.observe(ng)
	return reconcile.Result{RequeueAfter: r.resync}, nil
}

func (r *Reconciler) nodes(ctx context.Context, group string) ([]v1alpha1.VPSieNode, error) {
	list := &v1alpha1.VPSieNodeList{}
	if err := r.kube.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing the VPSieNodes of NodeGroup %q: %w", group, err)
	}
	return lo.Filter(list.Items, func(vn v1alpha1.VPSieNode, _ int) bool { return vn.Spec.NodeGroup == group }), nil
}

// remove deletes the machines of a NodeGroup that is being deleted; each is drained first. The NodeGroup stays until the last is
// gone: it holds the limits and the name that the machines are known by.
func (r *Reconciler) remove(ctx context.Context, ng *v1alpha1.NodeGroup, nodes []v1alpha1.VPSieNode) error {
	var failures []error
	for i := range nodes {
		if nodes[i].DeletionTimestamp.IsZero() {
			err := r.kube.Delete(ctx, &nodes[i], client.Preconditions{UID: &nodes[i].UID})
			failures = append(failures, client.IgnoreNotFound(err))
		}
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("removing the machines of NodeGroup %q: %w", ng.Name, err)
	}
	if len(nodes) > 0 || !controllerutil.ContainsFinalizer(ng, v1alpha1.NodeGroupFinalizer) {
		return nil // the last VPSieNode's disappearance brings us back
	}
	before := ng.DeepCopy()
	controllerutil.RemoveFinalizer(ng, v1alpha1.NodeGroupFinalizer)
	err := r.kube.Patch(ctx, ng, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the finalizer of NodeGroup %q: %w", ng.Name, err)
	}
	r.metrics.forget(ng.Name)
	return nil
}

func (r *Reconciler) addFinalizer(ctx context.Context, ng *v1alpha1.NodeGroup) error {
	before := ng.DeepCopy()
	controllerutil.AddFinalizer(ng, v1alpha1.NodeGroupFinalizer)
	if err := r.kube.Patch(ctx, ng, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("adding the finalizer to NodeGroup %q: %w", ng.Name, err)
	}
	return nil
}

func (r *Reconciler) save(ctx context.Context, before, ng *v1alpha1.NodeGroup) error {
	if equality.Semantic.DeepEqual(before.Status, ng.Status) {
		return nil
	}
	err := r.kube.Status().Patch(ctx, ng, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status of NodeGroup %q: %w", ng.Name, err)
	}
	was, is := readiness(before), readiness(ng)
	if is.Message != "" && is.Status != "True" && (was.Reason != is.Reason || was.Message != is.Message) {
		r.recorder.Eventf(ng, nil, corev1.EventTypeWarning, EventNotReady, "Check", "%s: %s", is.Reason, is.Message)
	}
	return nil
}

// SetupWithManager registers the Reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	group := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		vn, ok := object.(*v1alpha1.VPSieNode)
		if !ok {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: vn.Spec.NodeGroup}}}
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("nodegroup").
		For(&v1alpha1.NodeGroup{}).
		Watches(&v1alpha1.VPSieNode{}, group).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.every)). // the credentials: the cache holds no other
		Complete(r)
}

// every returns all NodeGroups: each says whether VPSie takes the credentials.
func (r *Reconciler) every(ctx context.Context, _ client.Object) []reconcile.Request {
	list := &v1alpha1.NodeGroupList{}
	if err := r.kube.List(ctx, list); err != nil {
		return nil // each looks again by itself
	}
	return lo.Map(list.Items, func(ng v1alpha1.NodeGroup, _ int) reconcile.Request {
		return reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&ng)}
	})
}
