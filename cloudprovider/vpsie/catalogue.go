// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsie/api/wire"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// catalogue keeps the offerings, and which of them could not be had lately.
type catalogue struct {
	client  *api.Client
	options Options
	reading turn // one reads, the others wait for its result

	mu        sync.Mutex
	offerings []scheduling.Offering
	readAt    time.Time
	failedAt  time.Time        // of the last reading, if it failed
	known     map[string]shape // every offering ever seen: machines outlive the offer they were bought as
	setAside  map[string]refusal
}

// everyOffering in setAside stands for all offerings: a limit of the account knows no sizes.
const everyOffering = ""

type refusal struct {
	err   *cloudprovider.Error
	until time.Time
}

func newCatalogue(client *api.Client, o Options) *catalogue {
	return &catalogue{
		client: client, options: o, reading: newTurn(), known: map[string]shape{}, setAside: map[string]refusal{},
	}
}

// failedReadPause is how long after a failed reading no other is tried while old offerings do: during an outage every plan
// asks, and each would wait for the repetitions of a read that is likely to fail again.
const failedReadPause = 15 * time.Second

// Offerings returns what VPSie sells in the cluster's datacenter. While VPSie refuses the credentials that is nothing, however
// fresh the prices are: plans made on them would only become VPSieNodes that fail.
func (p *Provider) Offerings(ctx context.Context) ([]scheduling.Offering, error) {
	if p.isLockedOut() {
		if err := p.client.Ping(ctx); err != nil {
			return nil, p.explain("asking whether VPSie takes the credentials again", err)
		}
		p.letIn()
	}
	at, err := p.findPlace(ctx)
	if err != nil {
		return nil, p.explain("looking for the cluster", err)
	}
	offerings, err := p.catalogue.read(ctx, at.datacenter)
	for i := range offerings {
		offerings[i].Cluster, offerings[i].Project = at.cluster, at.project
	}
	return offerings, p.explain("reading VPSie's offerings", err)
}

// read returns a copy of the offerings, read again if they are old. If that fails they are used for as long again: prices
// change seldom, and a short outage should not stop planning.
func (c *catalogue) read(ctx context.Context, d wire.Datacenter) ([]scheduling.Offering, error) {
	if err := c.reading.take(ctx); err != nil {
		return nil, err
	}
	defer c.reading.leave()
	if offerings, age := c.current(); age < c.options.OfferingsTTL || age < 2*c.options.OfferingsTTL && c.failedJustNow() {
		return offerings, nil
	}
	started := c.options.Clock.Now()
	offers, err := c.client.KubernetesOffers(ctx, d.Identifier)
	if err != nil {
		c.noteFailure()
		if offerings, age := c.current(); age < 2*c.options.OfferingsTTL {
			c.options.Logger.V(1).Info("Used old offerings", "age", age, "error", err.Error())
			return offerings, nil
		}
		return nil, err
	}
	offerings, left := offeringsIn(d, offers)
	if left > 0 {
		c.options.Logger.V(1).Info("Left out offers without a size or a price", "count", left)
	}
	if len(offers) > 0 && len(offerings) == 0 {
		return nil, &api.MalformedError{Op: api.ListOffers, StatusCode: 200, Problem: "none of its offers has both a size and a price"}
	}
	c.replace(offerings, started)
	offerings, _ = c.current()
	return offerings, nil
}

func (c *catalogue) replace(offerings []scheduling.Offering, readAt time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offerings, c.readAt, c.failedAt = offerings, readAt, time.Time{}
	for _, o := range offerings {
		c.known[o.ID] = shape{cpuMilli: o.CPUMilli, memoryMiB: o.MemoryMiB, diskGiB: o.DiskGiB}
	}
}

func (c *catalogue) noteFailure() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failedAt = c.options.Clock.Now()
}

func (c *catalogue) failedJustNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.failedAt.IsZero() && c.options.Clock.Since(c.failedAt) < failedReadPause
}

// current returns a copy with what is available now, and its age: without end before the first reading.
func (c *catalogue) current() ([]scheduling.Offering, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readAt.IsZero() {
		return nil, time.Duration(1<<63 - 1)
	}
	offerings := slices.Clone(c.offerings)
	for i := range offerings {
		offerings[i].Available = c.refused(offerings[i].ID) == nil
	}
	return offerings, c.options.Clock.Since(c.readAt)
}

func (c *catalogue) knowsSizes() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.known) > 0
}

func (c *catalogue) age() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.readAt.IsZero() {
		return 0
	}
	return c.options.Clock.Since(c.readAt)
}

// refused returns why the offering is set aside, nil if it is not. c.mu is held.
func (c *catalogue) refused(id string) *cloudprovider.Error {
	now := c.options.Clock.Now()
	for _, key := range []string{everyOffering, id} {
		if r, ok := c.setAside[key]; ok && now.Before(r.until) {
			return r.err
		}
	}
	return nil
}

// whySetAside returns the refusal because of which the offering is set aside, nil if it is not.
func (c *catalogue) whySetAside(id string) *cloudprovider.Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused(id)
}

// putAside makes an offering, or everyOffering, not available for a while.
func (c *catalogue) putAside(id string, why *cloudprovider.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setAside[id] = refusal{err: why, until: c.options.Clock.Now().Add(c.options.SetAsideTTL)}
}

// takeBack ends what putAside did to everyOffering: a released machine makes room for another.
func (c *catalogue) takeBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.setAside, everyOffering)
}

func (c *catalogue) countSetAside() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for _, o := range c.offerings {
		if c.refused(o.ID) != nil {
			count++
		}
	}
	return count
}

// candidates returns the offerings that a machine may have been bought as, in order. VPSie tells its size at best, and
// several offerings may have the same. A machine about which nothing is told may be any. Where no offering has the memory, it
// is told as the guest sees it, which may be less than was sold: then the rest of the size decides.
func (c *catalogue) candidates(n wire.Node) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id := strconv.FormatInt(n.SizeID, 10); n.SizeID > 0 {
		return []string{id}
	}
	ids := c.matching(n)
	if len(ids) == 0 {
		n.MemoryMB = 0
		ids = c.matching(n)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return ids
}

// matching returns the known offerings of the machine's size. c.mu is held.
func (c *catalogue) matching(n wire.Node) []string {
	var ids []string
	for id, s := range c.known {
		if s.matches(n) {
			ids = append(ids, id)
		}
	}
	return ids
}
