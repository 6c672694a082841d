// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	v1helper "k8s.io/kubernetes/pkg/apis/core/v1/helper"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Twin returns a registered node whose machine is of the same size as that of the given node, or nothing. What hardware and
// device plugins offer on the one they will offer on the other.
func (s *Snapshot) Twin(node *corev1.Node) *corev1.Node {
	size := node.Labels[corev1.LabelInstanceTypeStable]
	if like := s.Like(node); size != "" && like != nil && like.Labels[corev1.LabelInstanceTypeStable] == size {
		return like
	}
	return nil
}

// learn corrects the estimate of what a planned node leaves for pods by what its twin shows: resources of device plugins in any case,
// the others only from a machine of the same group, because the group decides what its kubelets keep. More than the size that is
// sold is not believed, and nothing is learned of a kubelet that reports no cpu yet.
func learn(node, twin *corev1.Node) {
	if twin == nil || twin.Status.Allocatable.Cpu().IsZero() {
		return
	}
	group := node.Labels[v1alpha1.NodeGroupLabel]
	sameGroup := group != "" && group == twin.Labels[v1alpha1.NodeGroupLabel]
	for name, quantity := range twin.Status.Allocatable {
		_, estimated := node.Status.Allocatable[name]
		sold, told := node.Status.Capacity[name]
		switch {
		case v1helper.IsExtendedResourceName(name) || strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix):
			if !estimated && node.Status.Allocatable != nil {
				node.Status.Allocatable[name] = quantity.DeepCopy()
			}
		case estimated && sameGroup && (!told || quantity.Cmp(sold) <= 0):
			node.Status.Allocatable[name] = quantity.DeepCopy()
		}
	}
}
