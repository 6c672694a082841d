// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package yield turns Nodes that registered into what machines of an offering really leave for pods, and corrects offerings by
// it: the memory of a shared machine may balloon, and what a kubelet keeps for itself is nowhere written down. It keeps what it
// learned in a ConfigMap, so that neither a restart nor the end of the last such Node makes it buy the same mistake again. It
// never makes an offering larger than it was sold.
package yield

import (
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// forgetAfter is how old the worst that was seen may become before something better replaces it: VPSie may mend its ways.
const forgetAfter = 30 * 24 * time.Hour

// leastMemoryMiB is what a Node must show to be believed: no machine that runs a kubelet has less.
const leastMemoryMiB = 256

const mebibyte = 1 << 20

// Yield is the least that a Node of an offering has shown.
type Yield struct {
	MemoryMiB        int64     `json:"memoryMiB"`        // that the guest sees
	ReservedMiB      int64     `json:"reservedMiB"`      // that the kubelet and the system keep of it
	ReservedCPUMilli int64     `json:"reservedCPUMilli"` // that they keep of the processors that were sold
	Node             string    `json:"node"`             // that showed it
	SeenAt           time.Time `json:"seenAt"`           // by the day
}

// Observe reads what a Node leaves for pods, and which offering it was bought as. A Node that is not ours, not Ready or not
// plausible teaches nothing: too little would be remembered for a month.
func Observe(node *corev1.Node, now time.Time) (offering string, y Yield, ok bool) {
	offering = node.Labels[v1alpha1.OfferingLabel]
	if offering == "" || node.Labels[v1alpha1.VPSieNodeLabel] == "" || !node.DeletionTimestamp.IsZero() || !ready(node) {
		return "", Yield{}, false
	}
	soldMiB, err := strconv.ParseInt(node.Labels[v1alpha1.MemoryLabel], 10, 64)
	if err != nil {
		return "", Yield{}, false
	}
	soldCPUs, err := strconv.ParseInt(node.Labels[v1alpha1.CPULabel], 10, 64)
	if err != nil {
		return "", Yield{}, false
	}
	memory := min(node.Status.Capacity.Memory().Value()/mebibyte, soldMiB)
	left := node.Status.Allocatable.Memory().Value() / mebibyte
	leftCPU := node.Status.Allocatable.Cpu().MilliValue()
	if memory < leastMemoryMiB || left <= 0 || leftCPU <= 0 {
		return "", Yield{}, false
	}
	return offering, Yield{
		MemoryMiB: memory, ReservedMiB: max(memory-left, 0), ReservedCPUMilli: max(soldCPUs*1000-leftCPU, 0),
		Node: node.Name, SeenAt: now.UTC().Truncate(24 * time.Hour),
	}, true
}

func ready(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (y Yield) memoryForPods() int64 { return y.MemoryMiB - y.ReservedMiB }

// merge returns the worse of what was known and what is seen now. What is seen again is as fresh as it is now; of two Nodes
// that show the same on one day, the first is remembered, so that a fleet of equals is written down once.
func merge(known, seen Yield) Yield {
	switch {
	case known == (Yield{}), seen.SeenAt.Sub(known.SeenAt) > forgetAfter:
		return seen
	case known.SeenAt.Sub(seen.SeenAt) > forgetAfter:
		return known
	}
	worse := known
	was, is := known.memoryForPods(), seen.memoryForPods()
	if is < was || is == was && seen.SeenAt.After(known.SeenAt) {
		worse = seen
	}
	worse.ReservedCPUMilli = max(known.ReservedCPUMilli, seen.ReservedCPUMilli)
	return worse
}

// Correct returns the offerings with what is known of each.
func Correct(offerings []scheduling.Offering, known map[string]Yield) []scheduling.Offering {
	corrected := make([]scheduling.Offering, 0, len(offerings))
	for _, o := range offerings {
		if y, ok := known[o.ID]; ok {
			o.VisibleMemoryMiB, o.ReservedMiB, o.ReservedCPUMilli = min(y.MemoryMiB, o.MemoryMiB), y.ReservedMiB, y.ReservedCPUMilli
		}
		corrected = append(corrected, o)
	}
	return corrected
}
