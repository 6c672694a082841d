// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
)

// inventories shares reads of the inventory: one read serves every VPSieNode that waits for something to appear or to go. Nobody waits for a read
// that somebody else makes: when VPSie does not answer it takes minutes, in which the others have better to do.
type inventories struct {
	cloud    Cloud
	clock    clock.PassiveClock
	interval time.Duration
	memory   time.Duration // how long machines are remembered that are not listed any more
	metrics  *metrics

	mu      sync.Mutex
	reading bool
	tried   time.Time // when the last read ended
	latest  cloudprovider.Inventory
	err     error
	listed  map[string]sighting // by identifier
}

// sighting is a machine as it was last listed, and when.
type sighting struct {
	instance cloudprovider.Instance
	at       time.Time
}

// soon is when to ask again while somebody else reads.
const soon = time.Second

// after returns an inventory whose read began after t. A positive wait means that there is none yet and when to ask again. An error is the
// cloud's; it is never turned into an empty inventory.
func (i *inventories) after(ctx context.Context, t time.Time) (inventory cloudprovider.Inventory, wait time.Duration, err error) {
	if i.begin() {
		i.read(ctx)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.err != nil:
		return cloudprovider.Inventory{}, 0, i.err
	case i.latest.ReadAt.After(t):
		return i.latest, 0, nil
	case i.reading:
		return cloudprovider.Inventory{}, soon, nil
	default:
		return cloudprovider.Inventory{}, max(i.interval-i.clock.Since(i.tried), 100*time.Millisecond), nil
	}
}

// begin says whether the caller is to read: nobody does, and the last read ended long enough ago.
func (i *inventories) begin() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.reading || !i.tried.IsZero() && i.clock.Since(i.tried) < i.interval {
		return false
	}
	i.reading = true
	return true
}

func (i *inventories) read(ctx context.Context) {
	inventory, err := cloudprovider.Inventory{}, errUnread
	defer func() { // also when the read panics: nobody would ever read again
		i.mu.Lock()
		defer i.mu.Unlock()
		i.note(ctx, err)
		i.reading, i.tried, i.err = false, i.clock.Now(), err
		if err == nil {
			i.latest = inventory
			i.remember(inventory)
		}
	}()
	inventory, err = i.cloud.Inventory(ctx)
	i.metrics.inventoryRead(err)
}

var errUnread error = cloudprovider.Errorf(cloudprovider.TryLater, "Unread", "the inventory was not read to its end")

// remember keeps in mind which machines there are: a list that is short must not make an old one look new.
func (i *inventories) remember(inventory cloudprovider.Inventory) {
	if i.listed == nil {
		i.listed = map[string]sighting{}
	}
	now := i.clock.Now()
	for _, instance := range inventory.Instances {
		i.listed[instance.ID] = sighting{instance, now}
	}
	maps.DeleteFunc(i.listed, func(_ string, s sighting) bool { return now.Sub(s.at) > i.memory })
}

// remembered are the identifiers of the machines that were listed of late, sorted.
func (i *inventories) remembered() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Sorted(maps.Keys(i.listed))
}

// hidden are the machines that the inventory lacks and an earlier one listed within a time, by identifier.
func (i *inventories) hidden(inventory cloudprovider.Inventory, within time.Duration) []cloudprovider.Instance {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.clock.Now()
	var hidden []cloudprovider.Instance
	for _, id := range slices.Sorted(maps.Keys(i.listed)) {
		if _, listed := inventory.Find(id); !listed && now.Sub(i.listed[id].at) <= within {
			hidden = append(hidden, i.listed[id].instance)
		}
	}
	return hidden
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
