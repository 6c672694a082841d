// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

const (
	landingGate         = "landing.test/not-nominated-yet"
	landingPatience     = 30 * time.Second
	selectedNode        = "volume.kubernetes.io/selected-node" // where kube-scheduler wants the volume of a claim
	landingRuntimeClass = "with-overhead"
)

// landing makes the objects of trials in a real cluster. Nodes are made Ready by hand: no machine stands behind them.
type landing struct {
	client.Client
	looks int // numbers the pods that show what kube-scheduler has seen
}

// put makes objects as an API server accepts them, and returns when kube-scheduler has seen the nodes.
func (l *landing) put(ctx context.Context, o snapshot.Objects) error {
	var lasting, first []client.Object
	lasting = appendAll(lasting, o.StorageClasses)
	lasting = appendAll(lasting, o.CSIDrivers)
	lasting = appendAll(lasting, o.DeviceClasses)
	lasting = appendAll(lasting, o.Namespaces)
	first = appendAll(first, o.CSINodes)
	first = appendAll(first, o.ResourceSlices)
	first = appendAll(first, o.ResourceClaims)
	for _, object := range lasting {
		if err := l.make(ctx, object); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	for _, object := range first {
		if err := l.make(ctx, object); err != nil {
			return err
		}
	}
	if err := l.putVolumes(ctx, o); err != nil {
		return err
	}
	nodes := append(append([]*corev1.Node{}, o.Nodes...), o.VirtualNodes...)
	for _, node := range nodes {
		if err := l.putNode(ctx, node); err != nil {
			return err
		}
	}
	for _, pod := range o.Pods {
		if err := l.putRunning(ctx, pod); err != nil {
			return err
		}
	}
	return l.lookAt(ctx, nodes)
}

func appendAll[T client.Object](all []client.Object, list []T) []client.Object {
	for _, object := range list {
		all = append(all, object)
	}
	return all
}

// make creates a copy of an object, without what the API server gives.
func (l *landing) make(ctx context.Context, object client.Object) error {
	copied, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("%T is no object", object)
	}
	copied.SetUID("")
	copied.SetResourceVersion("")
	if err := l.Create(ctx, copied); err != nil {
		return fmt.Errorf("creating %T %s: %w", object, client.ObjectKeyFromObject(object), err)
	}
	return nil
}

// putNode makes a node the way it happens: with a taint, which goes when it is Ready. So kube-scheduler never uses half of it.
func (l *landing) putNode(ctx context.Context, want *corev1.Node) error {
	if err := l.make(ctx, want); err != nil {
		return err
	}
	node := &corev1.Node{}
	if err := l.Get(ctx, client.ObjectKeyFromObject(want), node); err != nil {
		return err
	}
	node.Status = *want.Status.DeepCopy()
	if err := l.Status().Update(ctx, node); err != nil {
		return fmt.Errorf("making node %q ready: %w", want.Name, err)
	}
	node.Spec.Taints = want.Spec.Taints
	if err := l.Update(ctx, node); err != nil {
		return fmt.Errorf("opening node %q: %w", want.Name, err)
	}
	return nil
}

// putRunning makes a pod that has a node.
func (l *landing) putRunning(ctx context.Context, want *corev1.Pod) error {
	pod, err := l.makePod(ctx, want)
	if err != nil || len(want.Status.ContainerStatuses) == 0 {
		return err
	}
	pod.Status.ContainerStatuses = want.Status.DeepCopy().ContainerStatuses
	return l.Status().Update(ctx, pod)
}

// putVolumes makes claims and volumes. Kubernetes itself binds those to each other that belong together.
func (l *landing) putVolumes(ctx context.Context, o snapshot.Objects) error {
	uids := map[string]metav1.ObjectMeta{}
	for _, claim := range o.PersistentVolumeClaims {
		claim = claim.DeepCopy()
		claim.Spec.VolumeName, claim.Annotations, claim.UID = "", nil, ""
		if err := l.Create(ctx, claim); err != nil {
			return fmt.Errorf("creating claim %q: %w", claim.Name, err)
		}
		uids[claim.Name] = claim.ObjectMeta
	}
	for _, volume := range o.PersistentVolumes {
		volume = volume.DeepCopy()
		if volume.Spec.ClaimRef != nil {
			volume.Spec.ClaimRef.UID = uids[volume.Spec.ClaimRef.Name].UID
		}
		if err := l.make(ctx, volume); err != nil {
			return err
		}
	}
	for _, want := range o.PersistentVolumes {
		err := until(ctx, func(ctx context.Context) (bool, error) {
			volume := &corev1.PersistentVolume{}
			err := l.Get(ctx, client.ObjectKeyFromObject(want), volume)
			return volume.Status.Phase == want.Status.Phase, err
		})
		if err != nil {
			return fmt.Errorf("waiting for volume %q to become %s: %w", want.Name, want.Status.Phase, err)
		}
	}
	for _, want := range o.PersistentVolumeClaims {
		err := until(ctx, func(ctx context.Context) (bool, error) {
			claim := &corev1.PersistentVolumeClaim{}
			err := l.Get(ctx, client.ObjectKeyFromObject(want), claim)
			return claim.Status.Phase == want.Status.Phase, err
		})
		if err != nil {
			return fmt.Errorf("waiting for claim %q to become %s: %w", want.Name, want.Status.Phase, err)
		}
	}
	return nil
}

