// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Each case has the machine "a", which would be removed if it were not for the one thing that the case is about.
func TestRefusesToRemove(t *testing.T) {
	pool := group("pool")
	cases := map[string]struct {
		objects []client.Object
		input   func(*Input)
		want    Rule
		message string
	}{
		"a machine that is being deleted": {
			objects: all(pool, machine("a", beingDeleted)),
			want:    RuleLeaving, message: "is being deleted",
		},
		"a machine of a Disruption that waits for a person": {
			objects: all(pool, machine("a"), disrupt("d", "a", v1alpha1.DisruptionProposed)),
			want:    RuleLeaving, message: `is being removed by Disruption "d"`,
		},
		"a machine of a Disruption that nobody looked at yet": {
			objects: all(pool, machine("a"), disrupt("d", "a", "")),
			want:    RuleLeaving, message: `is being removed by Disruption "d"`,
		},
		"a machine of a Disruption that drains": {
			objects: all(pool, machine("a"), disrupt("d", "a", v1alpha1.DisruptionDraining)),
			want:    RuleLeaving, message: `is being removed by Disruption "d"`,
		},
		"a machine of no NodeGroup": {
			objects: machine("a"),
			want:    RuleUnmanaged, message: `belongs to NodeGroup "pool", which does not exist`,
		},
		"a machine of a NodeGroup that was not handed to us": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Labels[v1alpha1.ManagedLabel] = "false" }), machine("a")),
			want:    RuleUnmanaged, message: `belongs to NodeGroup "pool", which does not carry the label autoscaler.vpsie.com/managed=true`,
		},
		"a machine of a NodeGroup that is being deleted": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) {
				g.DeletionTimestamp, g.Finalizers = new(metav1.NewTime(now)), []string{v1alpha1.NodeGroupFinalizer}
			}), machine("a")),
			want: RuleUnmanaged, message: `belongs to NodeGroup "pool", which is being deleted and takes its machines along`,
		},
		"a machine of a NodeGroup whose disruption is paused": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Paused = v1alpha1.PauseDisruption }), machine("a")),
			want:    RulePaused, message: `belongs to NodeGroup "pool", which has spec.paused: Disruption`,
		},
		"a machine of a NodeGroup that is paused": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Paused = v1alpha1.PauseAll }), machine("a")),
			want:    RulePaused, message: `belongs to NodeGroup "pool", which has spec.paused: All`,
		},
		"a machine of a NodeGroup with policy Never": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Policy = v1alpha1.DisruptNever }), machine("a")),
			want:    RulePolicy, message: `belongs to NodeGroup "pool", which has spec.disruption.policy: Never`,
		},
		"a machine that has not joined": {
			objects: all(pool, machine("a", notJoined)), want: RuleNotInitialized, message: "has not joined",
		},
		"a machine that is not initialized": {
			objects: all(pool, machine("a", notInitialised)), want: RuleNotInitialized, message: "is not initialized",
		},
		"a machine that failed": {
			objects: all(pool, machine("a", func(vn *v1alpha1.VPSieNode, _ *corev1.Node) { vn.Status.Phase = v1alpha1.PhaseFailed })),
			want:    RuleNotInitialized, message: "failed, and is cleaned up once its reason could be read",
		},
		"a machine whose Node is being deleted": {
			objects: all(pool, machine("a", func(_ *v1alpha1.VPSieNode, node *corev1.Node) {
				node.DeletionTimestamp, node.Finalizers = new(metav1.NewTime(now)), []string{"example.com/hold"}
			})),
			want: RuleNotInitialized, message: "has a Node that is being deleted",
		},
		"a protected node": {
			objects: all(pool, machine("a", annotatedNode(v1alpha1.ProtectedAnnotation, "true"))),
			want:    RuleProtected, message: "has a Node with the annotation autoscaler.vpsie.com/protected=true",
		},
		"a node that must not be disrupted": {
			objects: all(pool, machine("a", annotatedNode(v1alpha1.DoNotDisruptAnnotation, "true"))),
			want:    RuleNodeDoNotDisrupt, message: "has a Node that has the annotation autoscaler.vpsie.com/do-not-disrupt=true",
		},
		"a node that is younger than its annotation asks for": {
			objects: all(pool, machine("a", annotatedNode(v1alpha1.DoNotDisruptAnnotation, "2h1s"))),
			want:    RuleNodeDoNotDisrupt,
			message: "has a Node that has the annotation autoscaler.vpsie.com/do-not-disrupt=2h1s, which holds until 2026-11-22T12:00:01Z",
		},
		"a node whose annotation cannot be read": {
			objects: all(pool, machine("a", annotatedNode(v1alpha1.DoNotDisruptAnnotation, "yes"))),
			want:    RuleAnnotationUnread,
			message: `has a Node that has the annotation autoscaler.vpsie.com/do-not-disrupt="yes", which is neither "true" nor a duration such as 4h`,
		},
		"a node whose annotation is a negative duration": {
			objects: all(pool, machine("a", annotatedNode(v1alpha1.DoNotDisruptAnnotation, "-1h"))),
			want:    RuleAnnotationUnread,
			message: `has a Node that has the annotation autoscaler.vpsie.com/do-not-disrupt="-1h", which is neither "true" nor a duration such as 4h`,
		},
		"a node with a pod that must not be disrupted, even a DaemonSet's": {
			objects: all(pool, machine("a"), pod("backup", "n-a", ofDaemonSet, annotatedPod("true"))),
			want:    RulePodDoNotDisrupt, message: "runs pod shop/backup, which has the annotation autoscaler.vpsie.com/do-not-disrupt=true",
		},
		"a node with a pod whose annotation cannot be read": {
			objects: all(pool, machine("a"), pod("backup", "n-a", ofDaemonSet, annotatedPod("1 day"))),
			want:    RuleAnnotationUnread,
			message: `runs pod shop/backup, which has the annotation autoscaler.vpsie.com/do-not-disrupt="1 day", which is neither "true" nor a duration such as 4h`,
		},
		"a machine whose pods changed within consolidateAfter": {
			objects: all(pool, machine("a")),
			input:   func(in *Input) { in.Quiet["uid-a"] = now.Add(-5*time.Minute + time.Second) },
			want:    RuleRecentlyChanged, message: "is left alone until 2026-11-22T12:00:01Z, because it joined or its pods changed less than 5m0s ago",
		},
		"a machine that was initialized within consolidateAfter": {
			objects: all(pool, machine("a", func(vn *v1alpha1.VPSieNode, _ *corev1.Node) {
				vn.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-4 * time.Minute))
			})),
			want: RuleRecentlyChanged, message: "is left alone until 2026-11-22T12:01:00Z, because it joined or its pods changed less than 5m0s ago",
		},
		"a machine that nobody has watched yet, as after a restart": {
			objects: all(pool, machine("a")),
			input:   func(in *Input) { delete(in.Quiet, "uid-a") },
			want:    RuleRecentlyChanged, message: "is left alone until 2026-11-22T12:05:00Z, because it joined or its pods changed less than 5m0s ago",
		},
		"a machine that is new, even where consolidateAfter is 0": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.ConsolidateAfter = &metav1.Duration{} }),
				machine("a", func(vn *v1alpha1.VPSieNode, _ *corev1.Node) {
					vn.Status.Conditions[0].LastTransitionTime = metav1.NewTime(now.Add(-14 * time.Second))
				})),
			want: RuleRecentlyChanged, message: "is left alone until 2026-11-22T12:00:01Z, because it joined or its pods changed less than 15s ago",
		},
		"a machine within the default consolidateAfter where none is set": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.ConsolidateAfter = nil }), machine("a")),
			input:   func(in *Input) { in.Quiet["uid-a"] = now.Add(-4 * time.Minute) },
			want:    RuleRecentlyChanged, message: "is left alone until 2026-11-22T12:01:00Z, because it joined or its pods changed less than 5m0s ago",
		},
		"a machine a moment after a Disruption of it was rejected": {
			objects: all(pool, machine("a"), disrupt("d", "a", v1alpha1.DisruptionRejected, finishedAgo(59*time.Second))),
			want:    RuleRecentlyFailed, message: "is left alone until 2026-11-22T12:00:01Z, because 1 Disruptions of it came to nothing",
		},
		"a machine whose Disruptions were rolled back again and again, for longer": {
			objects: all(pool, machine("a"), disrupt("d1", "a", v1alpha1.DisruptionRolledBack), disrupt("d2", "a", v1alpha1.DisruptionRejected),
				disrupt("d3", "a", v1alpha1.DisruptionRolledBack, finishedAgo(3*time.Minute))),
			want: RuleRecentlyFailed, message: "is left alone until 2026-11-22T12:01:00Z, because 3 Disruptions of it came to nothing",
		},
		"a machine with a workload pod": {
			objects: all(pool, machine("a"), pod("web", "n-a"), pod("agent", "n-a", ofDaemonSet)),
			want:    RuleNotEmpty, message: "runs 1 workload pods",
		},
		"a machine with a workload pod that nobody owns and that tolerates everything": {
			objects: all(pool, machine("a"), pod("web", "n-a", func(p *corev1.Pod) {
				p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
			})),
			want: RuleNotEmpty, message: "runs 1 workload pods",
		},
		"a machine with a workload pod that is still terminating": {
			objects: all(pool, machine("a"), pod("web", "n-a", func(p *corev1.Pod) {
				p.DeletionTimestamp, p.Finalizers = new(metav1.NewTime(now)), []string{"example.com/hold"}
			})),
			want: RuleNotEmpty, message: "runs 1 workload pods",
		},
		"a machine of minNodes": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a")),
			want:    RuleMinNodes, message: `would leave NodeGroup "pool" with 0 nodes, and spec.minNodes is 1`,
		},
		"a machine of minNodes while the other one is leaving": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a"), machine("b", beingDeleted)),
			want:    RuleMinNodes, message: `would leave NodeGroup "pool" with 0 nodes, and spec.minNodes is 1`,
		},
		"a machine of minNodes while the other one is only decided about": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a"), machine("b"),
				disrupt("d", "b", v1alpha1.DisruptionProposed)),
			want: RuleMinNodes, message: `would leave NodeGroup "pool" with 0 nodes, and spec.minNodes is 1`,
		},
		"a machine of minNodes while the other one is only ordered": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a"), machine("b", notJoined)),
			want:    RuleMinNodes, message: `would leave NodeGroup "pool" with 0 nodes, and spec.minNodes is 1`,
		},
		"a machine when the budget is spent": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Budgets = []v1alpha1.Budget{{Nodes: "1"}} }),
				machine("a"), machine("b", beingDeleted)),
			want:    RuleBudget,
			message: `has to wait: spec.disruption.budgets[0] (nodes: "1") of NodeGroup "pool" allows 0 more of its 2 nodes to leave now, and 1 are leaving`,
		},
		"a machine when a budget cannot be read": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) {
				g.Spec.Disruption.Budgets = []v1alpha1.Budget{window("5", "0 9 * * *", "1h", "Mars/Base")}
			}), machine("a")),
			want:    RuleBudgetUnread,
			message: `belongs to NodeGroup "pool", whose spec.disruption.budgets[0].timeZone: "Mars/Base" is not an IANA time zone such as Europe/Berlin: unknown time zone Mars/Base`,
		},
		"a machine where a pending pod would fit": {
			objects: all(pool, machine("a"), pod("new", "")),
			want:    RulePodsNeedIt, message: "is where pod shop/new is about to go",
		},
		"a machine that kube-scheduler nominated for a pod": {
			objects: all(pool, machine("a"), pod("new", "", func(p *corev1.Pod) { p.Status.NominatedNodeName = "n-a" })),
			want:    RulePodsNeedIt, message: "is where pod shop/new is about to go",
		},
		"a machine that headroom needs": {
			objects: all(group("pool", headroom(2)), machine("a")),
			want:    RulePodsNeedIt,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := newCluster(t, tc.objects).input()
			if tc.input != nil {
				tc.input(&in)
			}
			out, err := Decide(in)
			if err != nil {
				t.Fatal(err)
			}
			if len(out.Decisions) != 0 {
				t.Fatalf("removes %v", names(out.Decisions))
			}
			if got := out.Kept[0]; got.VPSieNode != "a" || got.Rule != tc.want || tc.message != "" && got.Message != tc.message {
				t.Errorf("kept %+v\nwant %s: %s", got, tc.want, tc.message)
			}
		})
	}
}

