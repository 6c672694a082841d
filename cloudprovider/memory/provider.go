// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// The reasons of its errors are the words that VPSie's Provider uses.
const (
	reasonCanceled           = "Canceled"
	reasonClusterLocked      = "ClusterLocked"
	reasonDatacenterNotFound = "DatacenterNotFound"
	reasonInvalidCredentials = "InvalidCredentials"
	reasonInvalidRequest     = "InvalidRequest"
	reasonNotFound           = "NotFound"
	reasonOfferingNotFound   = "OfferingNotFound"
	reasonOfferingRefused    = "OfferingRefused"
	reasonOutOfStock         = "OutOfStock"
	reasonQuotaExceeded      = "QuotaExceeded"
	reasonRateLimited        = "RateLimited"
	reasonReplyLost          = "ReplyLost"
	reasonServerError        = "ServerError"
	reasonUnauthorized       = "Unauthorized"
	reasonUnreachable        = "Unreachable"
	reasonUnrecognised       = "Unrecognised"
)

// Ready says whether the cloud answers.
func (c *Cloud) Ready(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failRead(ctx, fault.ListDatacenters)
}

// Offerings returns what is sold, cheapest first.
func (c *Cloud) Offerings(ctx context.Context) ([]scheduling.Offering, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failRead(ctx, fault.ListOffers); err != nil {
		return nil, err
	}
	now := c.settle()
	offerings := slices.Clone(c.options.Offerings)
	for i := range offerings {
		offerings[i].Available = c.whySetAside(offerings[i].ID, now) == nil
	}
	slices.SortFunc(offerings, func(a, b scheduling.Offering) int {
		return cmp.Or(cmp.Compare(a.Price, b.Price), cmp.Compare(a.ID, b.ID))
	})
	return offerings, nil
}

// Inventory lists the machines that have appeared.
func (c *Cloud) Inventory(ctx context.Context) (cloudprovider.Inventory, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.failRead(ctx, fault.GetCluster); err != nil {
		return cloudprovider.Inventory{}, err
	}
	now := c.settle()
	c.hide(now)
	inventory := cloudprovider.Inventory{ReadAt: now}
	for _, m := range c.machines {
		if c.lists(m, now) {
			inventory.Instances = append(inventory.Instances, c.instance(m, now))
		}
	}
	slices.SortFunc(inventory.Instances, func(a, b cloudprovider.Instance) int { return cmp.Compare(a.ID, b.ID) })
	return inventory, nil
}

// hide lets a fault of lists strike. One that leaves nothing out does not count.
func (c *Cloud) hide(now time.Time) {
	var listed []string
	for _, m := range c.machines {
		if m.visible(now) {
			listed = append(listed, m.ID)
		}
	}
	if c.hiding.Active(now) || len(listed) == 0 {
		return
	}
	if f, ok := c.faults.Take(fault.Target{Call: fault.GetCluster}, fault.EmptyList, fault.ShortList); ok {
		c.hiding.Begin(f, now, listed)
	}
}

func (c *Cloud) lists(m *machine, now time.Time) bool {
	return m.visible(now) && !c.hiding.Hides(m.ID, now)
}

// Order buys one machine, unless a fault is in the way.
func (c *Cloud) Order(ctx context.Context, order cloudprovider.Order) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.settle()
	s, known := c.sizes[order.OfferingID]
	target := fault.Target{Call: fault.AddSlaveToGroup, SizeID: s.id}
	err := c.refuse(ctx, order, known, now)
	if err == nil {
		err = c.failChange(target, fault.NoStock, fault.Quota, fault.WrongPackage)
	}
	if err == nil && len(c.machines) >= c.limit {
		err = cloudprovider.Errorf(cloudprovider.GiveUp, reasonQuotaExceeded, "the account may have %d machines and has them", c.limit)
	}
	if err != nil {
		c.ledger.Refuse(ledger.Refusal{At: now, Call: target.Call, GroupID: s.id, SizeID: s.id, Message: err.Error()})
		return c.learn(order.OfferingID, err, now)
	}
	c.buy(s, order.Name, target, now)
	if _, lost := c.faults.Take(target, fault.LostReplyAfterEffect); lost {
		return cloudprovider.Errorf(cloudprovider.LookFirst, reasonReplyLost, "the reply to the order was lost")
	}
	return nil
}

