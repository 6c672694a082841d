// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// way is what a Picture was made from: the closed set of the label of that name.
type way string

const (
	byEvents     way = "events"     // the last Picture and what the watches told since
	byComparison way = "comparison" // as before, but the last list of some kind was compared with all that its watch holds
	byReading    way = "reading"    // everything, read anew
)

func ways() []way { return []way{byEvents, byComparison, byReading} }

type metrics struct {
	duration *prometheus.HistogramVec
	failures prometheus.Counter
	objects  *prometheus.GaugeVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	m := &metrics{
		duration: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "vpsie_autoscaler_state_picture_duration_seconds",
			Help: "Time that a picture of the cluster took, by what it was made from: events since the last one, a comparison of some kind with all " +
				"that its watch holds, or reading everything.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 9),
		}, []string{"way"}),
		failures: factory.NewCounter(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_state_picture_failures_total",
			Help: "Pictures of the cluster that could not be made, as while the watches have not caught up with the API server.",
		}),
		objects: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_state_objects",
			Help: "Objects in the last picture of the cluster, by kind: Node (but for machines on their way), Pod (not terminated), NodeGroup, VPSieNode or Disruption.",
		}, []string{"kind"}),
	}
	for _, way := range ways() {
		m.duration.WithLabelValues(string(way))
	}
	return m
}

func (m *metrics) took(picture *Picture, way way, took time.Duration) {
	m.duration.WithLabelValues(string(way)).Observe(took.Seconds())
	objects := picture.Snapshot.Objects()
	for kind, count := range map[string]int{
		"Node": len(objects.Nodes), "Pod": len(objects.Pods), "NodeGroup": len(picture.NodeGroups), "VPSieNode": len(picture.Machines),
		"Disruption": len(picture.Disruptions),
	} {
		m.objects.WithLabelValues(kind).Set(float64(count))
	}
}

func (m *metrics) failed() { m.failures.Inc() }
