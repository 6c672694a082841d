// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package chart_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// alwaysThere are the objects of every release.
var alwaysThere = []string{
	"ServiceAccount/vpsie-autoscaler", "ClusterRole/vpsie-autoscaler", "ClusterRoleBinding/vpsie-autoscaler",
	"Role/vpsie-autoscaler", "RoleBinding/vpsie-autoscaler", "Service/vpsie-autoscaler-metrics", "Deployment/vpsie-autoscaler",
}

var crdNames = []string{
	"CustomResourceDefinition/nodegroups.autoscaler.vpsie.com", "CustomResourceDefinition/vpsienodes.autoscaler.vpsie.com",
	"CustomResourceDefinition/disruptions.autoscaler.vpsie.com",
}

var policyNames = []string{
	"MutatingAdmissionPolicy/vpsie-autoscaler-birth-taint", "MutatingAdmissionPolicyBinding/vpsie-autoscaler-birth-taint",
}

var webhookNames = []string{
	"Secret/vpsie-autoscaler-birth-taint", "Service/vpsie-autoscaler-birth-taint", "MutatingWebhookConfiguration/vpsie-autoscaler-birth-taint",
}

var _ = Describe("The rendered chart", Label("basic"), func() {
	DescribeTable("consists of", func(want [][]string, args ...string) {
		var all []string
		for _, list := range want {
			all = append(all, list...)
		}
		Expect(names(rendered(args...))).To(ConsistOf(all))
	},
		Entry("CRDs, roles, a controller and the birth taint by default", [][]string{alwaysThere, crdNames, policyNames}),
		Entry("the birth taint too on the first version that has its API", [][]string{alwaysThere, crdNames, policyNames}, "--kube-version", "1.36.0"),
		Entry("the birth taint too where an older cluster has the API", [][]string{alwaysThere, crdNames, policyNames}, "--kube-version", "1.35.9", "--api-versions", policyAPI),
		Entry("the birth taint where it is wanted in any case", [][]string{alwaysThere, crdNames, policyNames}, "--kube-version", "1.35.9", "--set", "birthTaint.mode=Always"),
		Entry("the policy by its name", [][]string{alwaysThere, crdNames, policyNames}, "--kube-version", "1.35.9", "--set", "birthTaint.mode=Policy"),
		Entry("a webhook on the oldest version, which has no policies", [][]string{alwaysThere, crdNames, webhookNames}, "--kube-version", "1.34.0"),
		Entry("a webhook on the last version without policies", [][]string{alwaysThere, crdNames, webhookNames}, "--kube-version", "1.35.9"),
		Entry("a webhook where the API of policies is only in beta", [][]string{alwaysThere, crdNames, webhookNames}, "--kube-version", "1.35.9",
			"--api-versions", "admissionregistration.k8s.io/v1beta1/MutatingAdmissionPolicy"),
		Entry("a webhook where it is wanted in any case", [][]string{alwaysThere, crdNames, webhookNames}, "--set", "birthTaint.mode=Webhook"),
		Entry("no birth taint where it is not wanted", [][]string{alwaysThere, crdNames}, "--set", "birthTaint.mode=Never"),
		Entry("no birth taint where a cluster without the API does without it", [][]string{alwaysThere, crdNames}, "--kube-version", "1.34.0", "--set", "birthTaint.mode=Never"),
		Entry("no CRDs where somebody else installs them", [][]string{alwaysThere, policyNames}, "--set", "crds.install=false"),
		Entry("a disruption budget for two replicas", [][]string{alwaysThere, crdNames, policyNames, {"PodDisruptionBudget/vpsie-autoscaler"}}, "--set", "replicaCount=2"),
		Entry("a ServiceMonitor on demand", [][]string{alwaysThere, crdNames, policyNames, {"ServiceMonitor/vpsie-autoscaler"}}, "--set", "metrics.serviceMonitor.enabled=true"),
		Entry("a NetworkPolicy on demand", [][]string{alwaysThere, crdNames, policyNames, {"NetworkPolicy/vpsie-autoscaler"}}, "--set", "networkPolicy.enabled=true"),
	)

	It("never makes a Secret but the certificate of the webhook", func() {
		Expect(ofKind("Secret", rendered("--values", everyValue))).To(BeEmpty())
		Expect(names(ofKind("Secret", rendered("--values", everyValue, "--set", "birthTaint.mode=Webhook")))).To(Equal([]string{"Secret/vpsie-autoscaler-birth-taint"}))
	})

	It("installs the generated CRDs unchanged and keeps them at uninstall", func() {
		for _, crd := range ofKind("CustomResourceDefinition", rendered()) {
			plural, group, _ := strings.Cut(crd.GetName(), ".")
			text, err := os.ReadFile(filepath.Join(chartDir, "files", "crds", group+"_"+plural+".yaml"))
			Expect(err).NotTo(HaveOccurred())
			generated := &unstructured.Unstructured{}
			Expect(yaml.Unmarshal(text, &generated.Object)).To(Succeed())
			Expect(cmp.Diff(jsonOf(generated.Object["spec"]), jsonOf(crd.Object["spec"]))).To(BeEmpty())
			Expect(crd.GetAnnotations()).To(HaveKeyWithValue("helm.sh/resource-policy", "keep"))
		}
	})

	DescribeTable("is refused with the value that is wrong", func(set, says string) {
		_, err := template("--set", set)
		Expect(err).To(MatchError(ContainSubstring(says)))
	},
		Entry(nil, "replicaCount=3", "at '/replicaCount': maximum: got 3, want 2"),
		Entry(nil, "replicaCount=-1", "at '/replicaCount': minimum: got -1, want 0"),
		Entry(nil, "replicas=2", "additional properties 'replicas' not allowed"),
		Entry(nil, "provisioning.batchIdel=2s", "at '/provisioning': additional properties 'batchIdel' not allowed"),
		Entry(nil, "provisioning.batchIdle=soon", "at '/provisioning/batchIdle': 'soon' does not match pattern"),
		Entry(nil, "provisioning.nodeCost=much", "at '/provisioning/nodeCost': 'much' does not match pattern"),
		Entry(nil, "provisioning.nodeCost=-0.01", "at '/provisioning/nodeCost': '-0.01' does not match pattern"),
		Entry(nil, "disruption.interval=10", "at '/disruption/interval': got number, want string"),
		Entry(nil, "birthTaint.mode=Sometimes", "at '/birthTaint/mode': value must be one of 'Auto', 'Policy', 'Webhook', 'Always', 'Never'"),
		Entry(nil, "log.level=trace", "at '/log/level': value must be one of 'error', 'info', 'debug'"),
		Entry(nil, "kubeAPI.qps=0", "at '/kubeAPI/qps': exclusiveMinimum: got 0, want 0"),
		Entry(nil, "vpsie.requestsPerMinute=0", "at '/vpsie/requestsPerMinute': minimum: got 0, want 1"),
		Entry(nil, "networkPolicy.apiServerPorts={0}", "at '/networkPolicy/apiServerPorts/0': minimum: got 0, want 1"),
		Entry(nil, "credentials.secretName=My_Secret", "at '/credentials/secretName': 'My_Secret' does not match pattern"),
		Entry(nil, "crds.install=yes", "at '/crds/install': got string, want boolean"),
		Entry(nil, "credentials.secretName=", "credentials.secretName is empty: name the Secret that holds the VPSie token (--set credentials.secretName=vpsie-secret)"),
		Entry(nil, "image.repository=", "image.repository is empty: build and push the controller's image (make docker-buildx-push IMAGE=...), then name it (--set image.repository=...,image.tag=...)"),
		Entry(nil, "birthTaint.mode=Always,birthTaint.nodeNamePattern=", "birthTaint.nodeNamePattern is empty: give a regular expression that matches the nodes VPSie creates, or set birthTaint.mode=Never"),
		Entry(nil, "birthTaint.mode=Webhook,birthTaint.nodeNamePattern=", "birthTaint.nodeNamePattern is empty: give a regular expression that matches the nodes VPSie creates, or set birthTaint.mode=Never"),
	)

	It("is refused by a cluster that is too old", func() {
		_, err := template("--kube-version", "1.33.9")
		Expect(err).To(MatchError(ContainSubstring("chart requires kubeVersion: >=1.34.0-0")))
	})

	It("writes any pattern of node names into the policy as it is", func() {
		policy := ofKind("MutatingAdmissionPolicy", rendered("--set", "birthTaint.mode=Always", "--set-literal", `birthTaint.nodeNamePattern=^a\d+: "#'b'$`))[0]
		conditions, _, err := unstructured.NestedSlice(policy.Object, "spec", "matchConditions")
		Expect(err).NotTo(HaveOccurred())
		Expect(conditions[0]).To(HaveKeyWithValue("expression", `object.metadata.name.matches("^a\\d+: \"#'b'$")`))
	})
})

