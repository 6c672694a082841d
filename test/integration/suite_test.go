// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

// Package integration proves against a real API server what unit tests cannot: that the server accepts our kinds, applies their
// defaults and refuses wrong objects with the sentence a user can act on. It starts no controller.
package integration

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// crdDir holds the generated CRDs, exactly as the chart installs them.
const crdDir = "../../charts/vpsie-autoscaler/files/crds"

var (
	restConfig *rest.Config
	k8s        client.Client
)

func TestIntegration(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "integration")
}

var _ = BeforeSuite(func() {
	Expect(os.Getenv("KUBEBUILDER_ASSETS")).NotTo(BeEmpty(), "KUBEBUILDER_ASSETS must name the folder with etcd and kube-apiserver; run `make test-integration-basic`")

	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))

	server := &envtest.Environment{Scheme: scheme, CRDDirectoryPaths: []string{crdDir}, ErrorIfCRDPathMissing: true}
	var err error
	restConfig, err = server.Start()
	Expect(err).NotTo(HaveOccurred(), "starting the API server with the generated CRDs")
	DeferCleanup(server.Stop)

	k8s, err = client.New(restConfig, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})
