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
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/series"
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
	var (
		mu    sync.Mutex
		total = tally{byKind: map[string]int{}}
		next  = make(chan uint64)
		done  sync.WaitGroup
	)
	klog.SetLogger(logr.Discard()) // where kube-scheduler complains that it is stopped while it waits for volumes
	for range oracles {
		done.Go(func() {
			for seed := range next {
				got, err := follow(t.Context(), seed)
				mu.Lock()
				if total.add(got); err != nil {
					t.Errorf("seed %d (try -run %s -oracle.first=%d -oracle.scenarios=1): %v", seed, t.Name(), seed, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range uint64(*oracleScenarios) {
		next <- *oracleFirst + i
	}
	close(next)
	done.Wait()
	t.Logf("%d scenarios: %d pods planned, %d of them on %d new nodes; %d rejected", *oracleScenarios, total.planned, total.onNew, total.launches, total.rejected)
	t.Logf("without a hint: %d pods, of which kube-scheduler bound %.1f %%, and %.1f %% where planned", total.free,
		percent(total.freeBound, total.free), percent(total.freeLanded, total.free))
	for _, kind := range slices.Sorted(maps.Keys(total.byKind)) {
		t.Logf("%5d pods placed: %s", total.byKind[kind], kind)
	}
	if *oracleScenarios < 100 {
		return
	}
	for name := range kinds {
		if total.byKind[name] == 0 {
			t.Errorf("no pod was ever placed of kind %q", name)
		}
	}
	if total.planned < 10**oracleScenarios || total.launches < *oracleScenarios || total.rejected < *oracleScenarios/2 {
		t.Error("the scenarios do not try enough")
	}
}

func percent(part, whole int) float64 { return 100 * float64(part) / math.Max(float64(whole), 1) }

// tally is what came of one or more scenarios.
type tally struct {
	planned, onNew, launches, rejected int
	free, freeBound, freeLanded        int
	byKind                             map[string]int // of pods that were placed
}

func (t *tally) add(o tally) {
	t.planned, t.onNew, t.launches, t.rejected = t.planned+o.planned, t.onNew+o.onNew, t.launches+o.launches, t.rejected+o.rejected
	t.free, t.freeBound, t.freeLanded = t.free+o.free, t.freeBound+o.freeBound, t.freeLanded+o.freeLanded
	for kind, n := range o.byKind {
		t.byKind[kind] += n
	}
}

// step is one pod that goes to one node.
type step struct {
	pod  *corev1.Pod
	node string
}

// staged is a plan with everything that kube-scheduler needs to know to carry it out.
type staged struct {
	scenario wide
	plan     scheduling.Plan
	cluster  *snapshot.Snapshot
	before   snapshot.Objects // what is there when the pods come
	arrival  snapshot.Objects // what the machines bring
	now      []step           // to nodes that are there
	later    []step
}

// follow makes a plan for a random scenario and has kube-scheduler carry it out.
func follow(ctx context.Context, seed uint64) (tally, error) {
	s, err := stage(seed)
	if err != nil {
		return tally{}, err
	}
	got := tally{
		planned: len(s.plan.Placements), launches: len(s.plan.Launches), rejected: len(s.plan.Rejections), byKind: map[string]int{},
	}
	for _, p := range s.plan.Placements {
		got.byKind[s.scenario.kindOf[p.Pod.Name]]++
		if slices.ContainsFunc(s.arrival.Nodes, func(n *corev1.Node) bool { return n.Name == p.Node }) {
			got.onNew++
		}
	}
	err = s.obey(ctx)
	if err == nil && seed%freeOfHand == 0 {
		err = s.letGo(ctx, &got)
	}
	return got, err
}

// stage solves a scenario.
func stage(seed uint64) (*staged, error) {
	s := &staged{scenario: wideScenario(seed)}
	cluster, err := snapshot.New(s.scenario.objects)
	if err != nil {
		return nil, err
	}
	in := scheduling.Input{Cluster: cluster, Pods: s.scenario.pods, Groups: s.scenario.groups, Offerings: s.scenario.offerings}
	if s.plan, err = scheduling.Solve(in); err != nil {
		return nil, err
	}
	if !s.plan.Verified || s.plan.Omitted > 0 {
		return nil, fmt.Errorf("verified %v, and the last check refused %d placements; want none, ever", s.plan.Verified, s.plan.Omitted)
	}
	return s, s.order(cluster)
}

// order brings the placements into an order in which each is possible when its turn comes.
func (s *staged) order(cluster *snapshot.Snapshot) error {
	s.cluster = cluster
	s.before = s.scenario.objects
	s.before.Pods = slices.DeleteFunc(slices.Clone(s.before.Pods), func(p *corev1.Pod) bool { return p.Spec.NodeName == "" })
	engine, err := simulate.New(cluster, simulate.Options{})
	if err != nil {
		return err
	}
	defer engine.Close()
	var now, later []step
	for _, p := range s.plan.Placements {
		step := step{s.scenario.pod(p.Pod.Name), p.Node}
		if cluster.Has(p.Node) {
			now = append(now, step)
		} else {
			later = append(later, step)
		}
	}
	virtual, err := s.settle(engine, cluster.Objects().VirtualNodes)
	if err != nil {
		return err
	}
	s.before.VirtualNodes = virtual.Nodes // as they are expected to look
	s.before.Pods, s.before.CSINodes = append(s.before.Pods, virtual.Pods...), append(s.before.CSINodes, virtual.CSINodes...)
	var rest []step
	if s.now, rest, err = sequence(engine, now); err != nil {
		return err
	}
	if s.arrival, err = s.settle(engine, s.templates()); err != nil {
		return err
	}
	s.later, rest, err = sequence(engine, append(rest, later...)) // some want to be near a pod that is to come
	for _, r := range rest {
		err = errors.Join(err, fmt.Errorf("there is no order in which pod %s gets to node %s: %s", r.pod.Name, r.node, engine.Fits(r.pod, r.node)))
	}
	return err
}

// settle puts nodes into the picture, with the pods of the scenario's DaemonSets and what CSI drivers say about them.
func (s *staged) settle(engine *simulate.Engine, nodes []*corev1.Node) (snapshot.Objects, error) {
	var arrival snapshot.Objects
	snap := engine.Snapshot()
	for _, node := range nodes {
		if !snap.Has(node.Name) {
			if err := snap.AddNode(snap.AsRegistered(node)); err != nil {
				return arrival, err
			}
		}
		info, err := snap.NodeInfos().Get(node.Name)
		if err != nil {
			return arrival, err
		}
		arrival.Nodes = append(arrival.Nodes, info.Node())
		if csiNode, known := snap.CSINode(node.Name); known {
			arrival.CSINodes = append(arrival.CSINodes, csiNode)
		}
		for _, set := range s.scenario.objects.DaemonSets {
			pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
			pod.Namespace, pod.Name, pod.UID = set.Namespace, set.Name+"-"+node.Name, types.UID(set.Name+node.Name)
			verdict, err := engine.Place(pod, node.Name)
			if err != nil {
				return arrival, err
			}
			if verdict.Fits {
				bound := pod.DeepCopy()
				bound.Spec.NodeName = node.Name
				arrival.Pods = append(arrival.Pods, bound)
			}
		}
	}
	return arrival, nil
}

func (s *staged) templates() (nodes []*corev1.Node) {
	for _, launch := range s.plan.Launches {
		for _, g := range s.scenario.groups {
			if g.NodeGroup.Name == launch.Group {
				nodes = append(nodes, scheduling.TemplateNode(g.NodeGroup, launch.Offerings[0], launch.Name))
			}
		}
	}
	return nodes
}

// sequence puts the steps into an order in which each is possible when its turn comes, as far as there is one that taking turns finds. In
// a cluster kube-scheduler gets there by trying again; here a pod that comes too early would land elsewhere.
func sequence(engine *simulate.Engine, steps []step) (possible, rest []step, err error) {
	for again := true; again; {
		again, rest = false, nil
		tried := map[string]bool{}
		for _, s := range steps {
			turn := s.node + " " + s.pod.Labels["app"]
			if tried[turn] {
				rest = append(rest, s)
				continue
			}
			tried[turn] = true
			verdict, err := engine.Place(s.pod, s.node)
			if err != nil {
				return nil, nil, err
			}
			if verdict.Fits {
				possible, again = append(possible, s), true
			} else {
				rest = append(rest, s)
			}
		}
		steps = rest
	}
	return possible, rest, nil
}

// obey has kube-scheduler place the pods one by one, each where it is planned, and refuse the others.
func (s *staged) obey(ctx context.Context) error {
	o, err := startOracle(ctx, s.before)
	if err != nil {
		return err
	}
	defer o.stop()
	var failures []error
	expect := func(pod *corev1.Pod, hint, want string) error {
		got, err := o.place(ctx, pod, hint)
		if err == nil && got != want {
			failures = append(failures, fmt.Errorf("kube-scheduler puts pod %s (%s) on %q, planned is %q", pod.Name, s.scenario.kindOf[pod.Name], got, want))
		}
		return err
	}
	for _, step := range s.now {
		if err := expect(step.pod, step.node, step.node); err != nil {
			return err
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	if err := o.add(s.arrival); err != nil {
		return err
	}
	if err := o.sees(ctx, s.arrival.Nodes, len(s.before.Pods)+len(s.now)+len(s.arrival.Pods)); err != nil {
		return err
	}
	for _, step := range s.later {
		if err := expect(step.pod, step.node, step.node); err != nil {
			return err
		}
	}
	for _, r := range s.plan.Rejections {
		pod := s.scenario.pod(r.Pod.Name)
		if pod.Spec.SchedulerName != corev1.DefaultSchedulerName || len(pod.Spec.SchedulingGates) > 0 {
			continue // kube-scheduler says nothing about it
		}
		if err := expect(pod, "", ""); err != nil {
			return err
		}
	}
	return errors.Join(failures...)
}

// letGo has kube-scheduler place all planned pods as it likes, and counts what comes of it.
func (s *staged) letGo(ctx context.Context, got *tally) error {
	all := s.before
	all.Nodes, all.Pods = append(slices.Clone(all.Nodes), s.arrival.Nodes...), append(slices.Clone(all.Pods), s.arrival.Pods...)
	all.CSINodes = append(slices.Clone(all.CSINodes), s.arrival.CSINodes...)
	o, err := startOracle(ctx, all)
	if err != nil {
		return err
	}
	defer o.stop()
	steps := append(slices.Clone(s.now), s.later...)
	for _, step := range steps {
		if err := o.submit(ctx, step.pod, ""); err != nil {
			return err
		}
	}
	// A pod that came before the one that it wants to be near is tried again, after a while.
	_ = until(ctx, secondThoughts, func() bool {
		return !slices.ContainsFunc(steps, func(step step) bool { node, _ := o.verdict(step.pod); return node == "" })
	})
	for _, step := range steps {
		node, _ := o.verdict(step.pod)
		got.free++
		if node != "" {
			got.freeBound++
		}
		if node == step.node {
			got.freeLanded++
		}
	}
	return nil
}
