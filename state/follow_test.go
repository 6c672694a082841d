// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/watch"
)

// versions writes down which objects a list has, and which versions of them.
func versions[T object](list []T) string {
	var b strings.Builder
	for _, o := range list {
		fmt.Fprintf(&b, " %s/%s@%s", o.GetNamespace(), o.GetName(), o.GetResourceVersion())
	}
	return b.String()
}

// everything writes down all that planning sees of a Picture.
func everything(t *testing.T, p *Picture) string {
	t.Helper()
	var b strings.Builder
	objects := p.Snapshot.Objects()
	fmt.Fprintf(&b, "groups%s\ndisruptions%s\nbudgets%s\npending%s\n", versions(p.NodeGroups), versions(p.Disruptions), versions(p.PodDisruptionBudgets), versions(p.Pending))
	fmt.Fprintf(&b, "nodes%s\npods%s\nnamespaces%s\ncsinodes%s\ncsidrivers%s\nclaims%s\n", versions(objects.Nodes), versions(objects.Pods),
		versions(objects.Namespaces), versions(objects.CSINodes), versions(objects.CSIDrivers), versions(objects.ResourceClaims))
	for _, m := range p.Machines {
		node := "-"
		if m.Node != nil {
			node = m.Node.Name + "@" + m.Node.ResourceVersion
		}
		fmt.Fprintf(&b, "machine %s@%s %s:%s\n", m.VPSieNode.Name, m.VPSieNode.ResourceVersion, node, versions(m.Pods))
	}
	for _, info := range p.Snapshot.Infos() {
		n := info.Node()
		fmt.Fprintf(&b, "node %s planned %v, %v, %v, %s of %s cpu:%s\n", n.Name, p.Snapshot.Planned(n.Name), n.Labels, n.Spec.Taints,
			fmt.Sprint(info.GetRequested().GetMilliCPU()), n.Status.Allocatable.Cpu(), versions(p.Snapshot.PodsOn(n.Name)))
	}
	for i := range 8 {
		for _, name := range []string{fmt.Sprint("general-", i), fmt.Sprint("slave-", i)} {
			csi, known := p.Snapshot.CSINode(name)
			fmt.Fprintf(&b, "%s: pods%s, csi %v %v\n", name, versions(p.Snapshot.PodsOn(name)), known, csi != nil && len(csi.Spec.Drivers) > 0)
		}
	}
	var kinds []string
	for shape, on := range p.Snapshot.Kinds() {
		kinds = append(kinds, fmt.Sprintf("%v %d %v", shape.Pod.Labels, shape.Resources().GetMilliCPU(), on))
	}
	slices.Sort(kinds)
	fmt.Fprintf(&b, "kinds %v\nunbound%s\npromised %v\n", kinds, versions(p.Snapshot.Unbound()), p.Promised())
	for _, group := range p.Groups() {
		fmt.Fprintf(&b, "%s has %d, %d mCPU, %s\n", group.NodeGroup.Name, group.Nodes, group.CPUMilli, group.Cost)
	}
	return b.String()
}

// life is a cluster in which something happens.
type life struct {
	*watch.Cluster
	t      *testing.T
	random *rand.Rand
	is     map[string]client.Object
	uids   int
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{Cluster: watch.New(), t: t, random: rand.New(rand.NewPCG(seed, 9)), is: map[string]client.Object{}}
	managed := map[string]string{v1alpha1.ManagedLabel: "true"}
	l.set(&v1alpha1.NodeGroup{ObjectMeta: metav1.ObjectMeta{Name: "general", Labels: managed}})
	l.set(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}})
	l.set(&storagev1.CSIDriver{ObjectMeta: metav1.ObjectMeta{Name: "vpsie.csi.vpsie.com"}})
	return l
}

func (l *life) key(o client.Object) string {
	return fmt.Sprintf("%T %s/%s", o, o.GetNamespace(), o.GetName())
}

func (l *life) set(o client.Object) {
	l.t.Helper()
	if o.GetUID() == "" {
		l.uids++
		o.SetUID(types.UID(fmt.Sprint("uid-", l.uids)))
	}
	if err := l.Set(o); err != nil {
		l.t.Fatal(err)
	}
	l.is[l.key(o)] = o
}

func (l *life) remove(o client.Object) {
	l.t.Helper()
	if err := l.Delete(o); err != nil {
		l.t.Fatal(err)
	}
	delete(l.is, l.key(o))
}

// of returns a copy of the object as it is, or the object itself, as it would be made.
func of[T client.Object](l *life, made T) T {
	if is, ok := l.is[l.key(made)]; ok && l.random.IntN(8) > 0 {
		if again, ok := is.DeepCopyObject().(T); ok {
			return again
		}
	}
	return made
}

