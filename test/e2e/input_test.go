// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

func quantity(text string) resource.Quantity { return resource.MustParse(text) }

// says waits until a condition of a NodeGroup says all of that.
func says(ctx context.Context, group, kind string, parts ...string) {
	GinkgoHelper()
	Eventually(ctx, func(g Gomega) {
		got := condition(ctx, g, group, kind)
		for _, part := range parts {
			g.Expect(got).To(ContainSubstring(part))
		}
	}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
}

var _ = Describe("bad input", Ordered, ContinueOnFailure, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	withSecret := func(ctx context.Context, change func(*corev1.Secret)) {
		GinkgoHelper()
		secret := &corev1.Secret{}
		Expect(kube.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "vpsie-secret"}, secret)).To(Succeed())
		before := secret.DeepCopy()
		change(secret)
		Expect(kube.Update(ctx, secret)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) {
			Expect(kube.Get(ctx, client.ObjectKeyFromObject(before), secret)).To(Succeed())
			secret.Data = before.Data
			Expect(kube.Update(ctx, secret)).To(Succeed())
		})
	}
	// touch makes the controller look at the group again without waiting for the next minute.
	touch := func(ctx context.Context, name string) {
		GinkgoHelper()
		Eventually(ctx, func() error {
			ng := &v1alpha1.NodeGroup{}
			if err := kube.Get(ctx, client.ObjectKey{Name: name}, ng); err != nil {
				return err
			}
			ng.Annotations = map[string]string{"touched": time.Now().String()}
			return kube.Update(ctx, ng)
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
	}

	It("constraints that no offering meets are named", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("picky", func(ng *v1alpha1.NodeGroup) {
			ng.Spec.Template.Requirements = []v1alpha1.Requirement{{Key: v1alpha1.CPULabel, Operator: corev1.NodeSelectorOpGt, Values: []string{"1000"}}}
		}))).To(Succeed())
		says(ctx, "picky", v1alpha1.ConditionReady, "False NoOffering", v1alpha1.CPULabel)
	})

	It("an unknown datacenter is named, with those there are", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("mars", func(ng *v1alpha1.NodeGroup) { ng.Spec.VPSie.Datacenter = "mars" }))).To(Succeed())
		says(ctx, "mars", v1alpha1.ConditionReady, "False NoOffering", `spec.vpsie.datacenter: "mars" is no datacenter with offerings; valid: Helsinki (`)
	})

	It("another cluster is named, with the one there is, and nothing is bought for it", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, nodeGroup("abroad", func(ng *v1alpha1.NodeGroup) {
			ng.Spec.MinNodes, ng.Spec.VPSie.ClusterID = ptr.To[int32](1), "nope"
		}))).To(Succeed())
		says(ctx, "abroad", v1alpha1.ConditionReady, "False ClusterMismatch", `spec.vpsie.clusterID: "nope" is not the cluster that machines are bought for`)
		Expect(bought(ctx)).To(Equal(before))
	})

	It("a NodeGroup without the label says how to add it", func(ctx SpecContext) {
		ng := nodeGroup("unlabelled", nil)
		ng.Labels = nil
		Expect(kube.Create(ctx, ng)).To(Succeed())
		says(ctx, "unlabelled", v1alpha1.ConditionManaged, "False LabelMissing", "kubectl label nodegroup unlabelled "+v1alpha1.ManagedLabel+"=true")
	})

	It("a VPSieNode made by hand is ordered only once its NodeGroup is there and wants it", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, &v1alpha1.VPSieNode{
			ObjectMeta: metav1.ObjectMeta{Name: "by-hand"},
			Spec: v1alpha1.VPSieNodeSpec{
				NodeGroup: "later", Datacenter: "hel", CreationReason: v1alpha1.CreatedManually,
				Offerings: []v1alpha1.OfferingChoice{{ID: "12", Name: "Micro", PricePerHour: "0.0167"}},
			},
		})).To(Succeed())
		launched := func(g Gomega) string {
			vn := &v1alpha1.VPSieNode{}
			g.Expect(kube.Get(ctx, client.ObjectKey{Name: "by-hand"}, vn)).To(Succeed())
			if c := meta.FindStatusCondition(vn.Status.Conditions, v1alpha1.ConditionLaunched); c != nil {
				return c.Reason + ": " + c.Message
			}
			return ""
		}
		Eventually(ctx, launched).WithTimeout(soon).WithPolling(poll).Should(HavePrefix("NodeGroupMissing: "))
		Expect(kube.Create(ctx, nodeGroup("later", func(ng *v1alpha1.NodeGroup) { ng.Spec.MaxNodes = ptr.To[int32](0) }))).To(Succeed())
		Eventually(ctx, launched).WithTimeout(soon).WithPolling(poll).Should(HavePrefix(`LimitReached: node group "later" is at maxNodes 0`))
		Expect(bought(ctx)).To(Equal(before))
		Expect(kube.Delete(ctx, &v1alpha1.VPSieNode{ObjectMeta: metav1.ObjectMeta{Name: "by-hand"}})).To(Succeed())
	})

	It("a budget in a time zone that does not exist is named", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("martian", func(ng *v1alpha1.NodeGroup) {
			ng.Spec.Disruption.Budgets = []v1alpha1.Budget{{
				Nodes: "0", Schedule: new("0 22 * * *"), Duration: &metav1.Duration{Duration: time.Hour}, TimeZone: new("Mars/Olympus"),
			}}
		}))).To(Succeed())
		says(ctx, "martian", v1alpha1.ConditionReady, "False BudgetUnread", `spec.disruption.budgets[0].timeZone: "Mars/Olympus"`)
	})

	It("minNodes above maxNodes is refused at the door", func(ctx SpecContext) {
		err := kube.Create(ctx, nodeGroup("upside-down", func(ng *v1alpha1.NodeGroup) { ng.Spec.MinNodes, ng.Spec.MaxNodes = ptr.To[int32](3), ptr.To[int32](1) }))
		Expect(err).To(MatchError(ContainSubstring("minNodes must not be greater than maxNodes; lower minNodes or raise maxNodes")))
	})

	It("a pod too large for every offering is told so, and nothing is bought", func(ctx SpecContext) {
		before := bought(ctx)
		Expect(kube.Create(ctx, nodeGroup("vast", nil))).To(Succeed())
		manifest, err := os.ReadFile(filepath.Join("testdata", "too-large.yaml"))
		Expect(err).NotTo(HaveOccurred())
		pod := &corev1.Pod{}
		Expect(yaml.UnmarshalStrict(manifest, pod)).To(Succeed())
		Expect(kube.Create(ctx, pod)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(notes(ctx, g, "Pod", "too-large", "NotPlanned")).To(And(ContainSubstring("64"), ContainSubstring("largest")))
		}).WithTimeout(soon).WithPolling(poll).Should(Succeed())
		Expect(bought(ctx)).To(Equal(before))
		Expect(kube.Delete(ctx, pod)).To(Succeed())
	})

	It("a wrong token is named, and a right one works without a restart", func(ctx SpecContext) {
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		says(ctx, "general", v1alpha1.ConditionReady, "True Ready")
		withSecret(ctx, func(s *corev1.Secret) { s.Data["token"] = []byte("wrong") })
		Eventually(ctx, func(g Gomega) {
			touch(ctx, "general")
			got := condition(ctx, g, "general", v1alpha1.ConditionCloudReady)
			g.Expect(got).To(HavePrefix("False Unauthorized"))
			g.Expect(got).To(ContainSubstring("vpsie-secret"))
			g.Expect(got).NotTo(ContainSubstring("wrong token"))
			g.Expect(notes(ctx, g, "NodeGroup", "general", "NotReady")).To(ContainSubstring("Unauthorized: "))
		}).WithTimeout(soon).WithPolling(time.Second).Should(Succeed())
		withSecret(ctx, func(s *corev1.Secret) { s.Data["token"] = []byte(sandbox.Info.VPSieToken) })
		// The Secret itself wakes the controller: a NodeGroup that nobody touches is looked at once a minute.
		Eventually(ctx, func(g Gomega) {
			g.Expect(condition(ctx, g, "general", v1alpha1.ConditionReady)).To(HavePrefix("True Ready"))
		}).WithTimeout(20 * time.Second).WithPolling(time.Second).Should(Succeed())
	})

	It("a Secret without credentials is named with the keys it should hold", func(ctx SpecContext) {
		withSecret(ctx, func(s *corev1.Secret) { delete(s.Data, "token") })
		Eventually(ctx, func(g Gomega) {
			touch(ctx, "general")
			got := condition(ctx, g, "general", v1alpha1.ConditionCloudReady)
			g.Expect(got).To(HavePrefix("False "))
			g.Expect(got).To(And(ContainSubstring("kube-system/vpsie-secret"), ContainSubstring("its keys are url"), ContainSubstring(`under the key "token"`)))
		}).WithTimeout(soon).WithPolling(time.Second).Should(Succeed())
	})

	It("a Secret that is missing is named with the command that makes it, and one made anew works without a restart", func(ctx SpecContext) {
		secret := &corev1.Secret{}
		Expect(kube.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "vpsie-secret"}, secret)).To(Succeed())
		anew := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: secret.Namespace, Name: secret.Name, Labels: secret.Labels}, Type: secret.Type, Data: secret.Data}
		DeferCleanup(func(ctx SpecContext) {
			Expect(client.IgnoreAlreadyExists(kube.Create(ctx, anew.DeepCopy()))).To(Succeed())
		})
		Expect(kube.Delete(ctx, secret)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			touch(ctx, "general")
			got := condition(ctx, g, "general", v1alpha1.ConditionCloudReady)
			g.Expect(got).To(HavePrefix("False CredentialsMissing: "))
			g.Expect(got).To(ContainSubstring("the Secret kube-system/vpsie-secret is missing; " +
				"create it: kubectl -n kube-system create secret generic vpsie-secret --from-literal=token="))
		}).WithTimeout(soon).WithPolling(time.Second).Should(Succeed())
		Expect(kube.Create(ctx, anew.DeepCopy())).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			g.Expect(condition(ctx, g, "general", v1alpha1.ConditionReady)).To(HavePrefix("True Ready"))
		}).WithTimeout(20 * time.Second).WithPolling(time.Second).Should(Succeed())
	})

	It("a VPSie that is not reachable is named, and the controller stays alive", func(ctx SpecContext) {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		nobody := "http://" + listener.Addr().String()
		Expect(listener.Close()).To(Succeed())
		withSecret(ctx, func(s *corev1.Secret) { s.Data["url"] = []byte(nobody) })
		Eventually(ctx, func(g Gomega) {
			touch(ctx, "general")
			// After some failures in a row the breaker opens, and the first reason gives way to that.
			got := condition(ctx, g, "general", v1alpha1.ConditionCloudReady)
			g.Expect(got).To(MatchRegexp("^False (Unreachable|BreakerOpen): "))
			g.Expect(got).To(And(ContainSubstring("no answer from VPSie at "+strings.TrimPrefix(nobody, "http://")),
				ContainSubstring("check the key url of the Secret kube-system/vpsie-secret"), ContainSubstring("that the controller's pod can reach that host")))
		}).WithTimeout(2 * soon).WithPolling(time.Second).Should(Succeed())
		Expect(alive(ctx)).To(Equal(http.StatusOK))
	})

	It("a port that is in use is one sentence", func(ctx SpecContext) {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		defer listener.Close()
		out, err := controller(ctx, "--kubeconfig="+sandbox.Info.ControllerKubeconfig, "--leader-elect=false", "--metrics-bind-address=0", "--health-bind-address="+listener.Addr().String())
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("vpsie-autoscaler: a port is in use: stop the process that holds it, or choose another with --metrics-bind-address"))
	})

	It("a cluster that cannot be found is one sentence", func(ctx SpecContext) {
		out, err := controller(ctx, "--kubeconfig="+filepath.Join(GinkgoT().TempDir(), "missing"))
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("vpsie-autoscaler: finding the cluster: run inside it, or name a kubeconfig with --kubeconfig or KUBECONFIG"))
	})
})

func controller(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(repository(), "bin", "vpsie-autoscaler"), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return out.String(), errors.New("the controller did not end")
	}
	return out.String(), err
}

// alive asks the liveness probe.
func alive(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, sandbox.Info.HealthURL+"/healthz", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}
