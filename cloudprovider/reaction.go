// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package cloudprovider

import (
	"errors"
	"fmt"
)

// Reaction is what a caller should do about an error of a Provider. The set is closed.
type Reaction string

// The reactions.
const (
	// NoReaction: there is no error.
	NoReaction Reaction = ""
	// TryElsewhere: this offering cannot be had now; another may.
	TryElsewhere Reaction = "TryElsewhere"
	// TryLater: throttled, unreachable or not understood; nothing was changed; the same request may work later.
	TryLater Reaction = "TryLater"
	// LookFirst: the reply was lost or denies what the caller believes; read the inventory before doing anything.
	LookFirst Reaction = "LookFirst"
	// GiveUp: can never work before a person changes something: credentials, quota, configuration.
	GiveUp Reaction = "GiveUp"
)

// Error is an error of a Provider with the reaction it asks for.
type Error struct {
	Reaction Reaction
	Reason   string // one CamelCase word from a closed set, for conditions and metrics: QuotaExceeded, OutOfStock, ...
	Err      error
}

// Errorf makes an Error with a formatted message.
func Errorf(reaction Reaction, reason, format string, args ...any) *Error {
	return &Error{Reaction: reaction, Reason: reason, Err: fmt.Errorf(format, args...)}
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReactionTo returns what to do about err. An error that carries no reaction is TryLater: it is not understood, so it must
// not be taken for a refusal.
func ReactionTo(err error) Reaction {
	if err == nil {
		return NoReaction
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reaction
	}
	return TryLater
}

// ReasonOf returns the one-word reason of err, "Unknown" where it carries none.
func ReasonOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok && e.Reason != "" {
		return e.Reason
	}
	return "Unknown"
}
