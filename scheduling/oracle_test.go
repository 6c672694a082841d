// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

const oracleScenarios = 30

// oracle is the whole real kube-scheduler, in this process, on an API server that is only a store.
type oracle struct {
	*fake.Clientset
	changed chan *corev1.Pod
}

// startOracle starts it on a cluster whose nodes and pods it knows before it decides anything.
func startOracle(t *testing.T, nodes []*corev1.Node, pods []*corev1.Pod) *oracle {
	t.Helper()
	ctx := klog.NewContext(t.Context(), logr.Discard())
	o := &oracle{Clientset: fake.NewClientset(), changed: make(chan *corev1.Pod, 1000)}
	o.PrependReactor("create", "pods", o.bind)
	o.PrependReactor("patch", "pods", o.condition)
	o.create(t, nodes, pods)
	informers := scheduler.NewInformerFactory(o, 0, nil)
	recorder := profile.NewRecorderFactory(events.NewBroadcaster(&events.EventSinkImpl{Interface: o.EventsV1()}))
	s, err := scheduler.New(ctx, o, informers, nil, recorder)
	if err != nil {
		t.Fatal(err)
	}
	informers.Start(ctx.Done())
	informers.WaitForCacheSync(ctx.Done())
	if err := s.WaitForHandlersSync(ctx); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); s.Run(ctx) }()
	t.Cleanup(func() { <-stopped })
	return o
}

// bind does what the API server does with a Binding.
func (o *oracle) bind(action clienttesting.Action) (bool, runtime.Object, error) {
	create, ok := action.(clienttesting.CreateAction)
	if !ok || action.GetSubresource() != "binding" {
		return false, nil, nil
	}
	binding, ok := create.GetObject().(*corev1.Binding)
	if !ok {
		return false, nil, nil
	}
	resource := corev1.SchemeGroupVersion.WithResource("pods")
	stored, err := o.Tracker().Get(resource, binding.Namespace, binding.Name)
	if err != nil {
		return true, nil, err
	}
	pod := stored.(*corev1.Pod).DeepCopy()
	pod.Spec.NodeName = binding.Target.Name
	if err := o.Tracker().Update(resource, pod, binding.Namespace); err != nil {
		return true, nil, err
	}
	o.changed <- pod
	return true, binding, nil
}

// condition sees kube-scheduler say that a pod is unschedulable.
func (o *oracle) condition(action clienttesting.Action) (bool, runtime.Object, error) {
	patch, ok := action.(clienttesting.PatchAction)
	if ok && strings.Contains(string(patch.GetPatch()), corev1.PodReasonUnschedulable) {
		o.changed <- &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: patch.GetNamespace(), Name: patch.GetName()}}
	}
	return false, nil, nil
}

// place creates a pod that is nominated to a node, and returns the node that kube-scheduler binds it to; nothing if it finds none.
func (o *oracle) place(ctx context.Context, t *testing.T, pod *corev1.Pod, node string) string {
	t.Helper()
	pod = pod.DeepCopy()
	pod.Status.NominatedNodeName = node // tried first, before any scoring
	if _, err := o.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		select {
		case seen := <-o.changed:
			if seen.Name != pod.Name {
				continue
			}
			if seen.Spec.NodeName == "" {
				if err := o.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			return seen.Spec.NodeName
		case <-ctx.Done():
			t.Fatalf("kube-scheduler says nothing about pod %s", pod.Name)
		}
	}
}

// step is one pod that goes to one node.
type step struct {
	pod  *corev1.Pod
	node string
}

// sequence puts the steps into an order in which each is possible when its turn comes, as far as there is one that taking turns finds. In
// a cluster kube-scheduler gets there by trying again; here a pod that comes too early would land elsewhere.
func sequence(t *testing.T, engine *simulate.Engine, steps []step) (possible, rest []step) {
	t.Helper()
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
				t.Fatal(err)
			}
			if verdict.Fits {
				possible, again = append(possible, s), true
			} else {
				rest = append(rest, s)
			}
		}
		steps = rest
	}
	return possible, rest
}

