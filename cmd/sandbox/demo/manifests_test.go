// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	resourcehelper "k8s.io/component-helpers/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

var errBroken = errors.New("broken")

// brokenClient reads nothing.
type brokenClient struct{ client.Client }

func (brokenClient) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return errBroken
}

const realManifests = "../../../test/e2e/testdata"

func strictly(t *testing.T, object runtime.Unstructured, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.UnstructuredContent(), into, true); err != nil {
		t.Errorf("%s: %v", object.GetObjectKind().GroupVersionKind(), err)
	}
}

// TestTheRealShopIsWorthWatching holds the shop to what the demo promises. Every field must exist in its kind.
func TestTheRealShopIsWorthWatching(t *testing.T) {
	group, workloads, err := read(realManifests)
	if err != nil {
		t.Fatal(err)
	}
	if len(group) != 1 {
		t.Fatalf("%d node groups", len(group))
	}
	var ng v1alpha1.NodeGroup
	strictly(t, group[0], &ng)
	if !ng.Managed() || *ng.Spec.MinNodes != 0 || ng.Spec.Disruption.Policy != v1alpha1.DisruptWhenEmpty {
		t.Errorf("the node group would not empty itself: %+v", ng.Spec)
	}
	kinds := map[string]int{}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var templates []shape
	for _, object := range workloads {
		typed, err := scheme.New(object.GroupVersionKind())
		if err != nil {
			t.Fatal(err)
		}
		strictly(t, object, typed)
		kinds[object.GetKind()]++
		templates = append(templates, shapes(typed)...)
		if namespaced := object.GetKind() != "Namespace" && object.GetKind() != "PriorityClass"; namespaced != (object.GetNamespace() == shop) {
			t.Errorf("%s %s is in namespace %q", object.GetKind(), object.GetName(), object.GetNamespace())
		}
	}
	if workloads[0].GetKind() != "Namespace" {
		t.Errorf("the first object is a %s: nothing can be created before its namespace", workloads[0].GetKind())
	}
	want := map[string]int{"Namespace": 1, "ServiceAccount": 1, "PriorityClass": 2, "Deployment": 10, "StatefulSet": 1, "DaemonSet": 1, "PodDisruptionBudget": 2, "Service": 9}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
	var cpu, memory int64
	for _, s := range templates {
		cpu, memory = cpu+s.replicas*s.cpu, memory+s.replicas*s.memory
	}
	if pods := workloads.replicas(); pods < 35 || pods > 45 || cpu < 18000 || cpu > 25000 || memory < 36*gibi || memory > 44*gibi {
		t.Errorf("%d pods, %s cores, %s", pods, cores(cpu), bytesText(memory))
	}
}

// shape is a pod template.
type shape struct{ replicas, cpu, memory int64 }

func shapes(object runtime.Object) []shape {
	var replicas *int32
	var template corev1.PodTemplateSpec
	switch o := object.(type) {
	case *appsv1.Deployment:
		replicas, template = o.Spec.Replicas, o.Spec.Template
	case *appsv1.StatefulSet:
		replicas, template = o.Spec.Replicas, o.Spec.Template
	default:
		return nil
	}
	requests := resourcehelper.PodRequests(&corev1.Pod{Spec: template.Spec}, resourcehelper.PodResourcesOptions{})
	return []shape{{int64(*replicas), requests.Cpu().MilliValue(), requests.Memory().Value()}}
}

func TestTheTooLargePodIsLargerThanEverything(t *testing.T) {
	objects, err := readFile(filepath.Join(realManifests, "too-large.yaml"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	var p corev1.Pod
	strictly(t, objects[0], &p)
	requests := resourcehelper.PodRequests(&p, resourcehelper.PodResourcesOptions{})
	if requests.Cpu().Value() <= 16 || requests.Memory().Value() <= 64*gibi {
		t.Errorf("it requests %v", requests)
	}
}

func TestReadingManifestsRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a folder without a node group": {nil, groupFile},
		"a shop without pods":           {map[string]string{groupFile: "{kind: NodeGroup, apiVersion: v1}"}, "has no workload with replicas in it"},
		"what is not YAML":              {map[string]string{groupFile: "a: [b"}, groupFile},
		"an object without a kind":      {map[string]string{groupFile: "a: b"}, "Kind"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, content := range test.files {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			_, _, err := read(folder)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestApplyingAndScalingDoWhatKubectlDoes(t *testing.T) {
	_, workloads, err := read("testdata/town")
	if err != nil {
		t.Fatal(err)
	}
	kube := fake.NewClientBuilder().WithReturnManagedFields().Build()
	for range 2 { // the second time changes nothing
		if err := workloads.apply(t.Context(), kube); err != nil {
			t.Fatal(err)
		}
	}
	if err := workloads.scaleToZero(t.Context(), kube); err != nil {
		t.Fatal(err)
	}
	var web appsv1.Deployment
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: shop, Name: "web"}, &web); err != nil || *web.Spec.Replicas != 0 {
		t.Errorf("replicas %v, %v", web.Spec.Replicas, err)
	}
	if len(web.ManagedFields) == 0 || !slices.ContainsFunc(web.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == fieldManager }) {
		t.Error("nobody owns what was applied")
	}
}