func (l *life) happen() {
	name := fmt.Sprint("slave-", l.random.IntN(8))
	switch l.random.IntN(10) {
	case 0, 1:
		n := of(l, node(name, fmt.Sprint(1+l.random.IntN(8))))
		n.Spec.Taints, n.Status.Conditions = nil, nil
		if l.random.IntN(3) == 0 {
			n.Spec.Taints = []corev1.Taint{{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoSchedule}}
		}
		l.set(n)
	case 2:
		l.remove(node(name, "1"))
	case 3, 4:
		l.machineHappens(name)
	case 5:
		l.set(&storagev1.CSINode{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{Name: "disk", NodeID: name}}}})
	case 6:
		l.set(of(l, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}}))
	default:
		l.podHappens(name)
	}
}

func (l *life) machineHappens(nodeName string) {
	vn := of(l, vpsieNode(fmt.Sprint("general-", l.random.IntN(8)), v1alpha1.PhasePending, nil))
	switch l.random.IntN(8) {
	case 0:
		l.remove(vn)
		return
	case 1:
		vn.DeletionTimestamp = &metav1.Time{Time: noon}
	case 2:
		vn.Status.NodeName = nodeName
	case 3:
		vn.Status.Phase = v1alpha1.PhaseFailed
	case 4:
		vn.Annotations = map[string]string{v1alpha1.PodsAnnotation: fmt.Sprint("shop/web-", l.random.IntN(20))}
	default:
		vn.Status.Phase = v1alpha1.PhaseReady
		vn.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionInitialized, Status: []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse}[l.random.IntN(2)],
		}}
	}
	l.set(vn)
}

func (l *life) podHappens(nodeName string) {
	name := fmt.Sprint("web-", l.random.IntN(20))
	p := of(l, build.MakePod(name).Namespace("shop").CPU(fmt.Sprint(100*(1+l.random.IntN(3)), "m")).
		With(func(p *corev1.Pod) { p.UID, p.Spec.SchedulerName = "", corev1.DefaultSchedulerName }).Obj())
	switch l.random.IntN(8) {
	case 0:
		l.remove(p)
		return
	case 1, 2:
		if p.Spec.NodeName == "" {
			p.Spec.NodeName, p.Status.Conditions = nodeName, nil
		}
	case 3:
		p.Status.NominatedNodeName = nodeName
	case 4:
		p.DeletionTimestamp = &metav1.Time{Time: noon}
	case 5:
		p.Status.Phase = corev1.PodSucceeded
	default:
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
	}
	l.set(p)
}

