// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/component-helpers/apimachinery/lease"
)

const (
	// leasePerHeartbeat is the lease's duration in heartbeats, as a kubelet has it (40 s and 10 s).
	leasePerHeartbeat = 4
	// reportEvery is how often a node's status is written although nothing changed.
	reportEvery = 5 * time.Minute

	firstRetry = 100 * time.Millisecond
	lastRetry  = 7 * time.Second
)

// kubelet is one machine's hollow kubelet. Everything it does after registration happens in one
// worker that takes keys from one queue: the empty key is the node, the others are pods.
type kubelet struct {
	name    string
	machine Machine
	options Options
	log     logr.Logger
	client  kubernetes.Interface
	queue   workqueue.TypedRateLimitingInterface[types.NamespacedName]

	ctx  context.Context //nolint:containedctx // the machine's life, which outlasts the call that began it
	stop context.CancelFunc
	done chan struct{} // closed when nothing of the kubelet runs any more

	deleted atomic.Bool // somebody deleted the Node

	pods, nodes             cache.Store
	podInformer, nodeInform cache.Controller

	// Only register, before the worker runs, and the worker touch these.
	uid       types.UID // of the Node it registered
	readyAt   time.Time // zero: never
	reported  time.Time // when the node's status was last written
	networkUp bool
	lives     map[types.NamespacedName]life
	addresses *addresses
}

func newKubelet(ctx context.Context, admin *rest.Config, options Options, machine Machine, pods netip.Prefix) (*kubelet, error) {
	name := NodeName(machine.Name)
	config := rest.CopyConfig(admin)
	// All kubelets share the admin's connections; the API server judges each by its own name.
	config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:" + name, Groups: []string{"system:nodes"}}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.UserAgent = "hollow-kubelet"
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client: %w", err)
	}
	k := &kubelet{
		name:    name,
		machine: machine,
		options: options,
		log:     options.Log.WithValues("node", name),
		client:  client,
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, lastRetry),
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{Clock: options.Clock}),
		done:      make(chan struct{}),
		lives:     map[types.NamespacedName]life{},
		addresses: newAddresses(pods),
	}
	k.ctx, k.stop = context.WithCancel(ctx)
	k.watch()
	return k, nil
}

// watch prepares the two watches that the Node authorizer allows: its pods and its Node.
func (k *kubelet) watch() {
	pods, nodes := k.client.CoreV1().Pods(metav1.NamespaceAll), k.client.CoreV1().Nodes()
	k.pods, k.podInformer = informer(&corev1.Pod{}, "spec.nodeName="+k.name, pods.List, pods.Watch, k.queue.Add)
	k.nodes, k.nodeInform = informer(&corev1.Node{}, "metadata.name="+k.name, nodes.List, nodes.Watch,
		func(types.NamespacedName) { k.queue.Add(nodeKey) })
}

// nodeKey is the queue's key for the node itself.
var nodeKey = types.NamespacedName{} //nolint:gochecknoglobals // a constant; Go has no constant structs

// register creates the Node, again and again until it exists, ctx ends or the machine leaves.
func (k *kubelet) register(ctx context.Context, version func(context.Context) (string, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.ctx, cancel)() //nolint:contextcheck // the machine may leave before the caller gives up
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = firstRetry, lastRetry
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		last = k.announce(ctx, version)
		if apierrors.IsInvalid(last) || apierrors.IsBadRequest(last) {
			return struct{}{}, backoff.Permanent(last)
		}
		return struct{}{}, last
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(0))
	if err != nil && last != nil {
		return last // rather than that the time is over: it says why it took so long
	}
	return err // Join says what was being done
}

func (k *kubelet) announce(ctx context.Context, version func(context.Context) (string, error)) error {
	v, err := version(ctx)
	if err != nil {
		return err
	}
	now := k.options.Clock.Now()
	node := newNode(k.machine, v, now)
	created, err := k.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) { // the machine was here before: it only says what it is now
		created, err = k.patchNode(ctx, node.Status)
	}
	if err != nil {
		return fmt.Errorf("registering node %q: %w", k.name, err)
	}
	k.uid, k.reported = created.UID, now
	if !k.options.FailReady(k.machine) {
		k.readyAt = now.Add(k.options.ReadyDelay)
	}
	k.log.Info("Registered node")
	return nil
}

