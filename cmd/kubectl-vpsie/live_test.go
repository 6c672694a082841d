// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/report"
)

// apiServer answers discovery and lists, and fails the test on any other request.
type apiServer struct {
	t     *testing.T
	kinds map[string][]string // by group and version: its kinds
	items map[string]string   // by resource: its objects in JSON

	forbidden []string // resources that nobody may list
}

func kubernetes() map[string][]string {
	return map[string][]string{
		"v1":                   {"Node", "Pod", "Namespace", "PersistentVolume", "PersistentVolumeClaim", "Secret"},
		"apps/v1":              {"DaemonSet"},
		"policy/v1":            {"PodDisruptionBudget"},
		"scheduling.k8s.io/v1": {"PriorityClass"},
		"storage.k8s.io/v1":    {"StorageClass", "CSINode", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment"},
		"resource.k8s.io/v1":   {"ResourceClaim", "ResourceSlice", "DeviceClass"},
	}
}

func resourceOf(kind string) string {
	name := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(name, "y"):
		return strings.TrimSuffix(name, "y") + "ies"
	case strings.HasSuffix(name, "s"):
		return name + "es"
	}
	return name + "s"
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		s.t.Errorf("%s %s: a plan must only read", r.Method, r.URL)
	}
	w.Header().Set("Content-Type", "application/json")
	var answer any
	path := strings.Trim(r.URL.Path, "/")
	switch path {
	case "api":
		answer = metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}}
	case "apis":
		answer = s.groups()
	default:
		answer = s.find(strings.TrimPrefix(strings.TrimPrefix(path, "apis/"), "api/"))
	}
	if answer == nil {
		w.WriteHeader(http.StatusNotFound)
		answer = metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonNotFound, Code: 404, Message: path}
	}
	if status, failed := answer.(metav1.Status); failed && status.Code == http.StatusForbidden {
		w.WriteHeader(http.StatusForbidden)
	}
	if text, ok := answer.(string); ok {
		fmt.Fprint(w, text)
		return
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.t.Error(err)
	}
}

func (s *apiServer) groups() metav1.APIGroupList {
	list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
	for version := range s.kinds {
		if group, short, ok := strings.Cut(version, "/"); ok {
			served := metav1.GroupVersionForDiscovery{GroupVersion: version, Version: short}
			list.Groups = append(list.Groups, metav1.APIGroup{Name: group, Versions: []metav1.GroupVersionForDiscovery{served}, PreferredVersion: served})
		}
	}
	return list
}

// find answers for the resources of a version, or for the objects of a resource.
func (s *apiServer) find(path string) any {
	for version, kinds := range s.kinds {
		resources := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version}
		for _, kind := range kinds {
			if path == version+"/"+resourceOf(kind) && slices.Contains(s.forbidden, resourceOf(kind)) {
				return metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonForbidden, Code: 403, Message: path}
			}
			if path == version+"/"+resourceOf(kind) {
				return fmt.Sprintf(`{"apiVersion":%q,"kind":"%sList","metadata":{},"items":[%s]}`, version, kind, s.items[resourceOf(kind)])
			}
			resources.APIResources = append(resources.APIResources, metav1.APIResource{Name: resourceOf(kind), Kind: kind, Verbs: metav1.Verbs{"list"}})
		}
		if path == version {
			return resources
		}
	}
	return nil
}

// serve starts a cluster and makes it the one of the current kubeconfig.
func serve(t *testing.T, s *apiServer) {
	t.Helper()
	s.t = t
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts: [{name: here, context: {cluster: here}}]\nclusters: [{name: here, cluster: {server: %q}}]\n", server.URL)
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
}

const (
	liveNode = `{"metadata":{"name":"old","labels":{"kubernetes.io/hostname":"old"}},"status":{"allocatable":{"cpu":"1","memory":"2Gi","pods":"110"}}}`
	livePods = `{"metadata":{"name":"runs","namespace":"x","uid":"1"},"spec":{"nodeName":"old","containers":[{"name":"m","resources":{"requests":{"cpu":"900m"}}}]},"status":{"phase":"Running"}},
{"metadata":{"name":"fits","namespace":"x","uid":"2"},"spec":{"schedulerName":"default-scheduler","containers":[{"name":"m","resources":{"requests":{"cpu":"100m"}}}]},"status":{"phase":"Pending"}},
{"metadata":{"name":"waits","namespace":"x","uid":"3"},"spec":{"schedulerName":"default-scheduler","containers":[{"name":"m","resources":{"requests":{"cpu":"2"}}}]},"status":{"phase":"Pending"}},
{"metadata":{"name":"daemon","namespace":"x","uid":"4","ownerReferences":[{"apiVersion":"apps/v1","kind":"DaemonSet","name":"d","uid":"5","controller":true}]},"spec":{"schedulerName":"default-scheduler","containers":[{"name":"m"}]},"status":{"phase":"Pending"}}`
	liveGroup = `{"metadata":{"name":"general","uid":"6","labels":{"autoscaler.vpsie.com/managed":"true"}},"spec":{"template":{"maxPods":110}}}`
)

