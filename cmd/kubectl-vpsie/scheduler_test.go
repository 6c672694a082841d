// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// planned makes a plan of a text and returns it.
func planned(t *testing.T, text string, flags ...string) (out outcome, launches int, cost float64) {
	t.Helper()
	out = runHere(t, text, append([]string{"plan", "-f", "-", "--catalogue", "testdata/catalogue.json", "-o", "json"}, flags...)...)
	if out.code != 0 {
		t.Fatalf("exit code %d: %s", out.code, out.stderr)
	}
	plan := decode(t, out.stdout)
	if !plan.Verified {
		t.Errorf("the plan is not verified: %s", out.stdout)
	}
	return out, len(plan.Launches), plan.CostPerHour
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const schedulerHeader = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"

func TestTheSchedulerThatIsConfiguredDecides(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {schedulerName: mine, containers: [{name: m}]}\n"
	_, launches, _ := planned(t, pod)
	if launches != 0 {
		t.Errorf("without a configuration %d machines are bought for a pod of an unknown scheduler, want none", launches)
	}
	config := write(t, "scheduler.yaml", schedulerHeader+"profiles: [{schedulerName: mine}]\n")
	if _, launches, _ = planned(t, pod, "--scheduler-config", config); launches != 1 {
		t.Errorf("%d machines are bought for a pod of a configured profile, want 1", launches)
	}
}

func TestANodeCostMakesFewerLargerMachinesCheaper(t *testing.T) {
	const pods = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 4\n  selector: {matchLabels: {app: web}}\n" +
		"  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: m, resources: {requests: {cpu: 1}}}]}\n"
	plain, many, cheap := planned(t, pods)
	_, few, dear := planned(t, pods, "--node-cost", "10")
	if few > many || dear < cheap+10*float64(few)-1e-6 {
		t.Errorf("%d machines for %v an hour, with a cost of 10 for each %d for %v; want no more of them, and the cost to be in it", many, cheap, few, dear)
	}
	if decode(t, plain.stdout).NodeCostPerHour != 0 {
		t.Error("a plan without a node cost tells one")
	}
	text := runHere(t, pods, "plan", "-f", "-", "--catalogue", "testdata/catalogue.json", "--node-cost", "10")
	if !strings.Contains(text.stdout, "10.0000 per hour for each machine beside its price") {
		t.Errorf("the node cost is not told: %s", text.stdout)
	}
}

// A gate says which kinds matter, so it has to be set before files are read.
func TestPodGroupsCountWhereTheGateIsOn(t *testing.T) {
	t.Cleanup(func() {
		if err := simulate.SetFeatureGates("GenericWorkload=false"); err != nil {
			t.Error(err)
		}
	})
	const gang = "apiVersion: scheduling.k8s.io/v1beta1\nkind: PodGroup\nmetadata: {name: gang}\nspec: {schedulingPolicy: {gang: {minCount: 2}}}\n---\n" +
		"apiVersion: v1\nkind: Pod\nmetadata: {name: small}\nspec: {schedulingGroup: {podGroupName: gang}, containers: [{name: m}]}\n---\n" +
		"apiVersion: v1\nkind: Pod\nmetadata: {name: huge}\nspec: {schedulingGroup: {podGroupName: gang}, containers: [{name: m, resources: {requests: {cpu: 999}}}]}\n"
	out, launches, _ := planned(t, gang)
	if launches != 1 || !strings.Contains(out.stderr, "1 PodGroup") {
		t.Errorf("without the gate: %d machines, %q; want one for the small pod, and a word about the PodGroup", launches, out.stderr)
	}
	if out, launches, _ = planned(t, gang, "--scheduler-feature-gates", "GenericWorkload=true"); launches != 0 || strings.Contains(out.stderr, "PodGroup") {
		t.Errorf("with the gate: %d machines, %q; want none for a part of the group", launches, out.stderr)
	}
}

func TestDevicesAreReadFromFiles(t *testing.T) {
	const devices = "apiVersion: v1\nkind: Node\nmetadata: {name: gpu-node}\nstatus: {allocatable: {cpu: 4, memory: 8Gi}}\n---\n" +
		"apiVersion: resource.k8s.io/v1\nkind: DeviceClass\nmetadata: {name: gpu}\nspec: {selectors: [{cel: {expression: device.driver == 'gpu.example.com'}}]}\n---\n" +
		"apiVersion: resource.k8s.io/v1\nkind: ResourceSlice\nmetadata: {name: s}\nspec: {driver: gpu.example.com, nodeName: gpu-node, pool: {name: p, generation: 1, resourceSliceCount: 1}, devices: [{name: gpu-0}]}\n"
	claimant := func(name string) string {
		return "---\napiVersion: resource.k8s.io/v1\nkind: ResourceClaim\nmetadata: {name: " + name + "}\nspec: {devices: {requests: [{name: d, exactly: {deviceClassName: gpu}}]}}\n" +
			"---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {containers: [{name: m, resources: {claims: [{name: c}]}}], resourceClaims: [{name: c, resourceClaimName: " + name + "}]}\n"
	}
	out, _, _ := planned(t, devices+claimant("a")+claimant("b"))
	plan := decode(t, out.stdout)
	if len(plan.Placements) != 1 || plan.Placements[0].Node != "gpu-node" || len(plan.Rejections) != 1 || out.stderr != "" {
		t.Errorf("got %s%s; want one of two pods on the node with one device", out.stderr, out.stdout)
	}
}

func TestMatchLabelKeysOfPodsThatNoAPIServerHasSeen(t *testing.T) {
	pod := func(name, version string) string {
		return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", labels: {app: web, version: '" + version + "'}}\nspec:\n  containers: [{name: m}]\n" +
			"  affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, " +
			"labelSelector: {matchLabels: {app: web}}, matchLabelKeys: [version]}]}}\n"
	}
	if _, launches, _ := planned(t, pod("a", "1")+pod("b", "2")); launches != 1 {
		t.Errorf("%d machines for pods of different versions that keep apart by version, want 1", launches)
	}
	if _, launches, _ := planned(t, pod("a", "1")+pod("b", "1")); launches != 2 {
		t.Errorf("%d machines for pods of one version that keep apart by version, want 2", launches)
	}
}

func TestBadFlagsOfTheScheduler(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: m}]}\n"
	cases := map[string]struct {
		flags []string
		want  []string
	}{
		"a missing configuration":   {[]string{"--scheduler-config", "none.yaml"}, []string{"--scheduler-config: none.yaml: there is no such file"}},
		"a folder":                  {[]string{"--scheduler-config", t.TempDir()}, []string{"--scheduler-config: ", "is a directory"}},
		"a field that is not known": {[]string{"--scheduler-config", write(t, "s.yaml", schedulerHeader+"profile: []\n")}, []string{"--scheduler-config: ", "s.yaml", `unknown field "profile"`}},
		"something else":            {[]string{"--scheduler-config", write(t, "s.yaml", pod)}, []string{"--scheduler-config: ", "s.yaml", `"Pod"`}},
		"a gate that is not known":  {[]string{"--scheduler-feature-gates", "Nope=true"}, []string{"--scheduler-feature-gates: ", "Nope"}},
		"a gate without a value":    {[]string{"--scheduler-feature-gates", "GenericWorkload"}, []string{"--scheduler-feature-gates: ", "GenericWorkload"}},
		"a node cost in words":      {[]string{"--node-cost", "much"}, []string{`--node-cost: reading price "much": want a decimal such as 0.0333`}},
		"a negative node cost":      {[]string{"--node-cost", "-0.01"}, []string{`--node-cost: reading price "-0.01"`}},
		"a node cost in cents":      {[]string{"--node-cost", "5000000"}, []string{`--node-cost: "5000000" is more than 1000000 per hour`}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := runHere(t, pod, append([]string{"plan", "-f", "-"}, tc.flags...)...)
			if got.code != exitInvalid || got.stdout != "" {
				t.Errorf("exit code %d, want %d; output %q", got.code, exitInvalid, got.stdout)
			}
			for _, want := range tc.want {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("standard error %q, want it to contain %q", got.stderr, want)
				}
			}
		})
	}
}
