// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package execute

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// Reasons of events. All but EventRemoved are on the Disruption; what users should notice is on the NodeGroup too.
const (
	EventWaitsForApproval = "WaitsForApproval"     // spec.approved has to be set; on the NodeGroup too
	EventStarted          = "DisruptionStarted"    // the nodes are about to be tainted
	EventDrained          = "NodesDrained"         // the VPSieNodes were deleted
	EventSucceeded        = "DisruptionSucceeded"  // the machines are gone; on the NodeGroup too
	EventRolledBack       = "DisruptionRolledBack" // everything is as it was; on the NodeGroup too
	EventRejected         = "DisruptionRejected"   // no longer right; nothing was touched
	EventStopped          = "DisruptionStopped"    // somebody deleted the Disruption
	EventRemoved          = "Removed"              // on the VPSieNode that was deleted
)

const actionExecute = "Execute"

// announce tells of a phase that was just written.
func (r *Reconciler) announce(ctx context.Context, before, d *v1alpha1.Disruption) {
	log.FromContext(ctx).Info("disruption went on", "disruption", klog.KObj(d), "from", before.Status.Phase, "to", d.Status.Phase, "why", d.Status.Message)
	switch d.Status.Phase {
	case v1alpha1.DisruptionProposed:
		r.event(ctx, d, corev1.EventTypeNormal, EventWaitsForApproval, "Waits until a person sets spec.approved to Yes", andNodeGroup)
	case v1alpha1.DisruptionLaunching:
		r.event(ctx, d, corev1.EventTypeNormal, EventStarted, "Is being carried out", alone)
	case v1alpha1.DisruptionVerifying:
		r.metrics.drains.Observe(r.elapsed(d).Seconds())
		r.event(ctx, d, corev1.EventTypeNormal, EventDrained, "The nodes are drained and their machines are being released", alone)
	case v1alpha1.DisruptionSucceeded:
		r.metrics.saved.Add(max(0, savings(d)))
		r.event(ctx, d, corev1.EventTypeNormal, EventSucceeded, "The machines are gone, which saves "+d.Spec.SavingsPerHour+" per hour", andNodeGroup)
	case v1alpha1.DisruptionRolledBack:
		r.event(ctx, d, corev1.EventTypeWarning, EventRolledBack, d.Status.Message, andNodeGroup)
	case v1alpha1.DisruptionRejected:
		r.event(ctx, d, corev1.EventTypeNormal, EventRejected, d.Status.Message, alone)
	default: // Approved and Draining say nothing that the others do not
	}
	if d.Status.Phase.Finished() {
		r.metrics.finished.WithLabelValues(string(d.Spec.Reason), string(d.Status.Phase)).Inc()
	}
}

// audience is on which objects an event is put.
type audience int

const (
	alone audience = iota
	andNodeGroup
)

// longestNote leaves room for the names around it in the 1024 bytes that the API server accepts.
const longestNote = 700

func (r *Reconciler) event(ctx context.Context, d *v1alpha1.Disruption, kind, reason, note string, who audience) {
	note = shorten(note, longestNote)
	r.o.Recorder.Eventf(d, nil, kind, reason, actionExecute, "%s", note)
	if who == alone {
		return
	}
	var group v1alpha1.NodeGroup
	if err := r.kube.Get(ctx, client.ObjectKey{Name: d.Spec.NodeGroup}, &group); err != nil {
		return // the event on the Disruption is there; the NodeGroup may be gone
	}
	r.o.Recorder.Eventf(&group, d, kind, reason, actionExecute, "Disruption %s (%s): %s", d.Name, d.Spec.Reason, note)
}

func savings(d *v1alpha1.Disruption) float64 {
	price, err := scheduling.ParsePrice(v1alpha1.Price(d.Spec.SavingsPerHour))
	if err != nil {
		return 0 // negative: a machine that had to be replaced by a dearer one
	}
	return price.Float()
}

type metrics struct {
	finished *prometheus.CounterVec
	saved    prometheus.Counter
	drains   prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	m := &metrics{
		finished: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_disruption_finished_total",
			Help: "Disruptions that ended, by reason and by how: Succeeded, RolledBack or Rejected.",
		}, []string{"reason", "phase"}),
		saved: factory.NewCounter(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_disruption_savings_per_hour_total",
			Help: "Sum of what each Disruption that succeeded saves per hour, in the account's currency.",
		}),
		drains: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "vpsie_autoscaler_disruption_drain_duration_seconds",
			Help:    "Time from the first taint of a Disruption until all its nodes were drained.",
			Buckets: []float64{5, 15, 30, time.Minute.Seconds(), 120, 300, 600, 1800, 3600, 7200, 21600},
		}),
	}
	for _, phase := range []v1alpha1.DisruptionPhase{v1alpha1.DisruptionSucceeded, v1alpha1.DisruptionRolledBack, v1alpha1.DisruptionRejected} {
		m.finished.WithLabelValues(string(v1alpha1.ReasonEmpty), string(phase))
	}
	return m
}