func TestPlanFromACluster(t *testing.T) {
	withGroups := kubernetes()
	withGroups["autoscaler.vpsie.com/v1alpha1"] = []string{"NodeGroup", "VPSieNode", "Disruption"}
	cases := map[string]struct {
		kinds   map[string][]string
		groups  string
		launch  []report.Launch
		warning string
	}{
		"with a NodeGroup": {
			withGroups, liveGroup,
			[]report.Launch{{Name: "new-1", NodeGroup: "general", Offering: "2c4g", OfferingName: "Starter", Datacenter: "hel", DatacenterName: "Helsinki", PricePerHour: 0.03}}, "",
		},
		"without the autoscaler": {
			kubernetes(), "",
			[]report.Launch{{Name: "new-1", NodeGroup: "any", Offering: "2c4g", OfferingName: "Starter", Datacenter: "hel", DatacenterName: "Helsinki", PricePerHour: 0.03}},
			"the autoscaler is not installed",
		},
		"with a NodeGroup that is left alone": {withGroups, strings.Replace(liveGroup, `"true"`, `"false"`, 1), []report.Launch{}, "the autoscaler may buy nothing"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			serve(t, &apiServer{kinds: tc.kinds, items: map[string]string{"nodes": liveNode, "pods": livePods, "nodegroups": tc.groups}})
			got := runHere(t, "", "plan", "--catalogue", "testdata/catalogue.json", "-o", "json")
			if got.code != 0 {
				t.Fatalf("exit code %d: %s", got.code, got.stderr)
			}
			plan := decode(t, got.stdout)
			if diff := cmp.Diff(tc.launch, plan.Launches, words()); diff != "" {
				t.Errorf("launches (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]report.Placement{{Pod: "x/fits", Node: "old"}}, plan.Placements); diff != "" {
				t.Errorf("placements (-want +got):\n%s", diff)
			}
			if !strings.Contains(got.stderr, tc.warning) || tc.warning == "" && got.stderr != "" {
				t.Errorf("standard error is %q, want %q in it", got.stderr, tc.warning)
			}
		})
	}
}

func TestWithoutCredentialsItAsksForACatalogue(t *testing.T) {
	serve(t, &apiServer{kinds: kubernetes(), items: map[string]string{"nodes": liveNode, "pods": livePods}})
	got := runHere(t, "", "plan")
	if got.code != exitFailed || !strings.Contains(got.stderr, `reading VPSie's credentials from Secret "kube-system/vpsie-secret"`) || !strings.Contains(got.stderr, "--catalogue") {
		t.Errorf("exit code %d, standard error %q; want it to name the Secret and the flag", got.code, got.stderr)
	}
}

func TestAClusterThatDoesNotAnswerIsAFailure(t *testing.T) {
	serve(t, &apiServer{kinds: map[string][]string{}})
	got := runHere(t, "", "plan", "--catalogue", "testdata/catalogue.json")
	if got.code == 0 {
		t.Errorf("a plan was made of nothing: %s", got.stdout)
	}
}

// Devices are kinds of newer clusters, which not every user may list.
func TestDevicesOfACluster(t *testing.T) {
	const (
		class = `{"metadata":{"name":"gpu"},"spec":{"selectors":[{"cel":{"expression":"device.driver == 'gpu.example.com'"}}]}}`
		slice = `{"metadata":{"name":"s"},"spec":{"driver":"gpu.example.com","nodeName":"old","pool":{"name":"p","generation":1,"resourceSliceCount":1},"devices":[{"name":"gpu-0"}]}}`
		claim = `{"metadata":{"name":"c","namespace":"x","uid":"7"},"spec":{"devices":{"requests":[{"name":"d","exactly":{"deviceClassName":"gpu","allocationMode":"ExactCount","count":1}}]}}}`
		pod   = `{"metadata":{"name":"train","namespace":"x","uid":"8"},"spec":{"schedulerName":"default-scheduler","resourceClaims":[{"name":"c","resourceClaimName":"c"}],"containers":[{"name":"m","resources":{"claims":[{"name":"c"}]}}]},"status":{"phase":"Pending"}}`
	)
	without := kubernetes()
	delete(without, "resource.k8s.io/v1")
	cases := map[string]struct {
		kinds     map[string][]string
		forbidden []string
		placed    int
		warning   string
	}{
		"that it has":          {kinds: kubernetes(), placed: 1},
		"that it does not":     {kinds: without},
		"that are not shown":   {kinds: kubernetes(), forbidden: []string{"resourceslices"}, warning: "this user may not list kind ResourceSlice; pods that need them are refused"},
		"nor any kind of them": {kinds: kubernetes(), forbidden: []string{"resourceclaims", "resourceslices", "deviceclasses"}, warning: "may not list kind ResourceClaim, ResourceSlice, DeviceClass;"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			serve(t, &apiServer{kinds: tc.kinds, forbidden: tc.forbidden, items: map[string]string{
				"nodes": liveNode, "pods": pod, "deviceclasses": class, "resourceslices": slice, "resourceclaims": claim,
			}})
			got := runHere(t, "", "plan", "--catalogue", "testdata/catalogue.json", "-o", "json")
			if got.code != 0 {
				t.Fatalf("exit code %d: %s", got.code, got.stderr)
			}
			if plan := decode(t, got.stdout); len(plan.Placements) != tc.placed || len(plan.Launches) != 0 {
				t.Errorf("got %s; want %d placements and nothing bought", got.stdout, tc.placed)
			}
			if !strings.Contains(got.stderr, tc.warning) {
				t.Errorf("standard error is %q, want %q in it", got.stderr, tc.warning)
			}
		})
	}
}

func TestAKindThatEveryPlanNeedsMustBeShown(t *testing.T) {
	serve(t, &apiServer{kinds: kubernetes(), forbidden: []string{"nodes"}, items: map[string]string{"pods": livePods}})
	got := runHere(t, "", "plan", "--catalogue", "testdata/catalogue.json")
	if got.code != exitFailed || !strings.Contains(got.stderr, "reading the cluster: listing *v1.NodeList") {
		t.Errorf("exit code %d, standard error %q; want a refusal to plan without nodes", got.code, got.stderr)
	}
}
