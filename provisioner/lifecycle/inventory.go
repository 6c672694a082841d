// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// inventories shares reads of the inventory: one read serves every VPSieNode that waits for something to appear or to go.
type inventories struct {
	cloud    Cloud
	clock    clock.PassiveClock
	interval time.Duration
	metrics  *metrics

	mu     sync.Mutex
	tried  time.Time
	latest cloudprovider.Inventory
	err    error
}

// after returns an inventory whose read began after t. A positive wait means that there is none yet and when to ask again. An error is the
// cloud's; it is never turned into an empty inventory.
func (i *inventories) after(ctx context.Context, t time.Time) (inventory cloudprovider.Inventory, wait time.Duration, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.clock.Now()
	if i.tried.IsZero() || now.Sub(i.tried) >= i.interval {
		i.tried = now
		inventory, err := i.cloud.Inventory(ctx)
		i.metrics.inventoryRead(err)
		i.note(ctx, err)
		i.err = err
		if err == nil {
			i.latest = inventory
		}
	}
	if i.err != nil {
		return cloudprovider.Inventory{}, 0, i.err
	}
	if !i.latest.ReadAt.After(t) {
		return cloudprovider.Inventory{}, max(i.interval-now.Sub(i.tried), 100*time.Millisecond), nil
	}
	return i.latest, 0, nil
}

// note logs an outage when it begins, is another, or ends.
func (i *inventories) note(ctx context.Context, err error) {
	logger := log.FromContext(ctx)
	switch {
	case err == nil && i.err != nil:
		logger.Info("could read VPSie's inventory again")
	case err != nil && (i.err == nil || cloudprovider.ReasonOf(i.err) != cloudprovider.ReasonOf(err)):
		logger.Info("could not read VPSie's inventory; what it has to show waits", "reason", cloudprovider.ReasonOf(err), "err", err.Error())
	}
}
