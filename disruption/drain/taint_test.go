// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package drain

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func TestANodeThatIsGoneIsDrained(t *testing.T) {
	for name, objects := range map[string][]client.Object{
		"the node is gone":              {pod("orphan")},
		"refuses to touch its namesake": {pod("guest"), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1", UID: "another"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, objects...)
			if got := w.drain(time.Time{}); !got.Done {
				t.Errorf("progress = %+v", got)
			}
			if err := w.drainer.Undo(context.Background(), theNode()); err != nil {
				t.Errorf("undoing: %v", err)
			}
			if len(w.asked) != 0 || len(w.pods()) != 1 {
				t.Errorf("asked %v, left %v", w.asked, w.pods())
			}
			if len(objects) > 1 && len(w.node().Spec.Taints) != 0 {
				t.Errorf("the namesake was tainted: %v", w.node().Spec.Taints)
			}
		})
	}
}

func TestRefusesANodeWithoutUID(t *testing.T) {
	w := newWorld(t, taintedNode(), pod("web"))
	node := theNode()
	node.UID = ""
	if _, err := w.drainer.Drain(context.Background(), node, time.Time{}); err == nil || len(w.asked) != 0 {
		t.Errorf("error = %v, asked %v", err, w.asked)
	}
}

func TestUndoReallyLetsPodsComeAgain(t *testing.T) {
	node := theNode()
	node.Labels = map[string]string{"team": "shop"}
	node.Spec.Taints = []corev1.Taint{
		{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule},
		{Key: v1alpha1.DisruptingTaint, Effect: corev1.TaintEffectNoExecute}, // not ours: another effect
	}
	w := newWorld(t, node)
	before := w.node()
	if err := w.drainer.Taint(context.Background(), theNode()); err != nil {
		t.Fatal(err)
	}
	if got := w.node(); len(got.Spec.Taints) != 3 || got.Labels[corev1.LabelNodeExcludeBalancers] == "" {
		t.Fatalf("not tainted: %v %v", got.Spec.Taints, got.Labels)
	}
	for range 2 { // the second time there is nothing left to do
		if err := w.drainer.Undo(context.Background(), theNode()); err != nil {
			t.Fatal(err)
		}
		after := w.node()
		if diff := cmp.Diff(before.Spec, after.Spec); diff != "" {
			t.Errorf("spec (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(before.Labels, after.Labels); diff != "" {
			t.Errorf("labels (-before +after):\n%s", diff)
		}
	}
}

func TestUndoRefusesToTakeALabelThatAPersonSet(t *testing.T) {
	node := theNode()
	node.Labels = map[string]string{corev1.LabelNodeExcludeBalancers: "true"}
	w := newWorld(t, node)
	if err := errors.Join(w.drainer.Taint(context.Background(), theNode()), w.drainer.Undo(context.Background(), theNode())); err != nil {
		t.Fatal(err)
	}
	if got := w.node().Labels[corev1.LabelNodeExcludeBalancers]; got != "true" {
		t.Errorf("label = %q", got)
	}
}

func TestRefusesToOverwriteAChangeOfTheNode(t *testing.T) {
	w := newWorld(t, theNode(), pod("web"))
	w.kube = interceptor.NewClient(w.kube, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			other := w.node()
			other.Spec.Taints = append(other.Spec.Taints, corev1.Taint{Key: "somebody-else", Effect: corev1.TaintEffectNoSchedule})
			if err := c.Update(ctx, other); err != nil {
				return err
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	w.drainer = New(w.kube, w.kube, Options{Clock: w.clock})
	if _, err := w.drainer.Drain(context.Background(), theNode(), time.Time{}); !apierrors.IsConflict(err) {
		t.Errorf("error = %v, want a conflict", err)
	}
	if taints := w.node().Spec.Taints; len(taints) != 1 || taints[0].Key != "somebody-else" {
		t.Errorf("taints = %v", taints)
	}
	if len(w.asked) != 0 {
		t.Errorf("evicted %v from a node without the taint", w.asked)
	}
}
