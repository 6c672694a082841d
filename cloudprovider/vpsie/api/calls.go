// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
)

const (
	pageSize = 100
	maxPages = 50
)

// Ping is the cheapest call that needs valid credentials.
func (c *Client) Ping(ctx context.Context) error {
	_, err := c.call(ctx, request{endpoint: ListDatacenters, method: http.MethodGet, path: "/datacenter", query: page(0, 1)})
	return err
}

// Datacenters returns all datacenters.
func (c *Client) Datacenters(ctx context.Context) ([]wire.Datacenter, error) {
	var all []wire.Datacenter
	seen := map[string]bool{}
	for n := range maxPages {
		data, err := c.call(ctx, request{
			endpoint: ListDatacenters, method: http.MethodGet, path: "/datacenter", query: page(n*pageSize, pageSize),
		})
		if err != nil {
			return nil, err
		}
		rows, err := decoded(ListDatacenters, data, wire.Datacenters)
		if err != nil {
			return nil, err
		}
		before := len(all)
		for _, row := range rows {
			if !seen[row.Identifier] {
				seen[row.Identifier] = true
				all = append(all, row)
			}
		}
		// A server that ignores the offset sends the same page again and again.
		if len(rows) < pageSize || len(all) == before {
			break
		}
	}
	return all, nil
}

// page asks for limit records from the record offset on.
func page(offset, limit int) url.Values {
	return url.Values{"offset": {strconv.Itoa(offset)}, "limit": {strconv.Itoa(limit)}}
}

// KubernetesOffers returns the sizes of workers in a datacenter. It is a POST that changes nothing.
func (c *Client) KubernetesOffers(ctx context.Context, datacenter string) ([]wire.Offer, error) {
	if err := given(ListOffers, "datacenter", datacenter); err != nil {
		return nil, err
	}
	data, err := c.call(ctx, request{
		endpoint: ListOffers, method: http.MethodPost, path: "/k8s/offers", body: map[string]string{"dcIdentifier": datacenter},
	})
	if err != nil {
		return nil, err
	}
	return decoded(ListOffers, data, wire.Offers)
}

// Clusters returns all clusters of the account, without their nodes.
func (c *Client) Clusters(ctx context.Context) ([]wire.Cluster, error) {
	data, err := c.call(ctx, request{endpoint: ListClusters, method: http.MethodGet, path: "/k8s/cluster/all"})
	if err != nil {
		return nil, err
	}
	return decoded(ListClusters, data, wire.Clusters)
}

// Cluster returns one cluster with its nodes. A cluster that VPSie does not know is an error for which IsNotFound holds.
func (c *Client) Cluster(ctx context.Context, id string) (wire.Cluster, error) {
	if err := given(GetCluster, "cluster", id); err != nil {
		return wire.Cluster{}, err
	}
	data, err := c.call(ctx, request{endpoint: GetCluster, method: http.MethodGet, path: clusterPath(id)})
	switch {
	case err != nil:
		return wire.Cluster{}, err
	case wire.IsFalse(data):
		return wire.Cluster{}, fmt.Errorf("%s: cluster %q: %w", GetCluster, id, ErrAbsent)
	case wire.IsAbsent(data):
		return wire.Cluster{}, misread(GetCluster, "it has no data where a cluster belongs")
	}
	cluster, err := decoded(GetCluster, data, wire.ClusterWithNodes)
	if err != nil {
		return wire.Cluster{}, err
	}
	if !strings.EqualFold(cluster.Identifier, id) {
		return wire.Cluster{}, misread(GetCluster, fmt.Sprintf("it is about cluster %q, not %q", clip(cluster.Identifier, 64), id))
	}
	return cluster, nil
}

// NodeGroups returns the node groups of a cluster.
func (c *Client) NodeGroups(ctx context.Context, clusterID string) ([]wire.NodeGroup, error) {
	if err := given(ListNodeGroups, "cluster", clusterID); err != nil {
		return nil, err
	}
	data, err := c.call(ctx, request{
		endpoint: ListNodeGroups, method: http.MethodGet, path: "/k8s/node/groups/byClusterId/" + url.PathEscape(clusterID),
	})
	if err != nil {
		return nil, err
	}
	return decoded(ListNodeGroups, data, wire.NodeGroups)
}

// CreateNodeGroup makes an empty node group of one size. VPSie does not reliably say which identifier it got: list them.
func (c *Client) CreateNodeGroup(ctx context.Context, clusterID, name string, sizeID int64) error {
	if err := given(CreateNodeGroup, "cluster", clusterID, "name", name); err != nil {
		return err
	}
	_, err := c.call(ctx, request{
		endpoint: CreateNodeGroup, method: http.MethodPost, path: "/k8s/cluster/add/group",
		body: map[string]any{"clusterIdentifier": clusterID, "groupName": name, "KubeSizeID": sizeID},
	})
	return err
}

// AddWorker orders one machine. VPSie gives it no identifier yet. What it is for goes along as X-Request-Id, for the day that
// VPSie's support is asked about it; VPSie is not known to read it.
func (c *Client) AddWorker(ctx context.Context, clusterID string, groupID int64, about string) error {
	if err := given(AddWorker, "cluster", clusterID); err != nil {
		return err
	}
	_, err := c.call(ctx, request{
		endpoint: AddWorker, method: http.MethodPost,
		path: clusterPath(clusterID) + "/add/slave/group/" + strconv.FormatInt(groupID, 10), about: about,
	})
	return err
}

// DeleteWorker destroys one machine.
func (c *Client) DeleteWorker(ctx context.Context, clusterID, identifier string) error {
	if err := given(DeleteWorker, "cluster", clusterID, "machine", identifier); err != nil {
		return err
	}
	_, err := c.call(ctx, request{
		endpoint: DeleteWorker, method: http.MethodDelete, path: clusterPath(clusterID) + "/delete/slave",
		body: map[string]string{"identifier": identifier},
	})
	return err
}

func clusterPath(id string) string { return "/k8s/cluster/byId/" + url.PathEscape(id) }

// given refuses an empty identifier: in a path it would address something else.
func given(op Endpoint, fields ...string) error {
	for i := 0; i < len(fields); i += 2 {
		if value := fields[i+1]; value == "" || value == "." || value == ".." {
			return fmt.Errorf("%s: %w: %s %q", op, ErrInvalidRequest, fields[i], value)
		}
	}
	return nil
}

// decoded adds to err where it happened.
func decoded[T any](op Endpoint, data json.RawMessage, read func(json.RawMessage) (T, error)) (T, error) {
	value, err := read(data)
	if err != nil {
		var none T
		return none, misread(op, err.Error())
	}
	return value, nil
}

func misread(op Endpoint, problem string) error {
	return &MalformedError{Op: op, StatusCode: http.StatusOK, Problem: problem}
}