func (l *life) picture(c *Cluster) *Picture {
	l.t.Helper()
	p, err := c.Snapshot(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *life) following(clock *testingclock.FakePassiveClock) *Cluster {
	l.t.Helper()
	c := New(nil, clock)
	if err := c.Follow(l.t.Context(), l); err != nil {
		l.t.Fatal(err)
	}
	return c
}

func planOf(t *testing.T, p *Picture) scheduling.Plan {
	t.Helper()
	plan, err := scheduling.Solve(scheduling.Input{
		Cluster: p.Snapshot, Pods: p.Pending, Groups: p.Groups(), Offerings: build.Catalogue(), Promised: p.Promised(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// TestAPictureShowsWhatReadingEverythingShows lets a cluster live. Events come at once, late or in part; after each step a Picture made from the last one
// must show what a Picture shows that was made of everything, and lead to the same plan.
func TestAPictureShowsWhatReadingEverythingShows(t *testing.T) {
	for seed := range uint64(10) {
		l := newLife(t, seed)
		clock := testingclock.NewFakePassiveClock(noon)
		followed, whole := l.following(clock), New(l, clock)
		for step := range 150 {
			for range 1 + l.random.IntN(3) {
				l.happen()
			}
			l.Deliver([]int{0, 1, 100}[l.random.IntN(3)])
			got, want := l.picture(followed), l.picture(whole)
			if diff := cmp.Diff(everything(t, want), everything(t, got)); diff != "" {
				t.Fatalf("seed %d, step %d (-everything +followed):\n%s", seed, step, diff)
			}
			if step%15 == 0 {
				if diff := cmp.Diff(planOf(t, want), planOf(t, got)); diff != "" {
					t.Fatalf("seed %d, step %d: plans differ (-everything +followed):\n%s", seed, step, diff)
				}
			}
		}
	}
}

func TestAMissedEventDoesNotLeadAstrayForEver(t *testing.T) {
	l := newLife(t, 1)
	clock := testingclock.NewFakePassiveClock(noon)
	followed := l.following(clock)
	l.set(node("slave-1", "1"))
	l.set(node("slave-2", "1"))
	l.Deliver(100)
	l.picture(followed)

	l.remove(node("slave-1", "1"))
	l.Lose()
	l.set(node("slave-3", "1"))
	l.Deliver(100)
	clock.SetTime(noon.Add(compareEvery))
	if diff := cmp.Diff([]string{"slave-2", "slave-3"}, namesOf(l.picture(followed).Snapshot.Nodes())); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

func namesOf[T roster.Object](list []T) []string {
	names := []string{}
	for _, o := range list {
		names = append(names, o.GetName())
	}
	return names
}

func TestAPictureThatIsAskedForBeforeAnEventComesShowsWhatItIsAbout(t *testing.T) {
	l := newLife(t, 1)
	followed := l.following(testingclock.NewFakePassiveClock(noon))
	l.Deliver(100)
	l.picture(followed)
	l.set(pod("waits", "", corev1.PodReasonUnschedulable, corev1.PodPending))
	if diff := cmp.Diff([]string{"waits"}, namesOf(l.picture(followed).Pending)); diff != "" {
		t.Errorf("waiting pods (-want +got):\n%s", diff)
	}
}

func TestMarksDoNotPileUpWhileNobodyAsks(t *testing.T) {
	l := newLife(t, 1)
	informer, err := l.GetInformer(t.Context(), &corev1.Pod{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSource[*corev1.Pod](informer)
	if err != nil {
		t.Fatal(err)
	}
	s.refresh(noon)
	for i := range 3000 {
		p := pod(fmt.Sprint("job-", i), "", "", corev1.PodPending)
		l.set(p)
		l.remove(p)
		l.Deliver(10)
		if len(s.marked) > 1500 {
			t.Fatalf("after %d pods that came and went, %d names are marked", i, len(s.marked))
		}
	}
	l.set(pod("stays", "", "", corev1.PodPending))
	l.Deliver(1)
	if diff := cmp.Diff([]string{"stays"}, namesOf(s.refresh(noon))); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

func TestAnOptionalKindShowsWhereTheAPIServerHasIt(t *testing.T) {
	for _, has := range []bool{true, false} {
		l := newLife(t, 1)
		l.set(build.MakeResourceClaim("claim", "gpu"))
		if !has {
			l.Without(&resourceapi.ResourceClaim{})
		}
		claims := l.picture(l.following(testingclock.NewFakePassiveClock(noon))).Snapshot.Objects().ResourceClaims
		if shows := len(claims) == 1; shows != has {
			t.Errorf("the API server has the kind: %v; the picture shows the claim: %v", has, shows)
		}
	}
}

func TestAKindThatMustBeThereIsNotLeftOut(t *testing.T) {
	l := newLife(t, 1)
	l.Without(&v1alpha1.VPSieNode{})
	if err := New(nil, testingclock.NewFakePassiveClock(noon)).Follow(t.Context(), l); err == nil || !strings.Contains(err.Error(), "watching *v1alpha1.VPSieNode") {
		t.Errorf("got error %v", err)
	}
}

func TestNoPictureIsMadeOfWatchesThatHaveNotCaughtUp(t *testing.T) {
	l := newLife(t, 1)
	followed := l.following(testingclock.NewFakePassiveClock(noon))
	l.Hang()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if picture, err := followed.Snapshot(ctx); picture != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", picture, err)
	}
}

func TestUsersOfPicturesDoNotDisturbEachOther(t *testing.T) {
	l := newLife(t, 2)
	followed := l.following(testingclock.NewFakePassiveClock(noon))
	for range 100 {
		l.happen()
	}
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 10 {
				p, err := followed.Snapshot(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				before := everything(t, p)
				planOf(t, p)
				if after := everything(t, p); after != before {
					t.Errorf("while others took pictures and planned (-before +after):\n%s", cmp.Diff(before, after))
				}
				for _, n := range p.Snapshot.Nodes() {
					if err := p.Snapshot.RemoveNode(n.Name); err != nil {
						t.Error(err)
					}
				}
				p.Machines, p.Pending = append(p.Machines[:0], Machine{}), append(p.Pending[:0], &corev1.Pod{})
			}
		})
	}
	for range 300 {
		l.happen()
		l.Deliver(2)
	}
	users.Wait()
	l.Deliver(1000)
	got, want := l.picture(followed), l.picture(New(l, testingclock.NewFakePassiveClock(noon)))
	if diff := cmp.Diff(everything(t, want), everything(t, got)); diff != "" {
		t.Errorf("in the end (-everything +followed):\n%s", diff)
	}
}
