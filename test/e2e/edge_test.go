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
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// micro is the size of that name in the simulated catalogue.
const micro = 12

// leadership tells who leads, and since when.
func leadership(ctx context.Context, g Gomega) (holder string, since time.Time) {
	lease := &coordinationv1.Lease{}
	g.Expect(kube.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "vpsie-autoscaler"}, lease)).To(Succeed())
	return ptr.Deref(lease.Spec.HolderIdentity, ""), ptr.Deref(lease.Spec.AcquireTime, metav1.MicroTime{}).Time
}

// frozen stops the process while something is done, for less than its lease lasts.
func frozen(pid int, do func()) {
	GinkgoHelper()
	By("the leader being frozen: nobody may act in its place")
	Expect(syscall.Kill(pid, syscall.SIGSTOP)).To(Succeed())
	defer func() { Expect(syscall.Kill(pid, syscall.SIGCONT)).To(Succeed()) }()
	do()
}

var _ = Describe("two replicas", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("of which the leader is killed in the middle of an order buy one machine", func(ctx SpecContext) {
		before, pid := bought(ctx), sandbox.Info.ControllerPID
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 0, "500m", "512Mi"))).To(Succeed())
		first, _ := leadership(ctx, Default)
		Expect(sandbox.StartController(ctx)).To(Succeed())
		again, _ := leadership(ctx, Default)
		Expect(again).To(Equal(first), "the second replica took over although the first lives")
		frozen(pid, func() {
			scale(ctx, "web", 1)
			Consistently(ctx, func(g Gomega) {
				g.Expect(vpsieNodes(ctx, g)).To(BeEmpty(), "a replica that does not lead acted")
			}).WithTimeout(5 * time.Second).WithPolling(poll).Should(Succeed())
			scale(ctx, "web", 0)
			Eventually(ctx, func(g Gomega) { g.Expect(pods(ctx, g)).To(BeEmpty()) }).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		})
		ordered := killInMidOrder(ctx, pid)
		var since time.Time
		Eventually(ctx, func(g Gomega) {
			holder, at := leadership(ctx, g)
			g.Expect(holder).NotTo(Equal(first))
			since = at
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		runs(ctx, 3)
		orders := boughtSince(ctx, before)
		Expect(orders).To(HaveLen(1), "the new leader ordered what the old one had ordered")
		Expect(orders[0].For).To(Equal(ordered.Name))
		Expect(orders[0].OrderedAt).To(BeTemporally("<", since), "the machine is the new leader's order; what the old one had sent is missing")
		Expect(vpsieNodes(ctx, Default)).To(ConsistOf(And(HaveField("UID", ordered.UID), HaveField("Status.InstanceID", orders[0].Identifier))))
		Expect(owned(ctx, Default)).To(HaveLen(1))
		scale(ctx, "web", 0)
		released(ctx)
	})
})

var _ = Describe("a VPSieNode that is removed by force", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("leaves its Node with the pods, and is written again without an order", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 2, "500m", "512Mi"))).To(Succeed())
		runs(ctx, 2)
		Expect(vpsieNodes(ctx, Default)).To(HaveLen(1))
		lost := vpsieNodes(ctx, Default)[0]
		node := &corev1.Node{}
		Expect(kube.Get(ctx, client.ObjectKey{Name: lost.Status.NodeName}, node)).To(Succeed())
		heir := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: "heir",
			OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "VPSieNode", Name: lost.Name, UID: lost.UID}},
		}}
		Expect(kube.Create(ctx, heir)).To(Succeed())
		frozen(sandbox.Info.ControllerPID, func() {
			Expect(kube.Patch(ctx, lost.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))).To(Succeed())
			Expect(kube.Delete(ctx, lost.DeepCopy())).To(Succeed())
			Eventually(ctx, func(g Gomega) { g.Expect(vpsieNodes(ctx, g)).To(BeEmpty()) }).WithTimeout(5 * time.Second).WithPolling(poll).Should(Succeed())
		})
		again := func(g Gomega) {
			there := &corev1.Node{}
			g.Expect(kube.Get(ctx, client.ObjectKeyFromObject(node), there)).To(Succeed())
			g.Expect(there.UID).To(Equal(node.UID), "the Node went with its VPSieNode")
			g.Expect(running(ctx, g)).To(Equal(2))
		}
		By("Kubernetes collecting what the VPSieNode owned")
		Eventually(ctx, func(g Gomega) {
			g.Expect(apierrors.IsNotFound(kube.Get(ctx, client.ObjectKeyFromObject(heir), heir))).To(BeTrue())
		}).WithTimeout(2 * soon).WithPolling(poll).Should(Succeed())
		Consistently(ctx, again).WithTimeout(5 * time.Second).WithPolling(poll).Should(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(vpsieNodes(ctx, g)).To(ConsistOf(And(HaveField("Name", lost.Name), HaveField("Status.InstanceID", lost.Status.InstanceID),
				HaveField("Status.Phase", v1alpha1.PhaseReady))))
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		again(Default)
		Expect(boughtSince(ctx, before)).To(HaveLen(1))
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

// demandDedicated has pods ask for a machine of a group that keeps strangers off, and strangers wait for any machine.
func demandDedicated(ctx context.Context) {
	GinkgoHelper()
	Expect(kube.Create(ctx, nodeGroup("dedicated", func(ng *v1alpha1.NodeGroup) {
		ng.Spec.Template.Taints = []v1alpha1.Taint{{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}
	}))).To(Succeed())
	Expect(kube.Create(ctx, deployment("stranger", 4, "100m", "64Mi"))).To(Succeed())
	guest := deployment("guest", 3, "500m", "512Mi")
	guest.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
	Expect(kube.Create(ctx, guest)).To(Succeed())
}

// readyBehindTheControllersBack halts the controller once VPSie has taken its order, and waits until the machine is a Node that is Ready and
// that Kubernetes itself opened. The halt must be shorter than the ten seconds after which a leader that hears nothing ends.
func readyBehindTheControllersBack(ctx context.Context) *corev1.Node {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		g.Expect(vpsieNodes(ctx, g)).To(ConsistOf(HaveField("Status.Order.State", v1alpha1.OrderAccepted)))
	}).WithTimeout(soon).WithPolling(20 * time.Millisecond).Should(Succeed())
	Expect(syscall.Kill(sandbox.Info.ControllerPID, syscall.SIGSTOP)).To(Succeed())
	DeferCleanup(goOn)
	machine := &corev1.Node{}
	Eventually(ctx, func(g Gomega) {
		machines := owned(ctx, g)
		g.Expect(machines).To(HaveLen(1))
		g.Expect(kube.Get(ctx, client.ObjectKey{Name: strings.ToLower(machines[0].Hostname)}, machine)).To(Succeed())
		g.Expect(machine.Status.Conditions).To(ContainElement(And(HaveField("Type", corev1.NodeReady), HaveField("Status", corev1.ConditionTrue))))
		g.Expect(machine.Spec.Taints).NotTo(ContainElement(HaveField("Key", corev1.TaintNodeNotReady)))
	}).WithTimeout(soon).WithPolling(50 * time.Millisecond).Should(Succeed())
	Expect(machine.Labels).NotTo(HaveKey(v1alpha1.VPSieNodeLabel), "the controller was faster; nothing is proved")
	return machine
}

