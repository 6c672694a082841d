// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/component-helpers/storage/ephemeral"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// attachedVolumes names the volumes that are attached to the node for pods that left. Releasing the machine before they are
// detached would keep their pods from starting elsewhere for minutes. Volumes of staying pods end with the machine.
func (d *Drainer) attachedVolumes(ctx context.Context, node string, staying []*corev1.Pod) ([]string, error) {
	var attachments storagev1.VolumeAttachmentList
	if err := d.kube.List(ctx, &attachments); err != nil {
		return nil, fmt.Errorf("listing the volume attachments of node %q: %w", node, err)
	}
	kept := claims(staying)
	var names []string
	for i := range attachments.Items {
		attachment := &attachments.Items[i]
		if attachment.Spec.NodeName != node {
			continue
		}
		claim, err := d.claimOf(ctx, attachment)
		if err != nil {
			return nil, err
		}
		switch {
		case claim == types.NamespacedName{}:
			names = append(names, attachment.Name)
		case !kept[claim]:
			names = append(names, claim.String())
		}
	}
	return names, nil
}

// claimOf returns the claim that the attached volume is bound to, and nothing when there is none.
func (d *Drainer) claimOf(ctx context.Context, attachment *storagev1.VolumeAttachment) (types.NamespacedName, error) {
	name := attachment.Spec.Source.PersistentVolumeName
	if name == nil {
		return types.NamespacedName{}, nil
	}
	var volume corev1.PersistentVolume
	err := d.kube.Get(ctx, client.ObjectKey{Name: *name}, &volume)
	if apierrors.IsNotFound(err) || err == nil && volume.Spec.ClaimRef == nil {
		return types.NamespacedName{}, nil
	}
	if err != nil {
		return types.NamespacedName{}, fmt.Errorf("reading persistent volume %q: %w", *name, err)
	}
	return types.NamespacedName{Namespace: volume.Spec.ClaimRef.Namespace, Name: volume.Spec.ClaimRef.Name}, nil
}

func claims(pods []*corev1.Pod) map[types.NamespacedName]bool {
	result := map[types.NamespacedName]bool{}
	for _, pod := range pods {
		for i := range pod.Spec.Volumes {
			volume := &pod.Spec.Volumes[i]
			switch {
			case volume.PersistentVolumeClaim != nil:
				result[types.NamespacedName{Namespace: pod.Namespace, Name: volume.PersistentVolumeClaim.ClaimName}] = true
			case volume.Ephemeral != nil:
				result[types.NamespacedName{Namespace: pod.Namespace, Name: ephemeral.VolumeClaimName(pod, volume)}] = true
			}
		}
	}
	return result
}
