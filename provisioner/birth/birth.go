// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package birth turns a Node that is being created into the same Node with the taint of an unregistered machine, where a VPSieNode waits
// for it. It is the admission webhook of clusters without MutatingAdmissionPolicy, and decides as the chart's policy does. It never
// refuses a Node and never changes anything else: a machine that is paid for joins whatever goes wrong here.
package birth

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// Path is where the webhook is served; the chart's MutatingWebhookConfiguration names it.
const Path = "/birth-taint"

// patience ends before the API server's own, which the chart sets to 2 seconds: an answer is counted, a silence is not.
const patience = time.Second

// Webhook answers for each Node that the API server creates.
type Webhook struct {
	machines client.Reader
	pattern  *regexp.Regexp
	metrics  *metrics
}

// Options are what a Webhook can do without.
type Options struct {
	// Registerer gets the metrics; nil registers them nowhere.
	Registerer prometheus.Registerer
}

// New returns a Webhook for Nodes whose names match the pattern. It reads VPSieNodes for every answer, so the reader should have a cache.
func New(machines client.Reader, pattern *regexp.Regexp, options Options) *Webhook {
	return &Webhook{machines: machines, pattern: pattern, metrics: newMetrics(options.Registerer)}
}

// SetupWithManager has the manager's webhook server serve it, in every replica.
func (w *Webhook) SetupWithManager(mgr manager.Manager) error {
	mgr.GetWebhookServer().Register(Path, &webhook.Admission{Handler: w})
	return nil
}

// Handle admits the Node, with the taint where it belongs. A panic has to end here: the API server takes the answer that
// controller-runtime makes of it for a refusal, and so a patch that cannot be applied, whatever the failurePolicy.
func (w *Webhook) Handle(ctx context.Context, request admission.Request) (response admission.Response) {
	logger := log.FromContext(ctx) // it names the node
	defer func() {
		if cause := recover(); cause != nil {
			response = w.unchanged(ctx, fmt.Errorf("panic: %v", cause))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	node := &corev1.Node{}
	if err := json.Unmarshal(request.Object.Raw, node); err != nil {
		return w.unchanged(ctx, fmt.Errorf("reading node %q: %w", request.Name, err))
	}
	var machines v1alpha1.VPSieNodeList
	if err := w.machines.List(ctx, &machines); err != nil {
		return w.unchanged(ctx, fmt.Errorf("listing VPSieNodes: %w", err))
	}
	taint, ok := Taint(node, machines.Items, w.pattern)
	if !ok {
		w.metrics.answered(left)
		logger.V(1).Info("left a node as it was at its birth")
		return admission.Allowed("")
	}
	changed, err := with(taint, request.Object.Raw)
	if err != nil {
		return w.unchanged(ctx, fmt.Errorf("adding a taint to node %q: %w", node.Name, err))
	}
	w.metrics.answered(tainted)
	logger.Info("tainted a worker at its birth", "effect", taint.Effect)
	return admission.PatchResponseFromRaw(request.Object.Raw, changed)
}

func (w *Webhook) unchanged(ctx context.Context, err error) admission.Response {
	w.metrics.answered(failed)
	log.FromContext(ctx).Error(err, "admitted a node without knowing whether it needs a taint")
	return admission.Allowed("")
}

// Taint says which taint a Node gets at its birth, if any. It is what charts/vpsie-autoscaler/templates/birth-taint.yaml says in CEL, but
// that a machine which is known counts as such also while VPSieNodes wait for others.
func Taint(node *corev1.Node, machines []v1alpha1.VPSieNode, pattern *regexp.Regexp) (corev1.Taint, bool) {
	taint := corev1.Taint{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoExecute}
	_, labelled := node.Labels[v1alpha1.ManagedLabel]
	switch {
	case !pattern.MatchString(node.Name), labelled,
		slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == taint.Key }):
		return corev1.Taint{}, false
	case slices.ContainsFunc(machines, func(m v1alpha1.VPSieNode) bool { return is(&m, node) && !expects(&m) }):
		taint.Effect = corev1.TaintEffectNoSchedule // it registers anew: its pods run, and may stay
		return taint, true
	default:
		return taint, slices.ContainsFunc(machines, func(m v1alpha1.VPSieNode) bool { return is(&m, node) || expects(&m) || owes(&m) })
	}
}

// is says whether a Node is the machine of a VPSieNode. Kubelets register in lower case whatever VPSie calls the machine.
func is(machine *v1alpha1.VPSieNode, node *corev1.Node) bool {
	return machine.Status.Hostname != "" && strings.ToLower(machine.Status.Hostname) == node.Name
}

// expects says whether a VPSieNode's machine has not joined.
func expects(machine *v1alpha1.VPSieNode) bool {
	return slices.Contains([]v1alpha1.VPSieNodePhase{
		"", v1alpha1.PhasePending, v1alpha1.PhaseProvisioning, v1alpha1.PhaseProvisioned,
	}, machine.Status.Phase)
}

// owes says whether the machine of a VPSieNode that gave up may still come.
func owes(machine *v1alpha1.VPSieNode) bool {
	return machine.Status.Phase == v1alpha1.PhaseFailed && machine.Status.Order != nil && machine.Status.InstanceID == ""
}

// with adds a taint to a Node as the API server wrote it, whose fields this program need not all know.
func with(taint corev1.Taint, raw []byte) ([]byte, error) {
	var node map[string]any
	if err := json.Unmarshal(raw, &node); err != nil {
		return nil, err
	}
	own, _, err := unstructured.NestedSlice(node, "spec", "taints")
	if err != nil {
		return nil, err
	}
	added, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&taint)
	if err != nil {
		return nil, err
	}
	if err := unstructured.SetNestedSlice(node, append(own, added), "spec", "taints"); err != nil {
		return nil, err
	}
	return json.Marshal(node)
}
