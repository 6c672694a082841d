// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/samber/lo"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// world is one cluster, one account at VPSie and one clock.
type world struct {
	random  *rand.Rand
	clock   *testingclock.FakeClock
	account account
	store   client.WithWatch
	truth   objects
	touched map[string]bool // VPSieNodes that a watch has news of
	process *process
	group   *v1alpha1.NodeGroup

	offerings []scheduling.Offering
	wanted    int                  // machines that the cluster should have
	created   int                  // numbers the VPSieNodes
	joins     map[string]int       // how often the kubelet of a machine registered
	quiet     map[string]time.Time // until when no machine of an offering is ordered
	orphans   map[string]time.Time // since when a person knows that a Node is all that is left of a machine
	wild      bool                 // everything may go wrong
	target    Point                // where the process is killed in any case, once
	passes    int                  // how often it comes by there before
	kills     map[Point]int

	// What a process asks VPSie for.
	sendOrder   func(context.Context, cloudprovider.Order) error
	sendRelease func(context.Context, string) error
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func newWorld(ctx context.Context, seed int64, number int, intensity float64) (*world, error) {
	scheme := runtime.NewScheme()
	// No more kinds than are used: the fake API server looks through all of them at each write.
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, policyv1.AddToScheme, storagev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	random := rand.New(rand.NewPCG(uint64(seed), uint64(number)))
	clock := testingclock.NewFakeClock(noon)
	open := newInMemory
	if viaHTTP(number) {
		open = newOverHTTP
	}
	account, err := open(clock, random.Int64())
	if err != nil {
		return nil, err
	}
	w := &world{
		random: random, clock: clock, account: account, wild: true,
		truth:   objects{map[string]*v1alpha1.VPSieNode{}, map[string]*corev1.Node{}},
		touched: map[string]bool{}, joins: map[string]int{}, quiet: map[string]time.Time{}, orphans: map[string]time.Time{}, kills: map[Point]int{},
		group:  &v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "general", UID: "group", Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue}}},
		target: Points()[number%len(Points())], passes: random.IntN(3),
	}
	w.store = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&v1alpha1.VPSieNode{}).
		WithIndex(&corev1.Pod{}, drain.NodeNameField, nodeOf).
		WithObjects(w.group).Build()
	if err := w.restart(); err != nil {
		return nil, err
	}
	if w.offerings, err = w.process.provider.Offerings(ctx); err != nil {
		return nil, err
	}
	// Not before: what is sold is known from the start.
	if err := account.mix(fault.Harsh(random.Int64(), intensity)); err != nil {
		return nil, err
	}
	w.sendOrder = func(ctx context.Context, o cloudprovider.Order) error { return w.process.provider.Order(ctx, o) }
	w.sendRelease = func(ctx context.Context, id string) error { return w.process.provider.Release(ctx, id) }
	return w, nil
}

// viaHTTP says whether a run meets VPSie over HTTP: every other one does, and each point of a life is passed in both kinds of run.
func viaHTTP(number int) bool { return (number+number/len(Points()))%2 == 1 }

// calm ends what goes wrong. Machines that are spoiled stay so.
func (w *world) calm() error {
	w.wild = false
	return w.account.mix(fault.Mix{})
}

// restart starts the controller anew: the next one knows only what was written down.
func (w *world) restart() error {
	provider, err := w.account.provider()
	if err != nil {
		return err
	}
	w.process = newProcess(w, provider)
	return nil
}

// nodeOf is the index by which a drain reads pods.
func nodeOf(object client.Object) []string {
	if pod, ok := object.(*corev1.Pod); ok {
		return []string{pod.Spec.NodeName}
	}
	return nil
}

// strikes says whether the controller is killed here and now: in the wild time anywhere, and at the run's target whenever that comes, for what is
// lost is found again only after a while.
func (w *world) strikes(at Point) bool {
	hit := w.wild && w.random.IntN(150) == 0
	if at == w.target {
		hit = hit || w.passes == 0
		w.passes--
	}
	if hit {
		w.kills[at]++
	}
	return hit
}

