// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"sync"

	fwk "k8s.io/kube-scheduler/framework"
)

type changeKind uint8

const (
	podAdded changeKind = iota
	podRemoved
	nodeAdded
	nodeRemoved
)

// change is one entry of the journal, with what is needed to take it back.
type change struct {
	kind changeKind
	node string
	pod  fwk.PodInfo
	info fwk.NodeInfo
	own  bool // no clone has the info
}

// shared is what was made of a state that several snapshots have.
type shared struct {
	once  sync.Once
	value any
}

// pristine says whether a clone is as it began.
func (s *Snapshot) pristine() bool { return s.born != nil && s.state == 0 }

// lend returns what a clone of the present state shares with the others of it.
func (s *Snapshot) lend() *shared {
	if s.pristine() {
		return s.born
	}
	if s.lending == nil || s.lendingOf != s.state {
		s.lending, s.lendingOf = &shared{}, s.state
	}
	return s.lending
}

// Memo returns what was made of the present state: what make returns, unless it was asked before about the same state. One state
// at a time is remembered, and the one that a clone began with for all clones of it. Whoever gets a value must not change it.
func (s *Snapshot) Memo(make func() any) any {
	if s.pristine() {
		s.born.once.Do(func() { s.born.value = make() })
		return s.born.value
	}
	if s.memo == nil || s.memoOf != s.state {
		s.memo, s.memoOf = make(), s.state
	}
	return s.memo
}

// Fork marks the present state. Forks nest.
func (s *Snapshot) Fork() {
	s.marks = append(s.marks, len(s.journal))
	s.states = append(s.states, s.state)
}

// Commit drops the newest mark and keeps the changes since it.
func (s *Snapshot) Commit() {
	s.popMark("Commit")
	if len(s.marks) == 0 {
		s.journal = s.journal[:0]
	}
}

// Revert takes back every change since the newest mark.
func (s *Snapshot) Revert() {
	before := s.state
	if len(s.states) > 0 {
		before = s.states[len(s.states)-1]
	}
	mark := s.popMark("Revert")
	defer func() { s.state = before }()
	for at := len(s.journal) - 1; at >= mark; at-- {
		s.undo(s.journal[at])
		s.journal[at] = change{} // let go of the pods
	}
	s.journal = s.journal[:mark]
}

func (s *Snapshot) popMark(method string) int {
	last := len(s.marks) - 1
	if last < 0 {
		panic("snapshot: " + method + " without Fork") // a picture nobody can trust any more
	}
	mark := s.marks[last]
	s.marks, s.states = s.marks[:last], s.states[:last]
	return mark
}

func (s *Snapshot) record(c change) {
	s.newest++
	s.state = s.newest
	if len(s.marks) > 0 {
		s.journal = append(s.journal, c)
	}
}

func (s *Snapshot) undo(c change) {
	switch c.kind {
	case podAdded:
		if _, err := s.detach(keyOf(c.pod.GetPod()), c.node); err != nil {
			panic("snapshot: journal and state differ: " + err.Error())
		}
	case podRemoved:
		s.attach(c.pod, c.node)
	case nodeAdded:
		s.extract(c.node)
	case nodeRemoved:
		delete(s.strays, c.node) // they are still in the NodeInfo that comes back
		s.insert(c.info, c.own)
	}
}
