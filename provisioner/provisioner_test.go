// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"context"
	"errors"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

func machinesOf(t *testing.T, w *world) []v1alpha1.VPSieNode {
	t.Helper()
	list := &v1alpha1.VPSieNodeList{}
	if err := w.real.List(context.Background(), list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func TestAPodIsNotToldOfAMachineThatCouldNotBeWrittenDown(t *testing.T) {
	away := true
	w := newWorldWith(t, shop{offering("1", "Small", 100, true)}, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if away {
				return errors.New("the API server is away")
			}
			return c.Create(ctx, object, options...)
		},
	}, build.MakeNodeGroup("general").Obj(), waiting(build.MakePod("a").CPU("1")))
	w.pass(t) // opens the batch
	if _, err := w.Reconcile(context.Background(), reconcile.Request{}); err == nil || len(w.said.notes) != 0 {
		t.Errorf("got error %v and said %q, want an error and nothing said", err, w.said.notes)
	}
	away = false
	if got := w.plan(t); len(got) != 1 || !strings.HasPrefix(got[0], "a Planned: ") || len(machinesOf(t, w)) != 1 {
		t.Errorf("said %q with %d machines, want one machine and the pod told of it", got, len(machinesOf(t, w)))
	}
}

// TestNothingIsBoughtTwiceWhileTheWatchesAreBehind hides VPSieNodes from the Provisioner, as watches that lag do, also from one that has just
// started and created none.
func TestNothingIsBoughtTwiceWhileTheWatchesAreBehind(t *testing.T) {
	behind := true
	hide := interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
		if _, ok := list.(*v1alpha1.VPSieNodeList); ok && behind {
			return nil
		}
		return c.List(ctx, list, options...)
	}}
	w := newWorldWith(t, shop{offering("1", "Small", 100, true)}, hide, build.MakeNodeGroup("general").Obj(), waiting(build.MakePod("a").CPU("1")))
	w.plan(t)
	successor := w.restarted()
	successor.plan(t)
	if err := w.kube.Create(context.Background(), waiting(build.MakePod("b").CPU("500m"))); err != nil {
		t.Fatal(err)
	}
	successor.plan(t)
	if got := machinesOf(t, w); len(got) != 1 {
		t.Fatalf("%d machines while the watches are behind, want the first alone", len(got))
	}
	behind = false
	if got := successor.plan(t); len(got) != 1 || !strings.HasPrefix(got[0], "b Planned: waits for VPSieNode") {
		t.Errorf("said %q, want that the newcomer fits on the machine that is coming", got)
	}
	if got := machinesOf(t, w); len(got) != 1 {
		t.Errorf("%d machines, want the first alone: there is room for both pods", len(got))
	}
}