// learn takes an object over from the store, as every watch will in time.
func (w *world) learn(ctx context.Context, object client.Object) {
	switch o := object.(type) {
	case *v1alpha1.VPSieNode:
		fresh := &v1alpha1.VPSieNode{}
		w.touched[o.Name] = true
		if err := w.store.Get(ctx, client.ObjectKey{Name: o.Name}, fresh); apierrors.IsNotFound(err) {
			delete(w.truth.machines, o.Name)
			return
		}
		w.truth.machines[o.Name] = fresh
	case *corev1.Node:
		fresh := &corev1.Node{}
		w.touchOwner(o)
		if err := w.store.Get(ctx, client.ObjectKey{Name: o.Name}, fresh); apierrors.IsNotFound(err) {
			delete(w.truth.nodes, o.Name)
			return
		}
		w.truth.nodes[o.Name] = fresh
		w.touchOwner(fresh)
	}
}

func (w *world) touchOwner(node *corev1.Node) {
	for name, machine := range w.truth.machines {
		if node.Labels[v1alpha1.VPSieNodeLabel] == name || strings.EqualFold(machine.Status.Hostname, node.Name) {
			w.touched[name] = true
			if w.process != nil {
				w.process.due[name] = w.clock.Now()
			}
		}
	}
}

// living are the VPSieNodes that are or may become Nodes, by name.
func (w *world) living() []*v1alpha1.VPSieNode {
	living := lo.Filter(lo.Values(w.truth.machines), func(n *v1alpha1.VPSieNode, _ int) bool {
		return n.DeletionTimestamp.IsZero() && n.Status.Phase != v1alpha1.PhaseFailed
	})
	slices.SortFunc(living, func(a, b *v1alpha1.VPSieNode) int { return strings.Compare(a.Name, b.Name) })
	return living
}

// demand asks for more machines, or for fewer, as the loops do: the process that creates the VPSieNode can die over it.
func (w *world) demand(ctx context.Context) error {
	living := w.living()
	for range w.wanted - len(living) {
		if err := w.order(ctx); err != nil {
			return err
		}
		if w.process.killed {
			return nil
		}
	}
	for range len(living) - w.wanted {
		i := w.random.IntN(len(living))
		victim := living[i]
		living = slices.Delete(living, i, i+1)
		err := w.process.step(deleteVPSieNode, func() error {
			defer w.learn(ctx, victim)
			return client.IgnoreNotFound(w.store.Delete(ctx, victim.DeepCopy()))
		})
		if w.process.killed || err != nil {
			return ignoreKilled(err)
		}
	}
	return nil
}

func ignoreKilled(err error) error {
	if err == errKilled { //nolint:errorlint // it is never wrapped where this is asked
		return nil
	}
	return err
}

func (w *world) order(ctx context.Context) error {
	choices := lo.Filter(w.offerings, func(o scheduling.Offering, _ int) bool { return !w.clock.Now().Before(w.quiet[o.ID]) })
	if len(choices) == 0 {
		return nil
	}
	w.random.Shuffle(len(choices), func(i, j int) { choices[i], choices[j] = choices[j], choices[i] })
	w.created++
	vn := &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("general-%03d", w.created), CreationTimestamp: metav1.NewTime(w.clock.Now()), Finalizers: []string{v1alpha1.VPSieNodeFinalizer},
			UID: uid(w.created),
		},
		Spec: scheduling.NodeSpec(w.group, scheduling.Launch{Group: w.group.Name, Offerings: choices[:1+w.random.IntN(len(choices))]}, v1alpha1.CreatedForPods),
	}
	err := w.process.step(createNode, func() error {
		if err := w.store.Create(ctx, vn); err != nil {
			return err
		}
		w.learn(ctx, vn)
		return nil
	})
	return ignoreKilled(err)
}
