// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

const (
	pollEvery    = 50 * time.Millisecond
	probeTimeout = 5 * time.Second
)

// healthURL is where a component says that it works. All of them answer it without credentials.
func (c *Cluster) healthURL(component Component) string {
	ports := c.layout.ports
	switch component {
	case Etcd:
		return fmt.Sprintf("http://%s:%d/readyz", loopback, ports.Etcd)
	case APIServer:
		return c.server + "/readyz"
	case ControllerManager:
		return fmt.Sprintf("https://%s:%d/healthz", loopback, ports.ControllerManager)
	case Scheduler:
		return fmt.Sprintf("https://%s:%d/readyz", loopback, ports.Scheduler)
	}
	return ""
}

// await returns when the component works, and at once with the end of its log when it has ended.
func (c *Cluster) await(ctx context.Context, component Component) error {
	roots := x509.NewCertPool()
	roots.AddCert(c.authority.certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: probeTimeout}
	url := c.healthURL(component)
	return c.poll(ctx, fmt.Sprintf("waiting for %q", component), func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return fmt.Errorf("asking %q: %w", url, err)
		}
		response, err := client.Do(request)
		if err != nil {
			return fmt.Errorf("asking %q: %w", url, err)
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("asking %q: it answered %s", url, response.Status)
		}
		return nil
	})
}

// awaitServiceAccount returns when kube-controller-manager has made the default service account:
// until then no pod can be created.
func (c *Cluster) awaitServiceAccount(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.AdminConfig())
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return c.poll(ctx, "waiting for the default service account", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err // poll says what was being done
	})
}

// poll repeats attempt until it works, the context ends, or a program that should run has ended:
// whichever component is awaited, it may be one that it needs.
func (c *Cluster) poll(ctx context.Context, doing string, attempt func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollEvery, true, func(ctx context.Context) (bool, error) {
		if err := c.anyEnded(); err != nil {
			return false, err
		}
		last = attempt(ctx)
		return last == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && last != nil:
		return fmt.Errorf("%s: %w (last attempt: %w)", doing, context.Cause(ctx), last)
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w", doing, context.Cause(ctx))
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// anyEnded explains the components that ended although nobody stopped them.
func (c *Cluster) anyEnded() error {
	var errs []error
	for _, component := range Components() {
		if p := c.process(component); p != nil {
			errs = append(errs, p.Err())
		}
	}
	return errors.Join(errs...)
}
