// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/controller/daemon/util"
	"sigs.k8s.io/yaml"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/report"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

var update = flag.Bool("update", false, "write the golden files")

func offering(id, name string, cpu, gib int64, price float64) scheduling.Offering {
	return scheduling.Offering{
		ID: id, Name: name, Datacenter: "hel", DatacenterName: "Helsinki", Zone: "hel", CPUMilli: cpu * 1000, MemoryMiB: gib * 1024,
		Price: scheduling.PerHour(price), Available: true,
	}
}

func key(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// facts is a plan of everything that a plan can have.
func facts(t *testing.T) report.Facts {
	t.Helper()
	web := func(i int) *corev1.Pod {
		return build.MakePod(fmt.Sprintf("web-5d4f-%d", i)).Namespace("shop").Label("pod-template-hash", "5d4f").
			Owner("ReplicaSet", "web-5d4f").CPU("1500m").Memory("1Gi").Obj()
	}
	pods := []*corev1.Pod{web(0), web(1), web(2), web(3), build.MakePod("huge-<b>").CPU("64").Obj(), build.MakePod("huge-2").CPU("64").Obj()}
	logs := build.MakeDaemonSet("logs", build.MakePod("logs").CPU("100m").Memory("128Mi")).Obj()
	awaited := build.MakePod("logs-x1").Namespace(logs.Namespace).Owner("DaemonSet", "logs").CPU("100m").Memory("128Mi").With(func(pod *corev1.Pod) {
		pod.Spec.Affinity = util.ReplaceDaemonSetPodNodeNameNodeAffinity(nil, "old")
	}).Obj()
	elsewhere := build.MakeDaemonSet("gpu", build.MakePod("gpu").CPU("1").NodeSelector("gpu", "yes")).Obj()
	cluster, err := snapshot.New(snapshot.Objects{
		Nodes:        []*corev1.Node{build.MakeNode("old").Label(corev1.LabelInstanceTypeStable, "Professional").Obj()},
		VirtualNodes: []*corev1.Node{build.MakeNode("general-1a2b").Allocatable("2", "4Gi", "110").Obj()},
		Pods:         append([]*corev1.Pod{build.MakePod("db-0").Namespace("shop").CPU("2").Memory("4Gi").On("old").Obj(), awaited}, pods...),
		DaemonSets:   []*appsv1.DaemonSet{logs, elsewhere},
	})
	if err != nil {
		t.Fatal(err)
	}
	group := build.MakeNodeGroup("general").Obj()
	starter, large := offering("1", "Starter", 2, 4, 0.0333), offering("2", "Large", 4, 8, 0.07)
	reasons := []string{`node group "general": too large`, "of 1 nodes that are there, refused: 1 NodeResourcesFit"}
	return report.Facts{
		Plan: scheduling.Plan{
			Launches: []scheduling.Launch{
				{Name: "new-1", Group: "general", Offerings: []scheduling.Offering{starter, large}, Pods: []types.NamespacedName{key(pods[2])}, Why: "it is cheap"},
				{Name: "new-2", Group: "general", Offerings: []scheduling.Offering{starter}, Pods: []types.NamespacedName{key(pods[3])}, Why: "it is cheap"},
			},
			Placements: []scheduling.Placement{
				{Pod: key(pods[0]), Node: "old"}, {Pod: key(pods[1]), Node: "general-1a2b"}, {Pod: key(pods[2]), Node: "new-1"}, {Pod: key(pods[3]), Node: "new-2"},
			},
			Rejections: []scheduling.Rejection{
				{Pod: key(pods[5]), Message: reasons[0], Reasons: reasons}, {Pod: key(pods[4]), Message: reasons[0], Reasons: reasons},
			},
			Cost: 2 * starter.Price, LowerBound: scheduling.PerHour(0.06), Verified: true,
		},
		Cluster: cluster, Pods: pods, Groups: []scheduling.Group{{NodeGroup: group}},
		Elapsed: 123456789 * time.Nanosecond, Catalogue: "prices.json", Warnings: []string{"a warning"},
	}
}

func write(t *testing.T, f report.Facts, format report.Format) string {
	t.Helper()
	var out bytes.Buffer
	if err := report.New(f).Write(&out, format); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	for format, name := range map[report.Format]string{
		report.Text: "plan.txt", report.JSON: "plan.json", report.YAML: "plan.yaml", report.HTML: "plan.html",
	} {
		t.Run(string(format), func(t *testing.T) {
			got := write(t, facts(t), format)
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

func TestYAMLSaysWhatJSONSays(t *testing.T) {
	var fromJSON, fromYAML any
	if err := json.Unmarshal([]byte(write(t, facts(t), report.JSON)), &fromJSON); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(write(t, facts(t), report.YAML)), &fromYAML); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromJSON, fromYAML); diff != "" {
		t.Errorf("YAML (-JSON +YAML):\n%s", diff)
	}
}

func TestAPlanOfNothingHasEmptyLists(t *testing.T) {
	cluster, err := snapshot.New(snapshot.Objects{})
	if err != nil {
		t.Fatal(err)
	}
	nothing := report.Facts{Cluster: cluster, Plan: scheduling.Plan{Verified: true}}
	want := `{
  "launches": [],
  "placements": [],
  "rejections": [],
  "costPerHour": 0,
  "nodeCostPerHour": 0,
  "lowerBoundPerHour": 0,
  "gap": 0,
  "solveSeconds": 0,
  "verified": true,
  "catalogue": "",
  "warnings": []
}
`
	if diff := cmp.Diff(want, write(t, nothing, report.JSON)); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}
	for _, format := range []report.Format{report.Text, report.HTML} {
		if got := write(t, nothing, format); !strings.Contains(got, "0 of 0") {
			t.Errorf("%s does not say that 0 of 0 pods are placed:\n%s", format, got)
		}
	}
}

func TestGap(t *testing.T) {
	cases := map[string]struct {
		cost, bound scheduling.Price
		want        string
	}{
		"nothing is bought":              {0, 0, "0"},
		"the bound is met":               {7, 7, "0"},
		"it costs a quarter more":        {1250, 1000, "0.25"},
		"it is rounded to the millionth": {3000000, 2999999, "0"},
		"nothing is known":               {5, 0, "null"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := facts(t)
			f.Plan.Cost, f.Plan.LowerBound = tc.cost, tc.bound
			if got := regexp.MustCompile(`"gap": (.*),`).FindStringSubmatch(write(t, f, report.JSON))[1]; got != tc.want {
				t.Errorf("gap %s, want %s", got, tc.want)
			}
		})
	}
}

func TestThePageLoadsNothing(t *testing.T) {
	page := write(t, facts(t), report.HTML)
	for _, pattern := range []string{`https?:`, `\bsrc=`, `\bhref=`, `@import`, `url\(`} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("the page contains %q: it would load something", found)
		}
	}
	if !strings.Contains(page, `default-src 'none'`) {
		t.Error("the page does not forbid the browser to load anything")
	}
}

