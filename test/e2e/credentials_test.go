// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// withCredentials changes the controller's Secret and puts the old one back afterwards.
func withCredentials(ctx context.Context, credentials map[string]string) {
	GinkgoHelper()
	secret := &corev1.Secret{}
	replace := func(ctx context.Context, data map[string][]byte) {
		GinkgoHelper()
		Expect(kube.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "vpsie-secret"}, secret)).To(Succeed())
		secret.Data = data
		Expect(kube.Update(ctx, secret)).To(Succeed())
	}
	Expect(kube.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "vpsie-secret"}, secret)).To(Succeed())
	before := secret.DeepCopy().Data
	data := map[string][]byte{"url": before["url"]}
	for key, value := range credentials {
		data[key] = []byte(value)
	}
	replace(ctx, data)
	DeferCleanup(func(ctx SpecContext) { replace(ctx, before) })
}

var _ = Describe("a client identifier and its secret", Ordered, func() {
	AfterAll(func(ctx SpecContext) { tidy(ctx) })

	It("are exchanged for a token that buys and releases machines, and for another when that is void", func(ctx SpecContext) {
		exchanges := func() int {
			GinkgoHelper()
			calls, err := sandbox.Admin.Calls(ctx)
			Expect(err).NotTo(HaveOccurred())
			return calls[fault.Authenticate]
		}
		before, first := exchanges(), bought(ctx)
		withCredentials(ctx, map[string]string{"clientId": sandbox.Info.VPSieClientID, "clientSecret": sandbox.Info.VPSieClientSecret})
		_, err := sandbox.Admin.AddFaults(ctx, fault.Fault{Kind: fault.ExpiredToken, Call: fault.AddSlaveToGroup})
		Expect(err).NotTo(HaveOccurred())
		Expect(kube.Create(ctx, nodeGroup("general", nil))).To(Succeed())
		Expect(kube.Create(ctx, deployment("web", 3, "500m", "512Mi"))).To(Succeed())
		runs(ctx, 3)
		Expect(exchanges()-before).To(BeNumerically(">=", 2), "no token was exchanged, or one that VPSie had voided bought the machine")
		Expect(bought(ctx) - first).To(Equal(1))
		scale(ctx, "web", 0)
		released(ctx)
	})
})
