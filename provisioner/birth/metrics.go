// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package birth

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// answer is what became of a Node at its birth.
type answer string

const (
	tainted answer = "tainted"
	left    answer = "left"
	failed  answer = "failed"
)

type metrics struct {
	answers *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{answers: promauto.With(registerer).NewCounterVec(prometheus.CounterOpts{
		Name: "vpsie_autoscaler_birth_answers_total",
		Help: "Answers of the webhook that taints workers at birth, by result: tainted, left (no VPSieNode waits for the node) or failed (admitted as it was for an error). Not counted: nodes that the API server could not ask about.",
	}, []string{"result"})}
	for _, a := range []answer{tainted, left, failed} {
		m.answers.WithLabelValues(string(a)) // 0 tells that nobody asked
	}
	return m
}

func (m *metrics) answered(a answer) { m.answers.WithLabelValues(string(a)).Inc() }
