// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import "sync"

// kept is what was made of lists of objects, by what it was made for, for all snapshots of a Series. Of each the last is kept.
type kept struct {
	mu   sync.Mutex
	last map[string]made
}

type made struct{ list, value any }

// identity tells lists apart that are not changed: by where they begin and how long they are.
type identity[T any] struct {
	first *T
	len   int
}

// Keep returns what make returns for the list, unless it was asked before for the same purpose about the same list by a snapshot of the same Series, or a
// clone. Whoever gets a value shares it with other goroutines.
func Keep[T, V any](s *Snapshot, purpose string, list []T, make func() V) V {
	id := identity[T]{len: len(list)}
	if len(list) > 0 {
		id.first = &list[0]
	}
	k := s.facts.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	if last := k.last[purpose]; last.list == any(id) {
		if value, same := last.value.(V); same {
			return value
		}
	}
	value := make()
	k.last[purpose] = made{id, value}
	return value
}
