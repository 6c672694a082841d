// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/report"
)

// outcome is what a command line has left.
type outcome struct {
	code           int
	stdout, stderr string
}

func runHere(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, environment{
		stdin: strings.NewReader(stdin), stdout: &stdout, stderr: &stderr,
		clock: testclock.NewFakePassiveClock(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)),
	})
	return outcome{code, stdout.String(), stderr.String()}
}

// decode reads a plan in JSON, and fails on fields that are not documented.
func decode(t *testing.T, text string) report.Report {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	var r report.Report
	if err := decoder.Decode(&r); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return r
}

// words leaves out what is told in words: they are not this package's.
func words() cmp.Option {
	return cmp.Options{
		cmpopts.IgnoreUnexported(report.Report{}), cmpopts.IgnoreFields(report.Launch{}, "Why", "Pods"),
		cmpopts.IgnoreFields(report.Rejection{}, "Message", "Reasons"), cmpopts.EquateApprox(0, 1e-6),
	}
}

func TestPlanFromFiles(t *testing.T) {
	got := runHere(t, "", "plan", "-f", "testdata/shop", "-f", "testdata/nodes.json", "--catalogue", "testdata/catalogue.json", "-o", "json")
	if got.code != 0 {
		t.Fatalf("exit code %d:\n%s", got.code, got.stderr)
	}
	plan := decode(t, got.stdout)
	machine := report.Launch{
		NodeGroup: "shop", Offering: "2c4g", OfferingName: "Starter", Datacenter: "hel", DatacenterName: "Helsinki", PricePerHour: 0.03,
	}
	first, second := machine, machine
	first.Name, second.Name = "new-1", "new-2"
	want := report.Report{
		Launches:    []report.Launch{first, second},
		Placements:  []report.Placement{{Pod: "shop/single", Node: "old"}},
		Rejections:  []report.Rejection{{Pod: "shop/huge"}},
		CostPerHour: 0.06, LowerBoundPerHour: 0.06, Gap: new(0.0), Verified: true, Catalogue: "testdata/catalogue.json",
		Warnings: []string{"skipped 1 object of a kind that a plan does not use: 1 Service (v1)"},
	}
	if diff := cmp.Diff(want, plan, words()); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	var pods []string
	for _, launch := range plan.Launches { // two each; which two is the planner's business
		pods = append(pods, launch.Pods[:2]...)
	}
	slices.Sort(pods)
	if diff := cmp.Diff([]string{"shop/db-0", "shop/db-2", "shop/db-3", "shop/db-4"}, pods); diff != "" {
		t.Errorf("pods on new machines (-want +got):\n%s", diff)
	}
	if plan.Launches[0].Why == "" || plan.Rejections[0].Message == "" || len(plan.Rejections[0].Reasons) == 0 {
		t.Errorf("reasons are missing in %s", got.stdout)
	}
	if want := "Warning: skipped 1 object of a kind that a plan does not use: 1 Service (v1)\n"; got.stderr != want {
		t.Errorf("standard error is %q, want %q", got.stderr, want)
	}
	again := runHere(t, "", "plan", "-f", "testdata/nodes.json", "-f", "testdata/shop", "--catalogue", "testdata/catalogue.json", "-o", "json")
	if diff := cmp.Diff(got.stdout, again.stdout); diff != "" {
		t.Errorf("the order of the files changes the plan:\n%s", diff)
	}
}

func TestPlanWithoutANodeGroupAllowsEverything(t *testing.T) {
	const pods = `{"kind":"PodList","apiVersion":"v1","items":[
{"metadata":{"name":"a"},"spec":{"containers":[{"name":"m","resources":{"requests":{"cpu":"2","memory":"4Gi"}}}]}},
{"metadata":{"name":"done"},"spec":{"containers":[{"name":"m"}]},"status":{"phase":"Succeeded"}}]}`
	got := runHere(t, pods, "plan", "-f", "-", "--catalogue", "testdata/catalogue.json", "-o", "json")
	plan := decode(t, got.stdout)
	if len(plan.Launches) != 1 || len(plan.Placements)+len(plan.Rejections) != 0 || plan.Launches[0].Offering != "2c4g" || !plan.Verified {
		t.Errorf("got %s, want one machine 2c4g for the one pod that has not ended, nothing reserved on it", got.stdout)
	}
}

func TestEveryFormIsWritten(t *testing.T) {
	for format, begin := range map[string]string{"text": "Machines to buy\n", "json": "{\n", "yaml": "catalogue: ", "html": "<!DOCTYPE html>"} {
		got := runHere(t, "", "plan", "-f", "testdata/shop", "--catalogue", "testdata/catalogue.json", "-o", format)
		if got.code != 0 || !strings.HasPrefix(got.stdout, begin) {
			t.Errorf("%s: exit code %d, output %.40q..., want it to begin with %q", format, got.code, got.stdout, begin)
		}
	}
}

