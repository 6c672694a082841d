// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

func ready(ctx context.Context, h Harness) error {
	if err := h.Provider.Ready(ctx); err != nil {
		return fmt.Errorf("calling Ready: %w", err)
	}
	return nil
}

func offeringsAreComplete(ctx context.Context, h Harness) error {
	offerings, err := h.Provider.Offerings(ctx)
	if err != nil {
		return fmt.Errorf("calling Offerings: %w", err)
	}
	if len(offerings) < 2 {
		return fmt.Errorf("%d offerings: the suite needs two sizes at least", len(offerings))
	}
	var errs []error
	for i, o := range offerings {
		if i > 0 {
			before := offerings[i-1]
			if o.Price < before.Price || o.Price == before.Price && o.ID <= before.ID {
				errs = append(errs, fmt.Errorf("offering %q stands after %q: want them by price, then identifier, each once", o.ID, before.ID))
			}
		}
		errs = append(errs, complete(o))
	}
	return errors.Join(errs...)
}

func complete(o scheduling.Offering) error {
	var missing []string
	for name, there := range map[string]bool{
		"identifier": o.ID != "", "name": isLabel(o.Name), "datacenter": o.Datacenter != "", "zone": isLabel(o.Zone), "region": isLabel(o.Region),
		"arch": isLabel(o.Arch), "cpu": o.CPUMilli > 0, "memory": o.MemoryMiB > 0, "price": o.Price > 0, "availability": o.Available,
	} {
		if !there {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("offering %q lacks a usable %s: %+v", o.ID, strings.Join(missing, ", "), o)
}

// isLabel says whether a text can be a label's value.
func isLabel(text string) bool {
	if text == "" || len(text) > 63 {
		return false
	}
	outside := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r)
	}
	return !strings.ContainsFunc(text, outside) && strings.Trim(text, "-_.") == text
}

func offeringsAreCopies(ctx context.Context, h Harness) error {
	first, err := h.Provider.Offerings(ctx)
	if err != nil {
		return fmt.Errorf("calling Offerings: %w", err)
	}
	kept := slices.Clone(first)
	for i := range first {
		first[i] = scheduling.Offering{ID: "changed by the caller"}
	}
	second, err := h.Provider.Offerings(ctx)
	if err != nil {
		return fmt.Errorf("calling Offerings: %w", err)
	}
	if !slices.Equal(kept, second) {
		return fmt.Errorf("offerings changed from %+v to %+v", kept, second)
	}
	return nil
}

func outOfStock(ctx context.Context, h Harness) error {
	s, err := start(ctx, h)
	if err != nil {
		return err
	}
	h.Faults.OutOfStock(s.large.ID)
	if err := wants(h.Provider.Order(ctx, s.order(s.large)), cloudprovider.TryElsewhere); err != nil {
		return fmt.Errorf("order of an offering without stock: %w", err)
	}
	if err := available(ctx, h, s.large, s.small); err != nil {
		return err
	}
	if err := s.expectNew(ctx, 0); err != nil {
		return err
	}
	h.Advance(h.SetAside)
	if err := available(ctx, h, scheduling.Offering{}, s.large, s.small); err != nil {
		return fmt.Errorf("after %v: %w", h.SetAside, err)
	}
	if err := h.Provider.Order(ctx, s.order(s.large)); err != nil {
		return fmt.Errorf("order when there is stock again: %w", err)
	}
	return s.expectNew(ctx, 1)
}

// available demands that the first offering is not available and the others are.
func available(ctx context.Context, h Harness, out scheduling.Offering, in ...scheduling.Offering) error {
	offerings, err := h.Provider.Offerings(ctx)
	if err != nil {
		return fmt.Errorf("calling Offerings: %w", err)
	}
	for _, o := range offerings {
		wanted := slices.ContainsFunc(in, func(i scheduling.Offering) bool { return i.ID == o.ID })
		switch {
		case o.ID == out.ID && o.Available:
			return fmt.Errorf("offering %q counts as available although it is out of stock", o.ID)
		case wanted && !o.Available:
			return fmt.Errorf("offering %q does not count as available although it is in stock", o.ID)
		}
	}
	return nil
}
