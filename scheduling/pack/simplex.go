// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package pack

import "math"

// simplex is a primal revised simplex method for min cost*x, Ax = b, x >= 0 that columns are added to between solves. The inverse of
// the basis is kept in full: a master has a few hundred rows at most, and every column a few entries. No library of the Go world that keeps a
// basis between solves does without C; gonum's starts from nothing each time.
type simplex struct {
	rows    int
	rhs     []float64
	columns []column
	basis   []int     // by row: its column
	within  []int     // by column: its row in the basis, or -1
	inverse []float64 // rows x rows
	x       []float64 // by row
	dual    []float64
	pivots  int
	alpha   []float64
	cursor  int
}

// column is sparse.
type column struct {
	cost    float64
	rows    []int32
	entries []float64
}

// newSimplex starts with a basis of unit columns, one for each row.
func newSimplex(rhs, costs []float64) *simplex {
	n := len(rhs)
	s := &simplex{
		rows: n, rhs: make([]float64, n), inverse: make([]float64, n*n), x: make([]float64, n), dual: make([]float64, n),
		alpha: make([]float64, n),
	}
	for r := range n {
		// A small perturbation, different for each row, keeps ties from cycling (Charnes 1952). The duals do not depend on it.
		s.rhs[r] = rhs[r] + 1e-7*(1+rhs[r])*(1+math.Mod(float64(r)*0.6180339887, 1))
		s.add(column{cost: costs[r], rows: []int32{int32(r)}, entries: []float64{1}})
		s.basis = append(s.basis, r)
		s.within[r] = r
		s.inverse[r*n+r] = 1
		s.x[r], s.dual[r] = s.rhs[r], costs[r]
	}
	return s
}

func (s *simplex) add(c column) {
	s.columns = append(s.columns, c)
	s.within = append(s.within, -1)
}

// reduced is the reduced cost of a column.
func (s *simplex) reduced(c *column) float64 {
	cost := c.cost
	for i, r := range c.rows {
		cost -= s.dual[r] * c.entries[i]
	}
	return cost
}

// solve pivots until no column improves the objective, or until the limit.
func (s *simplex) solve(limit int) {
	fresh := false
	for range limit {
		j := s.entering()
		if j < 0 {
			if fresh || s.exact() {
				return
			}
			s.refactor()
			fresh = true
			continue
		}
		row := s.leaving(&s.columns[j])
		if row < 0 {
			return // unbounded in exact arithmetic never: all columns cost something
		}
		s.pivot(row, j)
		fresh = false
	}
}

// entering picks a column with a negative reduced cost, relative to its cost. It looks at the columns in sections and takes the best of the
// first section that has one (partial pricing).
func (s *simplex) entering() int {
	const section = 600
	best, least := -1, -1e-7
	for seen := range s.columns {
		j := s.cursor
		if s.cursor++; s.cursor >= len(s.columns) {
			s.cursor = 0
		}
		if s.within[j] < 0 {
			if reduced := s.reduced(&s.columns[j]); reduced < least {
				best, least = j, reduced
			}
		}
		if best >= 0 && seen%section == section-1 {
			break
		}
	}
	return best
}

// leaving computes the column in terms of the basis, and returns the row that limits it.
func (s *simplex) leaving(c *column) int {
	n := s.rows
	for i := range n {
		row, sum := s.inverse[i*n:(i+1)*n], 0.0
		for k, r := range c.rows {
			sum += row[r] * c.entries[k]
		}
		s.alpha[i] = sum
	}
	best, step := -1, math.Inf(1)
	for i, a := range s.alpha {
		if a <= 1e-9 {
			continue
		}
		ratio := math.Max(s.x[i], 0) / a
		if ratio < step-1e-10 || (ratio < step+1e-10 && (best < 0 || a > s.alpha[best])) {
			best, step = i, math.Min(step, ratio)
		}
	}
	return best
}