// run works until the machine leaves.
func (k *kubelet) run() {
	defer close(k.done)
	ctx := k.ctx
	heartbeat := lease.NewController(k.options.Clock, k.client, k.name, leaseSeconds(k.options.Heartbeat), nil,
		k.options.Heartbeat, k.name, corev1.NamespaceNodeLease, k.ownLease)
	var group wait.Group
	group.StartWithContext(ctx, heartbeat.Run)
	group.StartWithContext(ctx, k.podInformer.RunWithContext)
	group.StartWithContext(ctx, k.nodeInform.RunWithContext)
	group.StartWithContext(ctx, k.work)
	<-ctx.Done()
	k.queue.ShutDown()
	group.Wait()
}

func leaseSeconds(heartbeat time.Duration) int32 {
	return max(1, int32(leasePerHeartbeat*heartbeat/time.Second))
}

// ownLease ties the lease to the Node, so that it goes when the Node is deleted, and does not let
// the lease come back after that.
func (k *kubelet) ownLease(l *coordinationv1.Lease) error {
	if k.deleted.Load() {
		return fmt.Errorf("renewing the lease of %q: its node was deleted", k.name)
	}
	l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: k.name, UID: k.uid}}
	return nil
}

func (k *kubelet) work(ctx context.Context) {
	// Before the first list is complete the kubelet could admit more than the machine holds.
	if !cache.WaitForCacheSync(ctx.Done(), k.podInformer.HasSynced, k.nodeInform.HasSynced) {
		return
	}
	k.queue.Add(nodeKey)
	for {
		key, shutdown := k.queue.Get()
		if shutdown {
			return
		}
		k.handle(ctx, key)
	}
}

func (k *kubelet) handle(ctx context.Context, key types.NamespacedName) {
	defer k.queue.Done(key)
	again, err := k.sync(ctx, key)
	switch {
	case ctx.Err() != nil: // the machine is gone; so is everything it was about to do
	case err != nil:
		k.log.V(1).Info("Failed to report, will try again", "pod", key.String(), "error", err.Error())
		k.queue.AddRateLimited(key)
	default:
		k.queue.Forget(key)
		if again > 0 {
			k.queue.AddAfter(key, again)
		}
	}
}

func (k *kubelet) sync(ctx context.Context, key types.NamespacedName) (again time.Duration, err error) {
	if key == nodeKey {
		return k.syncNode(ctx)
	}
	return k.syncPod(ctx, key)
}

// syncNode reports the node's conditions when they are not what the API server has, which happens
// when the node becomes Ready and after heartbeats were late, and else every few minutes.
func (k *kubelet) syncNode(ctx context.Context) (again time.Duration, err error) {
	object, exists, err := k.nodes.GetByKey(k.name)
	k.deleted.Store(!exists)
	if err != nil || !exists { // a kubelet whose Node was deleted does not register again
		return 0, err // a store's own error, which cannot happen with a string key
	}
	node, ok := object.(*corev1.Node)
	if !ok {
		return 0, fmt.Errorf("reading node %q: found a %T", k.name, object)
	}
	now := k.options.Clock.Now()
	up := !k.readyAt.IsZero() && !now.Before(k.readyAt)
	if up && !k.networkUp {
		k.networkUp = true
		for _, name := range k.pods.ListKeys() { // pods that waited for the network
			if key, err := cache.ParseObjectName(name); err == nil {
				k.queue.Add(types.NamespacedName{Namespace: key.Namespace, Name: key.Name})
			}
		}
	}
	desired := conditions(node.Status.Conditions, readiness(up), now)
	if changed(node.Status.Conditions, desired) || now.Sub(k.reported) >= reportEvery {
		if _, err := k.patchNode(ctx, corev1.NodeStatus{Conditions: desired}); err != nil {
			return 0, fmt.Errorf("reporting node %q: %w", k.name, err)
		}
		k.reported = now
	}
	if !up && !k.readyAt.IsZero() {
		return min(reportEvery, k.readyAt.Sub(now)), nil
	}
	return reportEvery, nil
}

