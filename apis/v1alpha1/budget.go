// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // an image without zone files must not close every budget that names a zone

	"github.com/robfig/cron/v3"
)

// AtMost returns how many machines of a pool of that many the budget allows to leave: "3", or "10%" rounded up.
func (b *Budget) AtMost(total int) (int, error) {
	text, share := strings.CutSuffix(b.Nodes, "%")
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("nodes: %q is neither a number nor a share such as 10%%", b.Nodes)
	}
	if share {
		return (int(number)*total + 99) / 100, nil
	}
	return int(number), nil
}

// InForce says whether the budget holds now: always, or while a window of its schedule is open.
func (b *Budget) InForce(now time.Time) (bool, error) {
	if b.Schedule == nil {
		return true, nil
	}
	schedule, zone, err := b.window()
	if err != nil {
		return false, err
	}
	return windowOpen(schedule, b.Duration.Duration, now.In(zone)), nil
}

// Check says which field cannot be read. The API server refuses most of that, but knows neither time zones nor how many days a month has.
func (b *Budget) Check() error {
	if _, err := b.AtMost(0); err != nil || b.Schedule == nil {
		return err
	}
	_, _, err := b.window()
	return err
}

// window reads the schedule and where its clock hangs.
func (b *Budget) window() (cron.Schedule, *time.Location, error) {
	if b.Duration == nil || b.Duration.Duration <= 0 {
		return nil, nil, fmt.Errorf("duration: must be given and greater than 0 together with schedule %q", *b.Schedule)
	}
	zone, err := location(b.TimeZone)
	if err != nil {
		return nil, nil, err
	}
	if strings.HasPrefix(*b.Schedule, "TZ=") || strings.HasPrefix(*b.Schedule, "CRON_TZ=") {
		return nil, nil, fmt.Errorf("schedule: %q must not name a time zone; set timeZone", *b.Schedule)
	}
	schedule, err := cron.ParseStandard(*b.Schedule)
	if err != nil {
		return nil, nil, fmt.Errorf("schedule: %q cannot be read: %w", *b.Schedule, err)
	}
	return schedule, zone, nil
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