func headroom(replicas int32) func(*v1alpha1.NodeGroup) {
	return func(g *v1alpha1.NodeGroup) {
		g.Spec.Headroom = []v1alpha1.Headroom{{Name: "web", Replicas: &replicas, CPU: new(resource.MustParse("500m")), Memory: new(resource.MustParse("1Gi"))}}
	}
}

// The other side of each rule: what looks like the thing and is not.
func TestRemoves(t *testing.T) {
	pool := group("pool")
	cases := map[string]struct {
		objects []client.Object
		input   func(*Input)
		want    []string
	}{
		"an empty machine": {objects: all(pool, machine("a")), want: []string{"a"}},
		"a machine with DaemonSet, static and terminated pods only": {
			objects: all(pool, machine("a"), pod("agent", "n-a", ofDaemonSet),
				pod("static", "n-a", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }),
				pod("job", "n-a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })),
			want: []string{"a"},
		},
		"a machine of a NodeGroup whose provisioning is paused": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Paused = v1alpha1.PauseProvisioning }), machine("a")),
			want:    []string{"a"},
		},
		"a machine of a NodeGroup with policy WhenEmpty": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Policy = v1alpha1.DisruptWhenEmpty }), machine("a")),
			want:    []string{"a"},
		},
		"a node that is as old as its annotation asks for": {
			objects: all(pool, machine("a", annotatedNode(v1alpha1.DoNotDisruptAnnotation, "2h"))), want: []string{"a"},
		},
		"a node that is explicitly not protected": {
			objects: all(pool, machine("a", annotatedNode(v1alpha1.ProtectedAnnotation, "false"))), want: []string{"a"},
		},
		"a machine at the very end of consolidateAfter": {
			objects: all(pool, machine("a")), input: func(in *Input) { in.Quiet["uid-a"] = now.Add(-5 * time.Minute) }, want: []string{"a"},
		},
		"a machine a minute after a Disruption of it was rejected": {
			objects: all(pool, machine("a"), disrupt("d", "a", v1alpha1.DisruptionRejected, finishedAgo(time.Minute))), want: []string{"a"},
		},
		"a machine an hour after the last of very many Disruptions of it": {
			objects: func() []client.Object {
				objects := all(pool, machine("a"))
				for _, name := range []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"} {
					objects = append(objects, disrupt("d"+name, "a", v1alpha1.DisruptionRejected, finishedAgo(time.Hour))...)
				}
				return objects
			}(),
			want: []string{"a"},
		},
		"a machine whose namesake was removed long ago": {
			objects: all(pool, machine("a"), disrupt("d", "a", v1alpha1.DisruptionRejected, finishedAgo(time.Second), func(d *v1alpha1.Disruption) {
				d.Spec.Remove[0].UID = "another"
			})),
			want: []string{"a"},
		},
		"a machine above minNodes": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a"), machine("b"), pod("web", "n-b")),
			want:    []string{"a"},
		},
		"only as many as stay above minNodes, the most expensive first": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }),
				machine("a", costs("0.0100")), machine("b", costs("0.0300")), machine("c", costs("0.0200"))),
			want: []string{"b", "c"},
		},
		"only as many as the budget allows": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Budgets = []v1alpha1.Budget{{Nodes: "2"}} }), machines(4, "m")),
			want:    []string{"m-0", "m-1"},
		},
		"a tenth where no budget is set": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Budgets = nil }), machines(11, "m")),
			want:    []string{"m-0", "m-1"},
		},
		"those that the pending pod does not need": { // "m-0" is where it fits
			objects: all(pool, machines(2, "m"), pod("new", "", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: "n-m-0"} })),
			want:    []string{"m-1"},
		},
		"a machine on which the pending pod would not fit": {
			objects: all(pool, machine("a"), pod("huge", "", func(p *corev1.Pod) {
				p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("64")
			})),
			want: []string{"a"},
		},
		"those that headroom does not need": { // four pods of half a cpu each fill one machine
			objects: all(group("pool", headroom(3)), machines(3, "m")), want: []string{"m-0", "m-1"},
		},
		"nothing for headroom that fits nowhere anyway": {
			objects: all(group("pool", headroom(3), func(g *v1alpha1.NodeGroup) { g.Spec.Headroom[0].CPU = new(resource.MustParse("64")) }), machine("a")),
			want:    []string{"a"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := newCluster(t, tc.objects).input()
			if tc.input != nil {
				tc.input(&in)
			}
			out, err := Decide(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, names(out.Decisions)); diff != "" {
				t.Errorf("removed (-want +got):\n%s\nkept: %+v", diff, out.Kept)
			}
		})
	}
}

