// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/samber/lo"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// micro is the size of that name in the simulated catalogue.
const micro = 12

func leader(ctx context.Context, g Gomega) string {
	lease := &coordinationv1.Lease{}
	g.Expect(kube.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "vpsie-autoscaler"}, lease)).To(Succeed())
	return ptr.Deref(lease.Spec.HolderIdentity, "")
}

var _ = Describe("two replicas", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("of which the leader is killed in the middle of an order buy one machine", func(ctx SpecContext) {
		before, first, pid := bought(ctx), leader(ctx, Default), sandbox.Info.ControllerPID
		Expect(sandbox.StartController(ctx)).To(Succeed())
		Expect(leader(ctx, Default)).To(Equal(first), "the second replica took over although the first lives")
		_, err := sandbox.Admin.AddFaults(ctx, fault.Fault{Kind: fault.Latency, Call: fault.AddSlaveToGroup, DelaySeconds: 5})
		Expect(err).NotTo(HaveOccurred())
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 3, "500m", "512Mi"))).To(Succeed())
		calls := func(g Gomega) int {
			calls, err := sandbox.Admin.Calls(ctx)
			g.Expect(err).NotTo(HaveOccurred())
			return calls[fault.AddSlaveToGroup]
		}
		already := calls(Default)
		Eventually(ctx, func(g Gomega) { g.Expect(calls(g)).To(BeNumerically(">", already)) }).
			WithTimeout(soon).WithPolling(20 * time.Millisecond).Should(Succeed())
		Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
		Eventually(ctx, func(g Gomega) { g.Expect(leader(ctx, g)).NotTo(Equal(first)) }).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		runs(ctx, 3)
		Expect(bought(ctx)-before).To(Equal(1), "the new leader ordered what the old one had ordered")
		Expect(owned(ctx, Default)).To(HaveLen(1))
		scale(ctx, "web", 0)
		released(ctx)
	})
})

var _ = Describe("an outage of VPSie", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("moves no pod, deletes nothing and restarts nobody, and work goes on afterwards", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 3, "500m", "512Mi"))).To(Succeed())
		runs(ctx, 3)
		nodes := func(g Gomega) []string {
			return lo.Map(vpsieNodes(ctx, g), func(n v1alpha1.VPSieNode, _ int) string { return n.Name + " " + string(n.Status.Phase) })
		}
		there, paid := nodes(Default), len(owned(ctx, Default))
		_, err := sandbox.Admin.AddFaults(ctx, fault.Fault{Kind: fault.Status, Status: http.StatusServiceUnavailable, Times: fault.UntilWithdrawn})
		Expect(err).NotTo(HaveOccurred())
		Consistently(ctx, func(g Gomega) {
			g.Expect(nodes(g)).To(Equal(there))
			g.Expect(running(ctx, g)).To(Equal(3))
			response, err := http.Get(sandbox.Info.HealthURL + "/healthz")
			g.Expect(err).NotTo(HaveOccurred())
			_ = response.Body.Close()
			g.Expect(response.StatusCode).To(Equal(http.StatusOK), "an outage of VPSie would restart the controller")
		}).WithTimeout(30 * time.Second).WithPolling(time.Second).Should(Succeed())
		Expect(owned(ctx, Default)).To(HaveLen(paid))

		By("more pods coming in the outage, and VPSie coming back")
		scale(ctx, "web", 9)
		Consistently(ctx, func(g Gomega) { g.Expect(owned(ctx, g)).To(HaveLen(paid)) }).WithTimeout(5 * time.Second).WithPolling(time.Second).Should(Succeed())
		Expect(sandbox.Admin.ClearFaults(ctx)).To(Succeed())
		Eventually(ctx, func(g Gomega) { g.Expect(running(ctx, g)).To(Equal(9)) }).WithTimeout(2 * soon).WithPolling(poll).Should(Succeed())
		scale(ctx, "web", 0)
		released(ctx)
	})
})

var _ = Describe("a new worker", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("takes no pod before its group's taints are on", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("dedicated", func(ng *v1alpha1.NodeGroup) {
			ng.Spec.Template.Taints = []v1alpha1.Taint{{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}
		}))).To(Succeed())
		Expect(kube.Create(ctx, deployment("stranger", 4, "100m", "64Mi"))).To(Succeed())
		guest := deployment("guest", 4, "900m", "1Gi")
		guest.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
		Expect(kube.Create(ctx, guest)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			pods := &corev1.PodList{}
			g.Expect(kube.List(ctx, pods, client.InNamespace("default"))).To(Succeed())
			up := 0
			for _, pod := range pods.Items {
				if strings.HasPrefix(pod.Name, "stranger-") && pod.Spec.NodeName != "" {
					StopTrying("pod " + pod.Name + " slipped onto node " + pod.Spec.NodeName).Now()
				}
				if pod.Status.Phase == corev1.PodRunning {
					up++
				}
			}
			g.Expect(up).To(Equal(4))
		}).WithTimeout(soon).WithPolling(50 * time.Millisecond).Should(Succeed())
		Consistently(ctx, func(g Gomega) { g.Expect(running(ctx, g)).To(Equal(4)) }).WithTimeout(5 * time.Second).WithPolling(poll).Should(Succeed())
	})

	It("that somebody adds by hand while an order is open is opened and left alone", func(ctx SpecContext) {
		_, err := sandbox.Admin.AddFaults(ctx, fault.Fault{Kind: fault.NeverAppears, Call: fault.AddSlaveToGroup})
		Expect(err).NotTo(HaveOccurred())
		Expect(kube.Create(ctx, nodeGroup("large", func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.Offerings = []string{"Professional"} }))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 1, "3", "1Gi"))).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(vpsieNodes(ctx, g)).To(ContainElement(And(HaveField("Spec.NodeGroup", "large"), HaveField("Status.Phase", v1alpha1.PhaseProvisioning))))
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		foreign, err := sandbox.Admin.AddForeign(ctx, micro)
		Expect(err).NotTo(HaveOccurred())
		node := &corev1.Node{}
		Eventually(ctx, func(g Gomega) {
			g.Expect(kube.Get(ctx, client.ObjectKey{Name: strings.ToLower(foreign.Hostname)}, node)).To(Succeed())
			g.Expect(node.Spec.Taints).NotTo(ContainElement(HaveField("Key", v1alpha1.UnregisteredTaint)))
			g.Expect(node.Labels).NotTo(HaveKey(v1alpha1.VPSieNodeLabel))
			g.Expect(notes(ctx, g, "Node", node.Name, "NotOurs")).To(ContainSubstring("leave it alone"))
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		Expect(sandbox.Admin.Destroy(ctx, foreign.Identifier)).To(Succeed())
		Expect(client.IgnoreNotFound(kube.Delete(ctx, node))).To(Succeed())
	})
})
