// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package fault

import (
	"maps"
	"slices"
)

// Target is the call a fault may strike. A zero field is not known yet and matches no fault that asks for it.
type Target struct {
	Call       Call
	SizeID     int
	Identifier string
}

// Queue holds the faults that have not struck yet, oldest first, and the Mix that strikes where none of them does. It is
// not safe for concurrent use.
type Queue struct {
	pending []Fault
	mix     *draws
	fired   map[Kind]int
	lastID  int
}

// Add appends checked faults and returns them with their IDs.
func (q *Queue) Add(faults []Fault) []Fault {
	added := slices.Clone(faults)
	for i := range added {
		q.lastID++
		added[i].ID = q.lastID
	}
	q.pending = append(q.pending, added...)
	return added
}

// Take returns the oldest fault of one of the kinds that strikes the target, and counts it as fired.
func (q *Queue) Take(target Target, kinds ...Kind) (Fault, bool) {
	for i := range q.pending {
		candidate := &q.pending[i]
		if !slices.Contains(kinds, candidate.Kind) || !candidate.strikes(target) {
			continue
		}
		if candidate.Skip > 0 {
			candidate.Skip--
			continue
		}
		taken := *candidate
		q.fire(i)
		return taken, true
	}
	drawn, ok := q.mix.take(target, kinds)
	if ok {
		q.count(drawn.Kind)
	}
	return drawn, ok
}

func (q *Queue) count(kind Kind) {
	if q.fired == nil {
		q.fired = map[Kind]int{}
	}
	q.fired[kind]++
}

func (q *Queue) fire(i int) {
	q.count(q.pending[i].Kind)
	if q.pending[i].Times == UntilWithdrawn {
		return
	}
	q.pending[i].Times--
	if q.pending[i].Times == 0 {
		q.pending = slices.Delete(q.pending, i, i+1)
	}
}

func (f Fault) strikes(target Target) bool {
	r, ok := ruleOf(f.Kind)
	if !ok || !slices.Contains(r.calls, target.Call) {
		return false
	}
	return (f.Call == "" || f.Call == target.Call) &&
		(f.SizeID == 0 || f.SizeID == target.SizeID) &&
		(f.Identifier == "" || f.Identifier == target.Identifier)
}

// SetMix replaces what strikes by chance. The zero Mix strikes nothing.
func (q *Queue) SetMix(mix Mix) { q.mix = mix.start() }

// Waits tells whether a fault of this kind is queued, and leaves it there.
func (q *Queue) Waits(kind Kind) bool {
	return slices.ContainsFunc(q.pending, func(f Fault) bool { return f.Kind == kind })
}

// Remove withdraws one fault. It tells whether there was one.
func (q *Queue) Remove(id int) bool {
	before := len(q.pending)
	q.pending = slices.DeleteFunc(q.pending, func(f Fault) bool { return f.ID == id })
	return len(q.pending) < before
}

// Clear withdraws every fault, and the Mix; what has fired stays counted.
func (q *Queue) Clear() { q.pending, q.mix = nil, nil }

// Report is what waits and what has struck.
type Report struct {
	Pending []Fault      `json:"pending"`
	Fired   map[Kind]int `json:"fired"`
}

// Report copies the state of the queue.
func (q *Queue) Report() Report {
	report := Report{Pending: slices.Clone(q.pending), Fired: maps.Clone(q.fired)}
	if report.Pending == nil {
		report.Pending = []Fault{}
	}
	if report.Fired == nil {
		report.Fired = map[Kind]int{}
	}
	return report
}
