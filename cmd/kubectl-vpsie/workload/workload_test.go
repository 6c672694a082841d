// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package workload_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/admission"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/manifest"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/workload"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// expand reads manifests and expands them.
func expand(t *testing.T, documents ...string) *objects.Set {
	t.Helper()
	scheme, err := objects.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	result, err := manifest.Read([]string{"-"}, manifest.Options{
		Scheme: scheme, Kinds: append(state.Watched(), workload.Kinds()...), Stdin: strings.NewReader(strings.Join(documents, "\n---\n")),
	})
	if err != nil {
		t.Fatal(err)
	}
	admission.Default(result.Objects)
	if err := workload.Expand(result.Objects); err != nil {
		t.Fatal(err)
	}
	return result.Objects
}

func made(kind, name, spec string) string {
	group := map[string]string{"Job": "batch/v1", "CronJob": "batch/v1", "ReplicationController": "v1"}[kind]
	if group == "" {
		group = "apps/v1"
	}
	return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: %s, namespace: shop}\nspec:\n%s", group, kind, name, spec)
}

const (
	template = "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: m}]}\n"
	runOnce  = "  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: m}], restartPolicy: Never}\n"
)

func podOf(name, kind, owner, more string) string {
	return fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n  namespace: shop\n  ownerReferences:\n"+
		"  - {apiVersion: x/v1, kind: %s, name: %s, uid: u, controller: true}\n%sspec: {containers: [{name: m}]}\n", name, kind, owner, more)
}

