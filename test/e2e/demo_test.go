// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/leftover"
)

var _ = Describe("the demo", func() {
	It("runs the whole shop, releases every machine and ends with 0", func(ctx SpecContext) {
		state := GinkgoT().TempDir()
		cmd := exec.CommandContext(ctx, filepath.Join(repository(), "bin", "sandbox"), "demo", "--fast", "--repository", repository(), "--state", state)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Run()
		GinkgoWriter.Println(out.String())
		Expect(err).NotTo(HaveOccurred(), out.String())
		Expect(out.String()).NotTo(ContainSubstring("\x1b["), "colours do not belong into a pipe")
		Expect(leftover.Processes(state)).To(BeEmpty())
	}, NodeTimeout(6*time.Minute))
})
