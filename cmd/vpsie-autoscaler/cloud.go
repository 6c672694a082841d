// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	return func(ctx context.Context) (api.Credentials, error) {
		secret := &corev1.Secret{}
		err := reader.Get(ctx, key, secret)
		if apierrors.IsNotFound(err) {
			return api.Credentials{}, cloudprovider.Errorf(cloudprovider.GiveUp, "CredentialsMissing",
				"Secret %q is missing; create it: kubectl -n %s create secret generic %s --from-literal=token=<VPSie API token>", key, key.Namespace, key.Name)
		}
		if err != nil {
			return api.Credentials{}, cloudprovider.Errorf(cloudprovider.TryLater, "CredentialsUnread", "reading Secret %q: %w", key, err)
		}
		return vpsie.CredentialsFrom(key.String(), secret.Data)
	}
}
