// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

func runs(ctx context.Context, pods int) {
	GinkgoHelper()
	runWithin(ctx, pods, soon)
}

func runWithin(ctx context.Context, pods int, timeout time.Duration) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) { g.Expect(running(ctx, g)).To(Equal(pods)) }).WithTimeout(timeout).WithPolling(poll).Should(Succeed())
}

func released(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		g.Expect(vpsieNodes(ctx, g)).To(BeEmpty())
		g.Expect(owned(ctx, g)).To(BeEmpty())
	}).WithTimeout(2 * soon).WithPolling(poll).Should(Succeed())
}

var _ = Describe("a pod", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("becomes a machine, runs on it, and the machine is released when the pod is gone", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, nodeGroup("general", func(ng *v1alpha1.NodeGroup) {
			ng.Spec.Template.Labels = map[string]string{"team": "shop"}
			ng.Spec.Template.Taints = []v1alpha1.Taint{{Key: "dedicated", Value: "shop", Effect: corev1.TaintEffectNoSchedule}}
		}))).To(Succeed())
		web := deployment("web", 5, "900m", "1Gi")
		web.Spec.Template.Spec.NodeSelector = map[string]string{"team": "shop"}
		web.Spec.Template.Spec.Tolerations = []corev1.Toleration{{Key: "dedicated", Operator: corev1.TolerationOpExists}}
		Expect(kube.Create(ctx, web)).To(Succeed())
		runs(ctx, 5)

		By("the machines carrying what the group promises, and pods being told")
		nodes := &corev1.NodeList{}
		Expect(kube.List(ctx, nodes)).To(Succeed())
		Expect(nodes.Items).NotTo(BeEmpty())
		for _, node := range nodes.Items {
			Expect(node.Labels).To(HaveKeyWithValue("team", "shop"))
			Expect(node.Labels).To(HaveKeyWithValue(v1alpha1.NodeGroupLabel, "general"))
			Expect(node.Labels).To(HaveKey(corev1.LabelInstanceTypeStable))
			Expect(node.Labels).To(HaveKey(corev1.LabelTopologyZone))
			Expect(node.Spec.ProviderID).To(HavePrefix("vpsie://"))
			Expect(node.Spec.Taints).To(ContainElement(HaveField("Key", "dedicated")))
			Expect(node.Spec.Taints).NotTo(ContainElement(HaveField("Key", v1alpha1.UnregisteredTaint)))
		}
		Expect(notes(ctx, Default, "Pod", "web-", "Planned")).To(ContainSubstring("will run on a new "))
		Expect(bought(ctx)-before).To(Equal(len(nodes.Items)), "as many machines were bought as there are nodes")

		By("scaling to zero")
		scale(ctx, "web", 0)
		released(ctx)
		Eventually(ctx, func(g Gomega) {
			g.Expect(kube.List(ctx, nodes)).To(Succeed())
			g.Expect(nodes.Items).To(BeEmpty())
			list := &v1alpha1.DisruptionList{}
			g.Expect(kube.List(ctx, list)).To(Succeed())
			g.Expect(list.Items).NotTo(BeEmpty())
			for _, d := range list.Items {
				g.Expect(d.Status.Phase).To(Equal(v1alpha1.DisruptionSucceeded), d.Status.Message)
			}
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
	})
})

var _ = Describe("a NodeGroup at maxNodes", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("buys no more, and says so", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, nodeGroup("small", func(ng *v1alpha1.NodeGroup) {
			ng.Spec.MaxNodes = ptr.To[int32](1)
			ng.Spec.VPSie.Offerings = []string{"Professional"}
		}))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 6, "1", "1Gi"))).To(Succeed())
		runs(ctx, 3) // of four cores, less what the kubelet keeps
		Eventually(ctx, func(g Gomega) {
			g.Expect(notes(ctx, g, "Pod", "web-", "NotPlanned")).To(ContainSubstring("maxNodes"))
			g.Expect(condition(ctx, g, "small", v1alpha1.ConditionWithinLimits)).To(HavePrefix("False AtLimit: spec.maxNodes 1 is reached"))
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		Consistently(ctx, func() int { return bought(ctx) - before }).WithTimeout(5 * time.Second).WithPolling(poll).Should(Equal(1))
	})
})

