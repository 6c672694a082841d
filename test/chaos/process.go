// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/garbage"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/lifecycle"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// errKilled is what everything fails with in a process that was killed.
var errKilled = errors.New("the controller was killed")

// process is one life of the controller: what it keeps in memory ends with it.
type process struct {
	w        *world
	provider cloudprovider.Provider
	killed   bool
	seen     objects // its watches, which may be behind

	machines  *lifecycle.Reconciler
	strangers reconcile.Reconciler
	garbage   *garbage.Collector
	due       map[string]time.Time // of VPSieNodes, as the work queue has it
	failures  map[string]int
	nextPass  time.Time
}

const garbageInterval = 2 * time.Minute

func newProcess(w *world, provider cloudprovider.Provider) *process {
	p := &process{w: w, provider: provider, seen: w.truth.clone(), due: map[string]time.Time{}, failures: map[string]int{}, nextPass: w.clock.Now().Add(garbageInterval)}
	kube := p.client()
	recorder := &events.FakeRecorder{} // tells nobody
	drainer := drain.New(kube, kube, drain.Options{Clock: w.clock})
	drained := func(ctx context.Context, node *corev1.Node, deadline time.Time) (bool, []string, error) {
		progress, err := drainer.Drain(ctx, node, deadline)
		return progress.Done, progress.Waiting, err
	}
	p.machines = lifecycle.New(kube, cloud{p}, drained, recorder, lifecycle.Options{Clock: w.clock, Registerer: prometheus.NewRegistry()})
	p.strangers = p.machines.Unregistered()
	p.garbage = garbage.New(kube, w.store, cloud{p}, recorder, garbage.Options{Clock: w.clock, Registerer: prometheus.NewRegistry()})
	return p
}

// step does one thing to the world, unless the process dies before it.
func (p *process) step(step Step, do func() error) error {
	if p.dies(Point{step, Before}) {
		return errKilled
	}
	err := do()
	if p.dies(Point{step, After}) {
		return errKilled
	}
	return err
}

func (p *process) dies(at Point) bool {
	if !p.killed && p.w.strikes(at) {
		p.killed = true
	}
	return p.killed
}

// client is the process's way to the API server: reads of machines and Nodes come from its watches, writes can be its last.
func (p *process) client() client.Client {
	changed := func(ctx context.Context, object client.Object, err error) error {
		if err == nil {
			p.w.learn(ctx, object)
		}
		return err
	}
	return interceptor.NewClient(p.w.store, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
			if p.killed {
				return errKilled
			}
			if known, watched := p.seen.get(key, into); watched {
				return known
			}
			return c.Get(ctx, key, into, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, into client.ObjectList, opts ...client.ListOption) error {
			if p.killed {
				return errKilled
			}
			if p.seen.list(into, opts) {
				return nil
			}
			return c.List(ctx, into, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			return p.step(recoverNode, func() error { return changed(ctx, object, c.Create(ctx, object, opts...)) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			step := removeNode
			if _, ok := object.(*v1alpha1.VPSieNode); ok {
				step = deleteVPSieNode
			}
			return p.step(step, func() error { return changed(ctx, object, c.Delete(ctx, object, opts...)) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return p.step(changeOf(object), func() error { return changed(ctx, object, c.Patch(ctx, object, patch, opts...)) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			step := noteOther
			if vn, ok := object.(*v1alpha1.VPSieNode); ok {
				step = noteOf(vn)
			}
			return p.step(step, func() error { return changed(ctx, object, c.SubResource(sub).Patch(ctx, object, patch, opts...)) })
		},
		SubResourceCreate: func(ctx context.Context, c client.Client, sub string, object, what client.Object, opts ...client.SubResourceCreateOption) error {
			return p.step(evictPod, func() error { return c.SubResource(sub).Create(ctx, object, what, opts...) })
		},
	})
}

// cloud is the process's way to VPSie.
type cloud struct{ *process }

func (c cloud) Order(ctx context.Context, order cloudprovider.Order) error {
	return c.step(sendOrder, func() error { return c.w.sendOrder(ctx, order) })
}

func (c cloud) Release(ctx context.Context, id string) error {
	return c.step(sendRelease, func() error { return c.w.sendRelease(ctx, id) })
}

func (c cloud) Inventory(ctx context.Context) (cloudprovider.Inventory, error) {
	if err := c.reach(); err != nil {
		return cloudprovider.Inventory{}, err
	}
	return c.provider.Inventory(ctx)
}

func (c cloud) Offerings(ctx context.Context) ([]scheduling.Offering, error) {
	if err := c.reach(); err != nil {
		return nil, err
	}
	return c.provider.Offerings(ctx)
}

// reach fails for a process that was killed.
func (c cloud) reach() error {
	if c.killed {
		return errKilled
	}
	return nil
}

// work does what the work queue has due, in random order, until the process is killed.
func (p *process) work(ctx context.Context) error {
	now := p.w.clock.Now()
	var names []string
	for name := range p.w.truth.machines {
		if due, known := p.due[name]; !known || !now.Before(due) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	p.w.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		p.look()
		result, err := p.machines.Reconcile(log.IntoContext(ctx, log.FromContext(ctx).WithValues("at", now.Format(time.TimeOnly))), request(name))
		if p.killed {
			return nil
		}
		p.requeue(name, result, err)
	}
	for _, name := range p.w.truth.unregistered() {
		p.look()
		if _, _ = p.strangers.Reconcile(ctx, request(name)); p.killed { // what fails is tried again
			return nil
		}
	}
	if !now.Before(p.nextPass) {
		p.nextPass = now.Add(garbageInterval)
		_ = p.garbage.Pass(ctx) // as above
	}
	return nil
}

// look lets the watches catch up, most of the time.
func (p *process) look() {
	if p.w.random.IntN(8) > 0 {
		p.seen = p.w.truth.clone()
	}
}

func (p *process) requeue(name string, result reconcile.Result, err error) {
	wait := cmp.Or(result.RequeueAfter, 10*time.Minute) // 0: only a change brings it back
	if err != nil {
		p.failures[name]++
		wait = min(time.Second<<min(p.failures[name]-1, 6), time.Minute)
	} else {
		delete(p.failures, name)
	}
	if p.w.touched[name] { // the watch brings it back at once
		wait = 0
	}
	p.due[name] = p.w.clock.Now().Add(wait)
}
