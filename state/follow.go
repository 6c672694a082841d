// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
)

// Informers is the part of a manager's cache that keeps objects of a kind current.
type Informers interface {
	GetInformer(ctx context.Context, object client.Object, options ...cache.InformerGetOption) (cache.Informer, error)
}

// Informer keeps the objects of one kind current.
type Informer = cache.Informer

// Follow makes each later Picture from the last one and what the informers have heard since, instead of reading everything. It starts the
// informers and does not wait for them: the first Picture does. A kind that not every API server has is left out where it is unknown: no
// pod there needs it either.
func (c *Cluster) Follow(ctx context.Context, informers Informers) error {
	f := &follower{clock: c.clock, last: &listed{}, podsOn: map[string][]*corev1.Pod{}}
	for _, kind := range kinds() {
		if err := f.follow(ctx, informers, kind); err != nil {
			return err
		}
	}
	for _, kind := range optionalKinds() {
		if err := f.follow(ctx, informers, kind); err != nil && !meta.IsNoMatchError(err) {
			return err
		}
	}
	c.follower = f
	return nil
}

// followed is one kind that is followed.
type followed struct {
	synced  toolscache.InformerSynced
	refresh func(*listed, time.Time) way
}

func follow[T object](informer Informer, items func(*listed) *[]T) (*followed, error) {
	s, err := newSource[T](informer)
	if err != nil {
		return nil, err
	}
	refresh := func(l *listed, now time.Time) way {
		*items(l) = s.refresh(now)
		return s.way
	}
	return &followed{synced: informer.HasSynced, refresh: refresh}, nil
}

// follower makes Pictures, each from the last.
type follower struct {
	clock clock.PassiveClock
	kinds []*followed

	mu      sync.Mutex
	last    *listed       // what the informers had
	pods    []*corev1.Pod // of it, those that have not terminated
	podsOn  map[string][]*corev1.Pod
	pending []*corev1.Pod
	fleet   fleet
	virtual []*corev1.Node
	nodes   []*corev1.Node // of last, those without stand-ins
	series  snapshot.Series
}

func (f *follower) follow(ctx context.Context, informers Informers, kind kind) error {
	informer, err := informers.GetInformer(ctx, kind.example, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind.example, err)
	}
	followed, err := kind.follow(informer)
	if err != nil {
		return fmt.Errorf("watching %T: %w", kind.example, err)
	}
	f.kinds = append(f.kinds, followed)
	return nil
}

func (f *follower) picture() (*Picture, way, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now, next, made := f.clock.Now(), &listed{}, byEvents
	for _, kind := range f.kinds {
		if kind.refresh(next, now) == byComparison {
			made = byComparison
		}
	}
	f.advance(next)
	objects := next.Objects
	objects.Nodes, objects.VirtualNodes, objects.Pods = f.nodes, f.virtual, f.pods
	snap, err := f.series.Next(objects)
	if err != nil {
		return nil, made, fmt.Errorf("building the snapshot: %w", err)
	}
	return &Picture{
		TakenAt: now, Snapshot: snap, NodeGroups: slices.Clone(next.nodeGroups), Disruptions: slices.Clone(next.disruptions),
		Machines: slices.Clone(f.fleet.machines), Pending: slices.Clone(f.pending), PodDisruptionBudgets: slices.Clone(next.PodDisruptionBudgets),
	}, made, nil
}

// await waits until the informers have everything that was there when they started.
func (f *follower) await(ctx context.Context) error {
	for _, kind := range f.kinds {
		if !kind.synced() && !toolscache.WaitForCacheSync(ctx.Done(), kind.synced) {
			return fmt.Errorf("waiting for the watches to catch up with the API server: %w", context.Cause(ctx))
		}
	}
	return nil
}

// advance brings what is made of the objects from the last ones to the next.
func (f *follower) advance(next *listed) {
	last := f.last
	f.last = next
	pods := roster.Only(roster.Diff(last.Pods, next.Pods), func(pod *corev1.Pod) bool { return !Terminated(pod) })
	f.pods = roster.Patch(f.pods, pods)
	f.pending = roster.Patch(f.pending, roster.Only(pods, Unschedulable))
	touched := f.rebind(pods)
	nodes := roster.Diff(last.Nodes, next.Nodes)
	for _, change := range nodes {
		touched[change.Any().Name] = true
	}
	changed := f.fleet.follow(last.vpsieNodes, next.vpsieNodes, touched, next.Nodes, f.podsOn)
	if changed || len(nodes) > 0 || f.nodes == nil {
		f.nodes, f.virtual = replace(next.Nodes, f.fleet.comers())
	}
}

// rebind follows the changes with the lists of the pods that are bound to a node, and returns the nodes for which there are new ones.
func (f *follower) rebind(pods []roster.Change[*corev1.Pod]) map[string]bool {
	on := map[string][]roster.Change[*corev1.Pod]{}
	for _, change := range pods {
		before, after := "", ""
		if change.Before != nil {
			before = change.Before.Spec.NodeName
		}
		if change.After != nil {
			after = change.After.Spec.NodeName
		}
		if before == after {
			on[after] = append(on[after], change)
			continue
		}
		on[before] = append(on[before], roster.Change[*corev1.Pod]{Before: change.Before})
		on[after] = append(on[after], roster.Change[*corev1.Pod]{After: change.After})
	}
	delete(on, "")
	touched := make(map[string]bool, len(on))
	for node, changes := range on {
		touched[node] = true
		if f.podsOn[node] = roster.Patch(f.podsOn[node], changes); len(f.podsOn[node]) == 0 {
			delete(f.podsOn, node)
		}
	}
	return touched
}