// lookAt returns when kube-scheduler has seen the nodes: it has put a pod that bears everything on each of them.
func (l *landing) lookAt(ctx context.Context, nodes []*corev1.Node) error {
	var looks []*corev1.Pod
	for _, node := range nodes {
		l.looks++
		look := build.MakePod(fmt.Sprintf("look-%d", l.looks)).Namespace(metav1.NamespaceSystem).OnlyOn(node.Name).With(func(p *corev1.Pod) {
			p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		}).Obj()
		if _, err := l.makePod(ctx, look); err != nil {
			return err
		}
		looks = append(looks, look)
	}
	for _, look := range looks {
		if _, err := l.bound(ctx, look); err != nil {
			return err
		}
	}
	for _, look := range looks {
		if err := l.Delete(ctx, look, client.GracePeriodSeconds(0)); err != nil {
			return err
		}
	}
	return nil
}

// makePod makes a pod that the admission plugins let pass, and that preempts nobody: what is planned must have room.
func (l *landing) makePod(ctx context.Context, want *corev1.Pod) (*corev1.Pod, error) {
	pod := want.DeepCopy()
	pod.UID, pod.ResourceVersion = "", ""
	pod.Spec.TerminationGracePeriodSeconds, pod.Spec.AutomountServiceAccountToken = new(int64(0)), new(false)
	if priority := pod.Spec.Priority; priority != nil {
		class := &schedulingv1.PriorityClass{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("landing-%d", *priority)}, Value: *priority, PreemptionPolicy: new(corev1.PreemptNever),
		}
		if err := l.Create(ctx, class); err != nil && !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
		pod.Spec.Priority, pod.Spec.PriorityClassName = nil, class.Name
	}
	if overhead := pod.Spec.Overhead; overhead != nil {
		class := &nodev1.RuntimeClass{
			ObjectMeta: metav1.ObjectMeta{Name: landingRuntimeClass}, Handler: "sandboxed", Overhead: &nodev1.Overhead{PodFixed: overhead},
		}
		if err := l.Create(ctx, class); err != nil && !apierrors.IsAlreadyExists(err) {
			return nil, err
		}
		pod.Spec.RuntimeClassName = new(landingRuntimeClass)
	}
	for i := range pod.Spec.Containers {
		resources := &pod.Spec.Containers[i].Resources
		for name, quantity := range resources.Requests {
			if strings.Contains(string(name), "/") { // may not be overcommitted
				resources.Limits = corev1.ResourceList{name: quantity}
			}
		}
	}
	// A class or an account that was made a moment ago may not be known yet.
	err := until(ctx, func(ctx context.Context) (bool, error) {
		err := l.Create(ctx, pod)
		return !apierrors.IsForbidden(err), client.IgnoreAlreadyExists(ignoreForbidden(err))
	})
	if err != nil {
		return nil, fmt.Errorf("creating pod %s: %w", client.ObjectKeyFromObject(want), err)
	}
	return pod, nil
}

func ignoreForbidden(err error) error {
	if apierrors.IsForbidden(err) {
		return nil
	}
	return err
}

// place creates a pod that is nominated to its node before kube-scheduler may look at it, and returns when a node is chosen.
func (l *landing) place(ctx context.Context, step trial.Step) error {
	gated := step.Pod.DeepCopy()
	gated.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: landingGate}}
	pod, err := l.makePod(ctx, gated)
	if err != nil {
		return err
	}
	pod.Status.NominatedNodeName = step.Node
	if err := l.Status().Update(ctx, pod); err != nil {
		return fmt.Errorf("nominating pod %q: %w", pod.Name, err)
	}
	awaited, err := l.unbound(ctx, pod)
	if err != nil {
		return err
	}
	pod.Spec.SchedulingGates = nil
	if err := l.Update(ctx, pod); err != nil {
		return fmt.Errorf("letting pod %q go: %w", pod.Name, err)
	}
	err = until(ctx, func(ctx context.Context) (bool, error) {
		if err := l.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil || pod.Spec.NodeName != "" {
			return true, err
		}
		// Volumes to be made take a second; the next pod need not wait for them.
		left, err := l.unbound(ctx, pod)
		return awaited > 0 && left == 0, err
	})
	if err != nil {
		return fmt.Errorf("kube-scheduler does not put pod %q on node %q: %w; %s", pod.Name, step.Node, err, scheduledCondition(pod).Message)
	}
	return nil
}