func (s *simplex) pivot(row, j int) {
	n := s.rows
	s.pivots++
	reduced := s.reduced(&s.columns[j])
	pivotal := s.inverse[row*n : (row+1)*n]
	scale := 1 / s.alpha[row]
	for c := range pivotal {
		pivotal[c] *= scale
	}
	s.x[row] *= scale
	for i, factor := range s.alpha {
		if i == row || math.Abs(factor) < 1e-13 {
			continue
		}
		other := s.inverse[i*n : (i+1)*n]
		for c, p := range pivotal {
			other[c] -= factor * p
		}
		s.x[i] -= factor * s.x[row]
	}
	for c, p := range pivotal {
		s.dual[c] += reduced * p
	}
	s.within[s.basis[row]] = -1
	s.basis[row], s.within[j] = j, row
}

// exact says whether the basis still solves its equations: the inverse collects rounding errors.
func (s *simplex) exact() bool {
	for _, j := range s.basis {
		c := &s.columns[j]
		if math.Abs(s.reduced(c)) > 1e-7*(1+math.Abs(c.cost)) {
			return false
		}
	}
	residual := s.alpha
	copy(residual, s.rhs)
	worst := 0.0
	for r, j := range s.basis {
		for k, i := range s.columns[j].rows {
			residual[i] -= s.columns[j].entries[k] * s.x[r]
		}
	}
	for i, rest := range residual {
		worst = math.Max(worst, math.Abs(rest)/(1+math.Abs(s.rhs[i])))
	}
	return worst < 1e-6
}

// refactor computes the inverse from the basis, by Gauss and Jordan with row pivoting. Where the basis turns out to be singular it
// starts again from the unit columns.
func (s *simplex) refactor() {
	n := s.rows
	work := make([]float64, n*n)
	clear(s.inverse)
	for r, j := range s.basis {
		for k, i := range s.columns[j].rows {
			work[int(i)*n+r] = s.columns[j].entries[k]
		}
		s.inverse[r*n+r] = 1
	}
	for c := range n {
		if !s.eliminate(work, c) {
			s.reset()
			break
		}
	}
	for i := range n {
		s.x[i], s.dual[i] = 0, 0
	}
	for i := range n {
		cost := s.columns[s.basis[i]].cost
		for c, v := range s.inverse[i*n : (i+1)*n] {
			s.x[i] += v * s.rhs[c]
			s.dual[c] += cost * v
		}
	}
}

// reset returns to the basis of unit columns.
func (s *simplex) reset() {
	clear(s.inverse)
	for _, j := range s.basis {
		s.within[j] = -1
	}
	for r := range s.rows {
		s.basis[r], s.within[r], s.inverse[r*s.rows+r] = r, r, 1
	}
}

func (s *simplex) eliminate(work []float64, c int) bool {
	n := s.rows
	pivot := c
	for r := c + 1; r < n; r++ {
		if math.Abs(work[r*n+c]) > math.Abs(work[pivot*n+c]) {
			pivot = r
		}
	}
	if math.Abs(work[pivot*n+c]) < 1e-11 {
		return false
	}
	for i := range n {
		work[pivot*n+i], work[c*n+i] = work[c*n+i], work[pivot*n+i]
		s.inverse[pivot*n+i], s.inverse[c*n+i] = s.inverse[c*n+i], s.inverse[pivot*n+i]
	}
	scale := 1 / work[c*n+c]
	for i := range n {
		work[c*n+i] *= scale
		s.inverse[c*n+i] *= scale
	}
	for r := range n {
		factor := work[r*n+c]
		if r == c || factor == 0 {
			continue
		}
		a, b := work[r*n:(r+1)*n], s.inverse[r*n:(r+1)*n]
		pa, pb := work[c*n:(c+1)*n], s.inverse[c*n:(c+1)*n]
		for i := range a {
			a[i] -= factor * pa[i]
			b[i] -= factor * pb[i]
		}
	}
	return true
}

// value returns how much of a column the solution has.
func (s *simplex) value(j int) float64 {
	if r := s.within[j]; r >= 0 {
		return math.Max(s.x[r], 0)
	}
	return 0
}

func (s *simplex) objective() float64 {
	sum := 0.0
	for r, j := range s.basis {
		sum += s.columns[j].cost * s.x[r]
	}
	return sum
}
