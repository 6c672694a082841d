// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

func orderBecomesMachine(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	if err := h.Provider.Order(ctx, s.order(s.large)); err != nil {
		return fmt.Errorf("calling Order: %w", err)
	}
	if err := s.expectNew(ctx, 1); err != nil {
		return err
	}
	instance := s.latest[0]
	var errs []error
	if instance.ID == "" || instance.Hostname == "" || instance.Hostname != strings.ToLower(instance.Hostname) {
		errs = append(errs, fmt.Errorf("want an identifier and a hostname in lower case, got %+v", instance))
	}
	if !instance.Matches(s.large.ID) || instance.Matches(s.small.ID) {
		errs = append(errs, fmt.Errorf("the machine was bought as %q and may be any of %q", s.large.ID, instance.OfferingIDs))
	}
	if instance.Deleting {
		errs = append(errs, errors.New("the new machine is being deleted"))
	}
	return errors.Join(errs...)
}

func eachOrderBecomesMachine(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	for range 3 {
		if err := h.Provider.Order(ctx, s.order(s.small)); err != nil {
			return fmt.Errorf("calling Order: %w", err)
		}
	}
	if err := h.Provider.Order(ctx, s.order(s.large)); err != nil {
		return fmt.Errorf("calling Order: %w", err)
	}
	if err := s.expectNew(ctx, 4); err != nil {
		return err
	}
	large := 0
	for i, instance := range s.latest {
		if instance.Matches(s.large.ID) {
			large++
		}
		if i > 0 && instance.ID <= s.latest[i-1].ID {
			return fmt.Errorf("instances are not in the order of their identifiers: %+v", s.latest)
		}
	}
	if large != 1 {
		return fmt.Errorf("of 4 machines, %d may be the one bought as %q", large, s.large.ID)
	}
	return nil
}

func senselessOrders(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	elsewhere, unknown := s.order(s.small), s.order(s.small)
	elsewhere.Datacenter, unknown.OfferingID = "no-such-datacenter", "no-such-offering"
	var errs []error
	if err := wants(h.Provider.Order(ctx, cloudprovider.Order{}), cloudprovider.GiveUp); err != nil {
		errs = append(errs, fmt.Errorf("empty Order: %w", err))
	}
	if err := wants(h.Provider.Order(ctx, elsewhere), cloudprovider.GiveUp); err != nil {
		errs = append(errs, fmt.Errorf("order in an unknown datacenter: %w", err))
	}
	if err := wants(h.Provider.Order(ctx, unknown), cloudprovider.TryElsewhere); err != nil {
		errs = append(errs, fmt.Errorf("order of an unknown offering: %w", err))
	}
	return errors.Join(append(errs, s.expectNew(ctx, 0))...)
}

func canceledOrder(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	left, leave := context.WithCancel(ctx)
	leave()
	if err := wants(h.Provider.Order(left, s.order(s.small)), cloudprovider.TryLater); err != nil {
		return fmt.Errorf("order whose context was done before: %w", err)
	}
	return s.expectNew(ctx, 0)
}

func atLimit(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	h.Faults.AtLimit()
	if err := wants(h.Provider.Order(ctx, s.order(s.small)), cloudprovider.GiveUp); err != nil {
		return fmt.Errorf("order above the limit: %w", err)
	}
	return s.expectNew(ctx, 0)
}

func lostReplyAfterOrder(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	if err := h.warmUp(ctx, s); err != nil {
		return err
	}
	h.Faults.LoseReplyAfterEffect()
	if err := wants(h.Provider.Order(ctx, s.order(s.large)), cloudprovider.LookFirst); err != nil {
		return fmt.Errorf("order whose reply was lost: %w", err)
	}
	return s.expectNew(ctx, 1)
}

func lostOrder(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	if err := h.warmUp(ctx, s); err != nil {
		return err
	}
	h.Faults.LoseReplyBeforeEffect()
	if err := wants(h.Provider.Order(ctx, s.order(s.large)), cloudprovider.LookFirst); err != nil {
		return fmt.Errorf("order that was lost: %w", err)
	}
	return s.expectNew(ctx, 0)
}

// warmUp buys and releases a machine, so that nothing is left to be prepared by the order that is to fail.
func (h Harness) warmUp(ctx context.Context, s *scene) error {
	if err := h.Provider.Order(ctx, s.order(s.large)); err != nil {
		return fmt.Errorf("calling Order: %w", err)
	}
	if err := s.expectNew(ctx, 1); err != nil {
		return err
	}
	if err := h.Provider.Release(ctx, s.latest[0].ID); err != nil {
		return fmt.Errorf("calling Release: %w", err)
	}
	return s.expectNew(ctx, 0)
}