// refuse says why an order makes no sense, or is not asked for so soon again.
func (c *Cloud) refuse(ctx context.Context, order cloudprovider.Order, known bool, now time.Time) *cloudprovider.Error {
	switch why := c.whySetAside(order.OfferingID, now); {
	case ctx.Err() != nil:
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonCanceled, "not sent: %w", ctx.Err())
	case order.OfferingID == "":
		return cloudprovider.Errorf(cloudprovider.GiveUp, reasonInvalidRequest, "the order names no offering")
	case order.Datacenter != "" && order.Datacenter != c.options.Offerings[0].Datacenter:
		return cloudprovider.Errorf(cloudprovider.GiveUp, reasonDatacenterNotFound, "machines cannot be bought in %q", order.Datacenter)
	case !known:
		return cloudprovider.Errorf(cloudprovider.TryElsewhere, reasonOfferingNotFound, "offering %q is not sold", order.OfferingID)
	case why != nil:
		return &cloudprovider.Error{Reaction: why.Reaction, Reason: why.Reason, Err: fmt.Errorf("not asked again so soon after: %w", why.Err)}
	}
	return nil
}

// buy enters the accepted order, and the machine or machines that it becomes.
func (c *Cloud) buy(s size, name string, target fault.Target, now time.Time) {
	m := c.draw(s, now)
	if _, lost := c.faults.Take(target, fault.NeverAppears); lost {
		c.enter(m, ledger.Order{For: name, State: ledger.Lost, Faults: []fault.Kind{fault.NeverAppears}}, now)
		return
	}
	c.enter(m, ledger.Order{For: name, Faults: c.spoil(m, target)}, now)
	if _, twice := c.faults.Take(target, fault.Duplicate); twice {
		second := c.draw(s, now)
		c.enter(second, ledger.Order{For: name, Origin: ledger.Duplicate, DuplicateOf: m.sequence, Faults: []fault.Kind{fault.Duplicate}}, now)
	}
}

// Release destroys one machine, unless a fault is in the way.
func (c *Cloud) Release(ctx context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.settle()
	target := fault.Target{Call: fault.DeleteSlave, Identifier: id}
	c.hide(now) // it looks for the machine first, as VPSie's Provider does
	m := c.find(id, now)
	switch {
	case ctx.Err() != nil:
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonCanceled, "not sent: %w", ctx.Err())
	case id == "":
		return cloudprovider.Errorf(cloudprovider.GiveUp, reasonInvalidRequest, "no machine is named")
	case m == nil || c.hiding.Hides(id, now):
		return cloudprovider.Errorf(cloudprovider.LookFirst, reasonNotFound, "machine %q is not in the inventory", id)
	}
	c.ledger.ReleaseAsked(m.sequence)
	if err := c.failChange(target, fault.WrongPassword); err != nil {
		return err
	}
	if _, lies := c.faults.Take(target, fault.DeleteLies); lies {
		c.ledger.Struck(m.sequence, fault.DeleteLies)
		return nil
	}
	if !m.Deleting {
		end := now.Add(c.options.DeleteDelay)
		if slow, ok := c.faults.Take(target, fault.SlowDelete); ok {
			c.ledger.Struck(m.sequence, fault.SlowDelete)
			end = end.Add(wait(slow))
		}
		if m.gone.IsZero() || end.Before(m.gone) {
			m.gone = end
		}
		m.Deleting = true
		c.ledger.DeleteRequested(m.sequence, now)
		delete(c.aside, everyOffering)
	}
	if _, lost := c.faults.Take(target, fault.LostReplyAfterEffect); lost {
		return cloudprovider.Errorf(cloudprovider.LookFirst, reasonReplyLost, "the reply to the release was lost")
	}
	return nil
}

// learn sets aside what a refusal says cannot be had, and returns the refusal.
func (c *Cloud) learn(offering string, err *cloudprovider.Error, now time.Time) error {
	if _, known := c.sizes[offering]; !known || c.whySetAside(offering, now) != nil {
		return err
	}
	switch {
	case err.Reaction == cloudprovider.TryElsewhere:
		c.aside[offering] = refusal{err, now.Add(c.options.SetAside)}
	case err.Reason == reasonQuotaExceeded:
		c.aside[everyOffering] = refusal{err, now.Add(c.options.SetAside)}
	}
	return err
}

