// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"math"

	corev1 "k8s.io/api/core/v1"
)

// quota bounds how many pods of some classes one node may hold together. kube-scheduler knows nothing of it.
type quota struct {
	most   func(*corev1.Node) int
	limits []int // by seat
	counts []int
}

// Bound keeps nodes from holding more than most pods of some classes together, of which there are some already, by node. Most is 0 where
// the node may hold any number. A class must be bound once at most, and before its first pod is entered.
func (l *Ledger) Bound(classes []int, there map[string]int, most func(*corev1.Node) int) {
	q := &quota{most: most}
	l.quotas = append(l.quotas, q)
	for number := range l.seats {
		q.addSeat(l.seats[number].node)
		q.counts[number] = there[l.seats[number].node.Name]
	}
	for _, class := range classes {
		l.rules[class].quota = q
	}
}

func (q *quota) addSeat(node *corev1.Node) {
	limit := q.most(node)
	if limit == 0 {
		limit = math.MaxInt
	}
	q.limits, q.counts = append(q.limits, limit), append(q.counts, 0)
}

// left says how many more pods a node may hold.
func (q *quota) left(number int) int { return max(q.limits[number]-q.counts[number], 0) }
