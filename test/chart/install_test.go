// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package chart_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

var (
	birthTaint = corev1.Taint{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoExecute}
	// againTaint lets the pods of a machine that registers anew stay.
	againTaint = corev1.Taint{Key: v1alpha1.UnregisteredTaint, Effect: corev1.TaintEffectNoSchedule}
)

var _ = Describe("The installed chart", Label("basic"), Ordered, func() {
	var (
		config *rest.Config
		k8s    client.Client
		scheme = runtime.NewScheme()
	)

	BeforeAll(func(ctx context.Context) {
		utilruntime.Must(clientgoscheme.AddToScheme(scheme))
		utilruntime.Must(v1alpha1.AddToScheme(scheme))
		var file string
		config, file = apiServer(scheme)
		var err error
		k8s, err = client.New(config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())

		_, err = helm("upgrade", "--install", "--kubeconfig", file, "--set", "crds.install=false")
		Expect(err).NotTo(HaveOccurred())
		Consistently(func() error {
			_, err := taintsAtBirth(ctx, k8s, node("hel-kubernetes-49ab-slave-08ab"))
			return err
		}).WithTimeout(5*time.Second).WithPolling(200*time.Millisecond).Should(Succeed(), "a machine that is paid for joins even while the policy cannot work")

		said, err := helm("upgrade", "--install", "--kubeconfig", file, "--reset-values")
		Expect(err).NotTo(HaveOccurred())
		Expect(said).To(ContainSubstring("create secret generic vpsie-secret --from-literal=token="), "the notes tell the first command")
		Expect(said).To(ContainSubstring("kubectl apply -f -"), "and the second")
		k8s, err = client.New(config, client.Options{Scheme: scheme}) // the first one has learned that our kinds do not exist
		Expect(err).NotTo(HaveOccurred())
	})

	It("serves the three kinds", func(ctx context.Context) {
		Eventually(func(g Gomega) {
			g.Expect(k8s.List(ctx, &v1alpha1.NodeGroupList{})).To(Succeed())
			g.Expect(k8s.List(ctx, &v1alpha1.VPSieNodeList{})).To(Succeed())
			g.Expect(k8s.List(ctx, &v1alpha1.DisruptionList{})).To(Succeed())
		}).WithTimeout(20 * time.Second).Should(Succeed())
	})

	It("has a Deployment that the API server accepts", func(ctx context.Context) {
		Expect(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: release}, &appsv1.Deployment{})).To(Succeed())
	})

	Describe("with a VPSieNode whose machine has not joined", Ordered, func() {
		BeforeAll(func(ctx context.Context) {
			for _, name := range []string{"web-1", "web-2"} {
				waiting := vpsieNode(name)
				Expect(k8s.Create(ctx, waiting)).To(Succeed())
				DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, waiting)).To(Succeed()) })
			}
			joined := vpsieNode("web-0")
			Expect(k8s.Create(ctx, joined)).To(Succeed())
			joined.Status.Phase = v1alpha1.PhaseReady
			Expect(k8s.Status().Update(ctx, joined)).To(Succeed())
			DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, joined)).To(Succeed()) })
		})

		It("taints a worker that joins, once", func(ctx context.Context) {
			Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-01ab")).WithTimeout(20 * time.Second).
				Should(Equal([]corev1.Taint{birthTaint}))
		})

		It("keeps the taints that a worker brings", func(ctx context.Context) {
			own := corev1.Taint{Key: "example.com/gpu", Effect: corev1.TaintEffectNoSchedule}
			Expect(taintsAtBirth(ctx, k8s, node("hel-kubernetes-49ab-slave-02ab", own))).To(Equal([]corev1.Taint{own, birthTaint}))
		})

		It("does not add the taint to a worker that brings it", func(ctx context.Context) {
			Expect(taintsAtBirth(ctx, k8s, node("hel-kubernetes-49ab-slave-03ab", birthTaint))).To(Equal([]corev1.Taint{birthTaint}))
		})

		DescribeTable("refuses to touch", func(ctx context.Context, name string, labels map[string]string) {
			untouched := node(name)
			untouched.Labels = labels
			Expect(taintsAtBirth(ctx, k8s, untouched)).To(BeEmpty())
		},
			Entry("a node with another name", "static-1", nil),
			Entry("a control-plane node", "hel-kubernetes-49ab-master-01ab", nil),
			Entry("a node whose name goes on after the digits", "hel-kubernetes-49ab-slave-01ab-copy", nil),
			Entry("a worker that has our label already", "hel-kubernetes-49ab-slave-04ab", map[string]string{v1alpha1.ManagedLabel: "true"}),
		)

		It("refuses to touch a worker that exists already", func(ctx context.Context) {
			worker := node("hel-kubernetes-49ab-slave-05ab")
			Expect(k8s.Create(ctx, worker)).To(Succeed())
			DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, worker)).To(Succeed()) })
			worker.Spec.Taints = nil
			Expect(k8s.Update(ctx, worker)).To(Succeed())
			Expect(worker.Spec.Taints).NotTo(ContainElement(birthTaint))
		})
	})

	It("lets a worker join untouched while there is no VPSieNode at all", func(ctx context.Context) {
		Eventually(func(g Gomega) {
			var all v1alpha1.VPSieNodeList
			g.Expect(k8s.List(ctx, &all)).To(Succeed())
			g.Expect(all.Items).To(BeEmpty())
		}).WithTimeout(20 * time.Second).Should(Succeed())
		Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-07ab")).WithTimeout(20 * time.Second).Should(BeEmpty())
	})

	It("refuses to taint a worker when no VPSieNode waits for one", func(ctx context.Context) {
		joined := vpsieNode("web-3")
		Expect(k8s.Create(ctx, joined)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, joined)).To(Succeed()) })
		joined.Status.Phase = v1alpha1.PhaseReady
		Expect(k8s.Status().Update(ctx, joined)).To(Succeed())
		Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-06ab")).WithTimeout(20 * time.Second).Should(BeEmpty())
	})

	Describe("with a VPSieNode whose machine is known", Ordered, func() {
		phases := []v1alpha1.VPSieNodePhase{
			v1alpha1.PhaseJoining, v1alpha1.PhaseReady, v1alpha1.PhaseTerminating, v1alpha1.PhaseDeleting, v1alpha1.PhaseFailed,
		}
		known := vpsieNode("web-5")
		has := func(ctx context.Context, phase v1alpha1.VPSieNodePhase, hostname string) {
			GinkgoHelper()
			known.Status.Phase, known.Status.Hostname, known.Status.InstanceID = phase, hostname, "0d1c"
			known.Status.Order = ordered()
			Expect(k8s.Status().Update(ctx, known)).To(Succeed())
		}
		BeforeAll(func(ctx context.Context) {
			Expect(k8s.Create(ctx, known)).To(Succeed())
			DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, known)).To(Succeed()) })
		})

		It("taints that machine when it registers anew or late, whatever has become of the VPSieNode", func(ctx context.Context) {
			for i, phase := range phases {
				name := fmt.Sprintf("hel-kubernetes-49ab-slave-10a%d", i)
				has(ctx, phase, strings.ToUpper(name))
				Eventually(taintsAtBirth).WithArguments(ctx, k8s, node(name)).WithTimeout(20*time.Second).Should(Equal([]corev1.Taint{againTaint}), string(phase))
			}
		})

		It("keeps pods from staying on it while it has not joined", func(ctx context.Context) {
			const name = "hel-kubernetes-49ab-slave-14ab"
			has(ctx, v1alpha1.PhaseProvisioned, name)
			Eventually(taintsAtBirth).WithArguments(ctx, k8s, node(name)).WithTimeout(20 * time.Second).Should(Equal([]corev1.Taint{birthTaint}))
		})

		It("refuses to taint any other worker", func(ctx context.Context) {
			for i, phase := range phases {
				name := fmt.Sprintf("hel-kubernetes-49ab-slave-11a%d", i)
				has(ctx, phase, name)
				Eventually(taintsAtBirth).WithArguments(ctx, k8s, node(name)).WithTimeout(20*time.Second).Should(Equal([]corev1.Taint{againTaint}), "the policy has seen the change")
				Expect(taintsAtBirth(ctx, k8s, node("hel-kubernetes-49ab-slave-12ab"))).To(BeEmpty(), string(phase))
			}
		})
	})

	It("taints a worker that joins after the VPSieNode gave up on its order", func(ctx context.Context) {
		late := vpsieNode("web-6")
		Expect(k8s.Create(ctx, late)).To(Succeed())
		DeferCleanup(func(ctx context.Context) { Expect(k8s.Delete(ctx, late)).To(Succeed()) })
		late.Status.Phase = v1alpha1.PhaseFailed
		Expect(k8s.Status().Update(ctx, late)).To(Succeed())
		Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-13ab")).WithTimeout(20*time.Second).Should(BeEmpty(), "nothing was ordered")
		late.Status.Order = ordered()
		Expect(k8s.Status().Update(ctx, late)).To(Succeed())
		Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-13ab")).WithTimeout(20 * time.Second).Should(Equal([]corev1.Taint{birthTaint}))
	})

	DescribeTable("lets the controller", func(ctx context.Context, namespace, verb, group, resource, name string) {
		Expect(may(ctx, k8s, namespace, verb, group, resource, name)).To(BeTrue())
	},
		Entry("read its Secret", namespace, "get", "", "secrets", "vpsie-secret"),
		Entry("watch its Secret", namespace, "watch", "", "secrets", "vpsie-secret"),
		Entry("make its lease", namespace, "create", "coordination.k8s.io", "leases", ""),
		Entry("renew its lease", namespace, "update", "coordination.k8s.io", "leases", "vpsie-autoscaler"),
		Entry("label nodes", "", "patch", "", "nodes", "n"),
		Entry("delete the Node of a machine that is gone", "", "delete", "", "nodes", "n"),
		Entry("evict pods", "shop", "create", "", "pods/eviction", "p"),
		Entry("delete pods after terminationGracePeriod", "shop", "delete", "", "pods", "p"),
		Entry("read claims", "shop", "list", "", "persistentvolumeclaims", ""),
		Entry("read devices", "", "list", "resource.k8s.io", "resourceslices", ""),
		Entry("make VPSieNodes", "", "create", v1alpha1.Group, "vpsienodes", ""),
		Entry("write the status of NodeGroups", "", "patch", v1alpha1.Group, "nodegroups/status", "web"),
		Entry("hold NodeGroups by a finalizer", "", "update", v1alpha1.Group, "nodegroups/finalizers", "web"),
		Entry("make Disruptions", "", "create", v1alpha1.Group, "disruptions", ""),
		Entry("record events", "shop", "create", "events.k8s.io", "events", ""),
	)

	DescribeTable("refuses to let the controller", func(ctx context.Context, namespace, verb, group, resource, name string) {
		Expect(may(ctx, k8s, namespace, verb, group, resource, name)).To(BeFalse())
	},
		Entry("read another Secret of its namespace", namespace, "get", "", "secrets", "bootstrap-token"),
		Entry("list the Secrets of its namespace", namespace, "list", "", "secrets", ""),
		Entry("read a Secret of that name elsewhere", "shop", "get", "", "secrets", "vpsie-secret"),
		Entry("list the Secrets of the cluster", "", "list", "", "secrets", ""),
		Entry("change its Secret", namespace, "update", "", "secrets", "vpsie-secret"),
		Entry("take another lease", namespace, "update", "coordination.k8s.io", "leases", "kube-scheduler"),
		Entry("make pods", "shop", "create", "", "pods", ""),
		Entry("change pods", "shop", "patch", "", "pods", "p"),
		Entry("run commands in pods", "shop", "create", "", "pods/exec", "p"),
		Entry("make nodes", "", "create", "", "nodes", ""),
		Entry("make NodeGroups", "", "create", v1alpha1.Group, "nodegroups", ""),
		Entry("delete NodeGroups", "", "delete", v1alpha1.Group, "nodegroups", "web"),
		Entry("delete claims", "shop", "delete", "", "persistentvolumeclaims", "c"),
		Entry("give itself rights", "", "update", "rbac.authorization.k8s.io", "clusterroles", release),
		Entry("change the policy", "", "update", "admissionregistration.k8s.io", "mutatingadmissionpolicies", release),
		Entry("speak for others", "", "impersonate", "", "users", "admin"),
	)

	It("lets the controller list its Secret by name only, as its watch does", func(ctx context.Context) {
		own := rest.CopyConfig(config)
		own.Impersonate = rest.ImpersonationConfig{UserName: "system:serviceaccount:" + namespace + ":" + release, Groups: []string{"system:serviceaccounts", "system:authenticated"}}
		controller, err := client.New(own, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
		Expect(controller.List(ctx, &corev1.SecretList{}, client.InNamespace(namespace), client.MatchingFields{"metadata.name": "vpsie-secret"})).To(Succeed())
		err = controller.List(ctx, &corev1.SecretList{}, client.InNamespace(namespace))
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%v", err)
	})
})

