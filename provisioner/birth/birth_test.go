// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package birth

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

const worker = "hel-kubernetes-49ab-slave-01ab"

var (
	workers = regexp.MustCompile(`-slave-[0-9a-f]+$`)
	first   = corev1.Taint{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoExecute}
	again   = corev1.Taint{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoSchedule}
)

func node(name string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints}}
}

func machine(status v1alpha1.VPSieNodeStatus) v1alpha1.VPSieNode {
	return v1alpha1.VPSieNode{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Status: status}
}

func TestTaint(t *testing.T) {
	waiting := machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseProvisioning})
	labelled := node(worker)
	labelled.Labels = map[string]string{v1alpha1.ManagedLabel: "true"}
	cases := map[string]struct {
		node     *corev1.Node
		machines []v1alpha1.VPSieNode
		want     *corev1.Taint
	}{
		"a worker that joins while a VPSieNode waits":         {node(worker), []v1alpha1.VPSieNode{waiting}, &first},
		"a worker while a VPSieNode was only just written":    {node(worker), []v1alpha1.VPSieNode{machine(v1alpha1.VPSieNodeStatus{})}, &first},
		"a worker that brings a taint":                        {node(worker, corev1.Taint{Key: "example.com/gpu"}), []v1alpha1.VPSieNode{waiting}, &first},
		"a worker that brings the taint":                      {node(worker, again), []v1alpha1.VPSieNode{waiting}, nil},
		"a node with another name":                            {node("static-1"), []v1alpha1.VPSieNode{waiting}, nil},
		"a control-plane node":                                {node("hel-kubernetes-49ab-master-01ab"), []v1alpha1.VPSieNode{waiting}, nil},
		"a node whose name goes on after the digits":          {node(worker + "-copy"), []v1alpha1.VPSieNode{waiting}, nil},
		"a worker that has our label":                         {labelled, []v1alpha1.VPSieNode{waiting}, nil},
		"a worker while there is no VPSieNode at all":         {node(worker), nil, nil},
		"a worker of which VPSie tells the name in capitals":  {node(worker), []v1alpha1.VPSieNode{machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady, Hostname: "HEL-kubernetes-49AB-slave-01ab"})}, &again},
		"a worker that is expected by its name":               {node(worker), []v1alpha1.VPSieNode{machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseProvisioned, Hostname: worker})}, &first},
		"a worker whose VPSieNode gave up before it ordered":  {node(worker), []v1alpha1.VPSieNode{machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseFailed})}, nil},
		"a worker whose VPSieNode gave up on its order":       {node(worker), []v1alpha1.VPSieNode{machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseFailed, Order: &v1alpha1.OrderRecord{}})}, &first},
		"a worker while a failed VPSieNode has its machine":   {node(worker), []v1alpha1.VPSieNode{machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseFailed, Order: &v1alpha1.OrderRecord{}, InstanceID: "0d1c"})}, nil},
		"a known worker, listed after a VPSieNode that waits": {node(worker), []v1alpha1.VPSieNode{waiting, machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady, Hostname: worker})}, &again},
		"a node without a name":                               {node(""), []v1alpha1.VPSieNode{waiting, machine(v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady})}, nil},
	}
	for _, phase := range []v1alpha1.VPSieNodePhase{
		v1alpha1.PhaseJoining, v1alpha1.PhaseReady, v1alpha1.PhaseTerminating, v1alpha1.PhaseDeleting, v1alpha1.PhaseFailed,
	} {
		status := v1alpha1.VPSieNodeStatus{Phase: phase, Hostname: worker, InstanceID: "0d1c", Order: &v1alpha1.OrderRecord{}}
		maps.Copy(cases, map[string]struct {
			node     *corev1.Node
			machines []v1alpha1.VPSieNode
			want     *corev1.Taint
		}{
			"the machine of a VPSieNode that is " + string(phase):               {node(worker), []v1alpha1.VPSieNode{machine(status)}, &again},
			"another machine than that of a VPSieNode that is " + string(phase): {node("hel-kubernetes-49ab-slave-02ab"), []v1alpha1.VPSieNode{machine(status)}, nil},
		})
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got *corev1.Taint
			if taint, ok := Taint(tc.node, tc.machines, workers); ok {
				got = &taint
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("taint (-want +got):\n%s", diff)
			}
		})
	}
}

