// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// unlimited is more than anybody asks for.
const unlimited = 1 << 60

// expectedCapacities says how much room for new volumes planned nodes will have, for drivers that publish it. A driver publishes nothing about a
// node, or a zone, that has no node yet, and kube-scheduler reads silence as "no room": without this no machine would ever be
// bought for such a pod. A planned node that shares a published segment (a zone) has what is published for it. One that opens a new segment
// (its own disk, or a zone without nodes) is expected to have as much as the largest that is published, what is free and what is taken of
// it, and any amount if none is.
func expectedCapacities(objects *snapshot.Objects) []*storagev1.CSIStorageCapacity {
	tracked := map[string]bool{}
	for _, driver := range objects.CSIDrivers {
		tracked[driver.Name] = ptr.Deref(driver.Spec.StorageCapacity, false)
	}
	if !slices.ContainsFunc(objects.StorageClasses, func(c *storagev1.StorageClass) bool { return tracked[c.Provisioner] }) {
		return nil
	}
	registered := metav1.LabelSelectorRequirement{Key: corev1.LabelHostname, Operator: metav1.LabelSelectorOpExists}
	if len(objects.Nodes) > 0 {
		registered.Operator = metav1.LabelSelectorOpNotIn
		for _, node := range objects.Nodes {
			registered.Values = append(registered.Values, node.Labels[corev1.LabelHostname])
		}
	}
	var all []*storagev1.CSIStorageCapacity
	for _, class := range objects.StorageClasses {
		if !tracked[class.Provisioner] {
			continue
		}
		room, segments := newSegments(ofClass(objects.CSIStorageCapacities, class.Name), objects.PersistentVolumes)
		if len(segments) == 0 {
			segments = append(segments, registered)
		}
		for i, segment := range segments {
			all = append(all, &storagev1.CSIStorageCapacity{
				ObjectMeta:       metav1.ObjectMeta{Name: fmt.Sprintf("expected-%s-%d", class.Name, i)},
				StorageClassName: class.Name,
				NodeTopology:     &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{registered, segment}},
				Capacity:         room,
			})
		}
	}
	return all
}

// newSegments returns the size of the largest segment that is published, and which nodes are in a segment about which nothing is: those on which one of
// the labels has a value that no published segment has.
func newSegments(published []*storagev1.CSIStorageCapacity, volumes []*corev1.PersistentVolume) (*resource.Quantity, []metav1.LabelSelectorRequirement) {
	room := resource.NewQuantity(unlimited, resource.BinarySI)
	seen := map[string][]string{} // values that are published, by label
	for i, p := range published {
		capacity := ptr.Deref(p.Capacity, resource.Quantity{})
		for _, volume := range volumes {
			if volume.Spec.StorageClassName == p.StorageClassName && within(volume, p.NodeTopology) {
				capacity.Add(volume.Spec.Capacity[corev1.ResourceStorage])
			}
		}
		if i == 0 || capacity.Cmp(*room) > 0 {
			room = &capacity
		}
		if p.NodeTopology == nil {
			continue
		}
		for key, value := range p.NodeTopology.MatchLabels {
			seen[key] = append(seen[key], value)
		}
	}
	var segments []metav1.LabelSelectorRequirement
	for _, key := range slices.Sorted(maps.Keys(seen)) {
		segments = append(segments, metav1.LabelSelectorRequirement{Key: key, Operator: metav1.LabelSelectorOpNotIn, Values: seen[key]})
	}
	return room, segments
}

func ofClass(all []*storagev1.CSIStorageCapacity, class string) []*storagev1.CSIStorageCapacity {
	return slices.DeleteFunc(slices.Clone(all), func(c *storagev1.CSIStorageCapacity) bool { return c.StorageClassName != class })
}

// within says whether a volume can be reached from the segment only.
func within(volume *corev1.PersistentVolume, segment *metav1.LabelSelector) bool {
	if segment == nil || volume.Spec.NodeAffinity == nil || volume.Spec.NodeAffinity.Required == nil {
		return false
	}
	matches := func(term corev1.NodeSelectorTerm) bool {
		for _, expression := range term.MatchExpressions {
			if value, is := segment.MatchLabels[expression.Key]; is && slices.Equal(expression.Values, []string{value}) {
				return true
			}
		}
		return false
	}
	return slices.ContainsFunc(volume.Spec.NodeAffinity.Required.NodeSelectorTerms, matches)
}
