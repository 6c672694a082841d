// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// metrics of the machines' lives.
type metrics struct {
	orders      *prometheus.CounterVec
	releases    *prometheus.CounterVec
	failures    *prometheus.CounterVec
	inventories *prometheus.CounterVec
	startup     prometheus.Histogram
	machines    *prometheus.GaugeVec
	cost        prometheus.Gauge

	mu   sync.Mutex
	seen map[string]seen // by name of the VPSieNode
}

type seen struct {
	phase v1alpha1.VPSieNodePhase
	price scheduling.Price
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	return &metrics{
		seen: map[string]seen{},
		orders: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_lifecycle_orders_total",
			Help: "Orders sent to VPSie, by outcome: accepted, TryElsewhere, TryLater, LookFirst or GiveUp.",
		}, []string{"outcome"}),
		releases: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_lifecycle_releases_total",
			Help: "Requests to destroy a machine, by outcome: accepted, TryElsewhere, TryLater, LookFirst or GiveUp.",
		}, []string{"outcome"}),
		failures: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_lifecycle_failures_total",
			Help: "VPSieNodes that will never become a Node, by reason.",
		}, []string{"reason"}),
		inventories: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "vpsie_autoscaler_lifecycle_inventory_reads_total",
			Help: "Reads of the inventory, by outcome: ok or error.",
		}, []string{"outcome"}),
		startup: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "vpsie_autoscaler_lifecycle_startup_seconds",
			Help:    "Time from the creation of a VPSieNode until pods may run on its Node.",
			Buckets: []float64{5, 15, 30, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800},
		}),
		machines: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_lifecycle_machines",
			Help: "VPSieNodes by phase.",
		}, []string{"phase"}),
		cost: factory.NewGauge(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_lifecycle_cost_per_hour",
			Help: "Sum of the prices of all machines that were recognised in the inventory, per hour.",
		}),
	}
}

func outcome(reaction cloudprovider.Reaction) string {
	if reaction == cloudprovider.NoReaction {
		return "accepted"
	}
	return string(reaction)
}

func (m *metrics) ordered(reaction cloudprovider.Reaction) {
	m.orders.WithLabelValues(outcome(reaction)).Inc()
}

func (m *metrics) releaseAsked(reaction cloudprovider.Reaction) {
	m.releases.WithLabelValues(outcome(reaction)).Inc()
}

func (m *metrics) failed(reason string) { m.failures.WithLabelValues(reason).Inc() }

func (m *metrics) inventoryRead(err error) {
	if err != nil {
		m.inventories.WithLabelValues("error").Inc()
		return
	}
	m.inventories.WithLabelValues("ok").Inc()
}

func (m *metrics) ready(after time.Duration) { m.startup.Observe(after.Seconds()) }

// observe counts the VPSieNode in its phase.
func (m *metrics) observe(vn *v1alpha1.VPSieNode) {
	price, _ := scheduling.ParsePrice(vn.Status.PricePerHour) // an unreadable price costs nothing here; the API server refuses it
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[vn.Name] = seen{phase: vn.Status.Phase, price: price}
	m.publish()
}

func (m *metrics) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.seen, name)
	m.publish()
}

func (m *metrics) publish() {
	phases := map[v1alpha1.VPSieNodePhase]float64{
		v1alpha1.PhasePending: 0, v1alpha1.PhaseProvisioning: 0, v1alpha1.PhaseProvisioned: 0, v1alpha1.PhaseJoining: 0,
		v1alpha1.PhaseReady: 0, v1alpha1.PhaseTerminating: 0, v1alpha1.PhaseDeleting: 0, v1alpha1.PhaseFailed: 0,
	}
	var cost scheduling.Price
	for _, s := range m.seen {
		phases[s.phase]++
		cost += s.price
	}
	for phase, count := range phases {
		m.machines.WithLabelValues(string(phase)).Set(count)
	}
	m.cost.Set(cost.Float())
}
