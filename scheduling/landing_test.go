// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/kubernetes/pkg/features"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/series"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// A failing seed is tried again alone with -oracle.first=SEED -oracle.scenarios=1.
var (
	oracleFirst     = flag.Uint64("oracle.first", 1000, "seed of the first scenario that kube-scheduler is asked about")
	oracleScenarios = flag.Int("oracle.scenarios", series.Length(500), "number of scenarios that kube-scheduler is asked about")
)

const (
	oracles        = 12 // at a time: most of the time they wait
	freeOfHand     = 10 // of so many scenarios, one is also tried without telling kube-scheduler where to look first
	secondThoughts = 2 * time.Second
)

// TestKubeSchedulerBindsWhatWasPlanned gives the real scheduler exactly the planned nodes and lets it place the planned pods: first those
// for nodes that are there, then, beside the new nodes, the rest. In the end it must refuse each pod that the plan rejects.
func TestKubeSchedulerBindsWhatWasPlanned(t *testing.T) {
	total := followAll(t, *oracleScenarios, func(seed uint64) *trial.Trial {
		if seed%2 == 1 {
			return trial.Mixed(seed)
		}
		return trial.Wide(seed)
	})
	if *oracleScenarios < 100 {
		return
	}
	total.expect(t, trial.Kinds(), 1)
	if *oracleScenarios >= 500 { // few are too few for each of them
		total.expect(t, trial.Mixes(), *oracleScenarios/100)
	}
	if total.planned < 10**oracleScenarios || total.launches < *oracleScenarios || total.rejected < *oracleScenarios/2 {
		t.Error("the scenarios do not try enough")
	}
}

// TestKubeSchedulerStartsGangsAsPlanned does the same with pod groups, which are off by default: all planned pods of a gang come at once.
func TestKubeSchedulerStartsGangsAsPlanned(t *testing.T) {
	featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.GenericWorkload, true)
	scenarios := *oracleScenarios / 5
	if total := followAll(t, scenarios, trial.Ganged); scenarios >= 100 {
		total.expect(t, trial.Gangs(), scenarios/20)
	}
}