var _ = Describe("The rights of the chart", Label("basic"), func() {
	rulesOf := func(kind string) []rbacv1.PolicyRule {
		roles := ofKind(kind, rendered())
		Expect(roles).To(HaveLen(1))
		var role rbacv1.ClusterRole
		Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(roles[0].Object, &role)).To(Succeed())
		Expect(role.Rules).NotTo(BeEmpty())
		return role.Rules
	}

	DescribeTable("have no wildcard and no way to more rights", func(kind string) {
		for _, rule := range rulesOf(kind) {
			Expect(rule.NonResourceURLs).To(BeEmpty())
			Expect(rule.Resources).NotTo(BeEmpty())
			for _, words := range [][]string{rule.APIGroups, rule.Resources, rule.Verbs, rule.ResourceNames} {
				Expect(words).NotTo(ContainElement(ContainSubstring("*")))
			}
			Expect(rule.Verbs).NotTo(ContainElement(BeElementOf("escalate", "bind", "impersonate", "deletecollection")))
			Expect(rule.APIGroups).NotTo(ContainElement("rbac.authorization.k8s.io"))
		}
	}, Entry(nil, "ClusterRole"), Entry(nil, "Role"))

	It("reach no Secret of the cluster, and of the namespace only the one that is named", func() {
		for _, rule := range rulesOf("ClusterRole") {
			Expect(rule.Resources).NotTo(ContainElement(HavePrefix("secrets")))
		}
		var secrets []rbacv1.PolicyRule
		for _, rule := range rulesOf("Role") {
			if cmp.Equal(rule.Resources, []string{"secrets"}) {
				secrets = append(secrets, rule)
			} else {
				Expect(rule.Resources).NotTo(ContainElement(HavePrefix("secrets")))
			}
		}
		Expect(secrets).To(Equal([]rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"vpsie-secret"}, Verbs: []string{"get", "list", "watch"}}}))
	})

	It("are bound to the chart's own service account only", func() {
		for _, kind := range []string{"ClusterRoleBinding", "RoleBinding"} {
			binding := ofKind(kind, rendered())[0]
			subjects, _, err := unstructured.NestedSlice(binding.Object, "subjects")
			Expect(err).NotTo(HaveOccurred())
			Expect(subjects).To(Equal([]any{map[string]any{"kind": "ServiceAccount", "name": "vpsie-autoscaler", "namespace": namespace}}))
		}
	})
})

