// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/samber/lo"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// hold is a pool that buys nothing for a while, because its newest machines failed.
type hold struct {
	group scheduling.Group
	until time.Time
	why   string // one word; it stays the same from one failure of a kind to the next
}

// text says what to wait for. It names no time and no machine: it would be another text, and news to every pod, with each failure.
func (h hold) text() string {
	return fmt.Sprintf("waits for node group %q, which is on hold because a machine of it failed (%s; kubectl describe nodegroup,vpsienode tells more); it tries again by itself, at the latest after %s",
		h.group.NodeGroup.Name, h.why, holdMost)
}

// withoutHeld returns the pools that may grow, and those that may not for now: one whose newest machines failed is left alone for
// a while that doubles with each failure, or a cloud that refuses would be asked without end.
func withoutHeld(picture *state.Picture, now time.Time) (groups []scheduling.Group, held []hold) {
	for _, group := range picture.Groups() {
		until, why := holdUntil(picture, group.NodeGroup.Name)
		if now.Before(until) {
			held = append(held, hold{group, until, why})
			continue
		}
		groups = append(groups, group)
	}
	return groups, held
}

const (
	holdFirst = 30 * time.Second
	holdMost  = 10 * time.Minute
)

func holdUntil(picture *state.Picture, group string) (until time.Time, why string) {
	failures := 0
	var newest time.Time
	for _, m := range picture.Machines {
		if m.VPSieNode.Spec.NodeGroup != group || m.VPSieNode.Status.Phase != v1alpha1.PhaseFailed {
			continue
		}
		failures++
		if c := state.Failure(m.VPSieNode); c != nil && c.LastTransitionTime.After(newest) {
			newest, why = c.LastTransitionTime.Time, c.Reason
		}
	}
	if failures == 0 {
		return time.Time{}, ""
	}
	return newest.Add(min(holdFirst<<min(failures-1, 10), holdMost)), why
}

// whyNot returns, by pod, why the plan rejects it. Where pools are on hold, a second plan in which none is tells for which pods that makes
// the difference: only they hear of holds, and the others hear what all pools lack.
func whyNot(in scheduling.Input, plan scheduling.Plan, held []hold) (map[types.NamespacedName]reason, error) {
	reasons := messages(plan.Rejections)
	if len(held) == 0 || !slices.ContainsFunc(plan.Rejections, func(r scheduling.Rejection) bool { return !scheduling.IsHeadroom(r.Pod) }) {
		return reasons, nil
	}
	in.Groups = slices.Clone(in.Groups)
	for _, h := range held {
		in.Groups = append(in.Groups, h.group)
	}
	open, err := scheduling.Solve(in)
	if err != nil {
		return reasons, fmt.Errorf("planning as if no node group were on hold: %w", err)
	}
	groupOf := make(map[string]string, len(open.Launches)) // by launch
	for _, launch := range open.Launches {
		groupOf[launch.Name] = launch.Group
	}
	for pod, message := range messages(open.Rejections) {
		if _, rejected := reasons[pod]; rejected {
			reasons[pod] = message
		}
	}
	for _, placement := range open.Placements {
		text := holdText(held, groupOf, placement.Node)
		if _, rejected := reasons[placement.Pod]; rejected && text != "" {
			reasons[placement.Pod] = reason{text, text}
		}
	}
	return reasons, nil
}

// holdText speaks of the pool that the pod's machine would be of; where another pool would make room for the pod, of all that are on hold.
func holdText(held []hold, groupOf map[string]string, node string) string {
	var texts []string
	for _, h := range held {
		if h.group.NodeGroup.Name == groupOf[node] {
			return h.text()
		}
		if slices.Contains(lo.Values(groupOf), h.group.NodeGroup.Name) {
			texts = append(texts, h.text())
		}
	}
	return strings.Join(texts, "; ")
}

func messages(rejections []scheduling.Rejection) map[types.NamespacedName]reason {
	result := make(map[types.NamespacedName]reason, len(rejections))
	for _, r := range rejections {
		result[r.Pod] = reason{r.Message, r.Message}
	}
	return result
}
