// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// statics remembers what the plugins say of pods on nodes where nothing else matters: not what they request, not what other
// pods are there. Pods and nodes that look the same to those plugins are asked about once.
type statics struct {
	stills map[*snapshot.Shape]*still
	keys   []string // labels that some pod's node affinity reads
	byName bool     // some pod is tied to a node by name
	nodes  map[string]int
	faces  []*corev1.Node // one node of each look
}

// still is a pod without requests, labels and relations.
type still struct {
	query    *simulate.Query
	verdicts []int8 // by look: 0 not asked, 1 fits, -1 does not
}

// newStatics prepares to ask for the classes. The engine's picture must have no nodes and no pods, now and later.
func newStatics(engine *simulate.Engine, classes []*class) (*statics, error) {
	s := &statics{stills: map[*snapshot.Shape]*still{}, nodes: map[string]int{}}
	keys := map[string]bool{}
	for _, class := range classes {
		if class.opaque {
			continue
		}
		pod := stillOf(class.pods[0])
		shape, err := engine.Snapshot().Shapes().Of(pod)
		if err != nil {
			return nil, err
		}
		if s.stills[shape] == nil {
			s.stills[shape] = &still{query: engine.Ask(pod)}
			s.read(pod, keys)
		}
		class.still = s.stills[shape]
	}
	s.keys = sortedKeys(keys)
	return s, nil
}

func stillOf(pod *corev1.Pod) *corev1.Pod {
	pod = weightless(pod)
	pod.Name, pod.UID, pod.Labels, pod.OwnerReferences = "still", "", nil, nil
	pod.Spec.TopologySpreadConstraints = nil
	if pod.Spec.Affinity != nil {
		pod.Spec.Affinity.PodAffinity, pod.Spec.Affinity.PodAntiAffinity = nil, nil
		if pod.Spec.Affinity.NodeAffinity == nil {
			pod.Spec.Affinity = nil
		}
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			containers[i].Resources = corev1.ResourceRequirements{}
		}
	}
	return pod
}

// read finds out what of a node the pod's node affinity depends on.
func (s *statics) read(pod *corev1.Pod, keys map[string]bool) {
	for key := range pod.Spec.NodeSelector {
		keys[key] = true
	}
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
		return
	}
	required := pod.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return
	}
	for _, term := range required.NodeSelectorTerms {
		for _, expression := range term.MatchExpressions {
			keys[expression.Key] = true
		}
		s.byName = s.byName || len(term.MatchFields) > 0
	}
}

// look returns the number of what a node looks like.
func (s *statics) look(node *corev1.Node) int {
	var b strings.Builder
	for _, key := range s.keys {
		if value, has := node.Labels[key]; has {
			b.WriteString(value)
		} else {
			b.WriteByte(0)
		}
		b.WriteByte('\n')
	}
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		fmt.Fprintf(&b, "%s=%s:%s\n", taint.Key, taint.Value, taint.Effect)
	}
	if node.Spec.Unschedulable {
		b.WriteString("unschedulable")
	}
	for _, feature := range node.Status.DeclaredFeatures {
		b.WriteString(feature)
		b.WriteByte(' ')
	}
	if s.byName {
		b.WriteString(node.Name)
	}
	text := b.String()
	number, known := s.nodes[text]
	if !known {
		number = len(s.faces)
		s.nodes[text] = number
		s.faces = append(s.faces, node)
	}
	return number
}

// admits says whether the pod may run on nodes of that look.
func (s *statics) admits(pod *still, look int) bool {
	if look >= len(pod.verdicts) {
		pod.verdicts = append(pod.verdicts, make([]int8, len(s.faces)-len(pod.verdicts))...)
	}
	if pod.verdicts[look] == 0 {
		node := new(*s.faces[look])
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(1, resource.DecimalSI)}
		info := framework.NewNodeInfo()
		info.SetNode(node)
		if pod.verdicts[look] = -1; pod.query.FitsOn(info).Fits {
			pod.verdicts[look] = 1
		}
	}
	return pod.verdicts[look] > 0
}
