// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

// Package e2e drives the whole product in the sandbox: a real control plane with RBAC, the controller under the chart's service
// account, hollow kubelets and the simulated VPSie, whose ledger is the judge of what was bought.
package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/samber/lo"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/ledger"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

func TestE2E(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "end to end")
}

const (
	soon = 60 * time.Second
	poll = 200 * time.Millisecond
	// orderSettle is how long the controller here looks for an order of unknown outcome.
	orderSettle = 10 * time.Second
)

var (
	sandbox *stack.Stack
	kube    client.Client
)

func repository() string {
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	Expect(err).NotTo(HaveOccurred())
	return dir
}

var _ = BeforeSuite(func(ctx SpecContext) {
	bin := os.Getenv("KUBEBUILDER_ASSETS")
	Expect(bin).NotTo(BeEmpty(), "KUBEBUILDER_ASSETS must name the control plane's programs; run make test-e2e")
	var err error
	sandbox, err = stack.Start(ctx, stack.Options{
		Bin: bin, State: GinkgoT().TempDir(), Chart: filepath.Join(repository(), "charts", "vpsie-autoscaler"),
		Controller: filepath.Join(repository(), "bin", "vpsie-autoscaler"), WorkerLimit: 12, Seed: 1, Boot: stack.Fast(),
		ControllerArgs: []string{"--order-settle=" + orderSettle.String(), "--launch-timeout=60s", "--registration-timeout=60s", "--failed-ttl=20s", "--log-level=debug",
			"--garbage-interval=3s", "--garbage-minimum-age=12s"},
		Step: func(format string, args ...any) { GinkgoWriter.Printf(format+"\n", args...) },
	})
	Expect(err).NotTo(HaveOccurred())
	scheme := runtime.NewScheme()
	Expect(clientgoscheme.AddToScheme(scheme)).To(Succeed())
	Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
	kube, err = client.New(sandbox.Cluster.AdminConfig(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
}, NodeTimeout(3*time.Minute))

var _ = AfterSuite(func() {
	if sandbox != nil {
		Expect(sandbox.Stop()).To(Succeed())
	}
})

var _ = ReportAfterEach(func(report SpecReport) {
	if !report.Failed() || sandbox == nil {
		return
	}
	log, err := os.ReadFile(sandbox.Info.ControllerLog)
	if err == nil {
		GinkgoWriter.Printf("the end of the controller's log:\n%s\n", log[max(0, len(log)-20000):])
	}
})

// tidy removes what a spec made, and checks that nothing is left that costs money.
func tidy(ctx context.Context) {
	GinkgoHelper()
	Expect(client.IgnoreNotFound(kube.DeleteAllOf(ctx, &appsv1.Deployment{}, client.InNamespace("default")))).To(Succeed())
	Expect(kube.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace("default"))).To(Succeed())
	Expect(kube.DeleteAllOf(ctx, &v1alpha1.NodeGroup{})).To(Succeed())
	Eventually(ctx, func(g Gomega) {
		g.Expect(nodeGroups(ctx, g)).To(BeEmpty())
		g.Expect(vpsieNodes(ctx, g)).To(BeEmpty())
		g.Expect(owned(ctx, g)).To(BeEmpty())
	}).WithTimeout(2 * soon).WithPolling(poll).Should(Succeed())
	Expect(sandbox.Admin.ClearFaults(ctx)).To(Succeed())
}

func nodeGroup(name string, change func(*v1alpha1.NodeGroup)) *v1alpha1.NodeGroup {
	ng := &v1alpha1.NodeGroup{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue}},
		Spec: v1alpha1.NodeGroupSpec{
			Disruption: v1alpha1.DisruptionRules{
				Policy: v1alpha1.DisruptWhenEmpty, ConsolidateAfter: &metav1.Duration{Duration: 2 * time.Second},
				Budgets: []v1alpha1.Budget{{Nodes: "100%"}},
			},
		},
	}
	if change != nil {
		change(ng)
	}
	return ng
}

func deployment(name string, replicas int32, cpu, memory string) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: ptr.To[int64](1),
					Containers: []corev1.Container{{Name: "app", Image: "shop/app:1", Resources: corev1.ResourceRequirements{
						Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)},
					}}},
				},
			},
		},
	}
}

func scale(ctx context.Context, name string, replicas int32) {
	GinkgoHelper()
	d := &appsv1.Deployment{}
	Expect(kube.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, d)).To(Succeed())
	before := d.DeepCopy()
	d.Spec.Replicas = &replicas
	Expect(kube.Patch(ctx, d, client.MergeFrom(before))).To(Succeed())
}

func running(ctx context.Context, g Gomega) int {
	return lo.CountBy(pods(ctx, g), func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil })
}

func pods(ctx context.Context, g Gomega) []corev1.Pod {
	list := &corev1.PodList{}
	g.Expect(kube.List(ctx, list, client.InNamespace("default"))).To(Succeed())
	return list.Items
}

func vpsieNodes(ctx context.Context, g Gomega) []v1alpha1.VPSieNode {
	list := &v1alpha1.VPSieNodeList{}
	g.Expect(kube.List(ctx, list)).To(Succeed())
	return list.Items
}

func nodeGroups(ctx context.Context, g Gomega) []v1alpha1.NodeGroup {
	list := &v1alpha1.NodeGroupList{}
	g.Expect(kube.List(ctx, list)).To(Succeed())
	return list.Items
}

// owned returns the machines that VPSie's books charge for.
func owned(ctx context.Context, g Gomega) []ledger.Order {
	orders, err := sandbox.Admin.Orders(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	var result []ledger.Order
	for _, order := range orders {
		if order.State != ledger.Gone && order.State != ledger.Lost {
			result = append(result, order)
		}
	}
	return result
}

// bought returns how many machines were ever ordered.
func bought(ctx context.Context) int {
	GinkgoHelper()
	orders, err := sandbox.Admin.Orders(ctx)
	Expect(err).NotTo(HaveOccurred())
	return len(orders)
}

// boughtSince returns the orders that came after the first ones.
func boughtSince(ctx context.Context, first int) []ledger.Order {
	GinkgoHelper()
	orders, err := sandbox.Admin.Orders(ctx)
	Expect(err).NotTo(HaveOccurred())
	return orders[first:]
}

// notes returns what the controller said to an object of that kind and name.
func notes(ctx context.Context, g Gomega, kind, prefix, reason string) string {
	list := &eventsv1.EventList{}
	g.Expect(kube.List(ctx, list)).To(Succeed())
	var result []string
	for _, e := range list.Items {
		if e.Regarding.Kind == kind && strings.HasPrefix(e.Regarding.Name, prefix) && e.Reason == reason {
			result = append(result, e.Note)
		}
	}
	return strings.Join(result, "\n")
}

func condition(ctx context.Context, g Gomega, group, kind string) string {
	ng := &v1alpha1.NodeGroup{}
	g.Expect(kube.Get(ctx, client.ObjectKey{Name: group}, ng)).To(Succeed())
	c := meta.FindStatusCondition(ng.Status.Conditions, kind)
	if c == nil {
		return "unknown"
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}
