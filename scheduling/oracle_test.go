// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	"k8s.io/kubernetes/pkg/scheduler/profile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// patience is how long kube-scheduler may take to say something about a pod.
const patience = 5 * time.Minute

// oracle is the whole real kube-scheduler, in this process, on an API server that is only a store.
type oracle struct {
	*scheduler.Scheduler
	client  *fake.Clientset
	tracker clienttesting.ObjectTracker

	version atomic.Int64
	mu      sync.Mutex
	refused map[types.NamespacedName]bool
	stop    func()
}

// TestMain lets kube-scheduler make its metrics, which are variables of a package, before anything reads them: here a whole scheduler runs
// beside engines, and each would make them anew.
func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // where kube-scheduler complains that it is stopped while it waits for volumes; before its goroutines read it
	metrics.Register()
	empty, err := snapshot.New(snapshot.Objects{})
	if err == nil {
		var engine *simulate.Engine
		if engine, err = simulate.New(empty, simulate.Options{}); err == nil {
			engine.Close()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// startOracle starts it on a cluster that it knows before it decides anything. It must be stopped.
func startOracle(ctx context.Context, objects snapshot.Objects) (*oracle, error) {
	ctx, cancel := context.WithCancel(ctx)
	o, err := newOracle(ctx, objects)
	if err != nil {
		cancel()
		return nil, err
	}
	ended := make(chan struct{})
	go func() { defer close(ended); o.Run(ctx) }()
	o.stop = func() { cancel(); <-ended }
	return o, nil
}

func newOracle(ctx context.Context, objects snapshot.Objects) (*oracle, error) {
	ctx = klog.NewContext(ctx, logr.Discard())
	o := &oracle{client: fake.NewClientset(), refused: map[types.NamespacedName]bool{}}
	// The client's own store works out who manages which field, at two thirds of all cost here, and nobody asks.
	o.tracker = clienttesting.NewObjectTracker(clientscheme.Scheme, clientscheme.Codecs.UniversalDecoder())
	o.client.PrependReactor("*", "*", clienttesting.ObjectReaction(o.tracker))
	o.client.PrependWatchReactor("*", o.watch)
	o.client.PrependReactor("update", "*", o.update)
	o.client.PrependReactor("create", "pods", o.bind)
	o.client.PrependReactor("create", "resourceclaims", o.claim)
	o.client.PrependReactor("patch", "pods", o.condition)
	if err := o.add(objects); err != nil {
		return nil, err
	}
	informers := scheduler.NewInformerFactory(o.client, 0, nil)
	recorder := profile.NewRecorderFactory(events.NewBroadcaster(&events.EventSinkImpl{Interface: o.client.EventsV1()}))
	var err error
	if o.Scheduler, err = scheduler.New(ctx, o.client, informers, nil, recorder); err != nil {
		return nil, fmt.Errorf("starting kube-scheduler: %w", err)
	}
	informers.Start(ctx.Done())
	informers.WaitForCacheSync(ctx.Done())
	if err := o.WaitForHandlersSync(ctx); err != nil {
		return nil, fmt.Errorf("waiting for kube-scheduler to read the cluster: %w", err)
	}
	return o, nil
}

// add puts objects into the store: nodes, virtual nodes too, pods as they are, and what volumes and devices need.
func (o *oracle) add(objects snapshot.Objects) error {
	var all []runtime.Object
	all = appendObjects(all, objects.Nodes, objects.VirtualNodes)
	all = appendObjects(all, objects.Pods)
	all = appendObjects(all, objects.Namespaces)
	all = appendObjects(all, objects.PodGroups)
	all = appendObjects(all, objects.PersistentVolumes)
	all = appendObjects(all, objects.PersistentVolumeClaims)
	all = appendObjects(all, objects.StorageClasses)
	all = appendObjects(all, objects.CSINodes)
	all = appendObjects(all, objects.CSIDrivers)
	all = appendObjects(all, objects.CSIStorageCapacities)
	all = appendObjects(all, objects.ResourceClaims)
	all = appendObjects(all, objects.ResourceSlices)
	all = appendObjects(all, objects.DeviceClasses)
	for _, object := range all {
		object = object.DeepCopyObject()
		if err := o.stamp(object); err != nil {
			return err
		}
		if err := o.tracker.Add(object); err != nil {
			return fmt.Errorf("storing a %T: %w", object, err)
		}
	}
	return nil
}

func appendObjects[T runtime.Object](all []runtime.Object, lists ...[]T) []runtime.Object {
	for _, list := range lists {
		for _, object := range list {
			all = append(all, object)
		}
	}
	return all
}

func (o *oracle) watch(action clienttesting.Action) (bool, watch.Interface, error) {
	w, err := o.tracker.Watch(action.GetResource(), action.GetNamespace())
	return true, w, err
}

// stamp gives an object the next resource version. Without one kube-scheduler takes an allocation of devices that it has just written
// for older than the claim that it read before.
func (o *oracle) stamp(object runtime.Object) error {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return fmt.Errorf("storing a %T: %w", object, err)
	}
	accessor.SetResourceVersion(strconv.FormatInt(o.version.Add(1), 10))
	return nil
}

func (o *oracle) update(action clienttesting.Action) (bool, runtime.Object, error) {
	update, ok := action.(clienttesting.UpdateAction)
	if !ok {
		return false, nil, nil
	}
	object := update.GetObject().DeepCopyObject()
	if err := o.stamp(object); err != nil {
		return true, nil, err
	}
	return true, object, o.tracker.Update(action.GetResource(), object, action.GetNamespace())
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
	stored, err := o.tracker.Get(resource, binding.Namespace, binding.Name)
	if err != nil {
		return true, nil, err
	}
	pod := stored.(*corev1.Pod).DeepCopy()
	pod.Spec.NodeName = binding.Target.Name
	return true, binding, o.tracker.Update(resource, pod, binding.Namespace)
}

// claim stores the claim that kube-scheduler writes for a pod which requests devices by the name of a resource.
func (o *oracle) claim(action clienttesting.Action) (bool, runtime.Object, error) {
	create, ok := action.(clienttesting.CreateAction)
	if !ok || action.GetSubresource() != "" {
		return false, nil, nil
	}
	claim, ok := create.GetObject().DeepCopyObject().(*resourceapi.ResourceClaim)
	if !ok {
		return false, nil, nil
	}
	if err := o.stamp(claim); err != nil {
		return true, nil, err
	}
	if claim.Name == "" {
		claim.Name = claim.GenerateName + claim.ResourceVersion
	}
	claim.UID = types.UID(claim.Name)
	return true, claim, o.tracker.Create(action.GetResource(), claim, claim.Namespace)
}

// condition sees kube-scheduler say that a pod is unschedulable.
func (o *oracle) condition(action clienttesting.Action) (bool, runtime.Object, error) {
	patch, ok := action.(clienttesting.PatchAction)
	said := ok && strings.Contains(string(patch.GetPatch()), corev1.PodReasonUnschedulable)
	if said || (ok && strings.Contains(string(patch.GetPatch()), corev1.PodReasonSchedulerError)) { // so it calls a gang without any node
		o.mu.Lock()
		o.refused[types.NamespacedName{Namespace: patch.GetNamespace(), Name: patch.GetName()}] = true
		o.mu.Unlock()
	}
	return false, nil, nil
}

// submit creates a pending pod. It does not preempt: what is planned must have room.
func (o *oracle) submit(ctx context.Context, pod *corev1.Pod, nominated string) error {
	pod = pod.DeepCopy()
	pod.Spec.PreemptionPolicy = new(corev1.PreemptNever)
	pod.Status.NominatedNodeName = nominated // tried first, before any scoring
	o.mu.Lock()
	delete(o.refused, types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	o.mu.Unlock()
	_, err := o.client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// verdict returns the node that kube-scheduler has chosen for the pod, and whether it has said anything at all. A pod whose volumes are
// yet to be made is chosen for, though bound only later.
func (o *oracle) verdict(pod *corev1.Pod) (node string, said bool) {
	if seen, err := o.Cache.GetPod(pod); err == nil {
		return seen.Spec.NodeName, true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return "", o.refused[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]
}

// place creates pods, each nominated to a node, and returns the nodes that kube-scheduler chooses; nothing where it finds none. More than one
// pod is a gang, of which it may think of nodes for some and then start none: there what is bound counts.
func (o *oracle) place(ctx context.Context, steps ...trial.Step) ([]string, error) {
	for _, step := range steps {
		if err := o.submit(ctx, step.Pod, step.Node); err != nil {
			return nil, err
		}
	}
	nodes := make([]string, len(steps))
	for i, step := range steps {
		err := until(ctx, patience, func() (said bool) {
			nodes[i], said = o.verdict(step.Pod)
			if nodes[i] != "" && (trial.GangOf(step.Pod) != "" || takesDevices(step.Pod)) { // others with the claim must find it allocated
				return o.bound(step.Pod)
			}
			return said
		})
		if err != nil {
			return nil, fmt.Errorf("waiting for kube-scheduler to say something about pod %q: %w", step.Pod.Name, err)
		}
	}
	for i, step := range steps {
		if nodes[i] != "" {
			continue
		}
		// So that it does not come back when something changes.
		if err := o.client.CoreV1().Pods(step.Pod.Namespace).Delete(ctx, step.Pod.Name, metav1.DeleteOptions{}); err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func takesDevices(pod *corev1.Pod) bool {
	return len(pod.Spec.ResourceClaims) > 0 && !slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil })
}

// bound says whether the store has the pod on a node.
func (o *oracle) bound(pod *corev1.Pod) bool {
	stored, err := o.tracker.Get(corev1.SchemeGroupVersion.WithResource("pods"), pod.Namespace, pod.Name)
	if err != nil {
		return false
	}
	return stored.(*corev1.Pod).Spec.NodeName != ""
}

// sees waits until kube-scheduler knows nodes, and how many pods are on all nodes.
func (o *oracle) sees(ctx context.Context, nodes []*corev1.Node, pods int) error {
	unknown := func(node *corev1.Node) bool {
		info, err := o.Cache.GetNode(node.Name)
		return err != nil || info.Node() == nil // a pod may be known before its node
	}
	err := until(ctx, patience, func() bool {
		known, err := o.Cache.PodCount()
		return err == nil && known >= pods && !slices.ContainsFunc(nodes, unknown)
	})
	if err != nil {
		return fmt.Errorf("waiting for kube-scheduler to see %d nodes and %d pods: %w", len(nodes), pods, err)
	}
	return nil
}

// until asks again and again. Two cores run many schedulers at a time: to be told by channels would be no sooner.
func until(ctx context.Context, patience time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Microsecond):
		}
	}
	return nil
}
