// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

// newCloud returns VPSie with credentials that are read from the watched Secret at each use, so that a new token works without a restart.
func newCloud(reader client.Reader, c *config, registerer prometheus.Registerer, logger logr.Logger) (cloudprovider.Provider, error) {
	secret := client.ObjectKey{Namespace: c.secretNamespace, Name: c.secretName}
	apiClient, err := api.New(api.Options{
		Credentials:       credentials(reader, secret),
		RequestsPerMinute: c.requestsPerMinute,
		Registerer:        registerer,
		Logger:            logger.WithName("vpsie"),
		UserAgent:         "vpsie-autoscaler/" + version,
	})
	if err != nil {
		return nil, err
	}
	return vpsie.New(apiClient, vpsie.Options{
		Secret: secret.String(), ClusterID: c.clusterID, Datacenter: c.datacenter, OfferingsTTL: c.offeringsTTL, SetAsideTTL: c.setAsideTTL,
		Registerer: registerer, Logger: logger.WithName("vpsie"),
	})
}

func credentials(reader client.Reader, key client.ObjectKey) api.Source {
	return vpsie.Source(key.String(), func(ctx context.Context) (map[string][]byte, error) {
		secret := &corev1.Secret{}
		err := reader.Get(ctx, key, secret)
		return secret.Data, err
	})
}