var _ = Describe("The chart's pod", Label("basic"), func() {
	podOf := func(args ...string) corev1.PodSpec {
		var deployment appsv1.Deployment
		Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(ofKind("Deployment", rendered(args...))[0].Object, &deployment)).To(Succeed())
		return deployment.Spec.Template.Spec
	}

	It("has no privilege", func() {
		pod := podOf()
		Expect(pod.SecurityContext).To(Equal(&corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(65532)), RunAsGroup: new(int64(65532)), FSGroup: new(int64(65532)),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		}))
		Expect(pod.Containers).To(HaveLen(1))
		Expect(pod.Containers[0].SecurityContext).To(Equal(&corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Privileged: new(false), ReadOnlyRootFilesystem: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}))
		Expect([]bool{pod.HostNetwork, pod.HostPID, pod.HostIPC}).To(HaveEach(false))
		Expect(pod.Volumes).To(BeEmpty())
	})

	It("never runs on a node that the controller manages, whatever else is chosen", func() {
		for _, args := range [][]string{nil, {"--values", everyValue}} {
			Expect(podOf(args...).Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms).To(Equal([]corev1.NodeSelectorTerm{
				{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "autoscaler.vpsie.com/managed", Operator: corev1.NodeSelectorOpDoesNotExist}}},
			}))
		}
	})

	It("is probed, and is not pushed out by the pods it makes room for", func() {
		pod := podOf()
		container := pod.Containers[0]
		Expect(container.LivenessProbe.HTTPGet.Path).To(Equal("/healthz"))
		Expect(container.ReadinessProbe.HTTPGet.Path).To(Equal("/readyz"))
		Expect(container.Ports).To(Equal([]corev1.ContainerPort{{Name: "metrics", ContainerPort: 8080}, {Name: "health", ContainerPort: 8081}}))
		Expect(pod.PriorityClassName).To(Equal("system-cluster-critical"))
		Expect(container.Resources.Requests).To(HaveLen(2))
	})

	It("gets every setting of the controller and nothing that it does not know", func() {
		want := []string{}
		for _, flag := range controllerFlags() {
			if flag != "kubeconfig" { // in a pod it is the service account
				want = append(want, "VPSIE_AUTOSCALER_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_")))
			}
		}
		var got []string
		for _, variable := range podOf("--set", "birthTaint.mode=Webhook").Containers[0].Env {
			got = append(got, variable.Name)
		}
		Expect(got).To(ConsistOf(want))
		for _, variable := range podOf().Containers[0].Env {
			Expect(variable.Name).NotTo(ContainSubstring("BIRTH"), "where the policy does it, nothing is served")
		}
	})

	It("counts what a machine costs beside its price, which is nothing by default", func() {
		for want, args := range map[string][]string{"0": nil, "0.005": {"--set", "provisioning.nodeCost=0.005"}} {
			Expect(podOf(args...).Containers[0].Env).To(ContainElement(corev1.EnvVar{Name: "VPSIE_AUTOSCALER_NODE_COST", Value: want}))
		}
	})

	It("gets no variables for Services, which could look like settings", func() {
		Expect(podOf().EnableServiceLinks).To(HaveValue(BeFalse()))
	})

	It("runs the image that make pushes", func() {
		variables := []string{"IMAGE=registry.example.com/mine", "VERSION=v1.2.3-4-gabcdef"}
		Expect(dryRun("docker-buildx-push", variables...)).To(ContainSubstring(`--tag "registry.example.com/mine:1.2.3-4-gabcdef"`))
		_, options, found := strings.Cut(dryRun("helm-install", variables...), "upgrade --install")
		Expect(found).To(BeTrue())
		Expect(options).To(ContainSubstring(`--set image.repository="registry.example.com/mine" --set-string image.tag="1.2.3-4-gabcdef"`))
		container := podOf("--set", "image.repository=registry.example.com/mine", "--set-string", "image.tag=1.2.3-4-gabcdef").Containers[0]
		Expect(container.Image).To(Equal("registry.example.com/mine:1.2.3-4-gabcdef"))
	})

	It("runs of a release the image with the release's version, which make gives to it", func() {
		_, version, found := strings.Cut(podOf().Containers[0].Image, ":")
		Expect(found).To(BeTrue())
		Expect(dryRun("docker-buildx-push", "IMAGE=mine", "VERSION=v"+version)).To(ContainSubstring(fmt.Sprintf("--tag %q", "mine:"+version)))
	})

	It("elects a leader, whatever is set", func() {
		for _, args := range [][]string{nil, {"--values", everyValue}} {
			Expect(podOf(args...).Containers[0].Env).To(ContainElements(
				corev1.EnvVar{Name: "VPSIE_AUTOSCALER_LEADER_ELECT", Value: "true"},
				corev1.EnvVar{Name: "VPSIE_AUTOSCALER_LEADER_ELECTION_ID", Value: "vpsie-autoscaler"},
				corev1.EnvVar{Name: "VPSIE_AUTOSCALER_LEADER_ELECTION_NAMESPACE", Value: namespace},
			))
		}
	})
})
