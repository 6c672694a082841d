// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vpsie turns VPSie's managed Kubernetes into a cloudprovider.Provider: sizes into offerings, orders into calls,
// nodes of the cluster into instances, and errors into reactions, for which it is the only judge. It never repeats an
// order, never deletes what it did not see among the workers, and never takes an unreadable answer for an empty cloud.
package vpsie

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
)

// Defaults of Options.
const (
	DefaultOfferingsTTL = 5 * time.Minute
	DefaultSetAsideTTL  = 10 * time.Minute
)

// readyFor is how long a good answer to Ready is believed: every NodeGroup asks.
const readyFor = 30 * time.Second

// Options of a Provider. Its zero value is right for an account with one cluster.
type Options struct {
	// ClusterID is VPSie's identifier of the managed cluster. Left out: the only one of the account.
	ClusterID string
	// Datacenter is the identifier or the name of the cluster's datacenter. Left out: discovered.
	Datacenter string
	// OfferingsTTL is the age at which offerings are read again. While VPSie is unreachable, they are used for twice as long.
	OfferingsTTL time.Duration
	// SetAsideTTL is how long an offering that could not be had counts as not available.
	SetAsideTTL time.Duration
	// Secret is where the credentials come from, as namespace/name, for advice. Left out: SecretName.
	Secret string
	Clock  clock.PassiveClock
	// Registerer takes the metrics. Left out: none are kept.
	Registerer prometheus.Registerer
	Logger     logr.Logger
}

// Provider is VPSie seen as a cloud. It is safe for concurrent use.
type Provider struct {
	client    *api.Client
	options   Options
	catalogue *catalogue
	groups    *groups
	metrics   *metrics

	placeTurn turn
	place     *place // guarded by placeTurn

	mu         sync.Mutex
	readyUntil time.Time // guarded by mu
	lockedOut  bool      // guarded by mu: there were no credentials that VPSie takes, and it has taken none since
	look       look      // guarded by mu
}

var _ cloudprovider.Provider = (*Provider)(nil)

// New returns a Provider. It asks VPSie nothing yet: the controller must start while VPSie is down.
func New(client *api.Client, o Options) (*Provider, error) {
	if client == nil {
		return nil, errors.New("making the VPSie provider: the client is missing")
	}
	if o.OfferingsTTL < 0 || o.SetAsideTTL < 0 {
		return nil, fmt.Errorf("making the VPSie provider: OfferingsTTL %v and SetAsideTTL %v must not be negative", o.OfferingsTTL, o.SetAsideTTL)
	}
	o.OfferingsTTL = cmp.Or(o.OfferingsTTL, DefaultOfferingsTTL)
	o.SetAsideTTL = cmp.Or(o.SetAsideTTL, DefaultSetAsideTTL)
	o.Secret = cmp.Or(o.Secret, SecretName)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	p := &Provider{client: client, options: o, groups: newGroups(client), placeTurn: newTurn()}
	p.catalogue = newCatalogue(client, o)
	var err error
	p.metrics, err = newMetrics(o.Registerer, p.catalogue, p.isLockedOut)
	return p, err
}

// Ready says whether VPSie takes the present credentials and has the cluster and the datacenter that were asked for.
func (p *Provider) Ready(ctx context.Context) error {
	now := p.options.Clock.Now()
	if now.Before(p.believedReadyUntil()) {
		return nil
	}
	_, err := p.findPlace(ctx)
	if err == nil {
		err = p.client.Ping(ctx)
	}
	if err != nil {
		return p.explain("asking whether VPSie is ready", err)
	}
	p.believeReadyUntil(now.Add(readyFor))
	p.letIn()
	return nil
}

func (p *Provider) isLockedOut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lockedOut
}

func (p *Provider) letIn() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lockedOut = false
}

// lockOut remembers that the credentials were refused, or that there were none, until they are taken.
func (p *Provider) lockOut(reason string) {
	switch reason {
	case ReasonUnauthorized, ReasonInvalidCredentials, ReasonCredentialsMissing, ReasonCredentialsUnreadable:
		p.mu.Lock()
		defer p.mu.Unlock()
		p.lockedOut = true
	}
}

func (p *Provider) believedReadyUntil() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.readyUntil
}

func (p *Provider) believeReadyUntil(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readyUntil = t
}

// explain turns err into the error that callers see, counts it, and forgets that VPSie was ready.
func (p *Provider) explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	reaction := react(err, p.options.Secret)
	p.metrics.count(reaction)
	if reaction.Reason == ReasonUnrecognised {
		p.options.Logger.Info("Met an answer of VPSie that has no rule", "doing", doing, "error", err.Error())
	}
	p.believeReadyUntil(time.Time{})
	p.lockOut(reaction.Reason)
	return &cloudprovider.Error{
		Reaction: reaction.Reaction, Reason: reaction.Reason, Err: fmt.Errorf("%s: %w", doing, reaction.Err),
	}
}
