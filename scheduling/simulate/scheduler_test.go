// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

const header = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"

// engineOf makes an engine of a configuration over a cluster.
func engineOf(t *testing.T, text string, objects snapshot.Objects) *simulate.Engine {
	t.Helper()
	scheduler, err := simulate.ReadScheduler("scheduler.yaml", []byte(header+text), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := snapshot.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	e, err := simulate.New(s, simulate.Options{Scheduler: scheduler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func of(scheduler string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.SchedulerName = scheduler }
}

func TestEachProfileJudgesItsPods(t *testing.T) {
	e := engineOf(t, `
profiles:
- schedulerName: default-scheduler
- schedulerName: careless
  plugins:
    multiPoint:
      disabled: [{name: TaintToleration}]
- schedulerName: finicky
  pluginConfig:
  - name: NodeAffinity
    args:
      addedAffinity:
        requiredDuringSchedulingIgnoredDuringExecution:
          nodeSelectorTerms:
          - matchExpressions: [{key: pool, operator: In, values: [finicky]}]
  - name: NodeResourcesFit
    args:
      ignoredResources: [example.com/licence]
`, snapshot.Objects{Nodes: []*corev1.Node{
		build.MakeNode("tainted").Taint("team", "a").Obj(), build.MakeNode("plain").Obj(), build.MakeNode("pool").Label("pool", "finicky").Obj(),
	}})
	for name, c := range map[string]struct{ scheduler, node, plugin string }{
		"the default profile minds taints":             {"default-scheduler", "tainted", "TaintToleration"},
		"a profile without that plugin does not":       {"careless", "tainted", ""},
		"a profile may add an affinity to every pod":   {"finicky", "plain", "NodeAffinity"},
		"which some nodes satisfy":                     {"finicky", "pool", ""},
		"a pod without a name is the default's":        {"", "tainted", "TaintToleration"},
		"a pod of nobody's is judged by the first one": {"somebody", "tainted", "TaintToleration"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := e.Fits(build.MakePod("p").With(of(c.scheduler)).Obj(), c.node); got.Plugin != c.plugin || got.Fits != (c.plugin == "") {
				t.Errorf("got %q, want plugin %q", got, c.plugin)
			}
		})
	}
	licensed := build.MakePod("p").Request("example.com/licence", "1").With(of("finicky")).Obj()
	if got := e.Fits(licensed, "pool"); !got.Fits {
		t.Errorf("a resource that the profile ignores: %s", got)
	}
}

func TestPodsOfTwoProfilesAreNotPromisedTheSameVolume(t *testing.T) {
	e := engineOf(t, "profiles: [{schedulerName: default-scheduler}, {schedulerName: other}]", snapshot.Objects{
		Nodes:                  []*corev1.Node{build.MakeNode("hel").Obj()},
		StorageClasses:         []*storagev1.StorageClass{class("local", "kubernetes.io/no-provisioner")},
		PersistentVolumes:      []*corev1.PersistentVolume{volume("only", "local", "hel", "")},
		PersistentVolumeClaims: []*corev1.PersistentVolumeClaim{claim("a", "local", ""), claim("b", "local", "")},
	})
	if got, err := e.Place(build.MakePod("first").Claim("a").Obj(), "hel"); err != nil || !got.Fits {
		t.Fatal(got, err)
	}
	if got := e.Fits(build.MakePod("second").Claim("b").With(of("other")).Obj(), "hel"); got.Plugin != "VolumeBinding" {
		t.Errorf("the only volume was promised twice: %s", got)
	}
}

func TestWhatDecidesNothingMayBeUnknown(t *testing.T) {
	e := engineOf(t, `
leaderElection: {leaderElect: true}
clientConnection: {kubeconfig: /etc/kubernetes/scheduler.conf}
extenders:
- urlPrefix: http://localhost:9000
  prioritizeVerb: prioritize
  weight: 1
  managedResources: [{name: example.com/licence, ignoredByScheduler: true}]
profiles:
- plugins:
    queueSort: {enabled: [{name: Coscheduling}], disabled: [{name: "*"}]}
    score: {enabled: [{name: Trimaran}]}
    bind: {enabled: [{name: Binder}], disabled: [{name: "*"}]}
`, snapshot.Objects{Nodes: []*corev1.Node{build.MakeNode("a").Obj()}})
	if got := e.Fits(build.MakePod("p").Request("example.com/licence", "1").Obj(), "a"); !got.Fits {
		t.Errorf("a resource that only an extender counts: %s", got)
	}
	if got := e.Fits(build.MakePod("p").CPU("9").Obj(), "a"); got.Plugin != "NodeResourcesFit" {
		t.Errorf("too large: %s", got)
	}
}

func TestReadSchedulerSaysWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // parts of the error
	}{
		"no YAML":         {"{", []string{`"scheduler.yaml"`}},
		"another kind":    {"apiVersion: v1\nkind: Pod", []string{`"scheduler.yaml"`, "Pod"}},
		"another version": {"apiVersion: kubescheduler.config.k8s.io/v1beta1\nkind: KubeSchedulerConfiguration", []string{"v1beta1"}},
		"an unknown field": {
			header + "profiles: [{schedulerNames: [a]}]", []string{`unknown field "profiles[0].schedulerNames"`},
		},
		"two profiles of one name": {
			header + "profiles: [{schedulerName: a}, {schedulerName: a}]", []string{"profiles[1].schedulerName", "Duplicate"},
		},
		"arguments that cannot be": {
			header + "profiles: [{pluginConfig: [{name: InterPodAffinity, args: {hardPodAffinityWeight: 101}}]}]",
			[]string{"profiles[0].pluginConfig[0].args.hardPodAffinityWeight", "101"},
		},
		"a plugin that filters and is not compiled in": {
			header + "profiles: [{plugins: {filter: {enabled: [{name: Capacity}]}}}]",
			[]string{"profiles[0].plugins.filter.enabled", `"Capacity"`, `"NodeResourcesFit"`},
		},
		"an extender that filters": {
			header + "extenders: [{urlPrefix: 'http://localhost:9000', filterVerb: filter}]", []string{"extenders[0].filterVerb", "do not exist yet"},
		},
		"a strict default spread": {
			header + `profiles: [{pluginConfig: [{name: PodTopologySpread, args: {defaultingType: List, defaultConstraints: [
				{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]}}]}]`,
			[]string{"profiles[0].pluginConfig[0].args.defaultConstraints[0].whenUnsatisfiable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := simulate.ReadScheduler("scheduler.yaml", []byte(c.text), nil)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range append(c.want, "reading the scheduler configuration") {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not say %q: %v", part, err)
				}
			}
		})
	}
}

func TestFeatureGatesThatNobodyKnowsAreRefused(t *testing.T) {
	if err := simulate.SetFeatureGates("NoSuchGate=true"); err == nil || !strings.Contains(err.Error(), "NoSuchGate") {
		t.Errorf("got %v", err)
	}
	if err := simulate.SetFeatureGates("InterPodAffinityHostnameFastPath=true"); err == nil || !strings.Contains(err.Error(), "cannot be imitated") {
		t.Errorf("a gate that changes what plugins read: got %v", err)
	}
	if err := simulate.SetFeatureGates(""); err != nil {
		t.Error(err)
	}
}

func TestSchedulerNames(t *testing.T) {
	var stock *simulate.Scheduler
	if diff := cmp.Diff([]string{"default-scheduler"}, stock.Names()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	read, err := simulate.ReadScheduler("f", []byte(header+"profiles: [{schedulerName: b}, {schedulerName: a}]"), nil)
	if err != nil || !slices.Equal(read.Names(), []string{"b", "a"}) {
		t.Errorf("got %v, %v", read.Names(), err)
	}
}
