// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"cmp"
	"slices"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	storagehelpers "k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/pack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// attachments says how many volumes of each CSI driver a pod of each class brings along that no other pod uses.
type attachments map[string][]int // by driver, then by class

// newAttachments reads the classes' claims. Only what is a pod's own counts: a volume that several use is attached to a node once.
func (p *problem) newAttachments() attachments {
	all := attachments{}
	if !slices.ContainsFunc(p.classes, func(class *class) bool { return class.opaque }) {
		return all
	}
	users, d := p.claimUsers(), newDrivers(p.input.Cluster)
	for c, class := range p.classes {
		for n, pod := range class.pods {
			own := d.own(pod, users)
			for driver := range own {
				if all[driver] == nil {
					all[driver] = make([]int, len(p.classes))
				}
			}
			for driver, by := range all { // twins may differ in whom they share with
				if by[c] = min(by[c], own[driver]); n == 0 {
					by[c] = own[driver]
				}
			}
		}
	}
	return all
}

// claimUsers counts the pods of each claim.
func (p *problem) claimUsers() map[types.NamespacedName]int {
	users := map[types.NamespacedName]int{}
	for _, class := range p.classes {
		for _, pod := range class.pods {
			for i := range pod.Spec.Volumes {
				if claim := pod.Spec.Volumes[i].PersistentVolumeClaim; claim != nil {
					users[types.NamespacedName{Namespace: pod.Namespace, Name: claim.ClaimName}]++
				}
			}
		}
	}
	return users
}

// drivers finds out which driver attaches a volume.
type drivers struct {
	claims  map[types.NamespacedName]*corev1.PersistentVolumeClaim
	volumes map[string]*corev1.PersistentVolume
	classes map[string]*storagev1.StorageClass
	used    func(claim string) bool // by a pod that runs
}

func newDrivers(cluster *snapshot.Snapshot) *drivers {
	objects := cluster.Objects()
	return &drivers{
		used: cluster.StorageInfos().IsPVCUsedByPods,
		claims: lo.KeyBy(objects.PersistentVolumeClaims, func(claim *corev1.PersistentVolumeClaim) types.NamespacedName {
			return types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}
		}),
		volumes: lo.KeyBy(objects.PersistentVolumes, func(volume *corev1.PersistentVolume) string { return volume.Name }),
		classes: lo.KeyBy(objects.StorageClasses, func(class *storagev1.StorageClass) string { return class.Name }),
	}
}

// own counts the volumes of a pod that it does not share, by driver.
func (d *drivers) own(pod *corev1.Pod, users map[types.NamespacedName]int) map[string]int {
	count := map[string]int{}
	for i := range pod.Spec.Volumes {
		driver := ""
		switch source := &pod.Spec.Volumes[i]; {
		case source.Ephemeral != nil && source.Ephemeral.VolumeClaimTemplate != nil:
			driver = d.provisioner(ptr.Deref(source.Ephemeral.VolumeClaimTemplate.Spec.StorageClassName, ""))
		case source.PersistentVolumeClaim != nil:
			name := types.NamespacedName{Namespace: pod.Namespace, Name: source.PersistentVolumeClaim.ClaimName}
			if users[name] == 1 && !d.used(name.String()) {
				driver = d.of(d.claims[name])
			}
		}
		if driver != "" {
			count[driver]++
		}
	}
	return count
}

func (d *drivers) of(claim *corev1.PersistentVolumeClaim) string {
	if claim == nil {
		return ""
	}
	if claim.Spec.VolumeName == "" {
		return d.provisioner(storagehelpers.GetPersistentVolumeClaimClass(claim))
	}
	if volume := d.volumes[claim.Spec.VolumeName]; volume != nil && volume.Spec.CSI != nil {
		return volume.Spec.CSI.Driver
	}
	return ""
}

func (d *drivers) provisioner(class string) string {
	if known := d.classes[class]; known != nil {
		return known.Provisioner
	}
	return ""
}

// boundVolumes tells packing how many volumes of a driver a machine takes: the fewest or the most of any, as compare says. The classes of the packing are at
// these places. Where some machine takes any number it says nothing.
func (p *planner) boundVolumes(packing *pack.Problem, places map[int]int, nodes []present, compare func(a, b int) int) {
	for _, driver := range sortedKeys(p.attached) {
		limit := pack.Limit{}
		for _, c := range sortedKeys(places) {
			if weight := p.attached[driver][c]; weight > 0 && packing.Classes[places[c]].Count > 0 {
				limit.Classes, limit.Weights = append(limit.Classes, places[c]), append(limit.Weights, weight)
			}
		}
		if most, bounded := p.volumesOf(driver, nodes, compare); bounded && len(limit.Classes) > 0 {
			limit.PerMachine = most
			packing.Limits = append(packing.Limits, limit)
		}
	}
}

// volumesOf returns the greatest limit by an order. It is not bounded where some machine has none.
func (p *planner) volumesOf(driver string, nodes []present, compare func(a, b int) int) (limit int, bounded bool) {
	add := func(csiNode *storagev1.CSINode, known bool) bool {
		if !known {
			return false
		}
		at := slices.IndexFunc(csiNode.Spec.Drivers, func(d storagev1.CSINodeDriver) bool { return d.Name == driver })
		if at < 0 || csiNode.Spec.Drivers[at].Allocatable == nil || csiNode.Spec.Drivers[at].Allocatable.Count == nil {
			return false
		}
		if count := int(*csiNode.Spec.Drivers[at].Allocatable.Count); !bounded || compare(count, limit) > 0 {
			limit, bounded = count, true
		}
		return true
	}
	for _, c := range p.candidates {
		if !add(p.desert.Snapshot().CSINode(c.node.Name)) {
			return 0, false
		}
	}
	for i := range nodes {
		if !add(p.engine.Snapshot().CSINode(p.nodeAt(nodes[i].seat))) {
			return 0, false
		}
	}
	return limit, bounded && limit > 0
}

// fewest orders limits for plans, which every machine has to keep to.
func fewest(a, b int) int { return cmp.Compare(b, a) }
