// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// show is one run of the demo.
type show struct {
	world
	options   Options
	account   *account
	workloads manifests
	wanted    int // pods

	opened  time.Time // when the shop was applied
	last    scene
	held    []line // what happened while a table was being prepared
	outcome outcome
}

func run(ctx context.Context, w world, options Options) error {
	group, workloads, err := read(options.Manifests)
	if err != nil {
		return err
	}
	s := &show{
		world: w, options: options, account: newAccount(options.Out), workloads: workloads, wanted: workloads.replicas(),
		opened: options.Clock.Now(),
	}
	s.outcome.Wanted = s.wanted
	s.introduce()
	if err := group.apply(ctx, w.kube); err != nil {
		return err
	}
	for _, chapter := range []func(context.Context) error{s.podsArrive, s.plan, s.machines, s.everythingRuns, s.shopCloses} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	return s.conclude()
}

func (s *show) introduce() {
	s.account.head("The VPSie autoscaler, from a pending pod to a machine and back",
		"On this machine run a real Kubernetes control plane and a simulated VPSie that rents out machines; the cluster has no node yet.",
		"A web shop is applied to it. The autoscaler finds the cheapest machines that hold its pods, rents them, and makes them nodes.",
		"Then the shop closes and the machines are given back. Every order and every sum is read from the simulated VPSie's own books.")
}

func (s *show) podsArrive(ctx context.Context) error {
	s.account.chapter("1. Pods arrive")
	s.opened = s.options.Clock.Now()
	if err := s.workloads.apply(ctx, s.kube); err != nil {
		return err
	}
	if err := s.await(ctx, untilPods(s.wanted), nil); err != nil {
		return err
	}
	pods := s.last.shopPods()
	s.account.block(workloadTable(pods))
	s.account.say("")
	waiting := count(pods, func(p pod) bool { return p.Node == "" })
	s.account.say("%s %s pending; the cluster has %s. %s will add one pod to each machine that comes.",
		plural(waiting, "pod"), are(waiting), plural(len(s.last.Nodes), "node"), plural(s.workloads.kinds(daemonSet), daemonSet))
	return nil
}

func (s *show) plan(ctx context.Context) error {
	s.account.chapter("2. The plan", "What the autoscaler decided to rent, dearest first. kube-scheduler's own plugins judged every placement.")
	if err := s.await(ctx, untilPlanned, nil); err != nil {
		return err
	}
	s.account.block(planTable(s.last))
	s.account.say("")
	if why := reasons(s.last); why != "" {
		s.account.say("Why these machines:")
		s.account.block(why)
		s.account.say("")
	}
	s.account.say("Together %s per hour, %s per month of %d hours.", money(s.last.price()), monthly(s.last.price()), hoursPerMonth)
	s.outcome.Plan = s.last
	s.held = slices.DeleteFunc(s.held, func(l line) bool { return l.Planned }) // the table has said so
	return nil
}

func (s *show) machines(ctx context.Context) error {
	s.account.chapter("3. Machines", "Seconds since the shop was applied, and what happened.")
	err := s.await(ctx, untilRunning(s.wanted), opening(s.wanted))
	s.outcome.Full = s.last
	return err
}

func (s *show) everythingRuns(context.Context) error {
	s.account.chapter("4. Everything runs")
	s.account.block(nodeTable(s.last))
	s.account.say("")
	landed, planned := s.last.landed()
	s.account.say("%s run, the last of them %s after the shop was applied; %d of %d run on the machine that was planned for them.",
		plural(s.last.running(), "pod"), seconds(s.outcome.LastPod), landed, planned)
	if more := len(s.last.Machines) - len(s.outcome.Plan.Machines); more > 0 {
		s.account.say("%s ordered on top of the plan; chapter 3 shows when and why.", plural(more, "machine")+" "+were(more))
	}
	return nil
}

func (s *show) shopCloses(ctx context.Context) error {
	s.account.chapter("5. The shop closes", "Every Deployment and StatefulSet is scaled to zero. A machine without pods of a workload is given back.")
	if err := s.workloads.scaleToZero(ctx, s.kube); err != nil {
		return err
	}
	err := s.await(ctx, untilGone, closing)
	s.outcome.End = s.last
	return err
}

func (s *show) conclude() error {
	s.account.say("")
	s.account.block(summaryTable(s.outcome))
	s.account.say("")
	if err := verdict(s.outcome); err != nil {
		return fmt.Errorf("the demo did not end well: %w", err)
	}
	s.account.say("%s", s.account.paint(green, "Every pod ran, and every machine that was rented is gone again: nothing is paid for any more."))
	return nil
}

const (
	breath   = time.Second      // between two lines of status
	silence  = 10 * time.Second // after which the status is said again although nothing happened
	deadlike = 5                // glances in a row without an answer of the controller
	hang     = 20 * time.Second // after which a glance is given up: what it asked does not answer
)

// await looks again and again until nothing is missing, and tells what happens. Without a status it keeps what happened for later.
func (s *show) await(ctx context.Context, missing func(scene) string, sum func(scene) status) error {
	deadline := s.options.Clock.Now().Add(s.options.Patience)
	ticker := s.options.Clock.NewTicker(s.options.Interval)
	defer ticker.Stop()
	var told status
	var toldAt time.Time
	mute := 0
	for {
		lookErr := s.glance(ctx)
		now := s.options.Clock.Now()
		still := missing(s.last)
		if sum != nil {
			s.tellHeld()
			next := sum(s.last)
			if due := now.Sub(toldAt); next.key != told.key && (due >= breath || still == "") || due >= silence {
				s.account.tell(line{At: s.last.At, Text: next.text, Colour: bold})
				told, toldAt = next, now
			}
		}
		if lookErr == nil && still == "" {
			return nil
		}
		if !now.Before(deadline) {
			s.tellHeld()
			return errors.Join(waited(s.options.Patience, still, s.log), lookErr)
		}
		if mute++; s.alive(ctx) == nil {
			mute = 0
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.failed:
			return fmt.Errorf("%w: %w", ErrBroke, err)
		case <-ticker.C():
		}
		if mute >= deadlike {
			return fmt.Errorf("the controller does not answer any more, so it has probably ended; its log is %s", s.log)
		}
	}
}

// glance takes a new scene. When it cannot be read, the last one stays.
func (s *show) glance(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hang)
	defer cancel()
	now, err := look(ctx, s.kube, s.vpsie)
	if err != nil {
		return err
	}
	now.At = s.options.Clock.Since(s.opened)
	s.held = append(s.held, changes(s.last, now)...)
	s.last = now
	if s.outcome.LastPod == 0 && s.wanted > 0 && now.running() >= s.wanted {
		s.outcome.LastPod = now.At
	}
	return nil
}

func (s *show) tellHeld() {
	for _, l := range s.held {
		s.account.tell(l)
	}
	s.held = nil
}
