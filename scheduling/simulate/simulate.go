// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package simulate turns a snapshot into verdicts: kube-scheduler's own framework, run in this process over the snapshot, says
// whether a pod fits on a node and which plugin says no. It never chooses between nodes and never talks to anything.
package simulate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
	"k8s.io/kubernetes/pkg/scheduler/metrics"
	schedutil "k8s.io/kubernetes/pkg/scheduler/util"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// initMetrics guards kube-scheduler's metric variables: they are nil until they are made, and making them again
// while an engine runs would be a race.
var initMetrics sync.Once //nolint:gochecknoglobals // as global as what it guards

// Options is what may differ from a stock kube-scheduler.
type Options struct {
	Scheduler *Scheduler // nil: the stock one of the linked version
}

// Verdict says whether a pod fits on a node, and if not, who says so and why.
type Verdict struct {
	Fits    bool
	Plugin  string   // empty where the framework itself refuses
	Reasons []string // the plugin's own words, sorted
}

// String returns the refusal in one line.
func (v Verdict) String() string {
	switch {
	case v.Fits:
		return "fits"
	case v.Plugin == "":
		return strings.Join(v.Reasons, ", ")
	}
	return v.Plugin + ": " + strings.Join(v.Reasons, ", ")
}

// Engine is one scheduling framework for each profile, all bound to one snapshot. It is for one goroutine at a time, and must be closed.
type Engine struct {
	snapshot   *snapshot.Snapshot
	frameworks []framework.Framework // by profile; the first judges pods of schedulers that are not known
	ctx        context.Context       //nolint:containedctx // only silences the plugins' logger: no call of theirs waits for anything
	stop       context.CancelFunc
	arguments  map[string][]config.PluginConfig // by profile

	devices  *devices
	reserved map[types.NamespacedName]reservation // by pod
	bookings []booking
	marks    []int // of bookings
}

// New makes an engine over a snapshot. It uses and changes that very snapshot.
func New(snap *snapshot.Snapshot, options Options) (*Engine, error) {
	initMetrics.Do(metrics.InitMetrics)
	profiles, more, err := options.Scheduler.content()
	if err != nil {
		return nil, err
	}
	registry := plugins.NewInTreeRegistry()
	if err := registry.Merge(more); err != nil {
		return nil, fmt.Errorf("registering plugins: %w", err)
	}
	registry[names.VolumeBinding] = once(registry[names.VolumeBinding])
	ctx, stop := context.WithCancel(klog.NewContext(context.Background(), logr.Discard()))
	devices := newDevices(snap)
	engine := &Engine{
		snapshot: snap, ctx: ctx, stop: stop, arguments: map[string][]config.PluginConfig{},
		devices: devices, reserved: map[types.NamespacedName]reservation{},
	}
	library := newLibrary()
	fill(library, snap)
	for i := range profiles {
		fw, err := runtime.NewFramework(ctx, registry, &profiles[i],
			runtime.WithInformerFactory(library),
			runtime.WithSnapshotSharedLister(snap),
			runtime.WithSharedDRAManager(devices),
			runtime.WithSharedCSIManager(csiNodes{snap}),
			runtime.WithParallelism(1), // whole simulations run in parallel, not parts of one
			runtime.WithLogger(logr.Discard()),
		)
		if err != nil {
			engine.Close()
			return nil, fmt.Errorf("making the scheduling framework of profile %q: %w", profiles[i].SchedulerName, err)
		}
		engine.frameworks = append(engine.frameworks, fw)
		engine.arguments[fw.ProfileName()] = profiles[i].PluginConfig
	}
	return engine, nil
}

// Close ends the engine's goroutines.
func (e *Engine) Close() {
	e.stop()
	for _, fw := range e.frameworks {
		runtime.WaitForShutdown(fw)
	}
}

// Snapshot returns the picture that the engine judges by.
func (e *Engine) Snapshot() *snapshot.Snapshot { return e.snapshot }

// Fits says whether the pod could be placed on the node now.
func (e *Engine) Fits(pod *corev1.Pod, node string) Verdict { return e.Ask(pod).Fits(node) }

// Place puts the pod on the node if it fits there, and keeps its volumes and devices from others.
func (e *Engine) Place(pod *corev1.Pod, node string) (Verdict, error) {
	query := e.Ask(pod)
	if verdict := query.Fits(node); !verdict.Fits {
		return verdict, nil
	}
	return query.Place(node)
}

// Query is one pod asked about any number of nodes. What depends on the whole cluster is computed once, so a Query holds only until
// the snapshot changes.
type Query struct {
	engine    *Engine
	framework framework.Framework // of the pod's profile
	pod       *corev1.Pod
	state     *framework.CycleState
	refusal   *Verdict
	nodes     sets.Set[string] // nil: any
}

