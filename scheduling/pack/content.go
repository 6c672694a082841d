// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

// openRoom empties the work space's machine.
func (w *pricing) openRoom(room []int64) {
	copy(w.free, room)
	for l := range w.spare {
		w.spare[l] = w.in.problem.Limits[l].PerMachine
	}
}

// fitting is how many of an item the work space's machine still holds, of at most n.
func (w *pricing) fitting(item int32, n int) int {
	it := &w.in.items[item]
	for _, l := range it.limits {
		n = min(n, w.spare[l.limit]/l.weight)
	}
	for r, request := range it.requests {
		if request > 0 && int64(n)*request > w.free[r] {
			n = int(w.free[r] / request)
		}
	}
	return n
}

// charge takes the room of n pods, or gives it back where n is negative.
func (w *pricing) charge(item int32, n int) {
	it := &w.in.items[item]
	for _, l := range it.limits {
		w.spare[l.limit] -= n * l.weight
	}
	for r, request := range it.requests {
		w.free[r] -= int64(n) * request
	}
}

// pour fills an empty machine with what is left, in the given order. The result is valid until the next call.
func (w *pricing) pour(kind int, order []int32, left []int, values []float64) ([]portion, float64) {
	k := &w.in.kinds[kind]
	w.openRoom(k.room)
	w.mix = w.mix[:0]
	value := 0.0
	for _, i := range order {
		if left[i] == 0 || !k.set.has(int(i)) {
			continue
		}
		if n := w.fitting(i, min(left[i], w.in.items[i].cap)); n > 0 {
			w.charge(i, n)
			w.mix = append(w.mix, portion{i, int32(n)})
			value += float64(n) * values[i]
		}
	}
	return w.mix, value
}

// holds says whether one machine holds all that is left.
func (w *pricing) holds(kind int, left []int) bool {
	k := &w.in.kinds[kind]
	w.openRoom(k.room)
	for i, n := range left {
		if n == 0 {
			continue
		}
		if !k.set.has(i) || n > w.in.items[i].cap || w.fitting(int32(i), n) < n {
			return false
		}
		w.charge(int32(i), n)
	}
	return true
}
