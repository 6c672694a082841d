// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

var _ = Describe("the sandbox", func() {
	It("ends with the reason when its controller ends", func(ctx SpecContext) {
		state := GinkgoT().TempDir()
		cmd := exec.CommandContext(ctx, filepath.Join(repository(), "bin", "sandbox"), "up", "--boot", "fast", "--repository", repository(), "--state", state)
		session, err := gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { session.Terminate().Wait(soon) })
		Eventually(session).WithTimeout(2 * soon).Should(gbytes.Say("The sandbox is up"))
		content, err := os.ReadFile(filepath.Join(state, stack.InfoFile))
		Expect(err).NotTo(HaveOccurred())
		var info stack.Info
		Expect(json.Unmarshal(content, &info)).To(Succeed())

		Expect(syscall.Kill(info.ControllerPID, syscall.SIGKILL)).To(Succeed())
		Eventually(session).WithTimeout(soon).Should(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say(`the sandbox broke: vpsie-autoscaler ended by itself \(signal: killed\)`))
		left, err := exec.CommandContext(ctx, "pgrep", "-f", state).CombinedOutput()
		Expect(err).To(HaveOccurred(), "processes are left: %s", left)
	}, NodeTimeout(4*time.Minute))
})
