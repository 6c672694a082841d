// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import (
	"math"
	"slices"
)

// relaxation is the linear relaxation of a knapsack: the most value that fits into one machine when pods can be cut. It is solved by
// the dual simplex method with long steps (bound flipping, after Maros 2003): a knapsack has few rows, all items are bounded, hence any basis with
// prices that are not negative is a start, and the basis of the last time is a good one. Whatever prices it ends with, the
// value it states is an upper bound, because every choice of prices gives one (weak duality).
type relaxation struct {
	rows  int
	basis []int32 // by row: an item of the problem, or -1-row for the row's slack
	price []float64
	// amount is how much of each basic variable the solution has, if the pivots sufficed.
	amount []float64
}

// knapsack is the part of a pricing problem that changes between calls: what the items are worth now, and how many there are.
type knapsack struct {
	rows    int
	room    []float64
	item    []int32 // the instance's index
	value   []float64
	most    []float64
	size    []float64 // rows values for each
	work    int64
	gain    []float64 // value less the price of the room
	inverse []float64
	point   []float64
	steps   []crossing
	where   []int32 // by item of the instance: position, or -1
}

// crossing is where the gain of an item changes its sign when prices move.
type crossing struct {
	at    float64
	index int
	slope float64
}

const (
	pivots    = 40
	tolerance = 1e-9
)

// solve returns an upper bound on the value of the knapsack. It stops as soon as the bound is at most the floor: nothing more is asked then.
func (x *relaxation) solve(k *knapsack, floor float64) float64 {
	for ; x.rows < k.rows; x.rows++ { // a row that is new is slack, and the basis as good as before
		x.basis = append(x.basis, int32(-1-x.rows))
		x.price, x.amount = append(x.price, 0), append(x.amount, 0)
	}
	if !x.invert(k) || !x.priced(k) {
		x.slack()
		x.invert(k)
		x.priced(k)
	}
	for range pivots {
		k.work += int64(len(k.item)*k.rows*6 + 4*k.rows*k.rows*k.rows + 100)
		if upper := x.upper(k); upper <= floor {
			return upper
		}
		row, surplus := x.infeasible(k)
		if row < 0 {
			break
		}
		if !x.step(k, row, surplus) || !x.invert(k) || !x.priced(k) {
			break
		}
	}
	k.weigh(x.price)
	return x.upper(k)
}

// upper is the bound that the prices give.
func (x *relaxation) upper(k *knapsack) float64 {
	upper := 0.0
	for r := range x.price {
		upper += x.price[r] * k.room[r]
	}
	for j, gain := range k.gain {
		if gain > 0 {
			upper += gain * k.most[j]
		}
	}
	return upper
}

func (x *relaxation) slack() {
	for r := range x.basis {
		x.basis[r] = int32(-1 - r)
	}
}

// weigh computes what each item gains at the given prices.
func (k *knapsack) weigh(price []float64) {
	k.gain = k.gain[:0]
	switch k.rows {
	case 2:
		p0, p1 := price[0], price[1]
		for j, value := range k.value {
			k.gain = append(k.gain, value-p0*k.size[2*j]-p1*k.size[2*j+1])
		}
	case 3:
		p0, p1, p2 := price[0], price[1], price[2]
		for j, value := range k.value {
			k.gain = append(k.gain, value-p0*k.size[3*j]-p1*k.size[3*j+1]-p2*k.size[3*j+2])
		}
	default:
		for j, value := range k.value {
			for r, size := range k.size[j*k.rows : (j+1)*k.rows] {
				value -= price[r] * size
			}
			k.gain = append(k.gain, value)
		}
	}
}

// entry returns an element of a basic column.
func (x *relaxation) entry(k *knapsack, column int32, r int) float64 {
	if column < 0 {
		if int(-1-column) == r {
			return 1
		}
		return 0
	}
	return k.size[int(k.where[column])*k.rows+r]
}

// invert computes the inverse of the basis by Gauss and Jordan. It refuses a basis with an item that is not for sale any more.
func (x *relaxation) invert(k *knapsack) bool {
	n := x.rows
	if cap(k.inverse) < 2*n*n {
		k.inverse = make([]float64, 2*n*n)
	}
	work := k.inverse[:2*n*n] // the basis beside the identity
	clear(work)
	for column, j := range x.basis {
		if j >= 0 && k.where[j] < 0 {
			return false
		}
		for r := range n {
			work[r*2*n+column] = x.entry(k, j, r)
		}
		work[column*2*n+n+column] = 1
	}
	for column := range n {
		pivot := column
		for r := column + 1; r < n; r++ {
			if math.Abs(work[r*2*n+column]) > math.Abs(work[pivot*2*n+column]) {
				pivot = r
			}
		}
		if math.Abs(work[pivot*2*n+column]) < 1e-11 {
			return false
		}
		for c := range 2 * n {
			work[pivot*2*n+c], work[column*2*n+c] = work[column*2*n+c], work[pivot*2*n+c]
		}
		scale := 1 / work[column*2*n+column]
		for c := range 2 * n {
			work[column*2*n+c] *= scale
		}
		for r := range n {
			factor := work[r*2*n+column]
			if r == column || factor == 0 {
				continue
			}
			for c := range 2 * n {
				work[r*2*n+c] -= factor * work[column*2*n+c]
			}
		}
	}
	return true
}

