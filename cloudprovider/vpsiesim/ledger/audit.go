// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import "slices"

// The questions of an audit. They are asked of a Report, so that they can be asked across the admin API too.

// Owned returns the machines that were ordered and are paid for, visible or not, being deleted or not.
func (r Report) Owned() []Order {
	return r.filter(func(o Order) bool { return o.Origin == Ours && o.paid() })
}

// Leaked returns the owned machines that nobody claims, by identifier. It is a fair question once all is settled: a machine
// that is not listed yet cannot be claimed.
func (r Report) Leaked(claimed ...string) []Order {
	return r.filter(func(o Order) bool { return o.Origin == Ours && o.paid() && !slices.Contains(claimed, o.Identifier) })
}

// Strays returns the machines that nobody ordered, paid for and claimed by nobody: those that must be reported and must not be
// touched unless they are proven to be ours.
func (r Report) Strays(claimed ...string) []Order {
	return r.filter(func(o Order) bool { return o.Origin != Ours && o.paid() && !slices.Contains(claimed, o.Identifier) })
}

// BoughtTwice returns every machine that was ordered for something while another machine ordered for the same was still paid
// for. It takes callers that say what each order is for. An order that never becomes a machine costs nothing and is none.
func (r Report) BoughtTwice() []Order {
	return r.filter(func(o Order) bool {
		return o.For != "" && o.Origin == Ours && o.State != Lost && slices.ContainsFunc(r.Orders, func(earlier Order) bool {
			return earlier.Sequence < o.Sequence && earlier.For == o.For && earlier.Origin == Ours && earlier.State != Lost &&
				(earlier.State != Gone || earlier.GoneAt.After(o.OrderedAt))
		})
	})
}

// ForeignTouched returns the machines of other people that somebody tried to delete, whether that worked or not.
func (r Report) ForeignTouched() []Order {
	return r.filter(func(o Order) bool { return o.Origin == Foreign && o.ReleasesAsked > 0 })
}

// Released returns the machines that were given back and are gone.
func (r Report) Released() []Order {
	return r.filter(func(o Order) bool { return o.State == Gone && !o.DeleteRequestedAt.IsZero() })
}

// Vanished returns the machines that are gone although nobody gave them back.
func (r Report) Vanished() []Order {
	return r.filter(func(o Order) bool { return o.State == Gone && o.DeleteRequestedAt.IsZero() })
}

func (r Report) filter(keep func(Order) bool) []Order {
	return slices.DeleteFunc(slices.Clone(r.Orders), func(o Order) bool { return !keep(o) })
}
