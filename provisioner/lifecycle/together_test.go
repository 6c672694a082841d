// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// companion is another machine of the plan, at some point of its life. Its Node is called like it.
type companion struct {
	plan     string // "a" is the plan of the VPSieNode that is tested
	node     corev1.ConditionStatus
	joined   bool
	open     bool
	settling bool // Ready, and Kubernetes has not yet taken its taint off
	failed   bool
	leaving  bool
}

func (c companion) objects(name string) []client.Object {
	vn := vpsieNode()
	vn.Name, vn.UID = name, types.UID("uid-"+name)
	vn.Annotations = map[string]string{v1alpha1.PlanAnnotation: c.plan, v1alpha1.PodsAnnotation: "shop/of-" + name}
	if c.failed {
		vn.Status.Phase = v1alpha1.PhaseFailed
	}
	if c.leaving {
		vn.DeletionTimestamp = &metav1.Time{Time: noon}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "of-" + name}}
	if !c.joined {
		return []client.Object{vn, pod}
	}
	vn.Status.InstanceID, vn.Status.Hostname, vn.Status.NodeName = "i-"+name, name, name
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.VPSieNodeLabel: name}},
		Status:     corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: c.node}}},
	}
	if !c.open {
		node.Spec.Taints = []corev1.Taint{hold()}
	}
	if c.settling {
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
	}
	return []client.Object{vn, pod, node}
}

func TestNodesOfAPlanOpenTogether(t *testing.T) {
	ready := companion{plan: "a", joined: true, node: corev1.ConditionTrue}
	starting := companion{plan: "a", joined: true, node: corev1.ConditionFalse}
	settling := companion{plan: "a", joined: true, node: corev1.ConditionTrue, settling: true}
	cases := map[string]struct {
		others   []companion
		atOnce   bool
		readyFor time.Duration
		waitsFor string // names, as the condition tells them; empty: the Node opens
		opens    []int  // of the others
	}{
		"alone, at once":                       {},
		"with one that is ready":               {others: []companion{ready}, opens: []int{0}},
		"not before one that starts":           {others: []companion{ready, starting}, readyFor: 9 * time.Second, waitsFor: "other-1"},
		"not before Kubernetes took its taint": {others: []companion{ready, settling}, readyFor: 9 * time.Second, waitsFor: "other-1"},
		"not before one that did not join":     {others: []companion{{plan: "a"}}, waitsFor: "other-0"},
		"not for ever":                         {others: []companion{ready, starting}, readyFor: 10 * time.Second, opens: []int{0}},
		"without waiting, if told so":          {others: []companion{starting}, atOnce: true},
		"whatever another plan does":           {others: []companion{{plan: "b"}, {plan: "b", joined: true, node: corev1.ConditionTrue}}},
		"although one failed":                  {others: []companion{{plan: "a", failed: true}}},
		"although one is taken away":           {others: []companion{{plan: "a", leaving: true}}},
		"after one that is open already":       {others: []companion{{plan: "a", joined: true, node: corev1.ConditionTrue, open: true}}},
		"although one opened and broke again":  {others: []companion{{plan: "a", joined: true, node: corev1.ConditionFalse, open: true}}},
		"not before many, and names three":     {others: []companion{starting, starting, starting, starting}, waitsFor: "other-0, other-1, other-2, ..."},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			vn := vpsieNode()
			vn.Annotations = map[string]string{v1alpha1.PlanAnnotation: "a", v1alpha1.PodsAnnotation: "shop/cart"}
			objects := []client.Object{vn, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}}}
			for i, other := range c.others {
				objects = append(objects, other.objects("other-"+string(rune('0'+i)))...)
			}
			w := newWorld(t, objects...)
			if w.r.options.OpenTogether = 10 * time.Second; c.atOnce {
				w.r.options.OpenTogether = 0
			}
			w.becomesReady()
			result, err := w.step(c.readyFor)
			if err != nil {
				t.Fatal(err)
			}
			if c.waitsFor == "" {
				if _, err := w.step(nominationsSettle); err != nil { // before, the pods are only nominated
					t.Fatal(err)
				}
			}
			if got, want := held(w.theNode()), c.waitsFor != ""; got != want {
				t.Fatalf("the Node is held: %v, want %v; %s", got, want, w.explain())
			}
			if c.waitsFor != "" {
				initialized := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionInitialized)
				if initialized.Reason != reasonAwaitingPlan || !strings.HasSuffix(initialized.Message, "waiting for "+c.waitsFor) {
					t.Errorf("the VPSieNode says %s: %s", initialized.Reason, initialized.Message)
				}
				if want := 10*time.Second - c.readyFor; result.RequeueAfter > want {
					t.Errorf("looks again after %s, want at most %s", result.RequeueAfter, want)
				}
			}
			for i, other := range c.others {
				if !other.joined || other.open {
					continue
				}
				name := "other-" + string(rune('0'+i))
				node, pod := &corev1.Node{}, &corev1.Pod{}
				if err := w.kube.Get(t.Context(), client.ObjectKey{Name: name}, node); err != nil {
					t.Fatal(err)
				}
				if err := w.kube.Get(t.Context(), client.ObjectKey{Namespace: "shop", Name: "of-" + name}, pod); err != nil {
					t.Fatal(err)
				}
				opens := false
				for _, open := range c.opens {
					opens = opens || open == i
				}
				if opens == held(node) || opens != (pod.Status.NominatedNodeName == name) {
					t.Errorf("%s is held: %v, its pod is nominated to %q; want it open: %v", name, held(node), pod.Status.NominatedNodeName, opens)
				}
			}
		})
	}
}

func TestANodeOpensWhenTheNominationsOfItsPodsStand(t *testing.T) {
	vn := vpsieNode()
	vn.Annotations = map[string]string{v1alpha1.PodsAnnotation: "shop/cart,shop/bound"}
	cart := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "cart"}}
	bound := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bound"}, Spec: corev1.PodSpec{NodeName: "elsewhere"}}
	w := newWorld(t, vn, cart, bound)
	w.becomesReady()
	look := func(after time.Duration, wantHeld bool) {
		t.Helper()
		if _, err := w.step(after); err != nil {
			t.Fatal(err)
		}
		if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(cart), cart); err != nil {
			t.Fatal(err)
		}
		if cart.Status.NominatedNodeName != "hel-slave-x" || held(w.theNode()) != wantHeld {
			t.Fatalf("nominated to %q, held: %v, want held: %v; %s", cart.Status.NominatedNodeName, held(w.theNode()), wantHeld, w.explain())
		}
	}
	triedInVain := func() {
		t.Helper()
		cart.Status.NominatedNodeName = ""
		if err := w.kube.Status().Update(t.Context(), cart); err != nil {
			t.Fatal(err)
		}
	}
	look(0, true)
	look(0, true) // however soon it is looked at again: what it wrote of itself comes back as an event
	look(nominationsSettle-time.Millisecond, true)
	triedInVain()
	look(nominationsSettle, true)
	if says := meta.FindStatusCondition(w.node().Status.Conditions, v1alpha1.ConditionInitialized); !strings.HasSuffix(says.Message, "waiting for the nominations of its pods") {
		t.Errorf("it says %q", says.Message)
	}
	triedInVain()
	look(settleWithin, false) // not for ever
}