func goOn() {
	GinkgoHelper()
	Expect(syscall.Kill(sandbox.Info.ControllerPID, syscall.SIGCONT)).To(Succeed())
}

// bound counts the pods of each Deployment that kube-scheduler has put on a node.
func bound(ctx context.Context, g Gomega) map[string]int {
	pods := &corev1.PodList{}
	g.Expect(kube.List(ctx, pods, client.InNamespace("default"))).To(Succeed())
	there := map[string]int{}
	for _, pod := range pods.Items {
		if pod.Spec.NodeName != "" && pod.DeletionTimestamp == nil {
			there[pod.Labels["app"]]++
		}
	}
	return there
}

var _ = Describe("a new worker", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("takes no pod before its group's taints are on", func(ctx SpecContext) {
		demandDedicated(ctx)
		machine := readyBehindTheControllersBack(ctx)
		Expect(machine.Spec.Taints).To(ConsistOf(corev1.Taint{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoExecute}))

		By("kube-scheduler having nothing against the machine but the taint")
		insider := deployment("insider", 1, "100m", "64Mi")
		insider.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: v1alpha1.UnregisteredTaint, Operator: corev1.TolerationOpExists}}
		Expect(kube.Create(ctx, insider)).To(Succeed())
		Eventually(ctx, func(g Gomega) { g.Expect(bound(ctx, g)).To(Equal(map[string]int{"insider": 1})) }).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		Consistently(ctx, func(g Gomega) { g.Expect(bound(ctx, g)).To(Equal(map[string]int{"insider": 1})) }).
			WithTimeout(3 * time.Second).WithPolling(50 * time.Millisecond).Should(Succeed())
		Expect(kube.Delete(ctx, insider)).To(Succeed())

		By("the controller putting the group's taints on")
		goOn()
		Eventually(ctx, func(g Gomega) {
			there := bound(ctx, g)
			if there["stranger"] > 0 {
				StopTrying("a stranger slipped onto the machine").Now()
			}
			g.Expect(there).To(Equal(map[string]int{"guest": 3}))
		}).WithTimeout(soon).WithPolling(50 * time.Millisecond).Should(Succeed())
		Consistently(ctx, func(g Gomega) { g.Expect(bound(ctx, g)).To(Equal(map[string]int{"guest": 3})) }).
			WithTimeout(5 * time.Second).WithPolling(poll).Should(Succeed())
		tidy(ctx)
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

var _ = Describe("a new worker without the admission policy", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("takes whatever pod waits before the controller has seen it", func(ctx SpecContext) {
		policy := &admissionregistrationv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "vpsie-autoscaler-birth-taint"}}
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(policy), policy)).To(Succeed())
		Expect(kube.Delete(ctx, policy)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			policy.ObjectMeta = metav1.ObjectMeta{Name: policy.Name, Labels: policy.Labels, Annotations: policy.Annotations}
			Expect(kube.Create(ctx, policy)).To(Succeed())
		})
		demandDedicated(ctx)
		machine := readyBehindTheControllersBack(ctx)
		Expect(machine.Spec.Taints).To(BeEmpty())
		Eventually(ctx, func(g Gomega) { g.Expect(bound(ctx, g)).To(HaveKey("stranger")) }).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		goOn()
	})
})
