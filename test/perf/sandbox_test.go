// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build performance

// Package perf measures what has to stay within bounds on a small machine: time, CPU and memory. It proves no behaviour.
package perf

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/samber/lo"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/controlplane"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/programs"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

// The sandbox has to carry this on two cores.
const (
	sandboxNodes       = 200
	sandboxDeployments = 10
	sandboxReplicas    = 500 // of each
	sandboxPods        = sandboxDeployments * sandboxReplicas
	sandboxIdle        = 30 * time.Second
	sandboxPatience    = 15 * time.Minute // with each phase; docs/sandbox.md has what they really take
)

// TestTheSandboxCarriesTwoHundredNodesAndFiveThousandPods has the controller buy two hundred machines of the simulated VPSie, fills them,
// leaves everything idle, empties it and gives the machines back, and tells what that cost. VPSie's books say how many were bought.
func TestTheSandboxCarriesTwoHundredNodesAndFiveThousandPods(t *testing.T) {
	g := NewWithT(t)
	ctx := t.Context()
	sandbox, kube := startSandbox(t)
	meter := newMeter(t, sandbox)

	g.Expect(kube.Create(ctx, wanted())).To(Succeed())
	g.Eventually(ctx, func(ctx context.Context) (int, error) { return readyMachines(ctx, kube) }).
		WithTimeout(sandboxPatience).WithPolling(time.Second).Should(Equal(sandboxNodes))
	meter.lap("200 machines bought, joined and ready")

	for i := range sandboxDeployments {
		g.Expect(kube.Create(ctx, spread(i))).To(Succeed())
	}
	g.Eventually(ctx, func(ctx context.Context) (int, error) { return readyReplicas(ctx, kube) }).
		WithTimeout(sandboxPatience).WithPolling(2 * time.Second).Should(Equal(sandboxPods))
	meter.lap("5,000 pods running")

	time.Sleep(sandboxIdle)
	idle := meter.lap("idle for " + sandboxIdle.String())
	g.Expect(idle).To(BeNumerically("<", sandboxIdle), "an idle sandbox takes more than one core")
	g.Expect(readyMachines(ctx, kube)).To(Equal(sandboxNodes), "nodes were given up while idle")
	g.Expect(books(ctx, sandbox)).To(Equal([2]int{sandboxNodes, sandboxNodes}), "machines ordered and still owned")

	g.Expect(kube.DeleteAllOf(ctx, &appsv1.Deployment{}, client.InNamespace("default"))).To(Succeed())
	g.Eventually(ctx, func(ctx context.Context) (int64, error) { return countPods(ctx, kube) }).
		WithTimeout(sandboxPatience).WithPolling(2 * time.Second).Should(BeZero())
	meter.lap("5,000 pods gone")

	g.Expect(kube.Patch(ctx, wanted(), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"minNodes":0}}`)))).To(Succeed())
	g.Eventually(ctx, func(ctx context.Context) ([2]int, error) { return books(ctx, sandbox) }).
		WithTimeout(sandboxPatience).WithPolling(time.Second).Should(Equal([2]int{sandboxNodes, 0}), "machines ordered and still owned")
	meter.lap("200 machines given back")
}

// startSandbox starts everything that `make sandbox` does, without leader election.
func startSandbox(t *testing.T) (*stack.Stack, client.Client) {
	t.Helper()
	g := NewWithT(t)
	repository, err := filepath.Abs("../..")
	g.Expect(err).NotTo(HaveOccurred())
	began := time.Now()
	sandbox, err := stack.Start(t.Context(), stack.Options{
		Bin: programs.Folder(repository), State: filepath.Join(t.TempDir(), "state"), Chart: filepath.Join(repository, "charts", "vpsie-autoscaler"),
		Controller: filepath.Join(repository, "bin", "vpsie-autoscaler"), WorkerLimit: sandboxNodes, Seed: 1, Boot: stack.Fast(),
		// On a machine that others use too the API server may be silent for ten seconds, after which a leader ends.
		ControllerArgs: []string{"--leader-elect=false"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("the end of the controller's log:", tail(sandbox.Info.ControllerLog))
		}
		g.Expect(sandbox.Stop()).To(Succeed())
	})
	t.Logf("usable after %s", time.Since(began).Round(time.Millisecond))
	g.Expect(time.Since(began)).To(BeNumerically("<", 30*time.Second))
	scheme := runtime.NewScheme()
	g.Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	kube, err := client.New(sandbox.Cluster.AdminConfig(), client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	return sandbox, kube
}

func tail(file string) string {
	log, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return err.Error()
	}
	return string(log[max(0, len(log)-4000):])
}

// wanted is a group of machines of one size that are there whether pods need them or not.
func wanted() *v1alpha1.NodeGroup {
	return &v1alpha1.NodeGroup{
		ObjectMeta: metav1.ObjectMeta{Name: "wide", Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue}},
		Spec: v1alpha1.NodeGroupSpec{
			MinNodes: new(int32(sandboxNodes)), MaxNodes: new(int32(sandboxNodes)),
			VPSie: v1alpha1.VPSieSettings{Offerings: []string{"Advanced"}},
			Disruption: v1alpha1.DisruptionRules{
				Policy: v1alpha1.DisruptWhenEmpty, ConsolidateAfter: &metav1.Duration{Duration: 2 * time.Second},
				Budgets: []v1alpha1.Budget{{Nodes: "100%"}},
			},
		},
	}
}

func spread(i int) *appsv1.Deployment {
	labels := map[string]string{"app": fmt.Sprint("app-", i)}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: labels["app"]},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(sandboxReplicas)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{
					Name: "main", Image: "registry.example/main:1",
					Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
					}},
				}}},
			},
		},
	}
}

// readyMachines counts the VPSieNodes that pods may run on.
func readyMachines(ctx context.Context, kube client.Client) (int, error) {
	var machines v1alpha1.VPSieNodeList
	if err := kube.List(ctx, &machines); err != nil {
		return 0, err
	}
	return lo.CountBy(machines.Items, func(m v1alpha1.VPSieNode) bool { return m.Status.Phase == v1alpha1.PhaseReady }), nil
}

// books says how many machines were ever ordered, and how many are still paid for.
func books(ctx context.Context, sandbox *stack.Stack) ([2]int, error) {
	report, err := sandbox.Admin.Ledger(ctx)
	return [2]int{report.Spend.Orders, report.Spend.Machines}, err
}

// readyReplicas counts ready pods by asking their Deployments: listing 5,000 pods takes a second of CPU.
func readyReplicas(ctx context.Context, kube client.Client) (int, error) {
	var deployments appsv1.DeploymentList
	if err := kube.List(ctx, &deployments, client.InNamespace("default")); err != nil {
		return 0, err
	}
	return lo.SumBy(deployments.Items, func(d appsv1.Deployment) int { return int(d.Status.ReadyReplicas) }), nil
}

func countPods(ctx context.Context, kube client.Client) (int64, error) {
	var pods corev1.PodList
	if err := kube.List(ctx, &pods, client.InNamespace("default"), client.Limit(1)); err != nil {
		return 0, err
	}
	return int64(len(pods.Items)) + ptr.Deref(pods.RemainingItemCount, 0), nil
}

// meter tells what each process used between laps, from /proc.
type meter struct {
	t     *testing.T
	pids  map[string]int
	order []string
	at    time.Time
	used  map[string]time.Duration

	failed <-chan error // a part of the sandbox ended
}

func newMeter(t *testing.T, sandbox *stack.Stack) *meter {
	// The kubelets and the simulated VPSie live in this process.
	m := &meter{
		t: t, pids: map[string]int{"controller": sandbox.Info.ControllerPID, "sandbox": os.Getpid()}, at: time.Now(), used: map[string]time.Duration{},
		failed: sandbox.Failed(),
	}
	for _, component := range controlplane.Components() {
		m.order = append(m.order, string(component))
		m.pids[string(component)] = sandbox.Cluster.PID(component)
	}
	m.order = append(m.order, "controller", "sandbox")
	for _, name := range m.order {
		m.used[name] = cpuTime(t, m.pids[name])
	}
	return m
}

// lap reports and returns the CPU time that all processes used since the last one.
func (m *meter) lap(what string) time.Duration {
	m.t.Helper()
	select {
	case err := <-m.failed:
		m.t.Fatalf("%s: %v", what, err)
	default:
	}
	var total time.Duration
	var parts []string
	for _, name := range m.order {
		now := cpuTime(m.t, m.pids[name])
		spent := now - m.used[name]
		m.used[name] = now
		total += spent
		parts = append(parts, fmt.Sprintf("%s %.1f s %d MiB", name, spent.Seconds(), residentMiB(m.t, m.pids[name])))
	}
	m.t.Logf("%s: %.1f s, %.1f CPU s (%s)", what, time.Since(m.at).Seconds(), total.Seconds(), strings.Join(parts, ", "))
	m.at = time.Now()
	return total
}

// cpuTime is what a process has used: fields 14 and 15 of its stat, in hundredths of a second.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	var ticks int64
	for _, field := range fields[11:13] {
		value, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += value
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func residentMiB(t *testing.T, pid int) int {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(content))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize() >> 20
}
