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
	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/controlplane"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/hollow"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/programs"
)

// The sandbox has to carry this on two cores.
const (
	sandboxNodes       = 200
	sandboxDeployments = 10
	sandboxReplicas    = 500 // of each
	sandboxIdle        = 30 * time.Second
)

// TestTheSandboxCarriesTwoHundredNodesAndFiveThousandPods fills a real control plane, leaves it idle,
// empties it, and tells what that cost.
func TestTheSandboxCarriesTwoHundredNodesAndFiveThousandPods(t *testing.T) {
	g := NewWithT(t)
	ctx := t.Context()
	bin := programs.Folder("../..")
	began := time.Now()
	cluster, err := controlplane.Start(ctx, bin, filepath.Join(t.TempDir(), "state"), controlplane.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(cluster.Stop()).To(Succeed()) })
	t.Logf("usable after %s", time.Since(began).Round(time.Millisecond))
	g.Expect(time.Since(began)).To(BeNumerically("<", 30*time.Second))
	fleet := hollow.NewFleet(cluster.AdminConfig(), hollow.Options{
		ReadyDelay: time.Second, StartDelay: hollow.Range{Min: time.Second, Max: 2 * time.Second}, StopDelay: time.Second,
	})
	t.Cleanup(fleet.Stop)
	client, err := kubernetes.NewForConfig(cluster.AdminConfig())
	g.Expect(err).NotTo(HaveOccurred())
	meter := newMeter(t, cluster)

	g.Expect(joinAll(ctx, fleet)).To(Succeed())
	g.Eventually(ctx, func(ctx context.Context) (int, error) { return readyNodes(ctx, client) }).
		WithTimeout(time.Minute).WithPolling(time.Second).Should(Equal(sandboxNodes))
	meter.lap("200 nodes ready")

	for i := range sandboxDeployments {
		_, err := client.AppsV1().Deployments("default").Create(ctx, spread(i), metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
	}
	g.Eventually(ctx, func(ctx context.Context) (int, error) { return readyReplicas(ctx, client) }).
		WithTimeout(10 * time.Minute).WithPolling(2 * time.Second).Should(Equal(sandboxDeployments * sandboxReplicas))
	meter.lap("5,000 pods running")

	time.Sleep(sandboxIdle)
	idle := meter.lap("idle for " + sandboxIdle.String())
	g.Expect(idle).To(BeNumerically("<", sandboxIdle), "an idle sandbox takes more than one core")
	g.Expect(readyNodes(ctx, client)).To(Equal(sandboxNodes), "nodes were given up while idle")

	g.Expect(client.AppsV1().Deployments("default").DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
	g.Eventually(ctx, func(ctx context.Context) (int64, error) { return countPods(ctx, client) }).
		WithTimeout(10 * time.Minute).WithPolling(2 * time.Second).Should(BeZero())
	meter.lap("5,000 pods gone")
	g.Expect(cluster.Failed()).NotTo(Receive())
}

func joinAll(ctx context.Context, fleet *hollow.Fleet) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(20)
	for i := range sandboxNodes {
		group.Go(func() error {
			return fleet.Join(ctx, hollow.Machine{
				Name: fmt.Sprintf("worker-%03d", i), IP: fmt.Sprintf("192.168.%d.%d", i/250, i%250+1), CPU: 8, MemoryMB: 16384, DiskGB: 100,
			})
		})
	}
	return group.Wait()
}

func spread(i int) *appsv1.Deployment {
	labels := map[string]string{"app": fmt.Sprint("app-", i)}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: labels["app"]},
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

func readyNodes(ctx context.Context, client kubernetes.Interface) (int, error) {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	count := 0
	for i := range nodes.Items {
		for _, condition := range nodes.Items[i].Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				count++
			}
		}
	}
	return count, nil
}

// readyReplicas counts ready pods by asking their Deployments: listing 5,000 pods takes a second of CPU.
func readyReplicas(ctx context.Context, client kubernetes.Interface) (int, error) {
	deployments, err := client.AppsV1().Deployments("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	count := 0
	for i := range deployments.Items {
		count += int(deployments.Items[i].Status.ReadyReplicas)
	}
	return count, nil
}

func countPods(ctx context.Context, client kubernetes.Interface) (int64, error) {
	pods, err := client.CoreV1().Pods("default").List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return 0, err
	}
	count := int64(len(pods.Items))
	if pods.RemainingItemCount != nil {
		count += *pods.RemainingItemCount
	}
	return count, nil
}

// meter tells what each process used between laps, from /proc.
type meter struct {
	t     *testing.T
	pids  map[string]int
	order []string
	at    time.Time
	used  map[string]time.Duration
}

func newMeter(t *testing.T, cluster *controlplane.Cluster) *meter {
	m := &meter{t: t, pids: map[string]int{"fleet and test": os.Getpid()}, at: time.Now(), used: map[string]time.Duration{}}
	for _, component := range controlplane.Components() {
		m.order = append(m.order, string(component))
		m.pids[string(component)] = cluster.PID(component)
	}
	m.order = append(m.order, "fleet and test")
	for _, name := range m.order {
		m.used[name] = cpuTime(t, m.pids[name])
	}
	return m
}

// lap reports and returns the CPU time that all processes used since the last one.
func (m *meter) lap(what string) time.Duration {
	m.t.Helper()
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
