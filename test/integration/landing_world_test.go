// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

const (
	landingPatience = 30 * time.Second
	selectedNode    = "volume.kubernetes.io/selected-node" // where kube-scheduler wants the volume of a claim
)

// landing makes the objects of trials in a real cluster. Nodes are made Ready by hand: no machine stands behind them.
type landing struct {
	client.Client
	looks int      // numbers the pods that show what kube-scheduler has seen
	made  sync.Map // what every trial uses
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
		if err := l.once(ctx, object); err != nil {
			return err
		}
	}
	if err := atOnce(first, func(object client.Object) error { return l.make(ctx, object) }); err != nil {
		return err
	}
	if err := l.putVolumes(ctx, o); err != nil {
		return err
	}
	nodes := slices.Concat(o.Nodes, o.VirtualNodes)
	if err := atOnce(nodes, func(node *corev1.Node) error { return l.putNode(ctx, node) }); err != nil {
		return err
	}
	if err := atOnce(o.Pods, func(pod *corev1.Pod) error { return l.putRunning(ctx, pod) }); err != nil {
		return err
	}
	return l.lookAt(ctx, nodes)
}

// atOnce does something to many objects, several at a time.
func atOnce[T any](list []T, do func(T) error) error {
	var group errgroup.Group
	group.SetLimit(8)
	for _, item := range list {
		group.Go(func() error { return do(item) })
	}
	return group.Wait()
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

// once makes what is the same in every trial.
func (l *landing) once(ctx context.Context, object client.Object) error {
	key := fmt.Sprintf("%T %s", object, client.ObjectKeyFromObject(object))
	if _, made := l.made.Load(key); made {
		return nil
	}
	err := l.make(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		err = nil
	}
	if err == nil {
		l.made.Store(key, nil)
	}
	return err
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
		looks = append(looks, look)
	}
	return atOnce(looks, func(look *corev1.Pod) error {
		if _, err := l.makePod(ctx, look); err != nil {
			return err
		}
		if _, err := l.bound(ctx, look); err != nil {
			return err
		}
		return l.Delete(ctx, look, client.GracePeriodSeconds(0))
	})
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
			items, err := meta.ExtractList(list)
			return len(items) == 0, errors.Join(err, atOnce(items, func(item runtime.Object) error {
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
			}))
		})
		if err != nil {
			return fmt.Errorf("deleting a %T: %w", list, err)
		}
	}
	return nil
}

// until asks every few milliseconds: trials are many, and the control plane answers quickly.
func until(ctx context.Context, done func(context.Context) (bool, error)) error {
	return wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, landingPatience, true, done)
}