// apiServer starts an API server and returns with it a kubeconfig of somebody who may do everything.
func apiServer(scheme *runtime.Scheme) (*rest.Config, string) {
	GinkgoHelper()
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "KUBEBUILDER_ASSETS must name the folder with etcd and kube-apiserver; run `make test-integration`")
	server := &envtest.Environment{Scheme: scheme}
	config, err := server.Start()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Stop)
	admin, err := server.AddUser(envtest.User{Name: "admin", Groups: []string{"system:masters"}}, nil)
	Expect(err).NotTo(HaveOccurred())
	kubeconfig, err := admin.KubeConfig()
	Expect(err).NotTo(HaveOccurred())
	file := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(os.WriteFile(file, kubeconfig, 0o600)).To(Succeed())
	return config, file
}

// taintsAtBirth tells which taints a new node would have, beside the one that the API server gives to each, and stores nothing.
func taintsAtBirth(ctx context.Context, k8s client.Client, node *corev1.Node) ([]corev1.Taint, error) {
	born := node.DeepCopy()
	err := k8s.Create(ctx, born, client.DryRunAll)
	return slices.DeleteFunc(born.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeNotReady }), err
}

func node(name string, taints ...corev1.Taint) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{Taints: taints}}
}

// vpsieNode is a machine that was ordered and has not joined.
func vpsieNode(name string) *v1alpha1.VPSieNode {
	return &v1alpha1.VPSieNode{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.VPSieNodeSpec{
			NodeGroup: "web", Datacenter: "hel", CreationReason: v1alpha1.CreatedForPods,
			Offerings: []v1alpha1.OfferingChoice{{ID: "104", Name: "s-1vcpu-1gb", PricePerHour: "0.0083"}},
		},
	}
}

// ordered is the record of an order that VPSie accepted.
func ordered() *v1alpha1.OrderRecord {
	return &v1alpha1.OrderRecord{Offering: "104", State: v1alpha1.OrderAccepted, Time: metav1.NowMicro(), Attempt: 1}
}

// may says whether the chart's service account is allowed to do something.
func may(ctx context.Context, k8s client.Client, namespace, verb, group, resource, name string) bool {
	GinkgoHelper()
	resource, subresource, _ := strings.Cut(resource, "/")
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:kube-system:" + release,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Version: "*", Resource: resource, Subresource: subresource, Name: name,
		},
	}}
	Expect(k8s.Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}
