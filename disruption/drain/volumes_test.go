// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestVolumesAreDetachedBeforeTheNodeIsDrained(t *testing.T) {
	volume := func(name, claim string) *corev1.PersistentVolume {
		pv := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if claim != "" {
			pv.Spec.ClaimRef = &corev1.ObjectReference{Namespace: "shop", Name: claim}
		}
		return pv
	}
	attach := func(name, node, pv string) *storagev1.VolumeAttachment {
		return &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.VolumeAttachmentSpec{
			NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &pv},
		}}
	}
	cases := map[string]struct {
		objects  []client.Object
		deadline time.Time
		want     Progress
	}{
		"a volume of a pod that left": {
			objects: []client.Object{volume("pv-1", "data"), attach("va-1", "node-1", "pv-1")},
			want:    Progress{Waiting: []string{"shop/data: volume is still attached"}, RetryAfter: pollAfter},
		},
		"a volume that nobody knows": {
			objects: []client.Object{attach("va-1", "node-1", "pv-gone")},
			want:    Progress{Waiting: []string{"va-1: volume is still attached"}, RetryAfter: pollAfter},
		},
		"a volume on another node is not waited for": {
			objects: []client.Object{volume("pv-1", "data"), attach("va-1", "node-2", "pv-1")},
			want:    Progress{Done: true},
		},
		"a volume of a DaemonSet pod ends with the machine": {
			objects: []client.Object{volume("pv-1", "cache"), attach("va-1", "node-1", "pv-1"), pod("daemon", ownedBy("DaemonSet"), claiming("cache"))},
			want:    Progress{Done: true},
		},
		"nothing is waited for after the deadline": {
			objects:  []client.Object{volume("pv-1", "data"), attach("va-1", "node-1", "pv-1")},
			deadline: start, want: Progress{Done: true},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, newWorld(t, append(tc.objects, taintedNode())...).drain(tc.deadline)); diff != "" {
				t.Errorf("progress (-want +got):\n%s", diff)
			}
		})
	}
}
