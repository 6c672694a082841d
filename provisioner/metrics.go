// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

type metrics struct {
	pending    prometheus.Gauge
	rejected   prometheus.Gauge
	launches   *prometheus.CounterVec
	duration   prometheus.Histogram
	unverified prometheus.Counter
	refused    prometheus.Counter
	gap        prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	return &metrics{
		pending: factory.NewGauge(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_provisioner_pending_pods",
			Help: "Pods that kube-scheduler could not place.",
		}),
		rejected: factory.NewGauge(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_provisioner_rejected_pods",
			Help: "Pods that no machine would help, in the last plan.",
		}),
		launches: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_provisioner_launches_total",
			Help: "VPSieNodes created, by reason: provisioning, headroom or min-nodes.",
		}, []string{"reason"}),
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "vpsie_autoscaler_provisioner_plan_duration_seconds",
			Help:    "Time that making a plan took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}),
		unverified: factory.NewCounter(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_provisioner_unverified_plans_total",
			Help: "Plans of which kube-scheduler's plugins refused a placement in the last check; must stay 0.",
		}),
		refused: factory.NewCounter(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_provisioner_refused_placements_total",
			Help: "Placements that a plan counted on and that kube-scheduler's plugins refused in the last check, also of pods that found another place; must stay 0.",
		}),
		gap: factory.NewGauge(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_provisioner_plan_gap_ratio",
			Help: "Cost of the last plan that buys machines over the lower bound of it, minus 1.",
		}),
	}
}

func (m *metrics) waiting(pods int) { m.pending.Set(float64(pods)) }

func (m *metrics) launched(reason v1alpha1.CreationReason) {
	m.launches.WithLabelValues(string(reason)).Inc()
}

func (m *metrics) planned(plan scheduling.Plan, took time.Duration) {
	m.duration.Observe(took.Seconds())
	m.rejected.Set(float64(len(plan.Rejections)))
	if !plan.Verified || plan.Refused > 0 {
		m.unverified.Inc()
	}
	m.refused.Add(float64(plan.Refused))
	if plan.LowerBound > 0 {
		m.gap.Set(plan.Cost.Float()/plan.LowerBound.Float() - 1)
	}
}
