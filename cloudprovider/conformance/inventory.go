// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

func inventoryTellsTime(ctx context.Context, h Harness) error {
	first, err := h.Provider.Inventory(ctx)
	if err != nil {
		return fmt.Errorf("calling Inventory: %w", err)
	}
	h.Advance(h.Patience)
	second, err := h.Provider.Inventory(ctx)
	if err != nil {
		return fmt.Errorf("calling Inventory: %w", err)
	}
	apart := second.ReadAt.Sub(first.ReadAt)
	if first.ReadAt.IsZero() || apart < h.Patience || apart > h.Patience+time.Minute {
		return fmt.Errorf("read at %v and, %v later, at %v", first.ReadAt, h.Patience, second.ReadAt)
	}
	return nil
}

// machines is a scene with one machine to release, and two to leave alone: one before and one after it by identifier, so
// that a cloud which picks a machine by itself is caught.
func machines(ctx context.Context, h Harness) (s *scene, gone cloudprovider.Instance, stay []cloudprovider.Instance, err error) {
	if s, err = start(ctx, h); err != nil {
		return nil, gone, nil, err
	}
	for range 3 {
		if err := h.Provider.Order(ctx, s.order(s.small)); err != nil {
			return nil, gone, nil, fmt.Errorf("calling Order: %w", err)
		}
	}
	if err := s.expectNew(ctx, 3); err != nil {
		return nil, gone, nil, err
	}
	return s, s.latest[1], []cloudprovider.Instance{s.latest[0], s.latest[2]}, nil
}

// expectLeft demands that exactly these of the new machines are left in the end.
func (s *scene) expectLeft(ctx context.Context, stay []cloudprovider.Instance) error {
	if err := s.expectNew(ctx, len(stay)); err != nil {
		return err
	}
	for i, want := range stay {
		if got := s.latest[i]; got.ID != want.ID || got.Deleting {
			return fmt.Errorf("want %q left, got %+v", want.ID, got)
		}
	}
	return nil
}

func releaseRemovesOne(ctx context.Context, h Harness) error {
	s, gone, stay, err := machines(ctx, h)
	if err != nil {
		return err
	}
	if err := h.Provider.Release(ctx, gone.ID); err != nil {
		return fmt.Errorf("calling Release: %w", err)
	}
	if err := s.expectLeft(ctx, stay); err != nil {
		return err
	}
	if err := wants(h.Provider.Release(ctx, gone.ID), cloudprovider.LookFirst); err != nil {
		return fmt.Errorf("release of a machine that is gone: %w", err)
	}
	return s.expectLeft(ctx, stay)
}

func unknownRelease(ctx context.Context, h Harness) error {
	s, _, _, err := machines(ctx, h)
	if err != nil {
		return err
	}
	var errs []error
	if err := wants(h.Provider.Release(ctx, "no-such-machine"), cloudprovider.LookFirst); err != nil {
		errs = append(errs, fmt.Errorf("release of an unknown machine: %w", err))
	}
	if err := h.Provider.Release(ctx, ""); err == nil {
		errs = append(errs, errors.New("release of no machine was accepted"))
	}
	return errors.Join(append(errs, s.expectNew(ctx, 3))...)
}

func lostRelease(ctx context.Context, h Harness) error {
	s, gone, stay, err := machines(ctx, h)
	if err != nil {
		return err
	}
	h.Faults.LoseReplyBeforeEffect()
	if err := wants(h.Provider.Release(ctx, gone.ID), cloudprovider.LookFirst); err != nil {
		return fmt.Errorf("release that was lost: %w", err)
	}
	if err := s.expectNew(ctx, 3); err != nil {
		return err
	}
	if err := h.Provider.Release(ctx, gone.ID); err != nil {
		return fmt.Errorf("second Release: %w", err)
	}
	return s.expectLeft(ctx, stay)
}

func ignoredRelease(ctx context.Context, h Harness) error {
	s, gone, stay, err := machines(ctx, h)
	if err != nil {
		return err
	}
	h.Faults.IgnoreRelease()
	if err := h.Provider.Release(ctx, gone.ID); err != nil {
		return fmt.Errorf("calling Release: %w", err)
	}
	if err := s.expectNew(ctx, 3); err != nil {
		return err
	}
	if err := h.Provider.Release(ctx, gone.ID); err != nil {
		return fmt.Errorf("second Release: %w", err)
	}
	return s.expectLeft(ctx, stay)
}

func unreadableInventory(ctx context.Context, h Harness) error {
	s, _, _, err := machines(ctx, h)
	if err != nil {
		return err
	}
	h.Faults.Unreadable()
	if inventory, err := h.Provider.Inventory(ctx); err == nil {
		return fmt.Errorf("an inventory that cannot be read has %d instances and no error", len(inventory.Instances))
	}
	return s.expectNew(ctx, 3)
}

func refusedCredentials(ctx context.Context, h Harness) error {
	s, gone, _, err := machines(ctx, h)
	if err != nil {
		return err
	}
	_, offerings := h.Refused.Offerings(ctx)
	_, inventory := h.Refused.Inventory(ctx)
	var errs []error
	for call, err := range map[string]error{
		"Ready": h.Refused.Ready(ctx), "Offerings": offerings, "Inventory": inventory,
		"Order": h.Refused.Order(ctx, s.order(s.small)), "Release": h.Refused.Release(ctx, gone.ID),
	} {
		if err := wants(err, cloudprovider.GiveUp); err != nil {
			errs = append(errs, fmt.Errorf("%s with refused credentials: %w", call, err))
		}
	}
	return errors.Join(append(errs, s.expectNew(ctx, 3))...)
}
