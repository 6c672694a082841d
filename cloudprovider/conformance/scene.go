// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// scene is a cloud whose machines have been counted, and two offerings of different size to buy in it.
type scene struct {
	harness      Harness
	before       map[string]bool
	small, large scheduling.Offering
	latest       []cloudprovider.Instance // the machines that were not there before, as last seen
}

func start(ctx context.Context, h Harness) (*scene, error) {
	offerings, err := h.Provider.Offerings(ctx)
	if err != nil {
		return nil, fmt.Errorf("calling Offerings: %w", err)
	}
	inventory, err := h.Provider.Inventory(ctx)
	if err != nil {
		return nil, fmt.Errorf("calling Inventory: %w", err)
	}
	s := &scene{harness: h, before: map[string]bool{}}
	for _, instance := range inventory.Instances {
		s.before[instance.ID] = true
	}
	// The dearest offering and the cheapest one of another size: a provider that orders the first it finds is caught.
	for _, o := range offerings {
		if s.large = offerings[len(offerings)-1]; o.CPUMilli != s.large.CPUMilli || o.MemoryMiB != s.large.MemoryMiB {
			s.small = o
			return s, nil
		}
	}
	return nil, errors.New("there are no two offerings of different size")
}

func (s *scene) order(o scheduling.Offering) cloudprovider.Order {
	return cloudprovider.Order{Name: "conformance", OfferingID: o.ID, Datacenter: o.Datacenter}
}

// steps is how often a scene looks while it is patient.
const steps = 10

// expectNew demands that so many new machines are there in the end. It looks for all of its patience: a second machine of one
// order, or a machine that should not be there at all, may take its time.
func (s *scene) expectNew(ctx context.Context, want int) error {
	for range steps {
		s.harness.Advance(s.harness.Patience / steps)
		inventory, err := s.harness.Provider.Inventory(ctx)
		if err != nil {
			return fmt.Errorf("calling Inventory: %w", err)
		}
		s.latest = nil
		for _, instance := range inventory.Instances {
			if !s.before[instance.ID] {
				s.latest = append(s.latest, instance)
			}
		}
	}
	if len(s.latest) != want {
		return fmt.Errorf("want %d new machines after %v, got %d: %+v", want, s.harness.Patience, len(s.latest), s.latest)
	}
	return nil
}

// wants demands an error that asks for that reaction and names its reason.
func wants(err error, reaction cloudprovider.Reaction) error {
	var e *cloudprovider.Error
	switch {
	case err == nil:
		return fmt.Errorf("want an error whose reaction is %s, got none", reaction)
	case cloudprovider.ReactionTo(err) != reaction:
		return fmt.Errorf("want reaction %s, got %s: %w", reaction, cloudprovider.ReactionTo(err), err)
	case !errors.As(err, &e) || e.Reason == "":
		return fmt.Errorf("want an error with a reason, got: %w", err)
	}
	return nil
}
