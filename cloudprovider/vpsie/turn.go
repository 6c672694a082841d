// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import "context"

// turn lets one goroutine in at a time; unlike with a mutex, the others stop waiting when their context ends.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) leave() { <-t }