func TestThePageEscapesNames(t *testing.T) {
	if page := write(t, facts(t), report.HTML); strings.Contains(page, "huge-<b>") || !strings.Contains(page, "huge-&lt;b&gt;") {
		t.Error("the name of a pod is not escaped")
	}
}

func TestThePageStaysSmall(t *testing.T) {
	f := facts(t)
	plan := &f.Plan
	launch := plan.Launches[0]
	plan.Launches, plan.Placements, plan.Rejections, f.Pods = nil, nil, nil, nil
	for n := range 1000 {
		launch.Name = fmt.Sprintf("new-%d", n)
		launch.Pods = nil
		for i := range 25 {
			pod := build.MakePod(fmt.Sprintf("app-%d-%d", i%5, 25*n+i)).CPU("10m").Memory("8Mi").Label("app", fmt.Sprintf("app-%d", i%5)).Obj()
			f.Pods = append(f.Pods, pod)
			launch.Pods = append(launch.Pods, key(pod))
			plan.Placements = append(plan.Placements, scheduling.Placement{Pod: key(pod), Node: launch.Name})
		}
		plan.Launches = append(plan.Launches, launch)
	}
	page := write(t, f, report.HTML)
	if blocks := strings.Count(page, "<i class=\"w"); blocks > 20_000 {
		t.Errorf("the page has %d blocks for 1,000 nodes of 5 workloads; browsers grow slow", blocks)
	}
	if len(page) > 4<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
	if !strings.Contains(page, "app-0-0\n") {
		t.Error("the names of pods that share a block are not there")
	}
}

func TestParseFormat(t *testing.T) {
	if _, err := report.ParseFormat("xml"); err == nil || err.Error() != `"xml" is no form of output; want text, json, yaml or html` {
		t.Errorf("got error %v", err)
	}
	for _, name := range []string{"text", "json", "yaml", "html"} {
		if format, err := report.ParseFormat(name); err != nil || string(format) != name {
			t.Errorf("%s: got %q, error %v", name, format, err)
		}
	}
}
