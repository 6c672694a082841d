// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import "time"

// Hiding is which machines a list leaves out at the moment, because an EmptyList or a ShortList struck. Those that appear later are listed.
// It is not safe for concurrent use.
type Hiding struct {
	until  time.Time
	hidden map[string]bool
	begun  int
}

// Begin hides machines that a list would show, oldest first: all of them, or every other one, and the next time the others.
func (h *Hiding) Begin(f Fault, now time.Time, listed []string) {
	h.until = now.Add(time.Duration(f.DelaySeconds * float64(time.Second)))
	h.hidden = map[string]bool{}
	for i, identifier := range listed {
		if f.Kind == EmptyList || i%2 == h.begun%2 {
			h.hidden[identifier] = true
		}
	}
	h.begun++
}

// Active says whether a list is short now. Another fault does not strike meanwhile.
func (h *Hiding) Active(now time.Time) bool { return now.Before(h.until) }

// Hides says whether a list leaves the machine out.
func (h *Hiding) Hides(identifier string, now time.Time) bool {
	return h.Active(now) && h.hidden[identifier]
}
