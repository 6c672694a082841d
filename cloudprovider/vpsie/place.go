// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
)

// place is where everything happens: one cluster in one datacenter. It never changes once it is known.
type place struct {
	cluster    string
	project    string // number; empty where VPSie does not tell
	datacenter wire.Datacenter
}

// findPlace returns the place, and asks VPSie about it until it is known. Nothing is chosen by guess.
func (p *Provider) findPlace(ctx context.Context) (place, error) {
	if err := p.placeTurn.take(ctx); err != nil {
		return place{}, err
	}
	defer p.placeTurn.leave()
	if p.place != nil {
		return *p.place, nil
	}
	cluster, err := p.findCluster(ctx)
	if err != nil {
		return place{}, err
	}
	groups, err := p.client.NodeGroups(ctx, cluster.Identifier)
	if err != nil {
		return place{}, err
	}
	datacenter, err := p.findDatacenter(ctx, cluster, groups)
	if err != nil {
		return place{}, err
	}
	p.place = &place{cluster: cluster.Identifier, project: projectOf(groups), datacenter: datacenter}
	p.options.Logger.Info("Found the cluster in VPSie",
		"cluster", cluster.Identifier, "name", cluster.Name, "datacenter", datacenter.Identifier, "datacenterName", datacenter.Name)
	return *p.place, nil
}

func (p *Provider) findCluster(ctx context.Context) (wire.Cluster, error) {
	clusters, err := p.client.Clusters(ctx)
	if err != nil {
		return wire.Cluster{}, err
	}
	all := choices(clusters, func(c wire.Cluster) (string, string) { return c.Name, c.Identifier })
	for _, c := range clusters {
		if p.options.ClusterID != "" && strings.EqualFold(c.Identifier, p.options.ClusterID) {
			return c, nil
		}
	}
	switch {
	case len(clusters) == 0:
		return wire.Cluster{}, cloudprovider.Errorf(cloudprovider.GiveUp, ReasonClusterNotFound,
			"the VPSie account has no Kubernetes cluster; check that the credentials belong to the account that owns this one")
	case p.options.ClusterID != "":
		return wire.Cluster{}, cloudprovider.Errorf(cloudprovider.GiveUp, ReasonClusterNotFound,
			"the VPSie account has no Kubernetes cluster %q; set the cluster ID to one of %s", p.options.ClusterID, all)
	case len(clusters) > 1:
		return wire.Cluster{}, cloudprovider.Errorf(cloudprovider.GiveUp, ReasonAmbiguousCluster,
			"the VPSie account has %d Kubernetes clusters; set the cluster ID to one of %s", len(clusters), all)
	}
	return clusters[0], nil
}

// findDatacenter prefers what VPSie says of the cluster; the configured datacenter must not contradict it, since machines
// come where the cluster is.
func (p *Provider) findDatacenter(ctx context.Context, cluster wire.Cluster, groups []wire.NodeGroup) (wire.Datacenter, error) {
	datacenters, err := p.client.Datacenters(ctx)
	if err != nil {
		return wire.Datacenter{}, err
	}
	told := toldDatacenters(cluster, groups)
	fits := func(d wire.Datacenter) bool {
		return len(told) == 0 && (d.Active || p.options.Datacenter != "") || slices.Contains(told, d.Identifier)
	}
	for _, id := range told {
		if !slices.ContainsFunc(datacenters, func(d wire.Datacenter) bool { return d.Identifier == id }) {
			datacenters = append(datacenters, wire.Datacenter{Identifier: id}) // private ones need not be listed
		}
	}
	candidates := slices.DeleteFunc(slices.Clone(datacenters), func(d wire.Datacenter) bool { return !fits(d) })
	possible := choices(candidates, func(d wire.Datacenter) (string, string) { return d.Name, d.Identifier })
	if p.options.Datacenter != "" {
		candidates = slices.DeleteFunc(candidates, func(d wire.Datacenter) bool { return !isCalled(d, p.options.Datacenter) })
	}
	switch {
	case len(candidates) == 1:
		return candidates[0], nil
	case possible == "":
		return wire.Datacenter{}, cloudprovider.Errorf(cloudprovider.GiveUp, ReasonDatacenterNotFound,
			"VPSie lists no datacenter for this account; check that the credentials belong to the account that owns cluster %q", cluster.Identifier)
	case len(candidates) == 0:
		return wire.Datacenter{}, cloudprovider.Errorf(cloudprovider.GiveUp, ReasonDatacenterNotFound,
			"cluster %q cannot be in the datacenter %q; set the datacenter to one of %s", cluster.Identifier, p.options.Datacenter, possible)
	}
	return wire.Datacenter{}, cloudprovider.Errorf(cloudprovider.GiveUp, ReasonAmbiguousDatacenter,
		"VPSie does not tell which datacenter cluster %q is in; set the datacenter to one of %s", cluster.Identifier, possible)
}

// toldDatacenters returns the datacenters that VPSie connects with the cluster: its own, else those of its node groups.
func toldDatacenters(cluster wire.Cluster, groups []wire.NodeGroup) []string {
	if cluster.Datacenter != "" {
		return []string{cluster.Datacenter}
	}
	var told []string
	for _, g := range groups {
		if g.Datacenter != "" && !g.Deleted {
			told = append(told, g.Datacenter)
		}
	}
	slices.Sort(told)
	return slices.Compact(told)
}

// projectOf returns the project that all node groups of the cluster are in, empty where VPSie does not tell one.
func projectOf(groups []wire.NodeGroup) string {
	project := ""
	for _, g := range groups {
		switch {
		case g.Deleted || g.Project == "" || g.Project == "0":
		case project != "" && project != g.Project:
			return ""
		default:
			project = g.Project
		}
	}
	return project
}

func isCalled(d wire.Datacenter, name string) bool {
	return strings.EqualFold(d.Identifier, name) || strings.EqualFold(d.Name, name)
}

// choices lists what a person can choose from, by name: a handful, since this ends in a condition.
func choices[T any](items []T, name func(T) (string, string)) string {
	const most = 12
	var texts []string
	for _, item := range items {
		called, id := name(item)
		texts = append(texts, fmt.Sprintf("%s (%s)", called, id))
	}
	slices.Sort(texts)
	if len(texts) > most {
		texts = append(texts[:most], fmt.Sprintf("%d more", len(texts)-most))
	}
	return strings.Join(texts, ", ")
}