func (k *knapsack) inverted(r, c int) float64 { return k.inverse[r*2*k.rows+k.rows+c] }

// priced computes the prices of the basis and the gains, and says whether the prices are admissible.
func (x *relaxation) priced(k *knapsack) bool {
	greatest := 0.0
	for c := range x.rows {
		x.price[c] = 0
		for r, j := range x.basis {
			if j >= 0 {
				x.price[c] += k.value[k.where[j]] * k.inverted(r, c)
			}
		}
		greatest = math.Max(greatest, math.Abs(x.price[c]))
	}
	ok := true
	for c, price := range x.price {
		ok = ok && price >= -tolerance*greatest
		x.price[c] = math.Max(price, 0)
	}
	k.weigh(x.price)
	for _, j := range x.basis {
		if j >= 0 {
			k.gain[k.where[j]] = 0
		}
	}
	return ok
}

// infeasible returns the row whose basic variable is the farthest out of its bounds, and by how much: below 0 or above the most there is.
func (x *relaxation) infeasible(k *knapsack) (row int, surplus float64) {
	k.point = append(k.point[:0], k.room...)
	for j, gain := range k.gain {
		if gain > 0 {
			for r, size := range k.size[j*k.rows : (j+1)*k.rows] {
				k.point[r] -= size * k.most[j]
			}
		}
	}
	row = -1
	for r, j := range x.basis {
		amount := 0.0
		for c, rest := range k.point {
			amount += k.inverted(r, c) * rest
		}
		x.amount[r] = amount
		out := 0.0
		switch {
		case amount < -tolerance:
			out = amount
		case j >= 0 && amount > k.most[k.where[j]]+tolerance:
			out = amount - k.most[k.where[j]]
		}
		if math.Abs(out) > math.Abs(surplus) {
			row, surplus = r, out
		}
	}
	return row, surplus
}

// step moves the prices until the row's infeasibility is used up, past items whose gain changes its sign on the way, and brings the
// last of them into the basis.
func (x *relaxation) step(k *knapsack, row int, surplus float64) bool {
	sign := 1.0
	if surplus > 0 {
		sign = -1
	}
	n := k.rows
	direction := k.inverse[row*2*n+n : row*2*n+2*n]
	k.steps = k.steps[:0]
	for r, d := range direction {
		if slope := sign * d; slope < -1e-11 && x.basis[row] != int32(-1-r) {
			k.steps = append(k.steps, crossing{math.Max(x.price[r], 0) / -slope, -1 - r, math.Inf(1)})
		}
	}
	for j, gain := range k.gain {
		if gain == 0 && x.holds(k.item[j]) {
			continue
		}
		slope := 0.0
		for r, size := range k.size[j*n : (j+1)*n] {
			slope += direction[r] * size
		}
		if slope *= sign; (gain > 0 && slope > 1e-11) || (gain <= 0 && slope < -1e-11) {
			k.steps = append(k.steps, crossing{gain / slope, j, math.Abs(slope) * k.most[j]})
		}
	}
	left := math.Abs(surplus)
	for heapify(k.steps); len(k.steps) > 0; {
		var next crossing
		next, k.steps = pop(k.steps)
		if left -= next.slope; left <= 0 || len(k.steps) == 0 {
			if next.index < 0 {
				x.basis[row] = int32(next.index)
			} else {
				x.basis[row] = k.item[next.index]
			}
			return true
		}
	}
	return false
}

func (x *relaxation) holds(item int32) bool {
	return slices.Contains(x.basis, item)
}

// heapify and pop keep a slice as a heap: only the first few crossings are wanted in order.
func heapify(h []crossing) {
	for i := len(h)/2 - 1; i >= 0; i-- {
		sift(h, i)
	}
}

func pop(h []crossing) (crossing, []crossing) {
	first := h[0]
	h[0] = h[len(h)-1]
	h = h[:len(h)-1]
	sift(h, 0)
	return first, h
}

func sift(h []crossing, i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].at < h[least].at || (h[child].at == h[least].at && h[child].index < h[least].index) {
				least = child
			}
		}
		if least == i {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}