var _ = Describe("a controller that is killed between an order and the machine's joining", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("buys no second machine and leaks none", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 3, "500m", "512Mi"))).To(Succeed())
		Eventually(ctx, func() int { return bought(ctx) - before }).WithTimeout(soon).WithPolling(20 * time.Millisecond).Should(BeNumerically(">", 0))
		Expect(syscall.Kill(sandbox.Info.ControllerPID, syscall.SIGKILL)).To(Succeed())
		Expect(sandbox.StartController(ctx)).To(Succeed())
		runs(ctx, 3)
		Expect(bought(ctx)-before).To(Equal(1), "one machine holds these pods; the restarted controller bought again")
		Expect(owned(ctx, Default)).To(HaveLen(1))
		scale(ctx, "web", 0)
		released(ctx)
	})

	It("nor when VPSie's reply to the order was lost", func(ctx SpecContext) {
		before := bought(ctx)
		_, err := sandbox.Admin.AddFaults(ctx, fault.Fault{Kind: fault.LostReplyAfterEffect, Call: fault.AddSlaveToGroup})
		Expect(err).NotTo(HaveOccurred())
		scale(ctx, "web", 3)
		runs(ctx, 3)
		Expect(bought(ctx)-before).To(Equal(1), "the order whose reply was lost was repeated")
		Expect(owned(ctx, Default)).To(HaveLen(1))
		scale(ctx, "web", 0)
		released(ctx)
	})
})

// killInMidOrder has three pods of web ask for a machine and kills the controller while VPSie takes five seconds over the order, to which
// the further faults happen. It returns the VPSieNode that the order is for.
func killInMidOrder(ctx context.Context, pid int, faults ...fault.Fault) v1alpha1.VPSieNode {
	GinkgoHelper()
	_, err := sandbox.Admin.AddFaults(ctx, append(faults, fault.Fault{Kind: fault.Latency, Call: fault.AddSlaveToGroup, DelaySeconds: 5})...)
	Expect(err).NotTo(HaveOccurred())
	calls := func(g Gomega) int {
		calls, err := sandbox.Admin.Calls(ctx)
		g.Expect(err).NotTo(HaveOccurred())
		return calls[fault.AddSlaveToGroup]
	}
	already := calls(Default)
	scale(ctx, "web", 3)
	Eventually(ctx, func(g Gomega) { g.Expect(calls(g)).To(BeNumerically(">", already)) }).
		WithTimeout(soon).WithPolling(20 * time.Millisecond).Should(Succeed())
	Expect(syscall.Kill(pid, syscall.SIGKILL)).To(Succeed())
	waiting := vpsieNodes(ctx, Default)
	Expect(waiting).To(ConsistOf(HaveField("Status.Order.State", v1alpha1.OrderRecorded)))
	return waiting[0]
}

