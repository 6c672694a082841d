// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package cloudprovider is the cloud as the rest of the project sees it: offerings that can be bought, instances that
// exist, and how to react when the cloud says no. It turns no request into HTTP itself; a Provider does.
package cloudprovider

import (
	"context"
	"slices"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// Provider is a cloud. It has more than three methods because each is one of the five things that can be asked of a
// cloud, and every implementation must answer all of them (package conformance checks that it does).
type Provider interface {
	// Offerings returns what can be bought now, cheapest first, then by identifier. It may answer from a cache that
	// is at most a few minutes old.
	Offerings(context.Context) ([]scheduling.Offering, error)

	// Order asks for one machine of one offering. It is sent once and never retried inside: a nil error means that
	// the cloud accepted it, an error whose reaction is LookFirst that it may or may not have. The cloud gives no
	// name to what it accepted; the machine shows up in Inventory later.
	Order(context.Context, Order) error

	// Inventory reads, never from a cache, all machines of the cluster.
	Inventory(context.Context) (Inventory, error)

	// Release asks for the machine's destruction. A nil error means that the cloud accepted it, not that the machine is
	// gone. A machine that is not there is an error whose reaction is LookFirst.
	Release(ctx context.Context, instanceID string) error

	// Ready says whether the cloud answers with the present credentials; its error is what a user should read.
	Ready(context.Context) error
}

// Order is one machine that is wanted.
type Order struct {
	Name       string // the VPSieNode's; for logs, the cloud does not take it
	OfferingID string
	Datacenter string // identifier
}

// Inventory is all machines of the cluster at one time.
type Inventory struct {
	Instances []Instance // by ID
	ReadAt    time.Time  // when the request was sent: what happened later may be missing
	// Cluster and Project are the identifiers of those that orders are sent for; empty where the cloud does not tell.
	Cluster, Project string
}

// Find returns the instance with that identifier.
func (i Inventory) Find(id string) (Instance, bool) {
	for _, instance := range i.Instances {
		if instance.ID == id {
			return instance, true
		}
	}
	return Instance{}, false
}

// Instance is one machine that exists in the cloud.
type Instance struct {
	ID          string
	Hostname    string   // in lower case: the name that its Node will have
	IP          string   // empty until it has one
	OfferingIDs []string // the offerings it may have been bought as: the cloud tells its size, not its order
	Deleting    bool
}

// Matches says whether the machine may have been bought as that offering.
func (i Instance) Matches(offeringID string) bool {
	return slices.Contains(i.OfferingIDs, offeringID)
}
