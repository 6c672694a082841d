// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // an image without zone files must not close every budget that names a zone

	"github.com/robfig/cron/v3"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// defaultBudget is in force wherever no budget of the NodeGroup is: outside all windows a pool is not free for all.
const defaultBudget = "10%"

// Allowance is how many more machines of a pool may leave now.
type Allowance struct {
	Nodes  int
	Budget string // the field that says so, or the default
	Unread string // the field that cannot be read, and why: nothing is allowed then
}

// Allowed returns how many more machines may leave for the reason when total are there and leaving of them are already on their
// way out. The smallest budget in force counts; one that cannot be read allows nothing.
func Allowed(budgets []v1alpha1.Budget, reason v1alpha1.DisruptionReason, now time.Time, total, leaving int) Allowance {
	var least *Allowance
	for i, budget := range budgets {
		if len(budget.Reasons) > 0 && !slices.Contains(budget.Reasons, reason) {
			continue
		}
		field := fmt.Sprintf("spec.disruption.budgets[%d]", i)
		open, err := inForce(budget, now)
		nodes := 0
		if err == nil && open {
			nodes, err = atMost(budget.Nodes, total)
		}
		if err != nil {
			return Allowance{Budget: field, Unread: fmt.Sprintf("%s.%v", field, err)}
		}
		if open && (least == nil || nodes < least.Nodes) {
			least = &Allowance{Nodes: nodes, Budget: fmt.Sprintf("%s (nodes: %q)", field, budget.Nodes)}
		}
	}
	if least == nil {
		nodes, _ := atMost(defaultBudget, total) // a constant that can be read
		least = &Allowance{Nodes: nodes, Budget: "the default budget of " + defaultBudget}
	}
	least.Nodes = max(0, least.Nodes-leaving)
	return *least
}

// atMost reads "3" or "10%" of total, rounded up.
func atMost(nodes string, total int) (int, error) {
	text, share := strings.CutSuffix(nodes, "%")
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("nodes: %q is neither a number nor a share such as 10%%", nodes)
	}
	if share {
		return (int(number)*total + 99) / 100, nil
	}
	return int(number), nil
}

// inForce says whether the budget holds now: always, or while a window of its schedule is open.
func inForce(budget v1alpha1.Budget, now time.Time) (bool, error) {
	if budget.Schedule == nil {
		return true, nil
	}
	if budget.Duration == nil || budget.Duration.Duration <= 0 {
		return false, fmt.Errorf("duration: must be given and greater than 0 together with schedule %q", *budget.Schedule)
	}
	zone, err := location(budget.TimeZone)
	if err != nil {
		return false, err
	}
	if strings.HasPrefix(*budget.Schedule, "TZ=") || strings.HasPrefix(*budget.Schedule, "CRON_TZ=") {
		return false, fmt.Errorf("schedule: %q must not name a time zone; set timeZone", *budget.Schedule)
	}
	schedule, err := cron.ParseStandard(*budget.Schedule)
	if err != nil {
		return false, fmt.Errorf("schedule: %q cannot be read: %w", *budget.Schedule, err)
	}
	return windowOpen(schedule, budget.Duration.Duration, now.In(zone)), nil
}

func location(name *string) (*time.Location, error) {
	if name == nil {
		return time.UTC, nil
	}
	if *name == "" || *name == "Local" { // "Local" would mean wherever the controller happens to run
		return nil, fmt.Errorf("timeZone: %q is not an IANA time zone such as Europe/Berlin", *name)
	}
	zone, err := time.LoadLocation(*name)
	if err != nil {
		return nil, fmt.Errorf("timeZone: %q is not an IANA time zone such as Europe/Berlin: %w", *name, err)
	}
	return zone, nil
}

// clockShift is more than any zone ever moves its clocks at once.
const clockShift = 3 * time.Hour

// windowOpen says whether a start of the schedule lies within the duration before now. The schedule is followed on the face of a
// clock on the wall, and each start then placed in time, because a start in the hour that spring skips must not be skipped with
// it: the window may be the one that forbids everything.
func windowOpen(schedule cron.Schedule, duration time.Duration, now time.Time) bool {
	wall := onWall(now)
	for start := schedule.Next(wall.Add(-duration - clockShift)); !start.IsZero() && !start.After(wall.Add(clockShift)); start = schedule.Next(start) {
		for _, opens := range placed(start, now.Location()) {
			if !opens.After(now) && now.Before(opens.Add(duration)) {
				return true
			}
		}
	}
	return false
}

// onWall returns what a clock on the wall shows, as if it were UTC.
func onWall(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// placed returns the moments at which a clock on the wall of that zone shows the given time: two in the hour that autumn repeats,
// and the moment of the jump where no clock ever does.
func placed(wall time.Time, zone *time.Location) []time.Time {
	t := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, zone)
	begin, end := t.ZoneBounds()
	switch shown := onWall(t); {
	case shown.Before(wall):
		return []time.Time{end}
	case shown.After(wall):
		return []time.Time{begin}
	}
	result := []time.Time{t}
	for _, border := range []time.Time{begin, end} {
		if border.IsZero() {
			continue
		}
		_, before := border.Add(-time.Second).Zone()
		_, after := border.Zone()
		back := time.Duration(before-after) * time.Second
		for _, again := range []time.Time{t.Add(back), t.Add(-back)} {
			if back != 0 && onWall(again).Equal(wall) {
				result = append(result, again)
			}
		}
	}
	return result
}
