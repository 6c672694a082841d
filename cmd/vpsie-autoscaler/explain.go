// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// explain adds to an error what its reader can do about it.
func explain(err error, c *config) error {
	var listening *net.OpError
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("a port is in use: stop the process that holds it, or choose another with %s: %w", c.listening(), err)
	case errors.As(err, &listening) && listening.Op == "listen":
		return fmt.Errorf("an address cannot be listened on: choose another with %s: %w", c.listening(), err)
	default:
		return err
	}
}

// listening names the flags that say where something is served.
func (c *config) listening() string {
	flags := fmt.Sprintf("--metrics-bind-address (now %s) or --health-bind-address (now %s)", c.metricsAddress, c.healthAddress)
	if c.birthPort != 0 {
		flags += fmt.Sprintf(" or --birth-webhook-port (now %d)", c.birthPort)
	}
	return flags
}

// explainServer adds to an error of the start, in which client-go names what it tried to read, which server that was and what its
// reader can do about it.
func explainServer(err error, c *config, server string) error {
	var kind *meta.NoKindMatchError
	var resource *meta.NoResourceMatchError
	var transport *url.Error
	switch {
	case errors.As(err, &kind):
		return explainMissing(err, kind.GroupKind.Group, server)
	case errors.As(err, &resource):
		return explainMissing(err, resource.PartialResource.Group, server)
	case errors.As(err, &transport):
		return fmt.Errorf("the Kubernetes API at %s cannot be reached: check that it runs and that this is its address (%s), or name another kubeconfig with --kubeconfig: %w",
			server, c.kubectl("get --raw /readyz"), transport.Err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the Kubernetes API at %s does not accept the credentials: renew them and check with %s: %w", server, c.kubectl("auth whoami"), err)
	default:
		return err
	}
}

func explainMissing(err error, group, server string) error {
	if group == v1alpha1.Group {
		return fmt.Errorf("the cluster at %s does not know NodeGroup, VPSieNode and Disruption: install or upgrade the chart, which brings their definitions"+
			" (make helm-install), or only those (kubectl apply --server-side -f charts/vpsie-autoscaler/files/crds): %w", server, err)
	}
	return fmt.Errorf("the cluster at %s does not serve all that is needed: upgrade it to Kubernetes 1.34 or newer: %w", server, err)
}

// kubectl is a command that speaks to the same server.
func (c *config) kubectl(arguments string) string {
	words := []string{"kubectl", arguments}
	if c.kubeconfig != "" {
		words = []string{"kubectl", "--kubeconfig=" + c.kubeconfig, arguments}
	}
	return strings.Join(words, " ")
}
