// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

const (
	approved  = v1alpha1.DisruptionApproved
	launching = v1alpha1.DisruptionLaunching
	draining  = v1alpha1.DisruptionDraining
)

func changed(phase v1alpha1.DisruptionPhase, changes ...func(*v1alpha1.Disruption)) []client.Object {
	return disrupt("d", "a", phase, changes...)
}

func because(reason v1alpha1.DisruptionReason) func(*v1alpha1.Disruption) {
	return func(d *v1alpha1.Disruption) { d.Spec.Reason = reason }
}

func alsoRemoves(name string) func(*v1alpha1.Disruption) {
	return func(d *v1alpha1.Disruption) {
		d.Spec.Remove = append(d.Spec.Remove, v1alpha1.Removal{VPSieNode: name, UID: "uid-" + name, Node: "n-" + name})
	}
}

func launches(names ...string) func(*v1alpha1.Disruption) {
	return func(d *v1alpha1.Disruption) {
		for _, name := range names {
			d.Spec.Launch = append(d.Spec.Launch, v1alpha1.Replacement{Name: name, Spec: v1alpha1.VPSieNodeSpec{
				NodeGroup: "pool", Offerings: []v1alpha1.OfferingChoice{{
					ID: "o", PricePerHour: "0.0400", Capacity: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi")},
				}},
			}})
		}
	}
}

func tainted(_ *v1alpha1.VPSieNode, node *corev1.Node) {
	node.Spec.Taints = []corev1.Taint{{Key: v1alpha1.DisruptingTaint, Effect: corev1.TaintEffectNoSchedule}}
}

func oneBudget(g *v1alpha1.NodeGroup) { g.Spec.Disruption.Budgets = []v1alpha1.Budget{{Nodes: "1"}} }

func limited(limits v1alpha1.NodeGroupLimits) func(*v1alpha1.NodeGroup) {
	return func(g *v1alpha1.NodeGroup) { g.Spec.Limits = &limits }
}