// followAll makes plans for random scenarios and has kube-scheduler carry them out.
func followAll(t *testing.T, scenarios int, made func(seed uint64) *trial.Trial) tally {
	t.Helper()
	var (
		mu    sync.Mutex
		total = tally{byKind: map[string]int{}}
		next  = make(chan uint64)
		done  sync.WaitGroup
	)
	for range oracles {
		done.Go(func() {
			for seed := range next {
				got, err := follow(t.Context(), made(seed), seed)
				mu.Lock()
				if total.add(got); err != nil {
					t.Errorf("seed %d (try -run %s -oracle.first=%d -oracle.scenarios=5): %v", seed, t.Name(), seed, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range uint64(scenarios) {
		next <- *oracleFirst + i
	}
	close(next)
	done.Wait()
	t.Logf("%d scenarios: %d pods planned, %d of them on %d new nodes; %d rejected", scenarios, total.planned, total.onNew, total.launches, total.rejected)
	t.Logf("without a hint: %d pods, of which kube-scheduler bound %.1f %%, and %.1f %% where planned", total.free,
		percent(total.freeBound, total.free), percent(total.freeLanded, total.free))
	for _, kind := range slices.Sorted(maps.Keys(total.byKind)) {
		t.Logf("%5d pods placed: %s", total.byKind[kind], kind)
	}
	return total
}

// expect fails unless as many pods of each kind were placed.
func (total tally) expect(t *testing.T, kinds []string, least int) {
	t.Helper()
	for _, kind := range kinds {
		if total.byKind[kind] < least {
			t.Errorf("%d pods were placed of kind %q, want at least %d", total.byKind[kind], kind, least)
		}
	}
}

func percent(part, whole int) float64 { return 100 * float64(part) / math.Max(float64(whole), 1) }

// tally is what came of one or more scenarios.
type tally struct {
	planned, onNew, launches, rejected int
	free, freeBound, freeLanded        int
	byKind                             map[string]int // of pods that were placed
}

func (total *tally) add(o tally) {
	total.planned, total.onNew, total.launches, total.rejected = total.planned+o.planned, total.onNew+o.onNew, total.launches+o.launches, total.rejected+o.rejected
	total.free, total.freeBound, total.freeLanded = total.free+o.free, total.freeBound+o.freeBound, total.freeLanded+o.freeLanded
	for kind, n := range o.byKind {
		total.byKind[kind] += n
	}
}

// carried is a course that kube-scheduler is asked to carry out.
type carried struct{ *trial.Course }

// follow makes a plan for a random scenario and has kube-scheduler carry it out.
func follow(ctx context.Context, made *trial.Trial, seed uint64) (tally, error) {
	course, err := made.Course()
	if err != nil {
		return tally{}, err
	}
	s := carried{course}
	got := tally{
		planned: len(s.Plan.Placements), launches: len(s.Plan.Launches), rejected: len(s.Plan.Rejections), byKind: map[string]int{},
	}
	for _, p := range s.Plan.Placements {
		got.byKind[s.KindOf[p.Pod.Name]]++
		if slices.ContainsFunc(s.Arrival.Nodes, func(n *corev1.Node) bool { return n.Name == p.Node }) {
			got.onNew++
		}
	}
	err = s.obey(ctx)
	if err == nil && seed%freeOfHand == 0 {
		err = s.letGo(ctx, &got)
	}
	return got, err
}

// obey has kube-scheduler place the pods one by one, each where it is planned, and refuse the others.
func (s carried) obey(ctx context.Context) error {
	o, err := startOracle(ctx, s.Before)
	if err != nil {
		return err
	}
	defer o.stop()
	var failures []error
	expect := func(steps []trial.Step) error {
		got, err := o.place(ctx, steps...)
		if err == nil && len(steps) == 1 && got[0] == "" && steps[0].Node != "" && len(steps[0].Pod.Spec.Volumes) > 0 {
			// Who shares a claim may come while kube-scheduler writes into it for the one before, and is tried again.
			got, err = o.place(ctx, steps...)
		}
		for i, step := range steps {
			if err == nil && got[i] != step.Node {
				failures = append(failures, fmt.Errorf("kube-scheduler puts pod %s (%s) on %q, planned is %q",
					step.Pod.Name, s.KindOf[step.Pod.Name], got[i], step.Node))
			}
		}
		return err
	}
	for _, turn := range trial.Turns(s.Now) {
		if err := expect(turn); err != nil {
			return err
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	if err := o.add(s.Arrival); err != nil {
		return err
	}
	if err := o.sees(ctx, s.Arrival.Nodes, len(s.Before.Pods)+len(s.Now)+len(s.Arrival.Pods)); err != nil {
		return err
	}
	for _, turn := range slices.Concat(trial.Turns(s.Later), trial.Turns(s.hopeless())) {
		if err := expect(turn); err != nil {
			return err
		}
	}
	return errors.Join(failures...)
}

// hopeless are the pods that the plan rejects and that kube-scheduler must refuse.
func (s carried) hopeless() (steps []trial.Step) {
	for _, r := range s.Plan.Rejections {
		pod := s.Pod(r.Pod.Name)
		silent := pod.Spec.SchedulerName != corev1.DefaultSchedulerName || len(pod.Spec.SchedulingGates) > 0 || s.incomplete(trial.GangOf(pod))
		if !silent && !s.lucky(pod, r.Message) {
			steps = append(steps, trial.Step{Pod: pod})
		}
	}
	return steps
}

// lucky says whether kube-scheduler may find a place for a rejected pod on a machine that is bought for others: a gang that was left out is
// not tried again beside the rest, and devices that a machine may turn out to have are not counted on where it may also be another.
func (s carried) lucky(pod *corev1.Pod, why string) bool {
	_, devices := pod.Spec.Containers[0].Resources.Requests["example.com/gpu"]
	choosy := slices.ContainsFunc(s.Groups, func(g scheduling.Group) bool {
		return slices.ContainsFunc(g.NodeGroup.Spec.Template.Requirements, func(r v1alpha1.Requirement) bool { return r.MinValues != nil })
	})
	return len(s.Plan.Launches) > 0 && (strings.Contains(why, "starts with at least") || (choosy && (devices || len(pod.Spec.ResourceClaims) > 0)))
}

// incomplete says whether fewer pods of a gang exist than it starts with.
func (s carried) incomplete(gang string) bool {
	there := 0
	for _, pod := range s.Objects.Pods {
		if gang != "" && trial.GangOf(pod) == gang {
			there++
		}
	}
	return slices.ContainsFunc(s.Objects.PodGroups, func(g *schedulingv1beta1.PodGroup) bool {
		return g.Name == gang && there < int(g.Spec.SchedulingPolicy.Gang.MinCount)
	})
}

// letGo has kube-scheduler place all planned pods as it likes, and counts what comes of it.
func (s carried) letGo(ctx context.Context, got *tally) error {
	all := s.Before
	all.Nodes, all.Pods = append(slices.Clone(all.Nodes), s.Arrival.Nodes...), append(slices.Clone(all.Pods), s.Arrival.Pods...)
	all.CSINodes = append(slices.Clone(all.CSINodes), s.Arrival.CSINodes...)
	o, err := startOracle(ctx, all)
	if err != nil {
		return err
	}
	defer o.stop()
	steps := append(slices.Clone(s.Now), s.Later...)
	for _, step := range steps {
		if err := o.submit(ctx, step.Pod, ""); err != nil {
			return err
		}
	}
	// A pod that came before the one that it wants to be near is tried again, after a while.
	_ = until(ctx, secondThoughts, func() bool {
		return !slices.ContainsFunc(steps, func(step trial.Step) bool { node, _ := o.verdict(step.Pod); return node == "" })
	})
	for _, step := range steps {
		node, _ := o.verdict(step.Pod)
		got.free++
		if node != "" {
			got.freeBound++
		}
		if node == step.Node {
			got.freeLanded++
		}
	}
	return nil
}