func (o *oracle) create(t *testing.T, nodes []*corev1.Node, pods []*corev1.Pod) {
	t.Helper()
	for _, node := range nodes {
		if _, err := o.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, pod := range pods {
		if _, err := o.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestKubeSchedulerBindsWhatWasPlanned gives the real scheduler exactly the planned nodes and lets it place the planned pods: first those
// for nodes that are there, then, beside the new nodes, the rest.
func TestKubeSchedulerBindsWhatWasPlanned(t *testing.T) {
	total := 0
	for seed := range uint64(oracleScenarios) {
		s := randomScenario(1000 + seed)
		plan := solve(t, s.input(t))
		total += len(plan.Placements)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			cluster := s.input(t).Cluster
			var now, later []step
			for _, p := range plan.Placements {
				step := step{s.pod(p.Pod.Name), p.Node}
				if cluster.Has(p.Node) {
					now = append(now, step)
				} else {
					later = append(later, step)
				}
			}
			engine, err := simulate.New(cluster, simulate.Options{})
			if err != nil {
				t.Fatal(err)
			}
			daemons, nodes := daemonsOn(s, s.objects.VirtualNodes), templates(t, s, plan)
			inPicture(t, cluster, nil, daemons)
			now, rest := sequence(t, engine, now)
			inPicture(t, cluster, nodes, daemonsOn(s, nodes))
			later, rest = sequence(t, engine, append(rest, later...)) // some want to be near a pod that is to come
			engine.Close()
			for _, s := range rest {
				t.Errorf("there is no order in which pod %s gets to node %s", s.pod.Name, s.node)
			}

			running := slices.DeleteFunc(slices.Clone(s.objects.Pods), func(p *corev1.Pod) bool { return p.Spec.NodeName == "" })
			running = append(running, daemons...)
			present := append(slices.Clone(s.objects.Nodes), s.objects.VirtualNodes...)
			startOracle(t, present, running).follow(t, now)

			for _, s := range now {
				bound := s.pod.DeepCopy()
				bound.Spec.NodeName = s.node
				running = append(running, bound)
			}
			startOracle(t, append(present, nodes...), append(running, daemonsOn(s, nodes)...)).follow(t, later)
		})
	}
	t.Logf("%d pods", total)
	if total < 10*oracleScenarios {
		t.Error("the scenarios do not try enough")
	}
}

func (o *oracle) follow(t *testing.T, steps []step) {
	t.Helper()
	for _, s := range steps {
		if got := o.place(t.Context(), t, s.pod, s.node); got != s.node {
			t.Errorf("kube-scheduler puts pod %s on %q, planned is %q", s.pod.Name, got, s.node)
		}
	}
}

func inPicture(t *testing.T, cluster *snapshot.Snapshot, nodes []*corev1.Node, pods []*corev1.Pod) {
	t.Helper()
	for _, node := range nodes {
		if err := cluster.AddNode(node); err != nil {
			t.Fatal(err)
		}
	}
	for _, pod := range pods {
		if err := cluster.AddPod(pod, pod.Spec.NodeName); err != nil {
			t.Fatal(err)
		}
	}
}

func (s scenario) pod(name string) *corev1.Pod {
	return s.pods[slices.IndexFunc(s.pods, func(p *corev1.Pod) bool { return p.Name == name })]
}

func templates(t *testing.T, s scenario, plan scheduling.Plan) (nodes []*corev1.Node) {
	t.Helper()
	for _, launch := range plan.Launches {
		for _, g := range s.groups {
			if g.NodeGroup.Name == launch.Group {
				nodes = append(nodes, scheduling.TemplateNode(g.NodeGroup, launch.Offerings[0], launch.Name))
			}
		}
	}
	return nodes
}

// daemonsOn returns the scenario's DaemonSet pods bound to the nodes.
func daemonsOn(s scenario, nodes []*corev1.Node) (pods []*corev1.Pod) {
	for _, set := range s.objects.DaemonSets {
		for _, node := range nodes {
			pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
			pod.Namespace, pod.Name, pod.UID = set.Namespace, set.Name+"-"+node.Name, types.UID(node.Name)
			pod.Spec.NodeName = node.Name
			pods = append(pods, pod)
		}
	}
	return pods
}
