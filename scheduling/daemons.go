// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/controller/daemon/util"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/creation"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// daemons makes the pods that DaemonSets will put on a node that is not there yet.
type daemons struct{ templates []*corev1.Pod }

func newDaemons(objects *snapshot.Objects) daemons {
	priorities := map[string]int32{"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}
	for _, class := range objects.PriorityClasses {
		priorities[class.Name] = class.Value
	}
	var d daemons
	for _, set := range objects.DaemonSets {
		if set.DeletionTimestamp == nil {
			d.templates = append(d.templates, daemonTemplate(set, priorities))
		}
	}
	slices.SortFunc(d.templates, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(*b.Spec.Priority, *a.Spec.Priority), snapshot.ComparePods(a, b))
	})
	return d
}

// daemonTemplate returns a pod as the DaemonSet controller would make it and the API server would store it, without the node.
func daemonTemplate(set *appsv1.DaemonSet, priorities map[string]int32) *corev1.Pod {
	template := util.CreatePodTemplate(set.Spec.Template, nil, "")
	pod := &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}
	pod.Namespace, pod.Name = set.Namespace, set.Name
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))}
	creation.Request(pod)
	creation.Select(pod)
	pod.Spec.Priority = new(ptr.Deref(pod.Spec.Priority, priorities[pod.Spec.PriorityClassName]))
	return pod
}

// shapes returns what the pods are to others.
func (d daemons) shapes(snap *snapshot.Snapshot) ([]*snapshot.Shape, error) {
	var shapes []*snapshot.Shape
	for _, template := range d.templates {
		shape, err := snap.Shapes().Of(template)
		if err != nil {
			return nil, err
		}
		shapes = append(shapes, shape)
	}
	return shapes, nil
}

// land puts on a node the pods of all DaemonSets that the plugins admit there and that have none there yet, the most important first, and
// names those that only lack room.
func (d daemons) land(engine *simulate.Engine, node string) (homeless []string, err error) {
	there := map[types.NamespacedName]bool{}
	for _, pod := range engine.Snapshot().PodsOn(node) {
		if set, owned := daemonSetOf(pod); owned {
			there[set] = true
		}
	}
	for _, template := range d.templates {
		if there[nameOf(template)] {
			continue
		}
		pod := *template
		pod.Name += "-" + node
		verdict, err := engine.Place(&pod, node)
		if err != nil {
			return nil, err
		}
		if verdict.Plugin == "NodeResourcesFit" {
			homeless = append(homeless, nameOf(template).String())
		}
	}
	return homeless, nil
}

// awaitDaemons puts DaemonSet pods that exist and are not bound yet on the nodes that they were made for, then on virtual nodes those to
// come: they have a claim to that room before any pod that is planned for. A virtual node may have some already, as it stands for one
// that joined and does not run other pods yet.
func awaitDaemons(engine *simulate.Engine, d daemons, asked func(*corev1.Pod) bool) error {
	snap := engine.Snapshot()
	pending := slices.DeleteFunc(slices.Clone(snap.Unbound()), func(pod *corev1.Pod) bool {
		_, placed := snap.NodeOf(pod)
		_, owned := daemonSetOf(pod)
		return placed || asked(pod) || !owned || pod.DeletionTimestamp != nil || len(pod.Spec.SchedulingGates) > 0
	})
	slices.SortFunc(pending, comparePending)
	for _, pod := range pending {
		node := tiedTo(pod)
		if !snap.Has(node) {
			continue
		}
		if _, err := engine.Place(pod, node); err != nil {
			return err
		}
	}
	for _, node := range snap.PlannedNodes() {
		if _, err := d.land(engine, node); err != nil {
			return err
		}
	}
	return nil
}

// daemonSetOf names the DaemonSet that a pod belongs to.
func daemonSetOf(pod *corev1.Pod) (set types.NamespacedName, owned bool) {
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.Kind != "DaemonSet" {
		return types.NamespacedName{}, false
	}
	return types.NamespacedName{Namespace: pod.Namespace, Name: owner.Name}, true
}

// tiedTo returns the node that the DaemonSet controller made the pod for.
func tiedTo(pod *corev1.Pod) string {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
		return ""
	}
	node, err := util.GetTargetNodeName(pod)
	if err != nil {
		return ""
	}
	return node
}