func TestExpand(t *testing.T) {
	node := func(name string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Node\nmetadata: {name: %s}\nstatus: {allocatable: {cpu: 1, memory: 1Gi}}\n", name)
	}
	cases := map[string]struct {
		in   []string
		want []string // pods that were made
	}{
		"a Deployment makes its replicas":         {[]string{made("Deployment", "web", "  replicas: 2\n"+template)}, []string{"web-HASH-0", "web-HASH-1"}},
		"a Deployment without a number makes one": {[]string{made("Deployment", "web", template)}, []string{"web-HASH-0"}},
		"a Deployment of none makes none":         {[]string{made("Deployment", "web", "  replicas: 0\n"+template)}, nil},
		"a Deployment whose ReplicaSet is there leaves it to that": {
			[]string{
				made("Deployment", "web", "  replicas: 5\n"+template),
				strings.Replace(made("ReplicaSet", "web-abc", "  replicas: 2\n"+template), "namespace: shop",
					"namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: u, controller: true}]", 1),
			},
			[]string{"web-abc-0", "web-abc-1"},
		},
		"a Deployment's pods count without their ReplicaSet": {
			[]string{
				made("Deployment", "web", "  replicas: 3\n"+template),
				podOf("web-abc-x1", "ReplicaSet", "web-abc", "  labels: {pod-template-hash: abc}\n"),
				podOf("other-abc-x1", "ReplicaSet", "other-abc", "  labels: {pod-template-hash: abc}\n"),
			},
			[]string{"web-HASH-0", "web-HASH-1"},
		},
		"a ReplicaSet's pods count, those that ended do not": {
			[]string{
				made("ReplicaSet", "web", "  replicas: 3\n"+template), podOf("web-0", "ReplicaSet", "web", ""),
				podOf("web-gone", "ReplicaSet", "web", "") + "status: {phase: Failed}\n",
			},
			[]string{"web-1", "web-2"},
		},
		"a pod of the same name in another controller does not count": {
			[]string{made("ReplicaSet", "web", "  replicas: 1\n"+template), podOf("web-0", "StatefulSet", "web", "")}, []string{"web-1"},
		},
		"a ReplicationController makes its replicas": {[]string{made("ReplicationController", "old", "  replicas: 2\n"+template)}, []string{"old-0", "old-1"}},
		"a StatefulSet makes the ordinals that are missing": {
			[]string{made("StatefulSet", "db", "  replicas: 3\n  serviceName: db\n  ordinals: {start: 5}\n"+template), podOf("db-6", "StatefulSet", "db", "")},
			[]string{"db-5", "db-7"},
		},
		"a Job makes what it runs at once": {[]string{made("Job", "sum", "  parallelism: 3\n  completions: 10\n"+runOnce)}, []string{"sum-0", "sum-1", "sum-2"}},
		"a Job makes no more than it needs": {
			[]string{made("Job", "sum", "  parallelism: 3\n  completions: 10\n"+runOnce) + "status: {succeeded: 8}\n"}, []string{"sum-0", "sum-1"},
		},
		"a Job that ended makes none": {
			[]string{made("Job", "sum", runOnce) + "status: {conditions: [{type: Complete, status: \"True\"}]}\n"}, nil,
		},
		"a suspended Job makes none": {[]string{made("Job", "sum", "  suspend: true\n"+runOnce)}, nil},
		"an indexed Job makes the indexes that are missing": {
			[]string{
				made("Job", "sum", "  parallelism: 3\n  completions: 3\n  completionMode: Indexed\n"+runOnce),
				podOf("sum-1-x", "Job", "sum", "  labels: {batch.kubernetes.io/job-completion-index: \"1\"}\n"),
			},
			[]string{"sum-0", "sum-2"},
		},
		"a CronJob makes one run": {
			[]string{made("CronJob", "nightly", "  schedule: 0 3 * * *\n  jobTemplate:\n    spec:\n      parallelism: 2\n      template:\n        spec: {containers: [{name: m}]}\n")},
			[]string{"nightly-next-0", "nightly-next-1"},
		},
		"a suspended CronJob makes none": {
			[]string{made("CronJob", "nightly", "  suspend: true\n  jobTemplate:\n    spec:\n      template:\n        spec: {containers: [{name: m}]}\n")}, nil,
		},
		"a DaemonSet makes a pod for each node that lacks one": {
			[]string{
				made("DaemonSet", "logs", template), node("a"), node("b"), node("c"),
				podOf("logs-x", "DaemonSet", "logs", "") + "  \nstatus: {phase: Running}\n---\n",
				strings.Replace(podOf("logs-y", "DaemonSet", "logs", ""), "spec: {", "spec: {nodeName: b, ", 1),
			},
			[]string{"logs-a", "logs-c"},
		},
		"a DaemonSet makes none for machines that are not there": {[]string{made("DaemonSet", "logs", template)}, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			set := expand(t, tc.in...)
			var got []string
			for _, pod := range objects.Of[*corev1.Pod](set) {
				if !strings.Contains(strings.Join(tc.in, ""), "name: "+pod.Name+"\n") {
					got = append(got, strings.Replace(pod.Name, pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey], "HASH", min(1, len(pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]))))
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPodsAreWhatTheirControllersMake(t *testing.T) {
	set := expand(t,
		made("Deployment", "web", template),
		made("StatefulSet", "db", "  replicas: 2\n  serviceName: dbs\n"+strings.Replace(template, "containers:", "volumes: [{name: data, emptyDir: {}}, {name: tmp, emptyDir: {}}], containers:", 1)+
			"  volumeClaimTemplates:\n  - metadata: {name: data, labels: {of: db}}\n    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 5Gi}}}\n"),
		"apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data-db-0, namespace: shop, labels: {made: before}}\nspec: {volumeName: pv}\n",
		made("Job", "sum", "  completionMode: Indexed\n  completions: 1\n"+runOnce),
	)
	pods := map[string]*corev1.Pod{}
	for _, pod := range objects.Of[*corev1.Pod](set) {
		pods[strings.SplitN(pod.Name, "-", 2)[0]] = pod // the last of each
		if metav1.GetControllerOf(pod) == nil || pod.Namespace != "shop" || pod.Status.Phase != corev1.PodPending || pod.Labels["app"] != "web" {
			t.Errorf("pod %q has owners %v, namespace %q, phase %q, labels %v", pod.Name, pod.OwnerReferences, pod.Namespace, pod.Status.Phase, pod.Labels)
		}
	}
	web := pods["web"]
	hash := web.Labels["pod-template-hash"]
	if owner := metav1.GetControllerOf(web); hash == "" || owner.Kind != "ReplicaSet" || owner.Name != "web-"+hash || web.Name != "web-"+hash+"-0" {
		t.Errorf("pod %q of the Deployment has hash %q and owner %v", web.Name, hash, owner)
	}
	db := pods["db"]
	wantLabels := map[string]string{
		"app": "web", "statefulset.kubernetes.io/pod-name": "db-1", "apps.kubernetes.io/pod-index": "1", "controller-revision-hash": db.Labels["controller-revision-hash"],
	}
	if diff := cmp.Diff(wantLabels, db.Labels); diff != "" {
		t.Errorf("labels of the StatefulSet's pod (-want +got):\n%s", diff)
	}
	var volumes []string
	for _, volume := range db.Spec.Volumes {
		claim := ""
		if volume.PersistentVolumeClaim != nil {
			claim = volume.PersistentVolumeClaim.ClaimName
		}
		volumes = append(volumes, volume.Name+"="+claim)
	}
	if diff := cmp.Diff([]string{"data=data-db-1", "tmp="}, slices.Sorted(slices.Values(volumes))); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	var claims []string
	for _, claim := range objects.Of[*corev1.PersistentVolumeClaim](set) {
		claims = append(claims, fmt.Sprint(client.ObjectKeyFromObject(claim), claim.Labels, claim.Spec.Resources.Requests.Storage()))
	}
	if diff := cmp.Diff([]string{"shop/data-db-0 map[made:before] 0", "shop/data-db-1 map[of:db] 5Gi"}, claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if sum := pods["sum"]; sum.Labels["job-name"] != "sum" || sum.Labels["batch.kubernetes.io/job-name"] != "sum" || sum.Labels["batch.kubernetes.io/job-completion-index"] != "0" {
		t.Errorf("labels of the Job's pod: %v", sum.Labels)
	}
}

func TestPodsOfADaemonSetBelongToTheirNodes(t *testing.T) {
	set := expand(t, made("DaemonSet", "logs", template), "apiVersion: v1\nkind: Node\nmetadata: {name: a}\nstatus: {capacity: {cpu: 1, memory: 1Gi}}\n")
	pods := objects.Of[*corev1.Pod](set)
	if len(pods) != 1 {
		t.Fatalf("got %d pods, want 1", len(pods))
	}
	terms := pods[0].Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 || len(terms[0].MatchFields) != 1 || terms[0].MatchFields[0].Values[0] != "a" {
		t.Errorf("the pod's node affinity is %v, want node a by name", terms)
	}
	if !slices.ContainsFunc(pods[0].Spec.Tolerations, func(t corev1.Toleration) bool { return t.Key == corev1.TaintNodeUnschedulable }) {
		t.Errorf("the pod tolerates %v, want cordoned nodes among it", pods[0].Spec.Tolerations)
	}
}
