// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// keepPromises places pods on the machines that were bought for them, where the plugins still accept them there. Without it a plan that is made
// again while machines are on their way would shuffle the pods among them, and buy more for those that no longer find room.
func (p *planner) keepPromises() error {
	var wanted []settlement
	for c := range p.left {
		for _, pod := range p.left[c] {
			if node := p.input.Promised[nameOf(pod)]; node != "" && p.input.Cluster.Has(node) {
				wanted = append(wanted, settlement{member{c, pod}, node})
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	refused, err := p.restage(wanted)
	if err != nil {
		return err
	}
	broken := make(map[types.NamespacedName]bool, len(refused))
	for _, s := range refused {
		broken[nameOf(s.pod)] = true
	}
	kept := make(map[types.NamespacedName]bool, len(wanted))
	for _, s := range wanted {
		kept[nameOf(s.pod)] = !broken[nameOf(s.pod)]
	}
	for c := range p.left {
		p.left[c] = slices.DeleteFunc(slices.Clone(p.left[c]), func(pod *corev1.Pod) bool { return kept[nameOf(pod)] })
	}
	return nil
}
