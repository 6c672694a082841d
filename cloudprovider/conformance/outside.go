// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

func ordersAtOnce(ctx context.Context, h Harness) error {
	const each = 6
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	var orders sync.WaitGroup
	failures := make([]error, 2*each)
	for i := range failures {
		o := s.small
		if i%2 == 1 {
			o = s.large
		}
		orders.Go(func() { failures[i] = h.Provider.Order(ctx, s.order(o)) })
	}
	orders.Wait()
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("%d orders at once: %w", len(failures), err)
	}
	if err := s.expectNew(ctx, len(failures)); err != nil {
		return err
	}
	large := 0
	for _, instance := range s.latest {
		if instance.Matches(s.large.ID) {
			large++
		}
	}
	if large != each {
		return fmt.Errorf("of %d machines, %d may be the ones bought as %q, want %d", len(s.latest), large, s.large.ID, each)
	}
	return nil
}

func releaseTwice(ctx context.Context, h Harness) error {
	s, gone, stay, err := machines(ctx, h)
	if err != nil {
		return err
	}
	for range 2 { // the second while the first is under way
		if err := h.Provider.Release(ctx, gone.ID); err != nil {
			return fmt.Errorf("calling Release: %w", err)
		}
	}
	return s.expectLeft(ctx, stay)
}

// refusedOnce demands that the next order is refused for later, and that the one after it buys one machine.
func refusedOnce(ctx context.Context, h Harness, fault func()) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	if err := h.warmUp(ctx, s); err != nil {
		return err
	}
	fault()
	if err := wants(h.Provider.Order(ctx, s.order(s.large)), cloudprovider.TryLater); err != nil {
		return err
	}
	if err := s.expectNew(ctx, 0); err != nil {
		return err
	}
	if err := h.Provider.Order(ctx, s.order(s.large)); err != nil {
		return fmt.Errorf("order after the refusal: %w", err)
	}
	return s.expectNew(ctx, 1)
}

func throttledOrder(ctx context.Context, h Harness) error {
	return refusedOnce(ctx, h, h.Faults.Throttle)
}

func unknownAnswer(ctx context.Context, h Harness) error {
	return refusedOnce(ctx, h, h.Faults.AnswerUnknown)
}

func foreignMachine(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	h.Faults.AddForeign(s.large.ID)
	if err := s.expectNew(ctx, 1); err != nil {
		return err
	}
	if !s.latest[0].Matches(s.large.ID) {
		return fmt.Errorf("the machine was added as %q and may be any of %q", s.large.ID, s.latest[0].OfferingIDs)
	}
	return nil
}

func destroyedMachine(ctx context.Context, h Harness) error {
	s, gone, stay, err := machines(ctx, h)
	if err != nil {
		return err
	}
	h.Faults.Destroy(gone.ID)
	if err := s.expectLeft(ctx, stay); err != nil {
		return err
	}
	if err := wants(h.Provider.Release(ctx, gone.ID), cloudprovider.LookFirst); err != nil {
		return fmt.Errorf("release of a machine that was destroyed: %w", err)
	}
	return s.expectLeft(ctx, stay)
}
