// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

type metrics struct {
	decisions *prometheus.CounterVec
	kept      *prometheus.GaugeVec
	leaving   prometheus.Gauge
	duration  prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	m := &metrics{
		decisions: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_disruption_decisions_total",
			Help: "Disruptions that were written down, by reason.",
		}, []string{"reason"}),
		kept: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_disruption_kept_nodes",
			Help: "VPSieNodes that stay, by the first rule that keeps each, as of the last pass.",
		}, []string{"rule"}),
		leaving: factory.NewGauge(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_disruption_leaving_nodes",
			Help: "VPSieNodes named by unfinished Disruptions, as of the last pass.",
		}),
		duration: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "vpsie_autoscaler_disruption_pass_duration_seconds",
			Help:    "Time that one look at all machines took.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}),
	}
	for _, reason := range reasons() {
		m.decisions.WithLabelValues(string(reason.name))
	}
	return m
}

func (m *metrics) looked(picture *state.Picture, out Outcome, took time.Duration) {
	m.duration.Observe(took.Seconds())
	kept := map[Rule]int{}
	for _, k := range out.Kept {
		kept[k.Rule]++
	}
	for _, rule := range Rules() {
		m.kept.WithLabelValues(string(rule)).Set(float64(kept[rule]))
	}
	leaving := 0
	for _, d := range picture.Disruptions {
		if !d.Status.Phase.Finished() {
			leaving += len(d.Spec.Remove)
		}
	}
	m.leaving.Set(float64(leaving))
}
