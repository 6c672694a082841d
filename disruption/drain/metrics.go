// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome is what became of the wish to end a pod.
type outcome string

const (
	evicted outcome = "evicted"
	refused outcome = "refused" // by a PodDisruptionBudget, or because the namespace is being deleted
	gone    outcome = "gone"    // the pod had left already
	deleted outcome = "deleted" // after the deadline
	failed  outcome = "failed"
)

type metrics struct {
	evictions *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		evictions: promauto.With(registerer).NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_disruption_evictions_total",
			Help: "Attempts to end a pod of a leaving node, by outcome: evicted, refused, gone, deleted (after the deadline), failed.",
		}, []string{"outcome"}),
	}
	for _, o := range []outcome{evicted, refused, gone, deleted, failed} {
		m.evictions.WithLabelValues(string(o))
	}
	return m
}

func (m *metrics) count(o outcome) { m.evictions.WithLabelValues(string(o)).Inc() }