// reader lists VPSieNodes, or cannot.
type reader struct {
	client.Reader
	machines []v1alpha1.VPSieNode
	err      error
	panics   bool
}

func (r reader) List(ctx context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if _, limited := ctx.Deadline(); !limited {
		return errors.New("nothing ends this list")
	}
	if r.panics {
		panic("broken")
	}
	list.(*v1alpha1.VPSieNodeList).Items = r.machines
	return r.err
}

func TestHandleNeverRefusesANode(t *testing.T) {
	waits := []v1alpha1.VPSieNode{machine(v1alpha1.VPSieNodeStatus{})}
	const unknown = `{"kind":"Node","metadata":{"name":"` + worker + `"},"spec":{"taints":[{"key":"own","effect":"NoSchedule"}],"newField":9007199254740993}}`
	cases := map[string]struct {
		machines reader
		raw      string
		want     string // the patch
		counts   answer
	}{
		"a worker that is waited for gets the taint": {
			reader{machines: waits}, `{"metadata":{"name":"` + worker + `"},"spec":{}}`,
			`[{"op":"add","path":"/spec/taints","value":[{"effect":"NoExecute","key":"autoscaler.vpsie.com/unregistered"}]}]`, tainted,
		},
		"a worker without a spec gets a patch that can be applied": {
			reader{machines: waits}, `{"metadata":{"name":"` + worker + `"}}`,
			`[{"op":"add","path":"/spec","value":{"taints":[{"effect":"NoExecute","key":"autoscaler.vpsie.com/unregistered"}]}}]`, tainted,
		},
		"a worker keeps its taints, and fields that this version does not know": {
			reader{machines: waits}, unknown, `[{"op":"add","path":"/spec/taints/1","value":{"effect":"NoExecute","key":"autoscaler.vpsie.com/unregistered"}}]`, tainted,
		},
		"a node of others is left alone":                        {reader{machines: waits}, `{"metadata":{"name":"static-1"}}`, ``, left},
		"a list that fails changes nothing":                     {reader{machines: waits, err: errors.New("no cache")}, `{"metadata":{"name":"` + worker + `"}}`, ``, failed},
		"a panic changes nothing":                               {reader{panics: true}, `{"metadata":{"name":"` + worker + `"}}`, ``, failed},
		"a node that cannot be read is admitted":                {reader{machines: waits}, `{"metadata":{"name":5}}`, ``, failed},
		"a node of which there is nothing is admitted":          {reader{machines: waits}, ``, ``, failed},
		"taints that cannot be added to are left as they stand": {reader{machines: waits}, `{"metadata":{"name":"` + worker + `"},"spec":{"taints":null}}`, ``, failed},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			registry := prometheus.NewPedanticRegistry()
			hook := New(tc.machines, workers, Options{Registerer: registry})
			var request admission.Request
			request.UID, request.Object = "1", runtime.RawExtension{Raw: []byte(tc.raw)}
			response := (&admission.Webhook{Handler: hook}).Handle(t.Context(), request)
			if !response.Allowed {
				t.Fatalf("refused a node: %v", response.Result)
			}
			if diff := cmp.Diff(decoded(t, tc.want), decoded(t, string(response.Patch))); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
			for _, a := range []answer{tainted, left, failed} {
				want := 0.0
				if a == tc.counts {
					want = 1
				}
				if got := testutil.ToFloat64(hook.metrics.answers.WithLabelValues(string(a))); got != want {
					t.Errorf("counted %v answers %s, want %v", got, a, want)
				}
			}
		})
	}
}

func decoded(t *testing.T, patch string) (operations []map[string]any) {
	t.Helper()
	if patch == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(patch), &operations); err != nil {
		t.Fatal(err)
	}
	return operations
}
