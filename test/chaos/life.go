// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/samber/lo"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
)

const (
	wildFor    = 8 * time.Minute // faults, kills, changing demand
	settlesIn  = 2 * time.Hour   // until what is wanted is there, or gone, once everything works again
	most       = 6               // machines wanted at once
	wantedLast = 2

	personReacts = 20 * time.Minute
)

func uid(number int) types.UID { return types.UID(fmt.Sprintf("uid-%d", number)) }

// live makes one run.
func live(ctx context.Context, o Options, number int) (Report, error) {
	report := Report{Runs: 1, Points: map[Point]int{}}
	w, err := newWorld(ctx, o.Seed, number, o.Intensity)
	if err != nil {
		return report, err
	}
	if o.sabotage != nil {
		o.sabotage(w)
	}
	fail := func(format string, args ...any) {
		report.Failures = append(report.Failures, Failure{Run: number, Seed: o.Seed, Message: fmt.Sprintf(format, args...)})
	}
	if err := w.rage(ctx); err != nil {
		return report, err
	}
	if err := w.calm(); err != nil {
		return report, err
	}
	if stuck, err := w.settle(ctx, wantedLast, o.patience, w.asWanted); err != nil {
		return report, err
	} else if len(stuck) > 0 {
		report.Stuck += len(stuck)
		fail("%s after everything worked again, these are not as wanted:\n%s", o.patience, strings.Join(stuck, "\n"))
	}
	w.match(&report, fail)
	if stuck, err := w.settle(ctx, 0, o.patience, w.leftOver); err != nil {
		return report, err
	} else if len(stuck) > 0 {
		report.Stuck += len(stuck)
		fail("%s after nothing was wanted any more, these are left:\n%s", o.patience, strings.Join(stuck, "\n"))
	}
	w.letGo()
	w.audit(&report, fail)
	for point, kills := range w.kills {
		report.Kills += kills
		report.Points[point] += kills
	}
	report.Faults = lo.Sum(lo.Values(w.account.Faults().Fired))
	return report, nil
}

// rage is the time in which everything goes wrong.
func (w *world) rage(ctx context.Context) error {
	for w.clock.Now().Before(noon.Add(wildFor)) {
		if w.random.IntN(20) == 0 {
			w.wanted = w.random.IntN(most + 1)
		}
		if w.random.IntN(60) == 0 {
			w.addForeign()
		}
		if w.random.IntN(60) == 0 {
			if err := w.lose(ctx); err != nil {
				return err
			}
		}
		if err := w.tick(ctx, time.Second+time.Duration(w.random.IntN(9))*time.Second); err != nil {
			return err
		}
	}
	return nil
}

// settle lets time pass until nothing is wrong any more, and returns what still is when the time is over.
func (w *world) settle(ctx context.Context, wanted int, within time.Duration, wrong func() []string) ([]string, error) {
	w.wanted = wanted
	for until := w.clock.Now().Add(within); w.clock.Now().Before(until); {
		if err := w.tick(ctx, 7*time.Second); err != nil {
			return nil, err
		}
		if len(wrong()) == 0 {
			return nil, nil
		}
	}
	return wrong(), nil
}

// follow does what a VPSieNode asks a person for whose machine has been missing for long: where VPSie lists no machine at all, nobody but a person
// can tell whether it is gone.
func (w *world) follow(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(w.truth.machines)) {
		machine := w.truth.machines[name]
		c := meta.FindStatusCondition(machine.Status.Conditions, v1alpha1.ConditionLaunched)
		missing := c != nil && c.Status == metav1.ConditionUnknown && c.Reason == "InstanceGone" && w.clock.Since(c.LastTransitionTime.Time) > personReacts
		if w.wild || !missing || !machine.DeletionTimestamp.IsZero() {
			continue
		}
		if err := client.IgnoreNotFound(w.store.Delete(ctx, machine.DeepCopy())); err != nil {
			return err
		}
		w.learn(ctx, machine)
	}
	return w.clear(ctx)
}

