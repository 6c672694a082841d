// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// Order asks VPSie for one worker: at most one request that could buy anything leaves this machine.
func (p *Provider) Order(ctx context.Context, order cloudprovider.Order) error {
	return p.explain(fmt.Sprintf("ordering a machine of offering %q for VPSieNode %q", order.OfferingID, order.Name), p.order(ctx, order))
}

func (p *Provider) order(ctx context.Context, order cloudprovider.Order) error {
	if order.OfferingID == "" {
		return cloudprovider.Errorf(cloudprovider.GiveUp, ReasonInvalidRequest, "the order names no offering")
	}
	at, err := p.findPlace(ctx)
	if err != nil {
		return err
	}
	if order.Datacenter != "" && order.Datacenter != at.datacenter.Identifier {
		return cloudprovider.Errorf(cloudprovider.GiveUp, ReasonDatacenterNotFound,
			"the cluster is in datacenter %q, machines for it cannot be bought in %q", at.datacenter.Identifier, order.Datacenter)
	}
	size, err := p.sizeOf(ctx, at, order.OfferingID)
	if err != nil {
		return err
	}
	release, err := p.groups.takeTurn(ctx, size)
	if err != nil {
		return err
	}
	defer release()
	// Asked in turn, so that one refusal answers all orders that waited behind it.
	if why := p.catalogue.whySetAside(order.OfferingID); why != nil {
		return &cloudprovider.Error{Reaction: why.Reaction, Reason: why.Reason, Err: fmt.Errorf("not asked again so soon after: %w", why.Err)}
	}
	err = p.buy(ctx, at.cluster, size, order.Name)
	p.learn(order.OfferingID, err)
	return err
}

// buy adds one worker to the node group of the size.
func (p *Provider) buy(ctx context.Context, cluster string, size int64, name string) error {
	group, err := p.groups.ensure(ctx, cluster, size)
	if err != nil {
		return err
	}
	err = p.client.AddWorker(ctx, cluster, group, name)
	if mayMeanNoGroup(err) {
		p.groups.forget(size)
	}
	return err
}

// mayMeanNoGroup says whether the node group may have been deleted behind our back. Throttling, refused credentials and
// requests that were not sent say nothing of it, and looking for the group again would cost what is scarce just then.
func mayMeanNoGroup(err error) bool {
	var refused *api.APIError
	return errors.As(err, &refused) && !api.IsAmbiguous(err) && !api.IsRateLimited(err) && !api.IsUnauthorized(err)
}

// learn sets aside what a refusal says cannot be had.
func (p *Provider) learn(offeringID string, err error) {
	if err == nil {
		return
	}
	switch why := react(err, p.options.Secret); {
	case why.Reaction == cloudprovider.TryElsewhere:
		p.catalogue.putAside(offeringID, why)
	case why.Reason == ReasonQuotaExceeded, why.Reason == ReasonPaymentRequired:
		p.catalogue.putAside(everyOffering, why)
	}
}

func (p *Provider) sizeOf(ctx context.Context, at place, offeringID string) (int64, error) {
	offerings, err := p.catalogue.read(ctx, at.datacenter)
	if err != nil {
		return 0, err
	}
	size, err := sizeID(offeringID)
	if err != nil || !slices.ContainsFunc(offerings, func(o scheduling.Offering) bool { return o.ID == offeringID }) {
		return 0, cloudprovider.Errorf(cloudprovider.TryElsewhere, ReasonOfferingNotFound, "VPSie does not sell this offering in datacenter %q", at.datacenter.Identifier)
	}
	return size, nil
}

// errNoGroup is what remains when VPSie neither lists nor makes the node group of a size. Nothing was bought.
var errNoGroup = errors.New("VPSie has no node group of this size and did not make one")
