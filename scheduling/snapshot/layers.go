// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import "maps"

// layers is a map that is copied at the cost of what changed since the last copies were made: the ground is shared with them and
// never written any more, and changes lie above it. Before it is first copied it is a map like any other.
type layers[K, V comparable] struct {
	ground map[K]V
	shared bool // the ground belongs to copies as well
	above  map[K]layer[V]
}

type layer[V any] struct {
	value V
	gone  bool
}

func newLayers[K, V comparable](size int) layers[K, V] {
	return layers[K, V]{ground: make(map[K]V, size)}
}

func (m *layers[K, V]) get(key K) (value V, found bool) {
	if len(m.above) > 0 {
		if changed, is := m.above[key]; is {
			return changed.value, !changed.gone
		}
	}
	value, found = m.ground[key]
	return value, found
}

func (m *layers[K, V]) set(key K, value V) {
	if !m.shared {
		m.ground[key] = value
		return
	}
	if below, is := m.ground[key]; is && below == value {
		delete(m.above, key) // as it was, after a while
		return
	}
	m.change(key, layer[V]{value: value})
}

func (m *layers[K, V]) remove(key K) {
	if !m.shared {
		delete(m.ground, key)
		return
	}
	if _, below := m.ground[key]; below {
		m.change(key, layer[V]{gone: true})
	} else {
		delete(m.above, key)
	}
}

func (m *layers[K, V]) change(key K, to layer[V]) {
	if m.above == nil {
		m.above = map[K]layer[V]{}
	}
	m.above[key] = to
}

// copy returns a copy, which neither sees nor shows later changes. Once so much has changed that copying that would cost more than an
// occasional new ground, there is a new ground.
func (m *layers[K, V]) copy() layers[K, V] {
	if len(m.above) > 256+len(m.ground)/64 {
		m.settle()
	}
	m.shared = true
	return layers[K, V]{ground: m.ground, shared: true, above: maps.Clone(m.above)}
}

func (m *layers[K, V]) settle() {
	ground := maps.Clone(m.ground)
	for key, changed := range m.above {
		if changed.gone {
			delete(ground, key)
		} else {
			ground[key] = changed.value
		}
	}
	m.ground, m.above = ground, nil
}
