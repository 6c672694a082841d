// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"context"
	"slices"
	"sync"
	"time"
)

// joinRetry is how long to wait after the Joiner failed.
const joinRetry = time.Second

// Run lets machines join and leave as their time comes, until the context ends. It returns when the
// last call to the Joiner has. Machines that run stay as they are.
func (s *Server) Run(ctx context.Context) error {
	var jobs sync.WaitGroup
	defer jobs.Wait()
	for {
		due, next := s.claim()
		for _, job := range due {
			jobs.Go(func() { s.perform(ctx, job) })
		}
		if !s.sleep(ctx, next) {
			return nil
		}
	}
}

// Tick lets those machines join and leave whose time has come, and returns when they have. It is Run
// for callers that move the clock themselves.
func (s *Server) Tick(ctx context.Context) {
	var jobs sync.WaitGroup
	due, _ := s.claim()
	for _, job := range due {
		jobs.Go(func() { s.perform(ctx, job) })
	}
	jobs.Wait()
}

// job is one call to the Joiner.
type job struct {
	worker *worker
	step   func(context.Context, Machine) error
	name   string
	done   joinState
}

// claim takes every job that is due, and says when the next one is; zero is never.
func (s *Server) claim() (due []job, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.Now()
	s.settle(now)
	for _, w := range s.workers {
		planned, at, ok := s.plan(w)
		switch {
		case !ok:
		case now.Before(at):
			if next.IsZero() || at.Before(next) {
				next = at
			}
		default:
			w.busy = true
			if w.joins == notJoined || w.joins == leftToRejoin {
				w.joins = joinTried
			}
			due = append(due, planned)
		}
	}
	return due, next
}

// plan is the next job of a machine and its time. A machine that is being deleted or gone does not join
// any more, and one that tried to join has to leave when it is gone.
func (s *Server) plan(w *worker) (planned job, at time.Time, ok bool) {
	switch {
	case s.joiner == nil, w.busy:
		return job{}, time.Time{}, false
	case w.released, w.isGone(s.clock.Now()):
		planned, at, ok = job{w, s.joiner.Leave, "leave", notJoined}, w.gone, w.joins != notJoined
	case w.joins == joined && !w.rejoins.IsZero() && (w.gone.IsZero() || w.rejoins.Before(w.gone)):
		planned, at, ok = job{w, s.joiner.Leave, "leave before it joins anew", leftToRejoin}, w.rejoins, true
	case w.joins == joined:
		planned, at, ok = job{w, s.joiner.Leave, "leave", notJoined}, w.gone, !w.gone.IsZero()
	default:
		planned, at, ok = job{w, s.joiner.Join, "join", joined}, w.boots, !w.neverJoins
	}
	if at.Before(w.retry) {
		at = w.retry
	}
	return planned, at, ok
}

func (s *Server) perform(ctx context.Context, job job) {
	err := job.step(ctx, job.worker.machine)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.nudge()
	w, now := job.worker, s.clock.Now()
	w.busy = false
	if err != nil {
		w.retry = now.Add(joinRetry)
		if ctx.Err() == nil {
			s.log.Error(err, "Machine failed to "+job.name, "machine", w.machine.Hostname, "sequence", w.sequence)
		}
		return
	}
	w.joins = job.done
	switch job.done {
	case joined:
		s.ledger.Joined(w.sequence, now)
		s.log.Info("Machine joined", "machine", w.machine.Hostname, "sequence", w.sequence)
	case leftToRejoin:
		w.rejoins = time.Time{}
	default:
		s.workers = slices.DeleteFunc(s.workers, func(other *worker) bool { return other == w })
	}
}

// sleep waits until the next job is due or something new happens. It tells whether to go on.
func (s *Server) sleep(ctx context.Context, next time.Time) bool {
	var due <-chan time.Time
	if !next.IsZero() {
		timer := s.clock.NewTimer(next.Sub(s.clock.Now()))
		defer timer.Stop()
		due = timer.C()
		// A clock that is moved by hand may have passed the time before the timer was set.
		if !s.clock.Now().Before(next) {
			return ctx.Err() == nil
		}
	}
	select {
	case <-due:
	case <-s.wake:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// nudge wakes Run, now or when it next sleeps.
func (s *Server) nudge() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