func TestRecheck(t *testing.T) {
	pool := group("pool")
	fresh := func(in *Input) { in.Quiet = map[types.UID]time.Time{"uid-a": now} }
	cases := map[string]struct {
		objects []client.Object
		input   func(*Input)
		d       []client.Object
		want    Rule // "": still right
	}{
		"nothing changed":                     {objects: all(pool, machine("a")), d: changed(approved)},
		"a workload pod came":                 {objects: all(pool, machine("a"), pod("web", "n-a")), d: changed(approved), want: RuleNotEmpty},
		"a workload pod came while it drains": {objects: all(pool, machine("a", tainted), pod("web", "n-a")), d: changed(draining), want: RuleNotEmpty},
		"the machine is gone":                 {objects: pool, d: changed(approved), want: RuleGone},
		"a namesake took its place": {
			objects: all(pool, machine("a", func(vn *v1alpha1.VPSieNode, _ *corev1.Node) { vn.UID = "another" })), d: changed(approved), want: RuleGone,
		},
		"the machine joined as another node": {
			objects: all(pool, machine("a")), d: changed(approved, func(d *v1alpha1.Disruption) { d.Spec.Remove[0].Node = "n-other" }), want: RuleGone,
		},
		"the machine is of another group than the Disruption says": {
			objects: all(pool, group("other"), machine("a")), d: changed(approved, func(d *v1alpha1.Disruption) { d.Spec.NodeGroup = "other" }), want: RuleGone,
		},
		"somebody deletes the machine":                             {objects: all(pool, machine("a", beingDeleted)), d: changed(approved), want: RuleLeaving},
		"somebody deletes the machine while it drains":             {objects: all(pool, machine("a", beingDeleted)), d: changed(draining)},
		"one of two was deleted while they drain":                  {objects: all(pool, machine("a", beingDeleted), machine("b")), d: changed(draining, alsoRemoves("b"))},
		"one of two is gone, and the other got a pod":              {objects: all(pool, machine("b"), pod("web", "n-b")), d: changed(draining, alsoRemoves("b")), want: RuleNotEmpty},
		"another Disruption of the same machine has begun":         {objects: all(pool, machine("a"), disrupt("e", "a", launching)), d: changed(approved), want: RuleLeaving},
		"another Disruption of the same machine has not begun":     {objects: all(pool, machine("a"), disrupt("e", "a", approved)), d: changed(approved)},
		"the group was paused":                                     {objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Paused = v1alpha1.PauseAll }), machine("a")), d: changed(approved), want: RulePaused},
		"the group was paused while it drains":                     {objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Paused = v1alpha1.PauseAll }), machine("a")), d: changed(draining), want: RulePaused},
		"the node was protected while it drains":                   {objects: all(pool, machine("a", annotatedNode(v1alpha1.ProtectedAnnotation, "true"))), d: changed(draining), want: RuleProtected},
		"the Node is gone while it drains":                         {objects: all(pool, machine("a")[:1]), d: changed(draining), want: RuleNotInitialized},
		"minNodes was raised":                                      {objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a")), d: changed(approved), want: RuleMinNodes},
		"minNodes was raised while it drains":                      {objects: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a")), d: changed(draining), want: RuleMinNodes},
		"pods changed recently: it has to wait":                    {objects: all(pool, machine("a")), input: fresh, d: changed(approved), want: RuleRecentlyChanged},
		"pods changed recently does not stop a drain":              {objects: all(pool, machine("a", tainted)), input: fresh, d: changed(draining)},
		"what will not change comes before what has to wait":       {objects: all(pool, machine("a"), pod("web", "n-a")), input: fresh, d: changed(approved), want: RuleNotEmpty},
		"what is asked last and will not change comes before too":  {objects: all(pool, machine("a"), pod("new", "")), input: fresh, d: changed(approved), want: RulePodsNeedIt},
		"the budget is spent by one that has begun":                {objects: all(group("pool", oneBudget), machine("a"), machine("b"), disrupt("e", "b", draining)), d: changed(approved), want: RuleBudget},
		"the budget is spent by a machine that is being deleted":   {objects: all(group("pool", oneBudget), machine("a"), machine("b", beingDeleted)), d: changed(approved), want: RuleBudget},
		"the budget is not spent by one that has not begun":        {objects: all(group("pool", oneBudget), machine("a"), machine("b"), disrupt("e", "b", approved)), d: changed(approved)},
		"a spent budget does not stop a drain":                     {objects: all(group("pool", oneBudget), machine("a"), machine("b", beingDeleted)), d: changed(draining)},
		"two machines at once count as two":                        {objects: all(group("pool", oneBudget), machine("a"), machine("b")), d: changed(approved, alsoRemoves("b")), want: RuleBudget},
		"a pending pod would fit there":                            {objects: all(pool, machine("a"), pod("new", "")), d: changed(approved), want: RulePodsNeedIt},
		"a pending pod would fit there, were it not for our taint": {objects: all(pool, machine("a", tainted), pod("new", "")), d: changed(draining), want: RulePodsNeedIt},
		"a taint of somebody else keeps the pod away": {
			objects: all(pool, machine("a", func(_ *v1alpha1.VPSieNode, node *corev1.Node) {
				node.Spec.Taints = []corev1.Taint{{Key: "dedicated", Effect: corev1.TaintEffectNoSchedule}}
			}), pod("new", "")),
			d: changed(draining),
		},
		"a reason that nobody decides about": {objects: all(pool, machine("a")), d: changed(approved, because("Drifted")), want: RuleReasonUnknown},
		"replacements within the limits": {
			objects: all(group("pool", limited(v1alpha1.NodeGroupLimits{Nodes: ptr.To[int32](2), CPU: new(resource.MustParse("4")), Memory: new(resource.MustParse("8Gi")), CostPerHour: ptr.To[v1alpha1.Price]("0.09")})), machine("a")),
			d:       changed(approved, launches("r")),
		},
		"replacements over the limit of nodes":  {objects: all(group("pool", limited(v1alpha1.NodeGroupLimits{Nodes: ptr.To[int32](1)})), machine("a")), d: changed(approved, launches("r")), want: RuleLimits},
		"replacements over the limit of cpu":    {objects: all(group("pool", limited(v1alpha1.NodeGroupLimits{CPU: new(resource.MustParse("3999m"))})), machine("a")), d: changed(approved, launches("r")), want: RuleLimits},
		"replacements over the limit of memory": {objects: all(group("pool", limited(v1alpha1.NodeGroupLimits{Memory: new(resource.MustParse("8191Mi"))})), machine("a")), d: changed(approved, launches("r")), want: RuleLimits},
		"replacements over the limit of cost":   {objects: all(group("pool", limited(v1alpha1.NodeGroupLimits{CostPerHour: ptr.To[v1alpha1.Price]("0.0899")})), machine("a")), d: changed(approved, launches("r")), want: RuleLimits},
		"replacements in a group that must not grow": {
			objects: all(group("pool", func(g *v1alpha1.NodeGroup) {
				g.Spec.MaxNodes, g.Spec.Paused = ptr.To[int32](1), v1alpha1.PauseProvisioning
			}), machine("a")),
			d: changed(approved, launches("r")),
		},
		"a replacement that was created is counted once": {
			objects: all(group("pool", limited(v1alpha1.NodeGroupLimits{Nodes: ptr.To[int32](2)})), machine("a"), machine("r")), d: changed(launching, launches("r")),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := newCluster(t, all(tc.objects, tc.d)).input()
			if tc.input != nil {
				tc.input(&in)
			}
			no, err := Recheck(in, tc.d[0].(*v1alpha1.Disruption))
			if err != nil {
				t.Fatal(err)
			}
			var got Rule
			if no != nil {
				got = no.Rule
				if no.Message == "" || no.VPSieNode == "" {
					t.Errorf("no reason given: %+v", no)
				}
			}
			if got != tc.want {
				t.Errorf("kept by %q (%+v), want %q", got, no, tc.want)
			}
		})
	}
}

