// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package wire turns VPSie's JSON into Go values. VPSie sends the same thing in several shapes, so it takes all that are
// known: flags as boolean, number or string, money as number or string, lists bare or in rows. It never takes what it
// cannot read for something empty, and never quotes an answer in an error.
package wire

import (
	"encoding/json"
	"errors"
	"time"
)

// Datacenters reads a list of datacenters.
func Datacenters(data json.RawMessage) ([]Datacenter, error) { return each(data, (*Datacenter).decode) }

// Offers reads a list of sizes.
func Offers(data json.RawMessage) ([]Offer, error) { return each(data, (*Offer).decode) }

// Clusters reads a list of clusters, without their nodes.
func Clusters(data json.RawMessage) ([]Cluster, error) { return each(data, (*Cluster).decode) }

// NodeGroups reads a list of node groups.
func NodeGroups(data json.RawMessage) ([]NodeGroup, error) { return each(data, (*NodeGroup).decode) }

// ClusterWithNodes reads one cluster. Its nodes are the one list in which nothing may be left out.
func ClusterWithNodes(data json.RawMessage) (Cluster, error) {
	var c Cluster
	err := c.decodeWithNodes(data)
	return c, err
}

// Token reads the answer to an exchange of credentials, which stands beside the envelope's data and has two shapes. The
// time of expiry is zero where it is missing or not understood.
func Token(body []byte) (string, time.Time, error) {
	type granted struct {
		Token   text `json:"token"`
		Expires text `json:"expires"`
	}
	var answer struct {
		Access granted `json:"accessToken"`
		Token  struct {
			Access granted `json:"access"`
		} `json:"token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", time.Time{}, errors.New("its token has an unknown shape")
	}
	access := answer.Token.Access
	if access.Token == "" {
		access = answer.Access
	}
	if access.Token == "" {
		return "", time.Time{}, errors.New("it holds no token")
	}
	expires, err := time.Parse(time.RFC3339, string(access.Expires))
	if err != nil {
		expires = time.Time{}
	}
	return string(access.Token), expires, nil
}

// each reads a list of things of which one that makes no sense is left out. Where none makes sense, that is an error.
func each[T any](data json.RawMessage, decode func(*T, []byte) error) ([]T, error) {
	rows, err := list(data)
	if err != nil {
		return nil, err
	}
	result := make([]T, 0, len(rows))
	var problem error
	for _, row := range rows {
		var item T
		if err := decode(&item, row); err != nil {
			problem = err
			continue
		}
		result = append(result, item)
	}
	if len(result) == 0 && problem != nil {
		return nil, problem
	}
	return result, nil
}
