// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package objects_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func TestAnswersAsAnAPIServerWould(t *testing.T) {
	scheme, err := objects.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	set := objects.New(scheme)
	set.Add(build.MakePod("b").Obj(), build.MakeNodeGroup("g").Obj(), build.MakePod("a").Obj())

	var pods corev1.PodList
	var groups v1alpha1.NodeGroupList
	var nodes corev1.NodeList
	for _, err := range []error{set.List(t.Context(), &pods), set.List(t.Context(), &groups), set.List(t.Context(), &nodes)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for i := range pods.Items {
		got = append(got, pods.Items[i].Name)
	}
	if diff := cmp.Diff([]string{"b", "a"}, got); diff != "" || len(groups.Items) != 1 || len(nodes.Items) != 0 {
		t.Errorf("%d groups, %d nodes, pods (-want +got):\n%s", len(groups.Items), len(nodes.Items), diff)
	}

	pod := &corev1.Pod{}
	if err := set.Get(t.Context(), types.NamespacedName{Namespace: "default", Name: "a"}, pod); err != nil || pod.Name != "a" {
		t.Errorf("got pod %q, error %v", pod.Name, err)
	}
	if err := set.Get(t.Context(), types.NamespacedName{Namespace: "other", Name: "a"}, pod); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that is not there: got error %v", err)
	}
}