// late is a cache that shows the cluster as it was.
func late(t *testing.T, objects ...[]client.Object) client.Reader {
	return newCluster(t, objects...).kube
}

func TestRecheckReadsAgainWhatTheWatchesMayNotShowYet(t *testing.T) {
	before := all(group("pool"), machine("a"), machine("b"), disrupt("d", "a", approved))
	cases := map[string]struct {
		now  []client.Object
		want Rule
	}{
		"nothing changed":       {now: before},
		"a pod was bound":       {now: all(before, pod("web", "n-a")), want: RuleNotEmpty},
		"the node is protected": {now: all(group("pool"), machine("a", annotatedNode(v1alpha1.ProtectedAnnotation, "true")), machine("b"), disrupt("d", "a", approved)), want: RuleProtected},
		"the group was paused":  {now: all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.Paused = v1alpha1.PauseAll }), before[1:]), want: RulePaused},
		"minNodes was raised and the other machine was deleted": {
			now:  all(group("pool", func(g *v1alpha1.NodeGroup) { g.Spec.MinNodes = ptr.To[int32](1) }), machine("a"), machine("b", beingDeleted), before[5:]),
			want: RuleMinNodes,
		},
		"another Disruption has begun and the budget is spent": {
			now: all(group("pool", oneBudget), before[1:], disrupt("e", "b", launching)), want: RuleBudget,
		},
		"the machine is gone": {now: all(group("pool"), machine("b"), before[5:]), want: RuleGone},
		"the Node is gone":    {now: all(before[:2], before[3:]), want: RuleNotInitialized},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, tc.now)
			r := New(c.kube, c.kube, state.New(late(t, before), c.clock), Options{Clock: c.clock})
			r.quiet.seen["uid-a"] = sighting{since: now.Add(-time.Hour)}
			var d v1alpha1.Disruption
			if err := c.kube.Get(context.Background(), client.ObjectKey{Name: "d"}, &d); err != nil {
				t.Fatal(err)
			}
			no, err := r.Recheck(context.Background(), &d)
			if err != nil {
				t.Fatal(err)
			}
			var got Rule
			if no != nil {
				got = no.Rule
			}
			if got != tc.want {
				t.Errorf("kept by %q (%+v), want %q", got, no, tc.want)
			}
		})
	}
}