// unbound counts the pod's claims for which no node has been chosen.
func (l *landing) unbound(ctx context.Context, pod *corev1.Pod) (count int, err error) {
	for i := range pod.Spec.Volumes {
		source := pod.Spec.Volumes[i].PersistentVolumeClaim
		if source == nil {
			continue
		}
		claim := &corev1.PersistentVolumeClaim{}
		if err := l.Get(ctx, client.ObjectKey{Namespace: pod.Namespace, Name: source.ClaimName}, claim); err != nil {
			return 0, err
		}
		if claim.Spec.VolumeName == "" && claim.Annotations[selectedNode] == "" {
			count++
		}
	}
	return count, nil
}

// bound waits until a pod is bound, and returns its node.
func (l *landing) bound(ctx context.Context, want *corev1.Pod) (string, error) {
	pod := &corev1.Pod{}
	err := until(ctx, func(ctx context.Context) (bool, error) {
		err := l.Get(ctx, client.ObjectKeyFromObject(want), pod)
		return pod.Spec.NodeName != "", err
	})
	if err != nil {
		return "", fmt.Errorf("waiting for pod %q to be bound: %w; %s", want.Name, err, scheduledCondition(pod).Message)
	}
	return pod.Spec.NodeName, nil
}

// refuse creates a pod that fits nowhere, and takes it away when kube-scheduler has said so.
func (l *landing) refuse(ctx context.Context, want *corev1.Pod) error {
	pod, err := l.makePod(ctx, want)
	if err != nil {
		return err
	}
	err = until(ctx, func(ctx context.Context) (bool, error) {
		err := l.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return pod.Spec.NodeName != "" || scheduledCondition(pod).Reason == corev1.PodReasonUnschedulable, err
	})
	if err != nil {
		return fmt.Errorf("waiting for kube-scheduler to refuse pod %q: %w", pod.Name, err)
	}
	if pod.Spec.NodeName != "" {
		return fmt.Errorf("kube-scheduler puts pod %q on node %q; the plan says that it fits nowhere", pod.Name, pod.Spec.NodeName)
	}
	return l.Delete(ctx, pod, client.GracePeriodSeconds(0))
}

func scheduledCondition(pod *corev1.Pod) corev1.PodCondition {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled {
			return condition
		}
	}
	return corev1.PodCondition{}
}

// count says what became of the pods in the end.
func (l *landing) count(ctx context.Context, steps []trial.Step, got *landed) error {
	var failures []error
	for _, step := range steps {
		node, err := l.bound(ctx, step.Pod)
		if err != nil {
			failures = append(failures, err)
			continue
		}
		got.bound++
		if node == step.Node {
			got.asPlanned++
		}
	}
	return errors.Join(failures...)
}

// provision makes the volumes that kube-scheduler asks for, as the CSI driver's provisioner does, until it is stopped.
func (l *landing) provision(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer GinkgoRecover()
		wait.UntilWithContext(ctx, func(ctx context.Context) {
			claims := &corev1.PersistentVolumeClaimList{}
			if err := l.List(ctx, claims); err != nil {
				return // told by whoever waits for the volume
			}
			for i := range claims.Items {
				claim := &claims.Items[i]
				if claim.Annotations[selectedNode] == "" || claim.Spec.VolumeName != "" || *claim.Spec.StorageClassName == "by-hand" {
					continue
				}
				volume := build.MakePV("made-"+string(claim.UID), *claim.Spec.StorageClassName).BoundTo(claim.Name).Obj()
				volume.Spec.ClaimRef.UID = claim.UID
				volume.Spec.AccessModes = claim.Spec.AccessModes
				if err := l.make(ctx, volume); err != nil && !apierrors.IsAlreadyExists(err) && ctx.Err() == nil {
					Expect(err).NotTo(HaveOccurred())
				}
			}
		}, 50*time.Millisecond)
	}()
	return func() { cancel(); <-ended }
}

// clear takes everything away that a trial has made, except what is the same in each.
func (l *landing) clear(ctx context.Context) error {
	for _, list := range []client.ObjectList{
		&corev1.PodList{}, &resourceapi.ResourceClaimList{}, &corev1.PersistentVolumeClaimList{}, &corev1.PersistentVolumeList{},
		&corev1.NodeList{}, &storagev1.CSINodeList{}, &resourceapi.ResourceSliceList{},
	} {
		err := until(ctx, func(ctx context.Context) (bool, error) {
			if err := l.List(ctx, list); err != nil {
				return false, err
			}
			return meta.LenList(list) == 0, meta.EachListItem(list, func(item runtime.Object) error {
				object, ok := item.(client.Object)
				if !ok {
					return fmt.Errorf("%T is no object", item)
				}
				if len(object.GetFinalizers()) > 0 {
					patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
					if err := l.Patch(ctx, object, patch); client.IgnoreNotFound(err) != nil {
						return err
					}
				}
				return client.IgnoreNotFound(l.Delete(ctx, object, client.GracePeriodSeconds(0)))
			})
		})
		if err != nil {
			return fmt.Errorf("deleting a %T: %w", list, err)
		}
	}
	return nil
}

// until asks every few milliseconds: trials are many, and the control plane answers quickly.
func until(ctx context.Context, done func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, 5*time.Millisecond, landingPatience, true, done)
}
