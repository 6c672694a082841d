// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/birth"
)

// refuseBirth refuses what the webhook for new workers cannot be served with. While it is off, nothing of it matters.
func (c *config) refuseBirth(refuse func(flag, format string, args ...any)) {
	if c.birthPort == 0 {
		return
	}
	if c.birthPort < 0 || c.birthPort > 65535 {
		refuse("birth-webhook-port", "%d is not a number from 1 to 65535, or 0 for no webhook", c.birthPort)
	}
	if _, err := regexp.Compile(c.birthName); err != nil || c.birthName == "" {
		refuse("birth-webhook-node-name-pattern", "%q is not a regular expression that matches the nodes VPSie creates: %s", c.birthName, problem(err))
	}
	if c.birthCertDir == "" {
		refuse("birth-webhook-cert-dir", "it is empty, and a webhook needs a certificate: name the folder with tls.crt and tls.key, or turn the webhook off with --birth-webhook-port=0")
	} else if _, err := tls.LoadX509KeyPair(filepath.Join(c.birthCertDir, corev1.TLSCertKey), filepath.Join(c.birthCertDir, corev1.TLSPrivateKeyKey)); err != nil {
		refuse("birth-webhook-cert-dir", "the folder has no certificate that can be used; want tls.crt and tls.key, as from a Secret of type %s: %s", corev1.SecretTypeTLS, problem(err))
	}
}

// problem is the text of an error, also of none.
func problem(err error) string {
	if err == nil {
		return "it is empty"
	}
	return err.Error()
}

// birthServer serves the webhook in every replica, whoever leads: a worker does not wait for an election.
func birthServer(c *config) webhook.Server {
	if c.birthPort == 0 {
		return nil // the manager makes one only for those who ask
	}
	return webhook.NewServer(webhook.Options{Port: c.birthPort, CertDir: c.birthCertDir})
}

// setupBirth adds the webhook, if it is wanted.
func setupBirth(mgr manager.Manager, c *config, registerer prometheus.Registerer) error {
	if c.birthPort == 0 {
		return nil
	}
	pattern, err := regexp.Compile(c.birthName)
	if err != nil {
		return fmt.Errorf("reading --birth-webhook-node-name-pattern: %w", err)
	}
	return birth.New(mgr.GetClient(), pattern, birth.Options{Registerer: registerer}).SetupWithManager(mgr)
}