func TestRecheckFailsWhenItCannotReadAgain(t *testing.T) {
	c := newCluster(t, group("pool"), machine("a"), disrupt("d", "a", approved))
	for _, kind := range []client.ObjectList{&v1alpha1.DisruptionList{}, &v1alpha1.NodeGroupList{}, &v1alpha1.VPSieNodeList{}, &corev1.PodList{}} {
		broken := interceptor.NewClient(c.kube, interceptor.Funcs{
			List: func(ctx context.Context, k client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				if typeOf(list) == typeOf(kind) {
					return errors.New("no answer")
				}
				return k.List(ctx, list, opts...)
			},
		})
		r := New(c.kube, broken, state.New(c.kube, c.clock), Options{Clock: c.clock})
		d := disrupt("d", "a", approved)[0].(*v1alpha1.Disruption)
		if no, err := r.Recheck(context.Background(), d); err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("without %T: %+v, %v", kind, no, err)
		}
	}
}

func typeOf(list client.ObjectList) string {
	switch list.(type) {
	case *v1alpha1.DisruptionList:
		return "disruptions"
	case *v1alpha1.NodeGroupList:
		return "nodegroups"
	case *v1alpha1.VPSieNodeList:
		return "vpsienodes"
	case *corev1.PodList:
		return "pods"
	}
	return ""
}

func TestQuiet(t *testing.T) {
	q := newQuiet()
	look := func(at time.Duration, objects ...[]client.Object) map[types.UID]time.Time {
		q.Observe(newCluster(t, append(objects, group("pool"))...).picture(), now.Add(at))
		return q.Since()
	}
	steps := []struct {
		what  string
		since map[types.UID]time.Time
		want  time.Duration
	}{
		{"the first sight", look(0, machine("a"), pod("web", "n-a")), 0},
		{"nothing changed", look(time.Minute, machine("a"), pod("web", "n-a")), 0},
		{"a DaemonSet pod came", look(2*time.Minute, machine("a"), pod("web", "n-a"), pod("agent", "n-a", ofDaemonSet)), 0},
		{"a pod came", look(3*time.Minute, machine("a"), pod("web", "n-a"), pod("shop", "n-a")), 3 * time.Minute},
		{"a pod ended", look(4*time.Minute, machine("a"), pod("web", "n-a"), pod("shop", "n-a", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })), 4 * time.Minute},
		{"a pod was replaced by its namesake", look(5*time.Minute, machine("a"), pod("web", "n-a", func(p *corev1.Pod) { p.UID = "another" })), 5 * time.Minute},
		{"a namesake of the machine", look(6*time.Minute, machine("a", func(vn *v1alpha1.VPSieNode, _ *corev1.Node) { vn.UID = "uid-b" }), pod("web", "n-a", func(p *corev1.Pod) { p.UID = "another" })), 6 * time.Minute},
	}
	for i, step := range steps {
		uid := types.UID("uid-a")
		if i == len(steps)-1 {
			uid = "uid-b"
		}
		if got := step.since[uid]; !got.Equal(now.Add(step.want)) || len(step.since) != 1 {
			t.Errorf("%s: since %v, want %v", step.what, step.since, metav1.NewTime(now.Add(step.want)))
		}
	}
}