func (c *Cloud) whySetAside(offering string, now time.Time) *cloudprovider.Error {
	for _, key := range []string{everyOffering, offering} {
		if r, ok := c.aside[key]; ok && now.Before(r.until) {
			return r.err
		}
	}
	return nil
}

// failRead is the error of a read that a fault strikes, nil if none does. It returns an error, not a *cloudprovider.Error,
// since a nil of that type would not be nil to callers.
func (c *Cloud) failRead(ctx context.Context, call fault.Call) error {
	if ctx.Err() != nil {
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonCanceled, "not sent: %w", ctx.Err())
	}
	target := fault.Target{Call: call}
	f, ok := c.faults.Take(target, fault.Status, fault.Error200, fault.RateLimited, fault.ExpiredToken, fault.LostReplyBeforeEffect, fault.LostReplyAfterEffect)
	if !ok {
		return nil
	}
	if f.Kind == fault.Status && f.Status >= http.StatusInternalServerError {
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonServerError, "%s: status %d", call, f.Status)
	}
	if f.Kind == fault.LostReplyBeforeEffect || f.Kind == fault.LostReplyAfterEffect {
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonUnreachable, "%s: no answer", call)
	}
	return refusalOf(f, call)
}

// failChange is the error of a change that a fault keeps from having its effect, nil if none does.
func (c *Cloud) failChange(target fault.Target, more ...fault.Kind) *cloudprovider.Error {
	common := []fault.Kind{fault.Status, fault.Error200, fault.RateLimited, fault.ExpiredToken, fault.LostReplyBeforeEffect, fault.ClusterLocked}
	f, ok := c.faults.Take(target, slices.Concat(common, more)...)
	if !ok {
		return nil
	}
	if f.Kind == fault.LostReplyBeforeEffect || f.Kind == fault.Status && f.Status >= http.StatusInternalServerError {
		return cloudprovider.Errorf(cloudprovider.LookFirst, reasonReplyLost, "%s: it may have happened nevertheless", target.Call)
	}
	return refusalOf(f, target.Call)
}

// refusalOf is the error of a fault that is certain to have had no effect.
func refusalOf(f fault.Fault, call fault.Call) *cloudprovider.Error {
	switch f.Kind {
	case fault.RateLimited:
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonRateLimited, "%s: too many requests", call)
	case fault.ExpiredToken:
		return cloudprovider.Errorf(cloudprovider.GiveUp, reasonUnauthorized, "%s: please authenticate", call)
	case fault.ClusterLocked:
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonClusterLocked, "%s: the cluster is locked", call)
	case fault.NoStock:
		return cloudprovider.Errorf(cloudprovider.TryElsewhere, reasonOutOfStock, "%s: out of stock", call)
	case fault.WrongPackage:
		return cloudprovider.Errorf(cloudprovider.TryElsewhere, reasonOfferingRefused, "%s: not the right package", call)
	case fault.WrongPassword:
		return cloudprovider.Errorf(cloudprovider.GiveUp, reasonInvalidCredentials, "%s: wrong password", call)
	case fault.Quota:
		return cloudprovider.Errorf(cloudprovider.GiveUp, reasonQuotaExceeded, "%s: the account is at its limit", call)
	default: // Error200, and a status that is no server's error
		return cloudprovider.Errorf(cloudprovider.TryLater, reasonUnrecognised, "%s: status %d: %s", call, f.Status, f.Message)
	}
}

// Stranger is a Provider of the same cloud with credentials that it refuses.
func (c *Cloud) Stranger() cloudprovider.Provider { return stranger{} }

type stranger struct{}

func (stranger) refused() error {
	return cloudprovider.Errorf(cloudprovider.GiveUp, reasonUnauthorized, "the cloud refuses these credentials")
}

func (s stranger) Ready(context.Context) error { return s.refused() }

func (s stranger) Offerings(context.Context) ([]scheduling.Offering, error) { return nil, s.refused() }

func (s stranger) Order(context.Context, cloudprovider.Order) error { return s.refused() }

func (s stranger) Inventory(context.Context) (cloudprovider.Inventory, error) {
	return cloudprovider.Inventory{}, s.refused()
}

func (s stranger) Release(context.Context, string) error { return s.refused() }
