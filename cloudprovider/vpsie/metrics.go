// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

type metrics struct{ errors *prometheus.CounterVec }

func newMetrics(registerer prometheus.Registerer, c *catalogue, lockedOut func() bool) (*metrics, error) {
	m := &metrics{errors: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vpsie_autoscaler_cloudprovider_errors_total",
		Help: "Errors of the VPSie provider by reaction and reason; reason Unrecognised is a message that has no rule yet.",
	}, []string{"reaction", "reason"})}
	m.errors.WithLabelValues(string(cloudprovider.TryLater), ReasonUnrecognised)
	if registerer == nil {
		return m, nil
	}
	for _, collector := range []prometheus.Collector{
		m.errors,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_cloudprovider_offerings_age_seconds",
			Help: "Age of the offerings and prices in use; 0 before they were read for the first time.",
		}, func() float64 { return c.age().Seconds() }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_cloudprovider_offerings_set_aside",
			Help: "Number of offerings that count as not available for lack of stock or quota.",
		}, func() float64 { return float64(c.countSetAside()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "vpsie_autoscaler_cloudprovider_credentials_refused",
			Help: "1 from a refusal of the credentials, or a Secret that is missing, wrong or unreadable, until VPSie takes them again, else 0; nothing is bought meanwhile.",
		}, func() float64 {
			if lockedOut() {
				return 1
			}
			return 0
		}),
	} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("registering the metrics of the VPSie provider: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) count(e *cloudprovider.Error) {
	m.errors.WithLabelValues(string(e.Reaction), e.Reason).Inc()
}