func TestPolicyNeverKeepsOnlyFromSavingMoney(t *testing.T) {
	ng := group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Policy = v1alpha1.DisruptNever })
	in := newCluster(t, ng, machine("a")).input()
	in.Quiet = map[types.UID]time.Time{} // nobody has watched
	p, err := newPass(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	for why, wants := range map[v1alpha1.DisruptionReason]bool{
		v1alpha1.ReasonEmpty: true, v1alpha1.ReasonCheaper: true, v1alpha1.ReasonExpired: false, v1alpha1.ReasonDrifted: false, v1alpha1.ReasonUnhealthy: false,
	} {
		if got := policy(p, in.Picture.Machines[0], why) != ""; got != wants {
			t.Errorf("%s: policy Never keeps: %t, want %t", why, got, wants)
		}
		if got := recentlyChanged(p, in.Picture.Machines[0], why) != ""; got != wants {
			t.Errorf("%s: consolidateAfter keeps: %t, want %t", why, got, wants)
		}
	}
}

func TestEveryRuleIsListedOnce(t *testing.T) {
	listed := map[Rule]int{}
	for _, rule := range Rules() {
		listed[rule]++
	}
	used := []Rule{RuleGone, RuleReasonUnknown, RuleBudgetUnread}
	for _, keeper := range keepers() {
		used = append(used, keeper.rule)
	}
	for _, reason := range reasons() {
		used = append(used, reason.absent)
	}
	for _, bound := range bounds() {
		used = append(used, bound.rule)
	}
	for _, rule := range used {
		if listed[rule] != 1 {
			t.Errorf("rule %s is listed %d times", rule, listed[rule])
		}
		delete(listed, rule)
	}
	if len(listed) != 0 {
		t.Errorf("listed and never used: %v", listed)
	}
}
