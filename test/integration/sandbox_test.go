// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/chart"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/controlplane"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/hollow"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/programs"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/leftover"
)

// sandboxBin is where `make control-plane` puts the programs, seen from this folder.
var sandboxBin = programs.Folder("../..")

// A dead machine is noticed quickly here: the kubelets renew every 2 s and may be 12 s late.
const (
	sandboxHeartbeat = 2 * time.Second
	sandboxReady     = 2 * time.Second
)

var impatientNodeController = map[controlplane.Component][]string{
	controlplane.ControllerManager: {"--node-monitor-grace-period=12s", "--node-monitor-period=1s"},
}

var _ = Describe("the sandbox's cluster", Ordered, func() {
	var (
		home    string // what programs write to that were not told where to
		state   string
		cluster *controlplane.Cluster
		fleet   *hollow.Fleet
		admin   kubernetes.Interface
	)

	BeforeAll(func(ctx context.Context) {
		Expect(programs.Check(sandboxBin)).To(Succeed())
		home, state = GinkgoT().TempDir(), filepath.Join(GinkgoT().TempDir(), "state")
		GinkgoT().Setenv("HOME", home)
		otherScheduler := filepath.Join(GinkgoT().TempDir(), "other-scheduler")
		stock, err := filepath.Abs(filepath.Join(sandboxBin, programs.Scheduler))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.Symlink(stock, otherScheduler)).To(Succeed())
		cluster, err = controlplane.Start(ctx, sandboxBin, state, controlplane.Options{Args: impatientNodeController, SchedulerProgram: otherScheduler})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() error { return cluster.Stop() })
		fleet = hollow.NewFleet(cluster.AdminConfig(), hollow.Options{
			ReadyDelay: sandboxReady, StartDelay: hollow.Range{Min: time.Second, Max: 2 * time.Second}, StopDelay: time.Second,
			Heartbeat: sandboxHeartbeat, FailReady: func(m hollow.Machine) bool { return m.Name == "Broken-1" },
		})
		DeferCleanup(func() { fleet.Stop() })
		admin, err = kubernetes.NewForConfig(cluster.AdminConfig())
		Expect(err).NotTo(HaveOccurred())
	})

	AfterEach(func() {
		if !CurrentSpecReport().Failed() {
			return
		}
		for _, component := range controlplane.Components() {
			if log, err := os.ReadFile(cluster.LogFile(component)); err == nil {
				lines := strings.Split(string(log), "\n")
				AddReportEntry(string(component), strings.Join(lines[max(0, len(lines)-30):], "\n"))
			}
		}
	})

	It("registers a machine as a node that carries nothing of ours and is not ready at first", func(ctx context.Context) {
		Expect(fleet.Join(ctx, hollow.Machine{Name: "Worker-1", IP: "192.168.10.1", CPU: 4, MemoryMB: 8192, DiskGB: 80})).To(Succeed())
		node, err := admin.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(node.Labels).To(Equal(map[string]string{
			"kubernetes.io/hostname": "worker-1", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
		}))
		Expect(node.Spec.ProviderID).To(BeEmpty())
		Expect(readyStatus(node)).To(Equal(corev1.ConditionFalse))
		Expect(node.Status.NodeInfo.KubeletVersion).To(HavePrefix("v1."))
		Expect(node.Status.Allocatable.Cpu().String()).To(Equal("3900m"))
	})

	It("makes the node ready and leaves alone what others put on it", func(ctx context.Context) {
		// What the admission policy and the life cycle controller do while the machine starts.
		node, err := admin.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		patch := `{"metadata":{"labels":{"autoscaler.vpsie.com/managed":"true"}},"spec":{"providerID":"vpsie://1",` +
			`"taints":[{"key":"autoscaler.vpsie.com/unregistered","effect":"NoExecute"}]}}`
		_, err = admin.CoreV1().Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())

		Eventually(ctx, nodeReadiness(admin, "worker-1")).WithTimeout(15 * time.Second).Should(Equal(corev1.ConditionTrue))
		leaseBefore := renewed(ctx, admin, "worker-1")
		Eventually(ctx, func(ctx context.Context) time.Time { return renewed(ctx, admin, "worker-1") }).
			WithTimeout(10 * time.Second).Should(BeTemporally(">", leaseBefore))
		node, err = admin.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(node.Labels).To(HaveKeyWithValue("autoscaler.vpsie.com/managed", "true"))
		Expect(node.Spec.ProviderID).To(Equal("vpsie://1"))
		Expect(node.Spec.Taints).To(ContainElement(HaveField("Key", "autoscaler.vpsie.com/unregistered")))

		_, err = admin.CoreV1().Nodes().Patch(ctx, node.Name, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{})
		Expect(err).NotTo(HaveOccurred())
	})

	It("keeps a machine that fails from ever becoming ready, and lets it live", func(ctx context.Context) {
		Expect(fleet.Join(ctx, hollow.Machine{Name: "Broken-1", IP: "192.168.10.9", CPU: 4, MemoryMB: 8192, DiskGB: 80})).To(Succeed())
		born := renewed(ctx, admin, "broken-1")
		Consistently(ctx, nodeReadiness(admin, "broken-1")).WithTimeout(3 * sandboxReady).Should(Equal(corev1.ConditionFalse))
		Expect(renewed(ctx, admin, "broken-1")).To(BeTemporally(">", born), "its kubelet does not run")
		Expect(fleet.Leave(ctx, "Broken-1")).To(Succeed())
		Expect(admin.CoreV1().Nodes().Delete(ctx, "broken-1", metav1.DeleteOptions{})).To(Succeed())
	})

	It("holds kubelets to what a node may do", func(ctx context.Context) {
		Expect(fleet.Join(ctx, hollow.Machine{Name: "worker-2", IP: "192.168.10.2", CPU: 4, MemoryMB: 8192, DiskGB: 80})).To(Succeed())
		config := cluster.AdminConfig()
		config.Impersonate = rest.ImpersonationConfig{UserName: "system:node:worker-2", Groups: []string{"system:nodes"}}
		kubelet, err := kubernetes.NewForConfig(config)
		Expect(err).NotTo(HaveOccurred())
		label := []byte(`{"metadata":{"labels":{"node-restriction.kubernetes.io/team":"a"}}}`)
		_, err = kubelet.CoreV1().Nodes().Patch(ctx, "worker-2", types.StrategicMergePatchType, label, metav1.PatchOptions{})
		Expect(err).To(MatchError(ContainSubstring("is not allowed to modify labels")))
		_, err = kubelet.CoreV1().Nodes().Patch(ctx, "worker-1", types.StrategicMergePatchType, []byte(`{"status":{"phase":"x"}}`), metav1.PatchOptions{}, "status")
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "a node wrote another node: %v", err)
		_, err = kubelet.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
		Expect(apierrors.IsForbidden(err)).To(BeTrue(), "a node listed all secrets: %v", err)
		Eventually(ctx, nodeReadiness(admin, "worker-2")).WithTimeout(15 * time.Second).Should(Equal(corev1.ConditionTrue))
	})

	It("takes a Deployment's pods from Pending to Running, and the budget guards them", func(ctx context.Context) {
		watched, err := admin.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		Expect(err).NotTo(HaveOccurred())
		defer watched.Stop()
		_, err = admin.AppsV1().Deployments("default").Create(ctx, deployment("web", 4), metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		stories := tell(ctx, watched, 4)
		for name, story := range stories {
			Expect(story).To(Equal([]string{"Pending", "Pending on a node", "ContainerCreating", "Running and ready"}), name)
		}
		pods, err := admin.CoreV1().Pods("default").List(ctx, metav1.ListOptions{LabelSelector: "app=web"})
		Expect(err).NotTo(HaveOccurred())
		ips := map[string]bool{}
		for _, pod := range pods.Items {
			Expect(pod.Status.PodIP).To(HavePrefix("10.1"))
			Expect(pod.Status.ContainerStatuses).To(HaveExactElements(And(HaveField("Ready", true), HaveField("State.Running", Not(BeNil())))))
			ips[pod.Status.PodIP] = true
		}
		Expect(ips).To(HaveLen(4), "each pod has an address of its own")

		_, err = admin.PolicyV1().PodDisruptionBudgets("default").Create(ctx, &policyv1.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "web"},
			Spec: policyv1.PodDisruptionBudgetSpec{
				MinAvailable: new(intstr.FromInt32(3)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, func(ctx context.Context) (int32, error) {
			pdb, err := admin.PolicyV1().PodDisruptionBudgets("default").Get(ctx, "web", metav1.GetOptions{})
			return pdb.Status.DisruptionsAllowed, err
		}).WithTimeout(10 * time.Second).Should(Equal(int32(1)))
		Expect(evict(ctx, admin, pods.Items[0].Name)).To(Succeed())
		err = evict(ctx, admin, pods.Items[1].Name)
		Expect(apierrors.IsTooManyRequests(err)).To(BeTrue(), "the second eviction: %v", err)
	})

	It("lets a deleted pod take its time, but not more than its grace period", func(ctx context.Context) {
		patient, hasty := pod("patient", "100m"), pod("hasty", "100m")
		patient.Annotations = map[string]string{hollow.AnnotationStartDelay: "0s", hollow.AnnotationStopDelay: "3s"}
		hasty.Annotations = map[string]string{hollow.AnnotationStartDelay: "0s", hollow.AnnotationStopDelay: "1h"}
		hasty.Spec.TerminationGracePeriodSeconds = new(int64(1))
		for _, p := range []*corev1.Pod{patient, hasty} {
			_, err := admin.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
			Eventually(ctx, podPhase(admin, p.Name)).WithTimeout(10 * time.Second).Should(Equal("Running"))
		}
		asked := time.Now()
		for _, name := range []string{"patient", "hasty"} {
			Expect(admin.CoreV1().Pods("default").Delete(ctx, name, metav1.DeleteOptions{})).To(Succeed())
		}
		Eventually(ctx, podPhase(admin, "hasty")).WithTimeout(10 * time.Second).Should(Equal("gone"))
		Expect(time.Since(asked)).To(BeNumerically(">=", 900*time.Millisecond))
		still, err := admin.CoreV1().Pods("default").Get(ctx, "patient", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred(), "patient was not left its time")
		Expect(still.DeletionTimestamp).NotTo(BeNil())
		Eventually(ctx, podPhase(admin, "patient")).WithTimeout(10 * time.Second).Should(Equal("gone"))
		Expect(time.Since(asked)).To(BeNumerically(">=", 2900*time.Millisecond))
	})

	It("finishes a job's pod and rejects a pod that was forced on a full machine", func(ctx context.Context) {
		template := pod("", "100m")
		template.Annotations = map[string]string{hollow.AnnotationStartDelay: "0s", hollow.AnnotationRunFor: "1s"}
		template.Spec.RestartPolicy = corev1.RestartPolicyNever
		_, err := admin.BatchV1().Jobs("default").Create(ctx, &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: "migrate"},
			Spec:       batchv1.JobSpec{Template: corev1.PodTemplateSpec{ObjectMeta: template.ObjectMeta, Spec: template.Spec}},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		forced := pod("forced", "3900m") // fits the empty machine, but not beside the pods that are there
		forced.Spec.NodeName = "worker-1"
		beside := pod("beside", "100m")
		beside.Spec.NodeName = "worker-1"
		for _, p := range []*corev1.Pod{beside, forced} {
			_, err = admin.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{})
			Expect(err).NotTo(HaveOccurred())
		}
		Eventually(ctx, podPhase(admin, "forced")).WithTimeout(10 * time.Second).Should(Equal("Failed: OutOfcpu"))
		Eventually(ctx, func(ctx context.Context) (int32, error) {
			job, err := admin.BatchV1().Jobs("default").Get(ctx, "migrate", metav1.GetOptions{})
			return job.Status.Succeeded, err
		}).WithTimeout(15 * time.Second).Should(Equal(int32(1)))
	})

	It("gives a service account's kubeconfig its own rights and no others", func(ctx context.Context) {
		role := &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "reads-nodes"},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}}},
		}
		_, err := admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		_, err = admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "reads-nodes"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "reads-nodes"},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "default"}, {Kind: "Group", APIGroup: rbacv1.GroupName, Name: "readers"}},
		}, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		account, person := filepath.Join(state, "account.kubeconfig"), filepath.Join(state, "person.kubeconfig")
		Expect(cluster.ServiceAccountKubeconfig(ctx, "default", "default", account)).To(Succeed())
		Expect(cluster.KubeconfigFor("zoe", []string{"readers"}, person)).To(Succeed())
		for _, path := range []string{account, person} {
			config, err := clientcmd.BuildConfigFromFlags("", path)
			Expect(err).NotTo(HaveOccurred())
			client, err := kubernetes.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			_, err = client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
			Expect(err).NotTo(HaveOccurred())
			_, err = client.CoreV1().Secrets("default").List(ctx, metav1.ListOptions{})
			Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%s lists secrets: %v", path, err)
		}
		Expect(cluster.ServiceAccountKubeconfig(ctx, "default", "nobody", account)).
			To(MatchError(ContainSubstring(`service account "nobody" in namespace "default"`)))
	})

	It("installs a chart", func(ctx context.Context) {
		dir := GinkgoT().TempDir()
		Expect(os.Mkdir(filepath.Join(dir, "templates"), 0o700)).To(Succeed())
		for name, content := range map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: hello\nversion: 0.1.0\nkubeVersion: \">= 1.30.0-0\"\n",
			"templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\ndata:\n" +
				"  word: {{ required \"word is required: set word\" .Values.word | quote }}\n",
		} {
			Expect(os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)).To(Succeed())
		}
		release := chart.Release{
			Helm: filepath.Join(sandboxBin, programs.Helm), Kubeconfig: cluster.AdminKubeconfig(), Namespace: "kube-system", Name: "hello", Dir: dir,
		}
		Expect(chart.Install(ctx, release)).To(MatchError(ContainSubstring("word is required: set word")))
		for _, word := range []string{"first", "second"} { // an install, then an upgrade
			release.Set = []string{"word=" + word}
			Expect(chart.Install(ctx, release)).To(Succeed())
			config, err := admin.CoreV1().ConfigMaps("kube-system").Get(ctx, "hello", metav1.GetOptions{})
			Expect(err).NotTo(HaveOccurred())
			Expect(config.Data).To(HaveKeyWithValue("word", word))
		}
	})

	It("is not disturbed by a second start in its folder or on its port", func(ctx context.Context) {
		_, err := controlplane.Start(ctx, sandboxBin, state, controlplane.Options{})
		Expect(err).To(MatchError(ContainSubstring(fmt.Sprintf("in use by a running sandbox (process %d)", os.Getpid()))))

		_, port, err := net.SplitHostPort(strings.TrimPrefix(cluster.URL(), "https://"))
		Expect(err).NotTo(HaveOccurred())
		number, err := net.LookupPort("tcp", port)
		Expect(err).NotTo(HaveOccurred())
		_, err = controlplane.Start(ctx, sandboxBin, filepath.Join(GinkgoT().TempDir(), "other"), controlplane.Options{
			Ports: controlplane.Ports{APIServer: number},
		})
		Expect(err).To(MatchError(ContainSubstring(fmt.Sprintf("port %d, wanted for kube-apiserver, is in use", number))))
		_, err = admin.CoreV1().Nodes().Get(ctx, "worker-1", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
	})

	It("explains a component that ends while it starts, and ends the others", func(ctx context.Context) {
		other := filepath.Join(GinkgoT().TempDir(), "other")
		_, err := controlplane.Start(ctx, sandboxBin, other, controlplane.Options{
			Args: map[controlplane.Component][]string{controlplane.APIServer: {"--no-such-flag=1"}},
		})
		Expect(err).To(MatchError(And(
			ContainSubstring("kube-apiserver ended by itself (exit status 1)"),
			ContainSubstring("unknown flag: --no-such-flag"),
		)))
		Expect(leftover.Processes(other)).To(BeEmpty())
	})

	It("survives the death of its API server", func(ctx context.Context) {
		Expect(cluster.Kill(controlplane.APIServer)).To(Succeed())
		Expect(cluster.PID(controlplane.APIServer)).To(BeZero())
		Expect(cluster.Kill(controlplane.APIServer)).To(MatchError(ContainSubstring("does not run")))
		Expect(cluster.Restart(ctx, controlplane.APIServer)).To(Succeed())
		late := pod("late", "100m")
		_, err := admin.CoreV1().Pods("default").Create(ctx, late, metav1.CreateOptions{})
		Expect(err).NotTo(HaveOccurred())
		Eventually(ctx, podPhase(admin, "late")).WithTimeout(30 * time.Second).Should(Equal("Running"))
		Eventually(ctx, nodeReadiness(admin, "worker-1")).WithTimeout(30 * time.Second).Should(Equal(corev1.ConditionTrue))
		Expect(cluster.Failed()).NotTo(Receive(), "a death that was asked for was reported")
	})

	It("notices a machine that has left, and keeps its node", func(ctx context.Context) {
		Expect(fleet.Leave(ctx, "WORKER-2")).To(Succeed())
		Eventually(ctx, nodeReadiness(admin, "worker-2")).WithTimeout(40 * time.Second).Should(Equal(corev1.ConditionUnknown))
		Expect(readinessOf(ctx, admin, "worker-1")).To(Equal(corev1.ConditionTrue))
		Expect(fleet.Leave(ctx, "worker-2")).To(MatchError(ContainSubstring(`no machine "worker-2" has joined`)))
	})

	It("takes a machine back that was away", func(ctx context.Context) {
		same := hollow.Machine{Name: "worker-2", IP: "192.168.10.7", CPU: 8, MemoryMB: 8192, DiskGB: 80}
		Expect(fleet.Join(ctx, same)).To(Succeed())
		Expect(fleet.Join(ctx, same)).To(MatchError(ContainSubstring("has joined already")))
		Eventually(ctx, nodeReadiness(admin, "worker-2")).WithTimeout(15 * time.Second).Should(Equal(corev1.ConditionTrue))
		node, err := admin.CoreV1().Nodes().Get(ctx, "worker-2", metav1.GetOptions{})
		Expect(err).NotTo(HaveOccurred())
		Expect(node.Status.Capacity.Cpu().String()).To(Equal("8"))
		Expect(node.Status.Addresses).To(ContainElement(corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "192.168.10.7"}))
	})

	It("runs the scheduler that it was given", func() {
		Expect(leftover.Processes(state)).To(ConsistOf("etcd", "kube-apiserver", "kube-controller-manager", "other-scheduler"))
	})

	It("reports a component that dies by itself, and leaves neither process nor stray file", func() {
		Expect(syscall.Kill(cluster.PID(controlplane.Scheduler), syscall.SIGKILL)).To(Succeed())
		Eventually(cluster.Failed()).WithTimeout(5 * time.Second).Should(Receive(MatchError(ContainSubstring("kube-scheduler ended by itself (signal: killed)"))))
		Expect(leftover.Processes(state)).To(HaveLen(3))
		fleet.Stop()
		Expect(cluster.Stop()).To(Succeed())
		Expect(leftover.Processes(state)).To(BeEmpty())
		entries, err := os.ReadDir(state)
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		Expect(names).To(ConsistOf("account.kubeconfig", "person.kubeconfig", "etcd", "kubeconfig", "log", "pki", "sandbox.pid"))
		Expect(leftover.Files(home)).To(BeEmpty(), "something was written outside the state folder")
		Expect(cluster.Stop()).To(Succeed(), "stopping twice")
	})
})
