// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package nodegroup

import (
	"context"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// bounds keeps the lower bounds of the pools' costs. To find one takes a Picture and the plugins' verdict on each kind of pod: too much for
// each change of a machine.
type bounds struct {
	cluster  Cluster
	cloud    Cloud
	clock    clock.PassiveClock
	interval time.Duration
	// Bounded by the rules that plans are made by, or the bound would be one of other plans.
	scheduler *simulate.Scheduler
	nodeCost  scheduling.Price

	mu    sync.Mutex
	found map[string]bound // by NodeGroup
}

type bound struct {
	price      v1alpha1.Price
	at         time.Time
	generation int64
}

func (b *bounds) forget(group string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.found, group)
}

// of returns the lower bound, found anew when the last is old or the pool is another. Empty means that it is not known.
func (b *bounds) of(ctx context.Context, ng *v1alpha1.NodeGroup) v1alpha1.Price {
	if !ng.Managed() {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	last, known := b.found[ng.Name]
	if known && now.Sub(last.at) < b.interval && last.generation == ng.Generation {
		return last.price
	}
	price, err := b.find(ctx, ng)
	if err != nil {
		log.FromContext(ctx).V(1).Info("could not bound the cost", "nodeGroup", klog.KObj(ng), "err", err.Error())
		return last.price
	}
	b.found[ng.Name] = bound{price: price.API(), at: now, generation: ng.Generation}
	return b.found[ng.Name].price
}

func (b *bounds) find(ctx context.Context, ng *v1alpha1.NodeGroup) (scheduling.Price, error) {
	offerings, err := b.cloud.Offerings(ctx)
	if err != nil {
		return 0, err
	}
	picture, err := b.cluster.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	pods := append(tenants(picture, ng.Name), scheduling.Headroom(ng)...)
	for _, m := range picture.Machines {
		if m.VPSieNode.Spec.NodeGroup == ng.Name && picture.Snapshot.Has(m.Name()) {
			if err := picture.Snapshot.RemoveNode(m.Name()); err != nil {
				return 0, err
			}
		}
	}
	price, err := scheduling.LowerBound(scheduling.Input{
		Cluster: picture.Snapshot, Pods: pods, Groups: []scheduling.Group{{NodeGroup: ng}}, Offerings: offerings,
		Scheduler: b.scheduler, NodeCost: b.nodeCost,
	})
	if err != nil {
		return 0, err
	}
	if eligible, _ := scheduling.EligibleOfferings(ng, offerings); len(eligible) > 0 {
		price = max(price, scheduling.Price(ptr.Deref(ng.Spec.MinNodes, 0))*(eligible[0].Price+b.nodeCost))
	}
	return price, nil
}

// tenants returns the pods that run on the pool's machines, and those that wait for one. Pods that each node has anyway are part of the
// machines.
func tenants(picture *state.Picture, group string) []*corev1.Pod {
	var pods []*corev1.Pod
	names := map[string]bool{} // in the snapshot
	for _, m := range picture.Machines {
		if m.VPSieNode.Spec.NodeGroup == group {
			names[m.Name()] = true
			pods = append(pods, slices.DeleteFunc(slices.Clone(m.Pods), everywhere)...)
		}
	}
	promised := picture.Promised()
	for _, pod := range picture.Pending {
		if names[promised[client.ObjectKeyFromObject(pod)]] {
			pods = append(pods, pod)
		}
	}
	return pods
}

func everywhere(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOf(pod)
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return mirror || owner != nil && owner.Kind == "DaemonSet"
}