// Ask prepares to judge the pod. A pod that is bound is judged as if it were not.
func (e *Engine) Ask(pod *corev1.Pod) *Query {
	if pod.Spec.NodeName != "" {
		unbound := *pod
		unbound.Spec.NodeName = ""
		pod = &unbound
	}
	query := &Query{engine: e, framework: e.frameworkOf(pod), pod: pod, state: framework.NewCycleState()}
	result, status, _ := query.framework.RunPreFilterPlugins(e.ctx, query.state, pod)
	if !status.IsSuccess() {
		refusal := verdictOf(status)
		query.refusal = &refusal
		return query
	}
	if !result.AllNodes() {
		query.nodes = result.NodeNames
	}
	return query
}

// AskNarrow is Ask for a pod to which only the pods of some shapes matter; those that have anti-affinity need not be among them.
func (e *Engine) AskNarrow(pod *corev1.Pod, matters func(*snapshot.Shape) bool) *Query {
	e.snapshot.Narrow(matters)
	defer e.snapshot.Widen()
	return e.Ask(pod)
}

func (e *Engine) frameworkOf(pod *corev1.Pod) framework.Framework {
	name := cmp.Or(pod.Spec.SchedulerName, corev1.DefaultSchedulerName)
	for _, fw := range e.frameworks {
		if fw.ProfileName() == name {
			return fw
		}
	}
	return e.frameworks[0]
}

// Refused returns the verdict that holds for every node, where there is one.
func (q *Query) Refused() (Verdict, bool) {
	if q.refusal == nil {
		return Verdict{}, false
	}
	return *q.refusal, true
}

// Fits says whether the pod could be placed on the node.
func (q *Query) Fits(node string) Verdict {
	info, err := q.engine.snapshot.NodeInfos().Get(node)
	if err != nil {
		return Verdict{Reasons: []string{err.Error()}}
	}
	return q.FitsOn(info)
}

// FitsOn is Fits for a node in another state than the snapshot's.
func (q *Query) FitsOn(info fwk.NodeInfo) Verdict {
	if q.refusal != nil {
		return *q.refusal
	}
	if q.nodes != nil && !q.nodes.Has(info.Node().Name) {
		return Verdict{Plugin: "NodeAffinity", Reasons: []string{"the pod is tied to other nodes by name"}}
	}
	return verdictOf(q.framework.RunFilterPlugins(q.engine.ctx, q.state, q.pod, info))
}

// FitsInstead says whether the pod could be placed on the node if an equal one, which is there now, were not.
func (q *Query) FitsInstead(twin *corev1.Pod, node string) (Verdict, error) {
	if q.refusal != nil {
		return *q.refusal, nil
	}
	info, err := q.engine.snapshot.NodeInfos().Get(node)
	if err != nil {
		return Verdict{}, err
	}
	at := slices.IndexFunc(info.GetPods(), func(p fwk.PodInfo) bool {
		return p.GetPod().Name == twin.Name && p.GetPod().Namespace == twin.Namespace
	})
	if at < 0 {
		return Verdict{}, fmt.Errorf("asking about node %q without pod %q: it is not there", node, keyOf(twin))
	}
	pod, e := info.GetPods()[at], q.engine
	// Exact for one pod that is taken away and put back; for more, the spread's least count would not be.
	if status := q.framework.RunPreFilterExtensionRemovePod(e.ctx, q.state, q.pod, pod, info); !status.IsSuccess() {
		return verdictOf(status), nil
	}
	if err := info.RemovePod(logr.Discard(), pod.GetPod()); err != nil {
		return Verdict{}, fmt.Errorf("asking about node %q without pod %q: %w", node, keyOf(twin), err)
	}
	keepPorts(info, pod.GetPod())
	verdict := q.FitsOn(info)
	info.AddPodInfo(pod)
	if status := q.framework.RunPreFilterExtensionAddPod(e.ctx, q.state, q.pod, pod, info); !status.IsSuccess() {
		return Verdict{}, fmt.Errorf("asking about node %q without pod %q: %w", node, keyOf(twin), status.AsError())
	}
	return verdict, nil
}

// keepPorts mends a node that a pod has left: it keeps a set of ports, so that one that another pod took as well would look free.
func keepPorts(info fwk.NodeInfo, gone *corev1.Pod) {
	if len(schedutil.GetHostPorts(gone)) == 0 {
		return
	}
	for _, other := range info.GetPods() {
		for _, port := range schedutil.GetHostPorts(other.GetPod()) {
			info.GetUsedPorts().Add(port.HostIP, string(port.Protocol), port.HostPort)
		}
	}
}

func verdictOf(status *fwk.Status) Verdict {
	if status.IsSuccess() {
		return Verdict{Fits: true}
	}
	reasons := slices.Clone(status.Reasons())
	slices.Sort(reasons)
	return Verdict{Plugin: status.Plugin(), Reasons: slices.Compact(reasons)}
}
