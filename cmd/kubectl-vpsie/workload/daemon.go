// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/controller/daemon/util"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
)

// daemonSet makes a DaemonSet's pods for the nodes that are in the set and lack one. Whether a pod belongs on its node is for the
// scheduler's plugins to say. Machines that are bought later are charged for DaemonSets by package scheduling.
func (e *expander) daemonSet(set *appsv1.DaemonSet) error {
	self := identify(set, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))
	served := map[string]bool{}
	for _, pod := range e.owned[self.owner] {
		node := pod.Spec.NodeName
		if node == "" && pod.Spec.Affinity != nil && pod.Spec.Affinity.NodeAffinity != nil {
			var err error
			if node, err = util.GetTargetNodeName(pod); err != nil {
				return fmt.Errorf("looking for the node of pod %q: %w", pod.Namespace+"/"+pod.Name, err)
			}
		}
		served[node] = true
	}
	template := util.CreatePodTemplate(set.Spec.Template, nil, "")
	for _, node := range objects.Of[*corev1.Node](e.set) {
		if served[node.Name] {
			continue
		}
		pod := e.pod(self, &template, set.Name+"-"+node.Name)
		pod.Spec.Affinity = util.ReplaceDaemonSetPodNodeNameNodeAffinity(pod.Spec.Affinity.DeepCopy(), node.Name)
		e.add(pod)
	}
	return nil
}
