// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shown reads the keys that the test uses.
func shown(m *layers[int, int]) map[int]int {
	all := map[int]int{}
	for key := range 1000 {
		if value, found := m.get(key); found {
			all[key] = value
		}
	}
	return all
}

// TestCopiesOfAMapDoNotSeeEachOther changes maps and copies of them at random, often enough that some get a new ground.
func TestCopiesOfAMapDoNotSeeEachOther(t *testing.T) {
	type pair struct {
		layered layers[int, int]
		plain   map[int]int
	}
	random := rand.New(rand.NewPCG(1, 8))
	pairs := []*pair{{newLayers[int, int](0), map[int]int{}}}
	grounds := 0
	for range 300 {
		p := pairs[random.IntN(len(pairs))]
		for range random.IntN(200) {
			if key := random.IntN(1000); random.IntN(3) == 0 {
				p.layered.remove(key)
				delete(p.plain, key)
			} else {
				p.layered.set(key, key%7)
				p.plain[key] = key % 7
			}
		}
		if before := len(p.layered.above); random.IntN(3) == 0 && len(pairs) < 8 {
			pairs = append(pairs, &pair{p.layered.copy(), maps.Clone(p.plain)})
			if before > 0 && len(p.layered.above) == 0 {
				grounds++
			}
		}
		for i, p := range pairs {
			if got := shown(&p.layered); !maps.Equal(p.plain, got) {
				t.Fatalf("map %d (-want +got):\n%s", i, cmp.Diff(p.plain, got))
			}
		}
		if len(pairs) == 8 {
			pairs = pairs[4:]
		}
	}
	if grounds == 0 {
		t.Error("no map got a new ground: the test is too small")
	}
}
