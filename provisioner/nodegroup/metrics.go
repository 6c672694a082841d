// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package nodegroup

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// metrics of node groups. Their label is the name of a NodeGroup, of which a cluster has a handful; the series of a deleted one go with it.
type metrics struct {
	nodes *prometheus.GaugeVec
	cost  *prometheus.GaugeVec
	bound *prometheus.GaugeVec
	ready *prometheus.GaugeVec
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	return &metrics{
		nodes: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_nodegroup_nodes",
			Help: "Machines of a node group, by state: ready, starting (ordered or joining) or failed.",
		}, []string{"nodegroup", "state"}),
		cost: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_nodegroup_cost_per_hour",
			Help: "What a node group's machines cost per hour: their prices, and for each what --node-cost says.",
		}, []string{"nodegroup"}),
		bound: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_nodegroup_lower_bound_per_hour",
			Help: "Cost per hour below which no set of allowed machines could hold what runs and waits in a node group, with --node-cost for each, as of a few minutes ago.",
		}, []string{"nodegroup"}),
		ready: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_nodegroup_ready",
			Help: "1 while a node group can do its work, else 0.",
		}, []string{"nodegroup"}),
	}
}

func (m *metrics) observe(ng *v1alpha1.NodeGroup) {
	m.nodes.WithLabelValues(ng.Name, "ready").Set(float64(ng.Status.ReadyNodes))
	m.nodes.WithLabelValues(ng.Name, "starting").Set(float64(ng.Status.Nodes - ng.Status.ReadyNodes))
	m.nodes.WithLabelValues(ng.Name, "failed").Set(float64(ng.Status.FailedNodes))
	if cost, err := scheduling.ParsePrice(ng.Status.CostPerHour); err == nil {
		m.cost.WithLabelValues(ng.Name).Set(cost.Float())
	}
	if ng.Status.LowerBoundPerHour == "" {
		m.bound.DeleteLabelValues(ng.Name) // not known: 0 would say that nothing is needed
	} else if bound, err := scheduling.ParsePrice(ng.Status.LowerBoundPerHour); err == nil {
		m.bound.WithLabelValues(ng.Name).Set(bound.Float())
	}
	ready := 0.0
	if readiness(ng).Status == metav1.ConditionTrue {
		ready = 1
	}
	m.ready.WithLabelValues(ng.Name).Set(ready)
}

func (m *metrics) forget(name string) {
	labels := prometheus.Labels{"nodegroup": name}
	m.nodes.DeletePartialMatch(labels)
	m.cost.DeletePartialMatch(labels)
	m.bound.DeletePartialMatch(labels)
	m.ready.DeletePartialMatch(labels)
}
