// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// workerLimitBound keeps every worker's hostname (4 hex digits) and address its own.
const workerLimitBound = 10000

// settings are the options that can be changed while the server runs.
type settings struct {
	workerLimit       int
	visible, ip, boot Range
	deletion          time.Duration
}

func settingsOf(o Options) settings {
	return settings{o.WorkerLimit, o.VisibleDelay, o.IPDelay, o.BootDelay, o.DeleteDelay}
}

func (s settings) validate() error {
	if s.workerLimit < 0 || s.workerLimit > workerLimitBound {
		return fmt.Errorf("option workerLimit: %d is not from 0 to %d", s.workerLimit, workerLimitBound)
	}
	for _, delay := range []struct {
		name string
		Range
	}{
		{"visibleDelay", s.visible}, {"ipDelay", s.ip}, {"bootDelay", s.boot},
		{"deleteDelay", Range{s.deletion, s.deletion}},
	} {
		if delay.Min < 0 {
			return fmt.Errorf("option %s: %s is negative", delay.name, delay.Min)
		}
		if delay.Max < delay.Min {
			return fmt.Errorf("option %s: min %s is above max %s", delay.name, delay.Min, delay.Max)
		}
	}
	return nil
}

// Settings is the part of Options that the admin API can change; what is nil stays.
type Settings struct {
	WorkerLimit  *int     `json:"workerLimit,omitempty"`
	VisibleDelay *Seconds `json:"visibleDelaySeconds,omitempty"`
	IPDelay      *Seconds `json:"ipDelaySeconds,omitempty"`
	BootDelay    *Seconds `json:"bootDelaySeconds,omitempty"`
	DeleteDelay  *float64 `json:"deleteDelaySeconds,omitempty"`
}

// Seconds is a Range on the wire.
type Seconds struct {
	Min float64 `json:"min"`
	Max float64 `json:"max"`
}

// parseSettings refuses unknown fields, so that a misspelt one is not silently ignored.
func parseSettings(data []byte) (Settings, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var parsed Settings
	if err := decoder.Decode(&parsed); err != nil {
		return Settings{}, fmt.Errorf("reading options: %w; the fields are: workerLimit, visibleDelaySeconds, ipDelaySeconds, "+
			"bootDelaySeconds (each with min and max), deleteDelaySeconds", err)
	}
	return parsed, nil
}

// with returns the settings after the change.
func (s settings) with(change Settings) settings {
	if change.WorkerLimit != nil {
		s.workerLimit = *change.WorkerLimit
	}
	for _, delay := range []struct {
		to   *Range
		from *Seconds
	}{
		{&s.visible, change.VisibleDelay}, {&s.ip, change.IPDelay}, {&s.boot, change.BootDelay},
	} {
		if delay.from != nil {
			*delay.to = Range{duration(delay.from.Min), duration(delay.from.Max)}
		}
	}
	if change.DeleteDelay != nil {
		s.deletion = duration(*change.DeleteDelay)
	}
	return s
}

func (s settings) report() Settings {
	return Settings{
		WorkerLimit:  &s.workerLimit,
		VisibleDelay: &Seconds{s.visible.Min.Seconds(), s.visible.Max.Seconds()},
		IPDelay:      &Seconds{s.ip.Min.Seconds(), s.ip.Max.Seconds()},
		BootDelay:    &Seconds{s.boot.Min.Seconds(), s.boot.Max.Seconds()},
		DeleteDelay:  new(s.deletion.Seconds()),
	}
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second))
}
