// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package execute

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

func TestIntegration(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "disruption on a real API server")
}

var _ = Describe("a machine that has to go", Label("disruption"), Ordered, func() {
	var (
		kube  client.Client
		clock *clocktesting.FakePassiveClock
	)

	BeforeAll(func(ctx SpecContext) {
		Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "KUBEBUILDER_ASSETS must name the folder with etcd and kube-apiserver")
		scheme := runtime.NewScheme()
		utilruntime.Must(clientgoscheme.AddToScheme(scheme))
		utilruntime.Must(v1alpha1.AddToScheme(scheme))
		server := &envtest.Environment{Scheme: scheme, CRDDirectoryPaths: []string{"../../charts/vpsie-autoscaler/files/crds"}, ErrorIfCRDPathMissing: true}
		config, err := server.Start()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(server.Stop)
		kube, err = client.New(config, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())

		ng := &v1alpha1.NodeGroup{
			ObjectMeta: metav1.ObjectMeta{Name: "pool", Labels: map[string]string{v1alpha1.ManagedLabel: v1alpha1.ManagedValue}},
			Spec:       v1alpha1.NodeGroupSpec{Disruption: v1alpha1.DisruptionRules{Budgets: []v1alpha1.Budget{{Nodes: "100%"}}}},
		}
		Expect(kube.Create(ctx, ng)).To(Succeed())
		clock = clocktesting.NewFakePassiveClock(ng.CreationTimestamp.Time)
	})

	drainer := func() *drain.Drainer { return drain.New(kube, kube, drain.Options{Clock: clock}) }
	later := func(d time.Duration) { clock.SetTime(clock.Now().Add(d)) }

	join := func(ctx SpecContext, name string) (*v1alpha1.VPSieNode, *corev1.Node) {
		GinkgoHelper()
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-" + name, Labels: map[string]string{v1alpha1.NodeGroupLabel: "pool"}}}
		Expect(kube.Create(ctx, n)).To(Succeed())
		n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourcePods: resource.MustParse("110")}
		Expect(kube.Status().Update(ctx, n)).To(Succeed())
		vn := &v1alpha1.VPSieNode{
			ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{v1alpha1.VPSieNodeFinalizer}},
			Spec: v1alpha1.VPSieNodeSpec{
				NodeGroup: "pool", Datacenter: "dc", CreationReason: v1alpha1.CreatedForPods,
				Offerings: []v1alpha1.OfferingChoice{{ID: "o", Name: "s-2", PricePerHour: "0.0500"}},
			},
		}
		Expect(kube.Create(ctx, vn)).To(Succeed())
		vn.Status.Phase, vn.Status.NodeName, vn.Status.PricePerHour = v1alpha1.PhaseReady, n.Name, "0.0500"
		meta.SetStatusCondition(&vn.Status.Conditions, metav1.Condition{
			Type: v1alpha1.ConditionInitialized, Status: metav1.ConditionTrue, Reason: "Initialized", LastTransitionTime: metav1.NewTime(clock.Now().Add(-time.Hour)),
		})
		Expect(kube.Status().Update(ctx, vn)).To(Succeed())
		return vn, n
	}

	start := func(ctx SpecContext, name, node string) *corev1.Pod {
		GinkgoHelper()
		pod := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}},
			Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "c"}}},
		}
		Expect(kube.Create(ctx, pod)).To(Succeed())
		pod.Status.Phase = corev1.PodRunning
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		Expect(kube.Status().Update(ctx, pod)).To(Succeed())
		return pod
	}

	It("is drained through the eviction API, which a PodDisruptionBudget holds up", func(ctx SpecContext) {
		_, n := join(ctx, "drained")
		db, other := start(ctx, "db", n.Name), start(ctx, "other", "elsewhere")
		pdb := &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db"},
			Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}}},
		}
		Expect(kube.Create(ctx, pdb)).To(Succeed())
		pdb.Status = policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DesiredHealthy: 1, CurrentHealthy: 1, ExpectedPods: 1}
		Expect(kube.Status().Update(ctx, pdb)).To(Succeed())

		progress, err := drainer().Drain(ctx, n, time.Time{})
		Expect(err).NotTo(HaveOccurred())
		Expect(progress.Done).To(BeFalse())
		Expect(progress.Waiting).To(ConsistOf("default/db: The disruption budget db needs 1 healthy pods and has 1 currently"))
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(n), n)).To(Succeed())
		Expect(n.Spec.Taints).To(ContainElement(And(HaveField("Key", v1alpha1.DisruptingTaint), HaveField("TimeAdded", Not(BeNil())))))
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(db), db)).To(Succeed())
		Expect(db.DeletionTimestamp).To(BeNil())

		pdb.Status.DisruptionsAllowed = 1
		Expect(kube.Status().Update(ctx, pdb)).To(Succeed())
		progress, err = drainer().Drain(ctx, n, time.Time{})
		Expect(err).NotTo(HaveOccurred())
		Expect(progress.Waiting).To(ConsistOf("default/db: was evicted and is terminating"))
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(db), db)).To(Succeed())
		Expect(*db.DeletionGracePeriodSeconds).To(BeEquivalentTo(30), "the pod's own grace period")

		Expect(kube.Delete(ctx, db, client.GracePeriodSeconds(0))).To(Succeed()) // the kubelet's part
		later(time.Minute)
		progress, err = drainer().Drain(ctx, n, time.Time{})
		Expect(err).NotTo(HaveOccurred())
		Expect(progress).To(Equal(drain.Progress{Done: true}))
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(other), other)).To(Succeed())
		Expect(other.DeletionTimestamp).To(BeNil())

		Expect(drainer().Undo(ctx, n)).To(Succeed())
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(n), n)).To(Succeed())
		Expect(n.Spec.Taints).NotTo(ContainElement(HaveField("Key", v1alpha1.DisruptingTaint)))
		Expect(n.Labels).NotTo(HaveKey(corev1.LabelNodeExcludeBalancers))
		Expect(kube.Delete(ctx, &v1alpha1.VPSieNode{ObjectMeta: metav1.ObjectMeta{Name: "drained"}})).To(Succeed())
	})

	It("refuses to evict or to delete a namesake", func(ctx SpecContext) {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n-stale"}}
		Expect(kube.Create(ctx, n)).To(Succeed())
		pod := start(ctx, "namesake", n.Name)
		stale := pod.DeepCopy()
		stale.UID = types.UID("another")
		for _, deadline := range []time.Time{{}, clock.Now()} {
			d := drain.New(kube, showing{kube, *stale}, drain.Options{Clock: clock})
			progress, err := d.Drain(ctx, n, deadline)
			Expect(err).NotTo(HaveOccurred())
			Expect(progress.Done).To(BeFalse())
			Expect(kube.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed())
			Expect(pod.DeletionTimestamp).To(BeNil())
		}
	})

	It("is decided about, drained, deleted as it was checked, and recorded", func(ctx SpecContext) {
		vn, n := join(ctx, "empty")
		decide := disruption.New(kube, kube, state.New(kube, clock), disruption.Options{Clock: clock})
		execute := func() *Reconciler { return New(kube, kube, decide, drainer(), Options{Clock: clock}) }
		look := func() []v1alpha1.Disruption {
			GinkgoHelper()
			_, err := decide.Reconcile(ctx, reconcile.Request{})
			Expect(err).NotTo(HaveOccurred())
			list := &v1alpha1.DisruptionList{}
			Expect(kube.List(ctx, list)).To(Succeed())
			return list.Items
		}
		Expect(look()).To(BeEmpty())
		later(10 * time.Minute)
		decided := look()
		Expect(decided).To(HaveLen(1))
		d := &decided[0]
		Expect(d.Spec.Remove).To(HaveLen(1))
		Expect(d.Spec.Remove[0].UID).To(Equal(string(vn.UID)))
		Expect(look()).To(HaveLen(1), "the same decision is not written twice")

		request := reconcile.Request{NamespacedName: client.ObjectKeyFromObject(d)}
		for range 12 {
			_, err := execute().Reconcile(ctx, request)
			Expect(err).NotTo(HaveOccurred())
			later(5 * time.Second)
		}
		Expect(kube.Get(ctx, request.NamespacedName, d)).To(Succeed())
		Expect(d.Status.Phase).To(Equal(v1alpha1.DisruptionVerifying), d.Status.Message)
		Expect(kube.Get(ctx, client.ObjectKeyFromObject(vn), vn)).To(Succeed())
		Expect(vn.DeletionTimestamp).NotTo(BeNil())

		vn.Finalizers = nil // lifecycle's part
		Expect(kube.Update(ctx, vn)).To(Succeed())
		for range 3 {
			_, err := execute().Reconcile(ctx, request)
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(kube.Get(ctx, request.NamespacedName, d)).To(Succeed())
		Expect(d.Status.Phase).To(Equal(v1alpha1.DisruptionSucceeded))
		Expect(d.Finalizers).To(BeEmpty())
		Expect(kube.Delete(ctx, n)).To(Succeed())

		later(25 * time.Hour)
		_, err := execute().Reconcile(ctx, request)
		Expect(err).NotTo(HaveOccurred())
		Expect(apierrors.IsNotFound(kube.Get(ctx, request.NamespacedName, d))).To(BeTrue(), "finished Disruptions are collected")
	})
})

// showing reads one pod wherever pods are listed.
type showing struct {
	client.Reader
	pod corev1.Pod
}

func (s showing) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if pods, ok := list.(*corev1.PodList); ok {
		pods.Items = []corev1.Pod{s.pod}
		return nil
	}
	return s.Reader.List(ctx, list, opts...)
}