// The search ends at the deadline. The bound does not: a gap that is wide for want of time would say that machines could be cheaper.
func TestADeadlineDoesNotCutTheBound(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"plan", "-f", "testdata/shop", "--catalogue", "testdata/catalogue.json", "--deadline", "1ns", "-o", "json"},
		environment{stdout: &stdout, stderr: &stderr, clock: clock.RealClock{}})
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	hasty := decode(t, stdout.String())
	calm := decode(t, runHere(t, "", "plan", "-f", "testdata/shop", "--catalogue", "testdata/catalogue.json", "-o", "json").stdout)
	if hasty.LowerBoundPerHour != calm.LowerBoundPerHour || hasty.LowerBoundPerHour == 0 || !hasty.Verified {
		t.Errorf("within a nanosecond the bound is %v, verified %v; with time it is %v", hasty.LowerBoundPerHour, hasty.Verified, calm.LowerBoundPerHour)
	}
}

func TestSimulatedPricesAreCalledThat(t *testing.T) {
	got := runHere(t, "", "plan", "-f", "testdata/shop")
	if got.code != 0 || !strings.Contains(got.stderr, "Warning: sizes and prices are simulated ones, not VPSie's") || !strings.Contains(got.stdout, "simulated") {
		t.Errorf("exit code %d\n%s%s", got.code, got.stderr, got.stdout)
	}
}

func TestAGroupThatTheAutoscalerWouldLeaveAloneIsNamed(t *testing.T) {
	const group = "apiVersion: autoscaler.vpsie.com/v1alpha1\nkind: NodeGroup\nmetadata: {name: mine}\nspec: {maxNodes: 0}\n---\n" +
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: m}]}\n"
	got := runHere(t, group, "plan", "-f", "-", "--catalogue", "testdata/catalogue.json", "-o", "json")
	if plan := decode(t, got.stdout); len(plan.Launches) > 0 || len(plan.Rejections) != 1 || !strings.Contains(got.stderr, `are planned with: "mine"`) {
		t.Errorf("got %s%s, want the group's maxNodes to hold, and a warning", got.stderr, got.stdout)
	}
}

func TestFilesWithoutAPodAreAskedAbout(t *testing.T) {
	const kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [a.yaml]\n"
	got := runHere(t, kustomization, "plan", "-f", "-", "--catalogue", "testdata/catalogue.json")
	if got.code != 0 || !strings.Contains(got.stderr, "1 Kustomization") || !strings.Contains(got.stderr, "Warning: there is no pod to plan for") {
		t.Errorf("exit code %d, standard error %q; want to be told that nothing was planned for", got.code, got.stderr)
	}
}

func TestExitCodes(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("KUBECONFIG", filepath.Join(folder, "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	good := file("good.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: m}]}\n")
	cases := map[string]struct {
		args []string
		code int
		want string // in the error
	}{
		"a plan":                     {[]string{"plan", "-f", good}, 0, ""},
		"version":                    {[]string{"version"}, 0, ""},
		"help":                       {[]string{"plan", "--help"}, 0, ""},
		"nothing":                    {nil, 0, ""},
		"an unknown form":            {[]string{"plan", "-f", good, "-o", "xml"}, 2, `--output: "xml" is no form of output; want text, json, yaml or html`},
		"an unknown flag":            {[]string{"plan", "--nope"}, 2, `unknown flag: --nope; see "kubectl vpsie plan --help"`},
		"an unknown command":         {[]string{"drain"}, 2, `"drain" is no command of kubectl vpsie`},
		"an argument too many":       {[]string{"plan", good}, 2, "is not expected here"},
		"a deadline that is none":    {[]string{"plan", "-f", good, "--deadline", "soon"}, 2, `"soon"`},
		"a deadline that has passed": {[]string{"plan", "-f", good, "--deadline", "-1s"}, 2, "--deadline: -1s is not a positive duration"},
		"a missing file":             {[]string{"plan", "-f", "missing.yaml"}, 2, "missing.yaml: there is no such file or folder"},
		"a missing catalogue":        {[]string{"plan", "-f", good, "--catalogue", "missing.json"}, 2, "missing.json: there is no such file"},
		"a bad manifest":             {[]string{"plan", "-f", file("bad.yaml", "kind: 3\n")}, 2, "bad.yaml:1: this is no object with apiVersion and kind"},
		"a bad catalogue":            {[]string{"plan", "-f", good, "--catalogue", file("bad.json", `{"datacenters":[{"ID":"x"}]}`)}, 2, `it is spelled "id"`},
		"no cluster":                 {[]string{"plan"}, 1, "there is no kubeconfig"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := runHere(t, "", tc.args...)
			if got.code != tc.code || !strings.Contains(got.stderr, tc.want) {
				t.Errorf("exit code %d, want %d; standard error %q, want it to contain %q", got.code, tc.code, got.stderr, tc.want)
			}
			if strings.Contains(got.stderr, "goroutine") || tc.code != 0 && got.stdout != "" {
				t.Errorf("a failure printed %q and %q", got.stdout, got.stderr)
			}
		})
	}
}
