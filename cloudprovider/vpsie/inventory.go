// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
)

// Inventory reads all workers of the cluster.
func (p *Provider) Inventory(ctx context.Context) (cloudprovider.Inventory, error) {
	inventory, err := p.inventory(ctx)
	if err != nil {
		return cloudprovider.Inventory{}, p.explain("reading the inventory of the cluster", err)
	}
	return inventory, nil
}

func (p *Provider) inventory(ctx context.Context) (cloudprovider.Inventory, error) {
	at, err := p.findPlace(ctx)
	if err != nil {
		return cloudprovider.Inventory{}, err
	}
	// The sizes are needed to say what a machine may have been bought as; old ones do.
	if _, err := p.catalogue.read(ctx, at.datacenter); err != nil && !p.catalogue.knowsSizes() {
		return cloudprovider.Inventory{}, err
	}
	readAt := p.options.Clock.Now() // before the first try: rather too early than too late
	workers, err := p.workers(ctx, at.cluster)
	if err != nil {
		return cloudprovider.Inventory{}, err
	}
	p.remember(workers, readAt)
	inventory := cloudprovider.Inventory{Instances: make([]cloudprovider.Instance, 0, len(workers)), ReadAt: readAt, Cluster: at.cluster, Project: at.project}
	for _, n := range workers {
		inventory.Instances = append(inventory.Instances, cloudprovider.Instance{
			ID: n.Identifier, Hostname: strings.ToLower(n.Hostname), IP: address(n.IP),
			OfferingIDs: p.catalogue.candidates(n), Deleting: isDeleting(n),
		})
	}
	return inventory, nil
}

// workers returns the machines of the cluster that are not managers, by identifier. A row without identifier or address
// is a machine that is not there yet; one with an address but no identifier makes the answer unusable, since it might
// be any of the machines that we look for.
func (p *Provider) workers(ctx context.Context, cluster string) ([]wire.Node, error) {
	answer, err := p.client.Cluster(ctx, cluster)
	if err != nil {
		return nil, err
	}
	var workers []wire.Node
	for _, n := range answer.Nodes {
		switch {
		case n.Role == wire.Manager || n.Deleted:
		case n.Identifier != "":
			workers = append(workers, n)
		case address(n.IP) != "":
			return nil, &api.MalformedError{
				Op: api.GetCluster, StatusCode: 200, Problem: fmt.Sprintf("the machine at %q has no identifier", address(n.IP)),
			}
		}
	}
	slices.SortFunc(workers, func(a, b wire.Node) int { return cmp.Compare(a.Identifier, b.Identifier) })
	return workers, nil
}

// look is the workers as they were last read.
type look struct {
	workers []wire.Node
	readAt  time.Time
}

// lookFor is how long a look is good enough to release a worker that it shows: releasing many would else cost twice the
// requests.
const lookFor = 10 * time.Second

func (p *Provider) remember(workers []wire.Node, readAt time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if readAt.After(p.look.readAt) {
		p.look = look{workers: workers, readAt: readAt}
	}
}

// sawWorker says whether the worker was among the workers just now, and nobody had asked for its deletion.
func (p *Provider) sawWorker(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.options.Clock.Since(p.look.readAt) < lookFor &&
		slices.ContainsFunc(p.look.workers, func(n wire.Node) bool { return n.Identifier == id && !isDeleting(n) })
}

func (p *Provider) unsee(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.look.workers = slices.DeleteFunc(slices.Clone(p.look.workers), func(n wire.Node) bool { return n.Identifier == id })
}

// Release asks VPSie to destroy one worker. It looks first, so that what is not a worker of this cluster is never named in
// a deletion. Whether the machine is gone, only a later Inventory tells.
func (p *Provider) Release(ctx context.Context, instanceID string) error {
	return p.explain(fmt.Sprintf("releasing machine %q", instanceID), p.release(ctx, instanceID))
}

func (p *Provider) release(ctx context.Context, instanceID string) error {
	if instanceID == "" {
		return cloudprovider.Errorf(cloudprovider.GiveUp, ReasonInvalidRequest, "no machine is named")
	}
	at, err := p.findPlace(ctx)
	if err != nil {
		return err
	}
	if !p.sawWorker(instanceID) {
		readAt := p.options.Clock.Now()
		workers, err := p.workers(ctx, at.cluster)
		if err != nil {
			return err
		}
		p.remember(workers, readAt)
		i := slices.IndexFunc(workers, func(n wire.Node) bool { return n.Identifier == instanceID })
		switch {
		case i < 0:
			return cloudprovider.Errorf(cloudprovider.LookFirst, ReasonNotFound, "it is not among the %d workers of cluster %q", len(workers), at.cluster)
		case isDeleting(workers[i]):
			return nil // accepted before
		}
	}
	err = p.client.DeleteWorker(ctx, at.cluster, instanceID)
	p.unsee(instanceID) // whoever asks again looks again
	if err != nil {
		return err
	}
	p.catalogue.takeBack()
	return nil
}

func isDeleting(n wire.Node) bool {
	switch n.Status {
	case "deleting", "deleted", "terminating", "terminated", "removing", "removed", "destroying", "destroyed":
		return true
	}
	return false
}

// address returns the text if it is an IP address: "0" and "pending" are not.
func address(text string) string {
	if ip, err := netip.ParseAddr(text); err != nil || ip.IsUnspecified() {
		return ""
	}
	return text
}
