// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package garbage

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	passes   *prometheus.CounterVec
	findings *prometheus.GaugeVec
	actions  *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	return &metrics{
		passes: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_garbage_passes_total",
			Help: "Comparisons of VPSie's inventory with Nodes and VPSieNodes, by outcome: ok or error.",
		}, []string{"outcome"}),
		findings: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_garbage_findings",
			Help: "What the last pass found to disagree, by kind: unknownMachine, lostVPSieNode, lostNodeGroup or lostMachine.",
		}, []string{"kind"}),
		actions: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_garbage_actions_total",
			Help: "VPSieNodes that were written again (lostVPSieNode) and Nodes that were removed (lostMachine), by kind.",
		}, []string{"kind"}),
	}
}

func (m *metrics) passed(err error) {
	if err != nil {
		m.passes.WithLabelValues("error").Inc()
		return
	}
	m.passes.WithLabelValues("ok").Inc()
}

func (m *metrics) observe(found []finding) {
	counts := map[kind]int{}
	for _, f := range found {
		counts[f.kind]++
	}
	for _, k := range kinds() {
		m.findings.WithLabelValues(string(k)).Set(float64(counts[k]))
	}
}

func (m *metrics) acted(k kind) { m.actions.WithLabelValues(string(k)).Inc() }
