// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package admission_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/admission"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/manifest"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

func admit(t *testing.T, documents ...string) (*objects.Set, []string) {
	t.Helper()
	scheme, err := objects.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	result, err := manifest.Read([]string{"-"}, manifest.Options{
		Scheme: scheme, Kinds: state.Watched(), Stdin: strings.NewReader(strings.Join(documents, "\n---\n")),
	})
	if err != nil {
		t.Fatal(err)
	}
	admission.Default(result.Objects)
	return result.Objects, admission.Complete(result.Objects, admission.Options{MaxPods: 42})
}

func pod(name, spec string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {" + name + "}\nspec: {containers: [{name: m, resources: {limits: {cpu: 2}}}]" + spec + "}\n"
}

func priorityClass(name, more string) string {
	return "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: " + name + "}\n" + more
}

func TestPriorities(t *testing.T) {
	cases := map[string]struct {
		in       []string
		want     int32
		policy   corev1.PreemptionPolicy
		warnings []string
	}{
		"no class":              {[]string{pod("name: a", "")}, 0, "", nil},
		"a class that is given": {[]string{pod("name: a", ", priorityClassName: high"), priorityClass("high", "value: 7\npreemptionPolicy: Never")}, 7, corev1.PreemptNever, nil},
		"a class of Kubernetes": {[]string{pod("name: a", ", priorityClassName: system-node-critical")}, 2_000_001_000, "", nil},
		"a class that is missing": {
			[]string{pod("name: a", ", priorityClassName: high")}, 0, "", []string{`PriorityClass "high" of 1 pods is not given; they count with priority 0`},
		},
		"the default class, of several the least": {
			[]string{pod("name: a", ""), priorityClass("first", "value: 9\nglobalDefault: true\n"), priorityClass("second", "value: 5\nglobalDefault: true\n"), priorityClass("third", "value: 1\n")}, 5, "", nil,
		},
		"a priority that the pod has": {[]string{pod("name: a", ", priority: 3, priorityClassName: high"), priorityClass("high", "value: 7\n")}, 3, "", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			set, warnings := admit(t, tc.in...)
			got := objects.Of[*corev1.Pod](set)[0].Spec
			if *got.Priority != tc.want || ptr.Deref(got.PreemptionPolicy, "") != tc.policy {
				t.Errorf("priority %d, policy %q; want %d, %q", *got.Priority, ptr.Deref(got.PreemptionPolicy, ""), tc.want, tc.policy)
			}
			if diff := cmp.Diff(tc.warnings, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsGetWhatAnAPIServerGives(t *testing.T) {
	set, _ := admit(t, pod("generateName: a-, namespace: x", ""), pod("generateName: a-, namespace: x", ""), pod("name: a-0, namespace: x", ""), "apiVersion: v1\nkind: Namespace\nmetadata: {name: why}\n")
	var got []string
	for _, pod := range objects.Of[*corev1.Pod](set) {
		got = append(got, pod.Name+" "+string(pod.UID))
		if requests := pod.Spec.Containers[0].Resources.Requests; requests.Cpu().String() != "2" {
			t.Errorf("requests of pod %q are %v, want its limits", pod.Name, requests)
		}
		if pod.Spec.SchedulerName != corev1.DefaultSchedulerName {
			t.Errorf("scheduler of pod %q is %q", pod.Name, pod.Spec.SchedulerName)
		}
	}
	if diff := cmp.Diff([]string{"a-1 x/a-1", "a-2 x/a-2", "a-0 x/a-0"}, got); diff != "" {
		t.Errorf("names and UIDs (-want +got):\n%s", diff)
	}
	labels := map[string]string{}
	for _, namespace := range objects.Of[*corev1.Namespace](set) {
		labels[namespace.Name] = namespace.Labels["kubernetes.io/metadata.name"]
	}
	if diff := cmp.Diff(map[string]string{"x": "x", "why": "why"}, labels); diff != "" {
		t.Errorf("namespaces and their label (-want +got):\n%s", diff)
	}
}

func TestNodesGetWhatAKubeletGives(t *testing.T) {
	set, _ := admit(t, "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {capacity: {cpu: 2}}\n",
		"apiVersion: v1\nkind: Node\nmetadata: {name: b, labels: {kubernetes.io/hostname: host-b}}\nstatus: {allocatable: {cpu: 1, pods: 7}}\n")
	var got []string
	for _, node := range objects.Of[*corev1.Node](set) {
		got = append(got, strings.Join([]string{node.Labels[corev1.LabelHostname], node.Status.Allocatable.Cpu().String(), node.Status.Allocatable.Pods().String()}, " "))
	}
	if diff := cmp.Diff([]string{"a 2 42", "host-b 1 7"}, got); diff != "" {
		t.Errorf("host name, cpu and pods (-want +got):\n%s", diff)
	}
}

func TestClaimsGetTheNewestDefaultClass(t *testing.T) {
	class := func(name, created, isDefault string) string {
		return "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nprovisioner: x\nmetadata:\n  name: " + name + "\n  creationTimestamp: " + created +
			"\n  annotations: {storageclass.kubernetes.io/is-default-class: \"" + isDefault + "\"}\n"
	}
	claim := func(name, spec string) string {
		return "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n"
	}
	set, _ := admit(t, class("a", "2026-01-01T00:00:00Z", "true"), class("b", "2026-01-02T00:00:00Z", "true"), class("c", "2026-01-03T00:00:00Z", "false"),
		claim("open", ""), claim("none", `storageClassName: ""`), claim("own", "storageClassName: c"))
	got := map[string]string{}
	for _, claim := range objects.Of[*corev1.PersistentVolumeClaim](set) {
		got[claim.Name] = ptr.Deref(claim.Spec.StorageClassName, "nil")
	}
	if diff := cmp.Diff(map[string]string{"open": "b", "none": "", "own": "c"}, got); diff != "" {
		t.Errorf("storage classes (-want +got):\n%s", diff)
	}
}

func TestTemplatesOfDaemonSetsRequestTheirLimits(t *testing.T) {
	set, _ := admit(t, "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d}\nspec:\n  template:\n    spec: {containers: [{name: m, resources: {limits: {memory: 1Gi}}}]}\n")
	requests := objects.Of[*appsv1.DaemonSet](set)[0].Spec.Template.Spec.Containers[0].Resources.Requests
	if requests.Memory().String() != "1Gi" {
		t.Errorf("requests are %v, want the limits", requests)
	}
}