var _ = Describe("a controller that is killed between writing an order down and learning its outcome", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	BeforeAll(func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 0, "500m", "512Mi"))).To(Succeed())
	})

	It("takes the machine of the order that VPSie took, and orders no other", func(ctx SpecContext) {
		before := bought(ctx)
		ordered := killInMidOrder(ctx, sandbox.Info.ControllerPID)
		Expect(sandbox.StartController(ctx)).To(Succeed())
		runs(ctx, 3)
		orders := boughtSince(ctx, before)
		Expect(orders).To(HaveLen(1), "the order whose outcome nobody knew was repeated")
		Expect(orders[0].For).To(Equal(ordered.Name))
		Expect(vpsieNodes(ctx, Default)).To(ConsistOf(And(HaveField("UID", ordered.UID), HaveField("Status.InstanceID", orders[0].Identifier))))
		Expect(owned(ctx, Default)).To(HaveLen(1), "every machine that is paid for has a VPSieNode")
		Expect(notes(ctx, Default, "VPSieNode", ordered.Name, "OrderUnknown")).To(ContainSubstring("restarted"))
		scale(ctx, "web", 0)
		released(ctx)
	})

	It("orders anew what VPSie never took, once it has looked for long enough", func(ctx SpecContext) {
		before := bought(ctx)
		ordered := killInMidOrder(ctx, sandbox.Info.ControllerPID, fault.Fault{Kind: fault.LostReplyBeforeEffect, Call: fault.AddSlaveToGroup})
		Expect(sandbox.StartController(ctx)).To(Succeed())
		runWithin(ctx, 3, 2*soon) // the lease of the dead one, the settle time and the hold after a failure follow each other
		orders := boughtSince(ctx, before)
		Expect(orders).To(HaveLen(1))
		Expect(orders[0].For).NotTo(Equal(ordered.Name), "the lost order was sent again, not planned anew")
		Expect(orders[0].OrderedAt).To(BeTemporally(">=", ordered.Status.Order.Time.Add(orderSettle)), "nobody waited for the lost order to show up")
		Expect(notes(ctx, Default, "VPSieNode", ordered.Name, "OrderUnknown")).To(ContainSubstring("restarted"))
		Expect(notes(ctx, Default, "VPSieNode", ordered.Name, "Failed")).To(ContainSubstring("OrderLost"))
		scale(ctx, "web", 0)
		released(ctx)
	})
})

var _ = Describe("a pod that fits nowhere", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("is explained and costs nothing", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("huge", 1, "64", "1Gi"))).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			note := notes(ctx, g, "Pod", "huge-", "NotPlanned")
			g.Expect(note).To(ContainSubstring("64"))
			g.Expect(note).To(ContainSubstring("largest"))
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		Consistently(ctx, func() int { return bought(ctx) - before }).WithTimeout(15 * time.Second).WithPolling(time.Second).Should(BeZero())
	})
})

var _ = Describe("a VPSieNode that a person deletes", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("is drained as the PodDisruptionBudget allows, and its pods move to a new machine", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("general", func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.Offerings = []string{"Professional"} }))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 2, "500m", "512Mi"))).To(Succeed())
		runs(ctx, 2)
		one := intstr.FromInt32(1)
		pdb := &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
			Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		}
		Expect(kube.Create(ctx, pdb)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(kube.Delete(ctx, pdb)).To(Succeed()) })
		Eventually(ctx, func(g Gomega) {
			g.Expect(kube.Get(ctx, client.ObjectKeyFromObject(pdb), pdb)).To(Succeed())
			g.Expect(pdb.Status.DisruptionsAllowed).To(Equal(int32(1)))
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())

		old := vpsieNodes(ctx, Default)
		Expect(old).To(HaveLen(1))
		Expect(kube.Delete(ctx, &old[0])).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			// At no time may both pods be away: the budget asks for one.
			g.Expect(running(ctx, g)).To(BeNumerically(">=", 1))
			now := vpsieNodes(ctx, g)
			g.Expect(now).To(HaveLen(1))
			g.Expect(now[0].Name).NotTo(Equal(old[0].Name))
		}).WithTimeout(2 * soon).WithPolling(poll).Should(Succeed())
		runs(ctx, 2)
	})
})

var _ = Describe("minNodes and headroom", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("keep machines that no pod asks for", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("warm", func(ng *v1alpha1.NodeGroup) {
			ng.Spec.MinNodes = ptr.To[int32](1)
			ng.Spec.Headroom = []v1alpha1.Headroom{{Name: "web", Replicas: ptr.To[int32](2), CPU: new(quantity("1500m")), Memory: new(quantity("1Gi"))}}
		}))).To(Succeed())
		room := func(g Gomega) {
			cpu := int64(0)
			for _, vn := range vpsieNodes(ctx, g) {
				g.Expect(vn.Status.Phase).To(Equal(v1alpha1.PhaseReady))
				cpu += vn.Status.Allocatable.Cpu().MilliValue()
			}
			g.Expect(cpu).To(BeNumerically(">=", 3000))
		}
		Eventually(ctx, room).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		// Longer than consolidateAfter: nothing runs there, and it must stay.
		Consistently(ctx, room).WithTimeout(10 * time.Second).WithPolling(poll).Should(Succeed())
	})
})
