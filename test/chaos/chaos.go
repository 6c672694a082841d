// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chaos lives through thousands of seeded lives of a cluster in which everything goes wrong that VPSie can do, and in which the
// controller is killed at every numbered point of a machine's life. It turns a seed into a count of what must never happen. It
// uses the real life cycle, drain and garbage collection; only the API server, the kubelets and VPSie are simulated.
package chaos

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Options of a series of runs.
type Options struct {
	Runs      int
	Seed      int64
	First     int     // number of the first run: a failing one is repeated alone by its number
	Intensity float64 // of the faults; 1 where left out
	Parallel  int     // runs at the same time; the number of CPUs where left out

	sabotage func(*world)  // of the controller or of VPSie, to see that a run notices
	patience time.Duration // until what does not come to an end is stuck; the longest timeouts, one after the other, where left out
}

// Report sums up a series of runs.
type Report struct {
	Runs, Faults, Kills int
	// Leaked are machines that were ordered, are paid for, and that nobody would ever give back.
	Leaked int
	// BoughtTwice are machines that were ordered for a VPSieNode that had one already.
	BoughtTwice int
	// ForeignTouched are machines of other people that somebody tried to destroy.
	ForeignTouched int
	// Stuck are VPSieNodes and Nodes that did not come to an end in bounded time once everything worked again.
	Stuck    int
	Points   map[Point]int // how often the controller was killed where
	Failures []Failure     // by run
}

// Failure is a run in which something happened that must never happen.
type Failure struct {
	Run     int
	Seed    int64
	Message string
}

// String is the one line that a series ends with.
func (r *Report) String() string {
	return fmt.Sprintf("runs=%d faults=%d kills=%d leaked=%d boughtTwice=%d foreignTouched=%d stuck=%d",
		r.Runs, r.Faults, r.Kills, r.Leaked, r.BoughtTwice, r.ForeignTouched, r.Stuck)
}

// Failed says whether anything happened that must never happen.
func (r *Report) Failed() bool { return r.Leaked+r.BoughtTwice+r.ForeignTouched+r.Stuck > 0 }

// Run makes the runs. The same options give the same report.
func Run(ctx context.Context, o Options, progress func(done int)) (Report, error) {
	if o.Intensity == 0 {
		o.Intensity = 1
	}
	if o.patience == 0 {
		o.patience = settlesIn
	}
	if o.Parallel == 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	total := Report{Points: map[Point]int{}}
	var mu sync.Mutex
	var failure error
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range o.Parallel {
		workers.Go(func() {
			for number := range numbers {
				report, err := live(ctx, o, number)
				mu.Lock()
				total.add(report)
				if err != nil && failure == nil {
					failure = fmt.Errorf("run %d of seed %d: %w", number, o.Seed, err)
				}
				progress(total.Runs)
				mu.Unlock()
			}
		})
	}
	for number := o.First; number < o.First+o.Runs && ctx.Err() == nil; number++ {
		numbers <- number
	}
	close(numbers)
	workers.Wait()
	slices.SortFunc(total.Failures, func(a, b Failure) int { return a.Run - b.Run })
	if failure == nil {
		failure = ctx.Err()
	}
	return total, failure
}

func (r *Report) add(other Report) {
	r.Runs += other.Runs
	r.Faults += other.Faults
	r.Kills += other.Kills
	r.Leaked += other.Leaked
	r.BoughtTwice += other.BoughtTwice
	r.ForeignTouched += other.ForeignTouched
	r.Stuck += other.Stuck
	r.Failures = append(r.Failures, other.Failures...)
	for point, kills := range other.Points {
		r.Points[point] += kills
	}
}