// patchNode writes parts of the node's status and nothing else: labels and taints that others put
// on the node since its birth are theirs.
func (k *kubelet) patchNode(ctx context.Context, status corev1.NodeStatus) (*corev1.Node, error) {
	patch, err := nodePatch(status)
	if err != nil {
		return nil, err
	}
	node, err := k.client.CoreV1().Nodes().PatchStatus(ctx, k.name, patch)
	if err != nil {
		return nil, fmt.Errorf("patching the status: %w", err)
	}
	return node, nil
}

// syncPod takes the next step of a pod's life.
func (k *kubelet) syncPod(ctx context.Context, key types.NamespacedName) (again time.Duration, err error) {
	object, exists, err := k.pods.GetByKey(key.String())
	if err != nil {
		return 0, err // a store's own error, which cannot happen with a string key
	}
	pod, _ := object.(*corev1.Pod)
	known, remembered := k.lives[key]
	if remembered && (!exists || known.uid != pod.UID) {
		k.addresses.release(known.ip)
		delete(k.lives, key)
		remembered = false
	}
	if !exists {
		return 0, nil
	}
	if !remembered {
		known = k.begin(pod)
	}
	step := next(pod, known, k.host(), k.options.Clock.Now())
	k.lives[key] = step.life
	if step.status != nil {
		if err := k.patchPod(ctx, pod, *step.status); err != nil {
			return 0, err
		}
	}
	if step.remove {
		if err := k.removePod(ctx, pod); err != nil {
			return 0, err
		}
	}
	return step.wait, nil
}

// begin remembers a pod that is new to this kubelet, and gives it an address unless it has one.
func (k *kubelet) begin(pod *corev1.Pod) life {
	l := newLife(pod)
	switch {
	case pod.Spec.HostNetwork:
		l.ip = k.machine.IP
	case l.ip == "":
		l.ip = k.addresses.take()
	}
	return l
}

func (k *kubelet) host() host {
	return host{
		ip:      k.machine.IP,
		network: readiness(k.networkUp),
		start:   k.options.StartDelay,
		stop:    k.options.StopDelay,
		admit:   k.admit,
	}
}

// admit says why a pod does not fit beside those that are on the machine already, or nil.
func (k *kubelet) admit(pod *corev1.Pod) *rejection {
	var others []*corev1.Pod
	for _, object := range k.pods.List() {
		other, ok := object.(*corev1.Pod)
		if !ok || other.UID == pod.UID || terminal(other) {
			continue
		}
		l, known := k.lives[types.NamespacedName{Namespace: other.Namespace, Name: other.Name}]
		if known && l.uid == other.UID && !l.admitted.IsZero() {
			others = append(others, other)
		}
	}
	return fit(allocatable(k.machine), others, pod)
}

func (k *kubelet) patchPod(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	patch, err := json.Marshal(podPatch{Metadata: identity{UID: pod.UID}, Status: status})
	if err != nil {
		return fmt.Errorf("encoding the status of pod %q: %w", pod.Name, err)
	}
	_, err = k.client.CoreV1().Pods(pod.Namespace).
		Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	if gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reporting pod %q in namespace %q: %w", pod.Name, pod.Namespace, err)
	}
	return nil
}

// podPatch is a status patch that only the very same pod accepts, not one of the same name.
type podPatch struct {
	Metadata identity         `json:"metadata"`
	Status   corev1.PodStatus `json:"status"`
}

type identity struct {
	UID types.UID `json:"uid"`
}

// removePod tells the API server that nothing of the pod runs any more.
func (k *kubelet) removePod(ctx context.Context, pod *corev1.Pod) error {
	options := metav1.NewDeleteOptions(0)
	options.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
	err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *options)
	if err != nil && !gone(err) {
		return fmt.Errorf("removing pod %q in namespace %q: %w", pod.Name, pod.Namespace, err)
	}
	return nil
}

// gone says that the pod of that UID does not exist any more: there is nobody to report about.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }
