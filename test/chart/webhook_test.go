// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package chart_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/cert"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/webhook"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/birth"
)

const hookName = release + "-birth-taint"

// hookIn finds the webhook's parts among rendered objects.
func hookIn(objects []*unstructured.Unstructured) (secret corev1.Secret, service corev1.Service, config admissionregistrationv1.MutatingWebhookConfiguration, pod corev1.PodSpec) {
	GinkgoHelper()
	var deployment appsv1.Deployment
	for kind, into := range map[string]any{"Secret": &secret, "MutatingWebhookConfiguration": &config, "Deployment": &deployment} {
		Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(ofKind(kind, objects)[0].Object, into)).To(Succeed())
	}
	for _, object := range ofKind("Service", objects) {
		if object.GetName() == hookName {
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &service)).To(Succeed())
		}
	}
	return secret, service, config, deployment.Spec.Template.Spec
}

var _ = Describe("The chart's webhook", Label("basic"), func() {
	var (
		secret  corev1.Secret
		service corev1.Service
		config  admissionregistrationv1.MutatingWebhookConfiguration
		pod     corev1.PodSpec
		hook    admissionregistrationv1.MutatingWebhook
	)
	BeforeEach(func() {
		secret, service, config, pod = hookIn(rendered("--kube-version", "1.34.0"))
		Expect(config.Webhooks).To(HaveLen(1))
		hook = config.Webhooks[0]
	})

	It("has a certificate for ten years that the API server trusts under the name it calls", func() {
		pair, err := tls.X509KeyPair(secret.Data["tls.crt"], secret.Data["tls.key"])
		Expect(err).NotTo(HaveOccurred())
		Expect(hook.ClientConfig.CABundle).To(Equal(secret.Data["ca.crt"]))
		trusted := x509.NewCertPool()
		Expect(trusted.AppendCertsFromPEM(hook.ClientConfig.CABundle)).To(BeTrue())
		to := hook.ClientConfig.Service
		for _, at := range []time.Time{time.Now(), time.Now().AddDate(9, 11, 0)} {
			_, err = pair.Leaf.Verify(x509.VerifyOptions{DNSName: to.Name + "." + to.Namespace + ".svc", Roots: trusted, CurrentTime: at})
			Expect(err).NotTo(HaveOccurred())
		}
	})

	It("is called where the controller serves it", func() {
		Expect(hook.ClientConfig.Service.Name).To(Equal(service.Name))
		Expect(hook.ClientConfig.Service.Namespace).To(Equal(service.Namespace))
		Expect(hook.ClientConfig.Service.Port).To(BeNil(), "443 by default")
		Expect(hook.ClientConfig.Service.Path).To(HaveValue(Equal(birth.Path)))
		Expect(service.Spec.Ports).To(HaveLen(1))
		Expect(service.Spec.Ports[0].Port).To(BeEquivalentTo(443))
		container := pod.Containers[0]
		Expect(container.Ports).To(ContainElement(corev1.ContainerPort{Name: service.Spec.Ports[0].TargetPort.StrVal, ContainerPort: 9443}))
		Expect(container.Env).To(ContainElements(
			corev1.EnvVar{Name: "VPSIE_AUTOSCALER_BIRTH_WEBHOOK_PORT", Value: "9443"},
			corev1.EnvVar{Name: "VPSIE_AUTOSCALER_BIRTH_WEBHOOK_CERT_DIR", Value: "/etc/birth-webhook"},
			corev1.EnvVar{Name: "VPSIE_AUTOSCALER_BIRTH_WEBHOOK_NODE_NAME_PATTERN", Value: "-slave-[0-9a-f]+$"},
		))
		Expect(container.VolumeMounts).To(ConsistOf(corev1.VolumeMount{Name: "birth-webhook", MountPath: "/etc/birth-webhook", ReadOnly: true}))
		Expect(pod.Volumes).To(HaveLen(1))
		Expect(pod.Volumes[0].Secret.SecretName).To(Equal(secret.Name))
	})

	It("never keeps a node from joining, nor anybody waiting for long", func() {
		Expect(hook.FailurePolicy).To(HaveValue(Equal(admissionregistrationv1.Ignore)))
		Expect(hook.TimeoutSeconds).To(HaveValue(BeNumerically("<=", 3)))
		Expect(hook.SideEffects).To(HaveValue(Equal(admissionregistrationv1.SideEffectClassNone)))
		Expect(pod.Containers[0].LivenessProbe.HTTPGet.Port.StrVal).To(Equal("health"), "a webhook that fails restarts nobody")
	})

	It("is asked of the nodes that the policy looks at", func() {
		policy := ofKind("MutatingAdmissionPolicy", rendered())[0]
		conditions, _, err := unstructured.NestedSlice(policy.Object, "spec", "matchConditions")
		Expect(err).NotTo(HaveOccurred())
		Expect(hook.MatchConditions).To(HaveLen(len(conditions) - 1)) // the controller knows VPSieNodes
		for i, condition := range hook.MatchConditions {
			Expect(conditions[i]).To(Equal(map[string]any{"name": condition.Name, "expression": condition.Expression}))
		}
	})

	It("gets the pattern of node names as it is", func() {
		const pattern = `^a\d+: "#'b'$`
		_, _, config, pod := hookIn(rendered("--set", "birthTaint.mode=Webhook", "--set-literal", "birthTaint.nodeNamePattern="+pattern))
		Expect(config.Webhooks[0].MatchConditions[0].Expression).To(Equal(`object.metadata.name.matches("^a\\d+: \"#'b'$")`))
		Expect(pod.Containers[0].Env).To(ContainElement(corev1.EnvVar{Name: "VPSIE_AUTOSCALER_BIRTH_WEBHOOK_NODE_NAME_PATTERN", Value: pattern}))
	})

	It("shares the pod with a file for the scheduler, and gets through the NetworkPolicy", func() {
		objects := rendered("--values", everyValue, "--set", "birthTaint.mode=Webhook")
		_, _, _, pod := hookIn(objects)
		Expect(pod.Volumes).To(HaveLen(2))
		Expect(pod.Containers[0].VolumeMounts).To(HaveLen(2))
		var policy networkingv1.NetworkPolicy
		Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(ofKind("NetworkPolicy", objects)[0].Object, &policy)).To(Succeed())
		Expect(policy.Spec.Ingress[0].Ports).To(HaveLen(3))
		Expect(policy.Spec.Ingress[0].Ports[2].Port.StrVal).To(Equal("birth-webhook"))
	})
})

var _ = Describe("The installed webhook", Label("basic"), Ordered, func() {
	var (
		server     *rest.Config
		kubeconfig string
		k8s        client.Client
		scheme     = runtime.NewScheme()
		folder     string
		port       int
		stop       func()
	)
	upgrade := func() {
		GinkgoHelper()
		_, err := helm("upgrade", "--install", "--kubeconfig", kubeconfig, "--set", "birthTaint.mode=Webhook")
		Expect(err).NotTo(HaveOccurred())
	}
	installed := func(ctx context.Context) (corev1.Secret, admissionregistrationv1.MutatingWebhookConfiguration) {
		GinkgoHelper()
		var secret corev1.Secret
		var config admissionregistrationv1.MutatingWebhookConfiguration
		Expect(k8s.Get(ctx, client.ObjectKey{Namespace: namespace, Name: hookName}, &secret)).To(Succeed())
		Expect(k8s.Get(ctx, client.ObjectKey{Name: hookName}, &config)).To(Succeed())
		return secret, config
	}
	// certify gives the server a new certificate, as kubelet does when the Secret has changed, and has the API server call it on this host.
	certify := func(ctx context.Context) {
		GinkgoHelper()
		certificate, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(filepath.Join(folder, "tls.key"), key, 0o600)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(folder, "tls.crt"), certificate, 0o600)).To(Succeed())
		_, config := installed(ctx)
		config.Webhooks[0].ClientConfig = admissionregistrationv1.WebhookClientConfig{
			URL: new(fmt.Sprintf("https://127.0.0.1:%d%s", port, birth.Path)), CABundle: certificate,
		}
		Expect(k8s.Update(ctx, &config)).To(Succeed())
	}

	BeforeAll(func() {
		utilruntime.Must(clientgoscheme.AddToScheme(scheme))
		utilruntime.Must(v1alpha1.AddToScheme(scheme))
		server, kubeconfig = apiServer(scheme)
		upgrade()
		var err error
		k8s, err = client.New(server, client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
	})

	It("lets workers join while no controller runs", func(ctx context.Context) {
		Consistently(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-01ab")).WithTimeout(5 * time.Second).Should(BeEmpty())
	})

	It("keeps its certificate at an upgrade, and gets a new one when it was deleted", func(ctx context.Context) {
		before, trust := installed(ctx)
		upgrade()
		after, still := installed(ctx)
		Expect(after.Data).To(Equal(before.Data))
		Expect(still.Webhooks[0].ClientConfig.CABundle).To(Equal(trust.Webhooks[0].ClientConfig.CABundle))
		Expect(k8s.Delete(ctx, &after)).To(Succeed())
		upgrade()
		rotated, trusts := installed(ctx)
		Expect(rotated.Data["tls.crt"]).NotTo(Equal(before.Data["tls.crt"]))
		Expect(trusts.Webhooks[0].ClientConfig.CABundle).To(Equal(rotated.Data["ca.crt"]))
	})

	Describe("served by a replica that does not lead", Ordered, func() {
		BeforeAll(func(ctx context.Context) {
			Expect(k8s.Create(ctx, &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: release},
				Spec:       coordinationv1.LeaseSpec{HolderIdentity: new("another"), LeaseDurationSeconds: new(int32(3600)), AcquireTime: new(metav1.NowMicro()), RenewTime: new(metav1.NowMicro())},
			})).To(Succeed())
			folder, port = GinkgoT().TempDir(), freePort()
			certify(ctx)
			stop = serve(server, scheme, port, folder)
			DeferCleanup(func() { stop() })
			Expect(k8s.Create(ctx, vpsieNode("web-1"))).To(Succeed())
			known := vpsieNode("web-2")
			Expect(k8s.Create(ctx, known)).To(Succeed())
			known.Status = v1alpha1.VPSieNodeStatus{Phase: v1alpha1.PhaseReady, Hostname: "HEL-kubernetes-49ab-slave-02ab", InstanceID: "0d1c", Order: ordered()}
			Expect(k8s.Status().Update(ctx, known)).To(Succeed())
		})

		It("taints a worker that joins, once, and keeps the taints that it brings", func(ctx context.Context) {
			Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-01ab")).WithTimeout(20 * time.Second).Should(Equal([]corev1.Taint{birthTaint}))
			own := corev1.Taint{Key: "example.com/gpu", Effect: corev1.TaintEffectNoSchedule}
			Expect(taintsAtBirth(ctx, k8s, node("hel-kubernetes-49ab-slave-01ab", own))).To(Equal([]corev1.Taint{own, birthTaint}))
			Expect(taintsAtBirth(ctx, k8s, node("hel-kubernetes-49ab-slave-01ab", birthTaint))).To(Equal([]corev1.Taint{birthTaint}))
		})

		It("lets the pods of a machine stay that registers anew", func(ctx context.Context) {
			Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-02ab")).WithTimeout(20 * time.Second).Should(Equal([]corev1.Taint{againTaint}))
		})

		DescribeTable("refuses to touch", func(ctx context.Context, name string, labels map[string]string) {
			untouched := node(name)
			untouched.Labels = labels
			Expect(taintsAtBirth(ctx, k8s, untouched)).To(BeEmpty())
		},
			Entry("a node with another name", "static-1", nil),
			Entry("a control-plane node", "hel-kubernetes-49ab-master-01ab", nil),
			Entry("a worker that has our label already", "hel-kubernetes-49ab-slave-04ab", map[string]string{v1alpha1.ManagedLabel: "true"}),
		)

		It("takes over a new certificate without a restart", func(ctx context.Context) {
			certify(ctx)
			Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-05ab")).WithTimeout(30 * time.Second).Should(Equal([]corev1.Taint{birthTaint}))
		})

		It("refuses to touch any worker when no VPSieNode waits for one", func(ctx context.Context) {
			Expect(k8s.Delete(ctx, vpsieNode("web-1"))).To(Succeed())
			Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-06ab")).WithTimeout(20 * time.Second).Should(BeEmpty())
			Expect(k8s.Create(ctx, vpsieNode("web-1"))).To(Succeed())
			Eventually(taintsAtBirth).WithArguments(ctx, k8s, node("hel-kubernetes-49ab-slave-06ab")).WithTimeout(20 * time.Second).Should(Equal([]corev1.Taint{birthTaint}))
		})

		It("harms no worker while it is down", func(ctx context.Context) {
			stop()
			began := time.Now()
			worker := node("hel-kubernetes-49ab-slave-07ab")
			Expect(k8s.Create(ctx, worker)).To(Succeed())
			Expect(time.Since(began)).To(BeNumerically("<", 5*time.Second))
			Expect(worker.Spec.Taints).NotTo(ContainElement(HaveField("Key", v1alpha1.UnregisteredTaint)))
		})
	})
})

// serve runs the webhook as one of several replicas does, and returns what stops it.
func serve(server *rest.Config, scheme *runtime.Scheme, port int, folder string) func() {
	GinkgoHelper()
	mgr, err := ctrl.NewManager(server, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, Logger: GinkgoLogr,
		LeaderElection: true, LeaderElectionID: release, LeaderElectionNamespace: namespace,
		WebhookServer: webhook.NewServer(webhook.Options{Host: "127.0.0.1", Port: port, CertDir: folder}),
	})
	Expect(err).NotTo(HaveOccurred())
	Expect(birth.New(mgr.GetClient(), regexp.MustCompile(`-slave-[0-9a-f]+$`), birth.Options{}).SetupWithManager(mgr)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		Eventually(ended).WithTimeout(20 * time.Second).Should(Receive(BeNil()))
	})
}

func freePort() int {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	number, err := strconv.Atoi(port)
	Expect(err).NotTo(HaveOccurred())
	return number
}
