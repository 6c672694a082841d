// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// maxPause is the longest that a request is held because VPSie asked for a pause; beyond it, it fails at once.
const maxPause = 30 * time.Second

// limiter spaces requests out and keeps the pauses that VPSie asks for.
type limiter struct {
	clock clock.Clock
	rate  *rate.Limiter

	mu          sync.Mutex
	pausedUntil time.Time
}

// newLimiter allows a small burst and takes it off the steady rate, so that no window of a minute sees more than perMinute.
func newLimiter(clk clock.Clock, perMinute int) *limiter {
	burst := max(1, perMinute/20)
	perSecond := rate.Limit(float64(max(perMinute-burst, 1)) / 60)
	return &limiter{clock: clk, rate: rate.NewLimiter(perSecond, burst)}
}

// wait returns when the next request may be sent, and how long that took. VPSie may ask for a pause while a request waits for its turn:
// then the pause comes first, and the turn after it is another.
func (l *limiter) wait(ctx context.Context) (time.Duration, error) {
	started := l.clock.Now()
	for {
		if err := l.waitOutPause(ctx); err != nil {
			return l.clock.Since(started), err
		}
		if err := l.waitForTurn(ctx); err != nil {
			return l.clock.Since(started), err
		}
		if now := l.clock.Now(); l.pause(now) <= 0 {
			return now.Sub(started), nil
		}
	}
}

func (l *limiter) waitOutPause(ctx context.Context) error {
	for pause := l.pause(l.clock.Now()); pause > 0; pause = l.pause(l.clock.Now()) {
		if pause > maxPause {
			return ErrThrottled
		}
		if err := sleep(ctx, l.clock, pause); err != nil {
			return err
		}
	}
	return nil
}

func (l *limiter) waitForTurn(ctx context.Context) error {
	now := l.clock.Now()
	turn := l.rate.ReserveN(now, 1)
	err := sleep(ctx, l.clock, turn.DelayFrom(now))
	if err != nil {
		turn.CancelAt(l.clock.Now())
	}
	return err
}

func (l *limiter) pause(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pausedUntil.Sub(now)
}

// pauseFor keeps all requests back for d.
func (l *limiter) pauseFor(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := l.clock.Now().Add(d); until.After(l.pausedUntil) {
		l.pausedUntil = until
	}
}

// longestPause bounds what a wrong Retry-After can do.
const longestPause = 10 * time.Minute

// retryAfter reads the header in both of its forms, and else X-RateLimit-Reset, which some servers count in seconds from
// now and some in seconds since 1970. Nobody knows which of them VPSie sends, if any.
func retryAfter(header http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return pauseOf(seconds)
	}
	if at, err := http.ParseTime(value); err == nil {
		return min(max(at.Sub(now), 0), longestPause)
	}
	const year2001 = 1_000_000_000
	seconds, err := strconv.ParseInt(strings.TrimSpace(header.Get("X-Ratelimit-Reset")), 10, 64)
	switch {
	case err != nil:
		return 0
	case seconds >= year2001:
		return pauseOf(seconds - now.Unix())
	}
	return pauseOf(seconds)
}

// pauseOf keeps nonsense from overflowing a time.Duration.
func pauseOf(seconds int64) time.Duration {
	return time.Duration(min(max(seconds, 0), int64(longestPause/time.Second))) * time.Second
}
