// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

type loop struct {
	*cluster
	reconciler *Reconciler
	recorder   *events.FakeRecorder
	registry   *prometheus.Registry
}

func newLoop(c *cluster) *loop {
	l := &loop{cluster: c, recorder: events.NewFakeRecorder(100), registry: prometheus.NewRegistry()}
	l.reconciler = New(c.kube, c.kube, state.New(c.kube, c.clock), Options{Clock: c.clock, Recorder: l.recorder, Registerer: l.registry})
	return l
}

func (l *loop) look() {
	l.t.Helper()
	result, err := l.reconciler.Reconcile(context.Background(), reconcile.Request{})
	if err != nil || result.RequeueAfter != 10*time.Second {
		l.t.Fatalf("result %v, error %v", result, err)
	}
}

func (l *loop) later(d time.Duration) { l.clock.SetTime(l.clock.Now().Add(d)) }

func (l *loop) events() []string {
	var result []string
	for {
		select {
		case event := <-l.recorder.Events:
			result = append(result, event)
		default:
			return result
		}
	}
}

func (l *loop) disruptions() []v1alpha1.Disruption {
	l.t.Helper()
	var list v1alpha1.DisruptionList
	if err := l.kube.List(context.Background(), &list); err != nil {
		l.t.Fatal(err)
	}
	return list.Items
}

func TestTheLoopWatchesBeforeItDecides(t *testing.T) {
	l := newLoop(newCluster(t, group("pool"), machine("a", costs("0.0333"))))
	l.look()
	l.later(5*time.Minute - time.Second)
	l.look()
	if got := l.disruptions(); len(got) != 0 {
		t.Fatalf("decided before consolidateAfter was over: %v", got)
	}
	l.later(time.Second)
	l.look()
	l.look() // and no second time
	got := l.disruptions()
	if len(got) != 1 || got[0].Spec.Remove[0].VPSieNode != "a" {
		t.Fatalf("disruptions: %v", got)
	}
	want := []string{"Normal DisruptionDecided Disruption " + got[0].Name + " (Empty) removes it and saves 0.0333 per hour"}
	if diff := cmp.Diff(want, l.events()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestADecisionThatWasWrittenAlreadyIsNoError(t *testing.T) {
	c := newCluster(t, group("pool"), machine("a"))
	l := newLoop(c)
	// The watches never show what was written.
	l.reconciler.cluster = state.New(late(t, group("pool"), machine("a")), c.clock)
	l.look()
	l.later(time.Hour)
	l.look()
	l.look()
	if got := l.disruptions(); len(got) != 1 {
		t.Errorf("disruptions: %v", got)
	}
	if got := l.events(); len(got) != 1 {
		t.Errorf("events: %q", got)
	}
}

func TestADecisionThatCannotBeWrittenIsAnErrorAndStopsNoOther(t *testing.T) {
	c := newCluster(t, group("pool"), machine("a"), machine("b"))
	l := newLoop(c)
	l.look()
	l.later(time.Hour)
	l.reconciler.kube = interceptor.NewClient(c.kube, interceptor.Funcs{
		Create: func(ctx context.Context, k client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if strings.HasPrefix(o.GetName(), "empty-a-") {
				return errors.New("no answer")
			}
			return k.Create(ctx, o, opts...)
		},
	})
	_, err := l.reconciler.Reconcile(context.Background(), reconcile.Request{})
	if err == nil || !strings.Contains(err.Error(), `creating Disruption "empty-a-`) {
		t.Errorf("error = %v", err)
	}
	if got := l.disruptions(); len(got) != 1 || got[0].Spec.Remove[0].VPSieNode != "b" {
		t.Errorf("disruptions: %v", got)
	}
}

func TestMistakesAreToldOnceWhereTheyAre(t *testing.T) {
	pool := group("pool", func(g *v1alpha1.NodeGroup) {
		g.Spec.Disruption.Budgets = []v1alpha1.Budget{window("1", "0 25 * * *", "1h", "")}
	})
	l := newLoop(newCluster(t, pool, machine("a"), machine("b"), machine("c", annotatedNode(v1alpha1.DoNotDisruptAnnotation, "no"))))
	l.look()
	l.later(time.Hour)
	l.look()
	l.look()
	got := l.events()
	if len(got) != 2 {
		t.Fatalf("events: %q", got)
	}
	for i, want := range []string{
		`Warning DisruptionBlocked No machine is removed here: VPSieNode c has a Node that has the annotation autoscaler.vpsie.com/do-not-disrupt="no", which is neither "true" nor a duration such as 4h`,
		`Warning DisruptionBlocked No machine is removed here: VPSieNode a belongs to NodeGroup "pool", whose spec.disruption.budgets[0].schedule: "0 25 * * *" cannot be read`,
	} {
		if !strings.HasPrefix(got[i], want) {
			t.Errorf("event %q, want %q", got[i], want)
		}
	}
}

func TestTheLoopIsMeasured(t *testing.T) {
	pool := group("pool", oneBudget)
	l := newLoop(newCluster(t, pool, machine("a"), machine("b"), machine("c"), pod("web", "n-c")))
	l.look()
	l.later(time.Hour)
	l.look()
	l.look()
	want := `
# HELP vpsie_autoscaler_disruption_decisions_total Disruptions that were written down, by reason.
# TYPE vpsie_autoscaler_disruption_decisions_total counter
vpsie_autoscaler_disruption_decisions_total{reason="Empty"} 1
# HELP vpsie_autoscaler_disruption_leaving_nodes VPSieNodes named by unfinished Disruptions, as of the last pass.
# TYPE vpsie_autoscaler_disruption_leaving_nodes gauge
vpsie_autoscaler_disruption_leaving_nodes 1
`
	if err := testutil.GatherAndCompare(l.registry, strings.NewReader(want),
		"vpsie_autoscaler_disruption_decisions_total", "vpsie_autoscaler_disruption_leaving_nodes"); err != nil {
		t.Error(err)
	}
	kept := map[Rule]float64{}
	for _, rule := range Rules() {
		if n := testutil.ToFloat64(l.reconciler.metrics.kept.WithLabelValues(string(rule))); n > 0 {
			kept[rule] = n
		}
	}
	if diff := cmp.Diff(map[Rule]float64{RuleLeaving: 1, RuleBudget: 1, RuleNotEmpty: 1}, kept); diff != "" {
		t.Errorf("kept nodes (-want +got):\n%s", diff)
	}
}