// clear deletes the Nodes of machines that are gone, as the garbage collection asks a person to where VPSie lists no machine at all: it concludes nothing
// from that itself.
func (w *world) clear(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(w.truth.nodes)) {
		node := w.truth.nodes[name]
		owner := node.Labels[v1alpha1.VPSieNodeLabel]
		if w.wild || owner == "" || w.truth.machines[owner] != nil || len(w.account.Ledger().Owned()) > 0 {
			delete(w.orphans, name)
			continue
		}
		if _, known := w.orphans[name]; !known {
			w.orphans[name] = w.clock.Now()
		}
		if w.clock.Since(w.orphans[name]) <= personReacts {
			continue
		}
		if err := client.IgnoreNotFound(w.store.Delete(ctx, node.DeepCopy())); err != nil {
			return err
		}
		w.learn(ctx, node)
	}
	return nil
}

// tick lets a while pass and everybody act once.
func (w *world) tick(ctx context.Context, pass time.Duration) error {
	w.clock.Step(pass)
	if err := w.kubelets(ctx); err != nil {
		return err
	}
	if w.process.killed {
		if err := w.restart(); err != nil {
			return err
		}
	}
	if err := w.follow(ctx); err != nil {
		return err
	}
	if err := w.demand(ctx); err != nil || w.process.killed {
		return err
	}
	return w.process.work(ctx)
}

// addForeign adds a machine by hand, of a size that is not on order and is not ordered before it shows: two machines of one size that appear
// together cannot be told apart by anybody.
func (w *world) addForeign() {
	for _, o := range w.offerings {
		onOrder := lo.SomeBy(lo.Values(w.truth.machines), func(n *v1alpha1.VPSieNode) bool {
			return n.Status.InstanceID == "" && lo.SomeBy(n.Spec.Offerings, func(c v1alpha1.OfferingChoice) bool { return c.ID == o.ID })
		})
		if onOrder {
			continue
		}
		if _, err := w.account.addForeign(o.ID); err == nil {
			w.quiet[o.ID] = w.clock.Now().Add(45 * time.Second)
		}
		return
	}
}

// lose removes a VPSieNode by force, finalizer and all, as a person in despair does. Its Node still says whose machine it is, and is all that does:
// a kubelet that registers anew would wipe that out, so machines that do so are spared.
func (w *world) lose(ctx context.Context) error {
	for _, machine := range w.living() {
		node := w.truth.nodes[machine.Status.NodeName]
		if w.restless(machine.Status.InstanceID) || machine.Status.Phase != v1alpha1.PhaseReady || node == nil || node.Annotations[v1alpha1.VPSIDAnnotation] != machine.Status.InstanceID {
			continue
		}
		machine = machine.DeepCopy()
		controllerutil.RemoveFinalizer(machine, v1alpha1.VPSieNodeFinalizer)
		if err := w.store.Update(ctx, machine); err != nil {
			return err
		}
		if err := w.store.Delete(ctx, machine); err != nil {
			return err
		}
		w.learn(ctx, machine)
		return w.collect(ctx, machine.UID)
	}
	return nil
}

// collect does what kube-controller-manager does when an object is gone: whatever that owned goes too.
func (w *world) collect(ctx context.Context, gone types.UID) error {
	for _, node := range w.truth.nodes {
		if !slices.ContainsFunc(node.OwnerReferences, func(o metav1.OwnerReference) bool { return o.UID == gone }) {
			continue
		}
		if err := w.store.Delete(ctx, node.DeepCopy()); err != nil {
			return err
		}
		w.learn(ctx, node)
	}
	return nil
}

// restless says whether the machine's kubelet registers more than once.
func (w *world) restless(id string) bool {
	return lo.SomeBy(w.account.Ledger().Orders, func(o ledger.Order) bool { return o.Identifier == id && slices.Contains(o.Faults, fault.JoinsTwice) })
}

// asWanted lists what is not as it should be: each machine that is wanted is ready, and nothing else is left of the wild time.
func (w *world) asWanted() []string {
	var wrong []string
	ready := 0
	for name, machine := range w.truth.machines {
		if machine.Status.Phase == v1alpha1.PhaseReady && machine.DeletionTimestamp.IsZero() {
			ready++
		} else {
			wrong = append(wrong, describe(name, machine))
		}
	}
	if ready != w.wanted {
		wrong = append(wrong, fmt.Sprintf("%d machines are ready, want %d", ready, w.wanted))
	}
	slices.Sort(wrong)
	return wrong
}

// match compares VPSieNodes with VPSie's books while machines are wanted: each has a machine of its own that runs and was ordered here.
func (w *world) match(report *Report, fail func(string, ...any)) {
	runs := map[string]bool{}
	books := w.account.Ledger()
	for _, order := range slices.Concat(books.Owned(), books.Strays()) {
		runs[order.Identifier] = order.Origin != ledger.Foreign
	}
	owner := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(w.truth.machines)) {
		id := w.truth.machines[name].Status.InstanceID
		if id == "" {
			continue // it was reported as stuck
		}
		if other := owner[id]; other != "" || !runs[id] {
			report.Stuck++
			fail("machine %s of VPSieNode %s is not one that runs and was ordered for us, or also that of VPSieNode %q", id, name, other)
		}
		owner[id] = name
	}
}

// leftOver lists VPSieNodes, and Nodes whose machine is gone.
func (w *world) leftOver() []string {
	var left []string
	for name, machine := range w.truth.machines {
		left = append(left, describe(name, machine))
	}
	for name, node := range w.truth.nodes {
		if node.Labels[v1alpha1.VPSieNodeLabel] != "" {
			left = append(left, fmt.Sprintf("Node %s of VPSieNode %s", name, node.Labels[v1alpha1.VPSieNodeLabel]))
		}
	}
	slices.Sort(left)
	return left
}

func describe(name string, machine *v1alpha1.VPSieNode) string {
	var text strings.Builder
	fmt.Fprintf(&text, "VPSieNode %s: %s, machine %q, deleted %v, order %+v", name, machine.Status.Phase, machine.Status.InstanceID, !machine.DeletionTimestamp.IsZero(), machine.Status.Order)
	for _, c := range machine.Status.Conditions {
		fmt.Fprintf(&text, "\n    %s=%s %s %s: %s", c.Type, c.Status, c.LastTransitionTime.Format(time.TimeOnly), c.Reason, c.Message)
	}
	return text.String()
}

// letGo lets the time pass that VPSie takes for what it has begun to destroy: nobody has to do anything about that any more.
func (w *world) letGo() {
	for until := w.clock.Now().Add(settlesIn); w.clock.Now().Before(until); w.clock.Step(30 * time.Second) {
		if !slices.ContainsFunc(w.account.Ledger().Owned(), func(o ledger.Order) bool { return !o.DeleteRequestedAt.IsZero() }) {
			return
		}
	}
}

// audit asks VPSie's books. Machines of one size are interchangeable: where VPSie made two for one order, giving back either is right.
func (w *world) audit(report *Report, fail func(string, ...any)) {
	books := w.account.Ledger()
	balance := map[string]int{}
	for _, order := range books.Owned() {
		balance[order.SizeName]++
	}
	for _, order := range books.Released() {
		if order.Origin == ledger.Duplicate {
			balance[order.SizeName]--
		}
	}
	for _, size := range lo.Keys(balance) {
		if balance[size] > 0 {
			report.Leaked += balance[size]
			fail("leaked %d machines of size %s: %+v", balance[size], size, books.Owned())
		}
	}
	if twice := books.BoughtTwice(); len(twice) > 0 {
		report.BoughtTwice += len(twice)
		fail("bought twice: %+v", twice)
	}
	if touched := books.ForeignTouched(); len(touched) > 0 {
		report.ForeignTouched += len(touched)
		fail("touched machines of others: %+v", touched)
	}
}
