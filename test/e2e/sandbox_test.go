// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/leftover"
)

// up starts the sandbox as a person does, and returns when it says that it is up. The environment is added to the own one.
func up(ctx SpecContext, state string, environment ...string) (*gexec.Session, stack.Info) {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, filepath.Join(repository(), "bin", "sandbox"), "up", "--boot", "fast", "--repository", repository(), "--state", state)
	cmd.Env = append(os.Environ(), environment...)
	session, err := gexec.Start(cmd, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Terminate().Wait(soon) })
	Eventually(session).WithTimeout(2 * soon).Should(gbytes.Say("The sandbox is up"))
	content, err := os.ReadFile(filepath.Join(state, stack.InfoFile))
	Expect(err).NotTo(HaveOccurred())
	var info stack.Info
	Expect(json.Unmarshal(content, &info)).To(Succeed())
	return session, info
}

// sameGo moves a program's home and settings, and leaves the go command that it runs as it is: one with other settings would have the
// sandbox build its control plane anew.
func sameGo(ctx context.Context, home, settings string) []string {
	GinkgoHelper()
	ask := func(environment []string, variables ...string) string {
		GinkgoHelper()
		command := exec.CommandContext(ctx, "go", append([]string{"env"}, variables...)...)
		command.Dir, command.Env = filepath.Join(repository(), "hack", "controlplane"), append(os.Environ(), environment...)
		said, err := command.Output()
		Expect(err).NotTo(HaveOccurred())
		return string(said)
	}
	names := []string{"GOENV", "GOFLAGS", "GOTOOLCHAIN", "GOPATH", "GOMODCACHE", "GOCACHE"}
	environment := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + settings}
	for i, value := range strings.Split(strings.TrimSuffix(ask(nil, names...), "\n"), "\n") {
		environment = append(environment, names[i]+"="+value)
	}
	decisive := []string{"GOVERSION", "GOOS", "GOARCH", "GOFLAGS"}
	Expect(ask(environment, decisive...)).To(Equal(ask(nil, decisive...)), "the control plane would be built anew")
	return environment
}

var _ = Describe("the sandbox", func() {
	It("ends with the reason when its controller ends", func(ctx SpecContext) {
		state := GinkgoT().TempDir()
		session, info := up(ctx, state)
		Expect(syscall.Kill(info.ControllerPID, syscall.SIGKILL)).To(Succeed())
		Eventually(session).WithTimeout(soon).Should(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say(`the sandbox broke: vpsie-autoscaler ended by itself \(signal: killed\)`))
		Expect(leftover.Processes(state)).To(BeEmpty())
	}, NodeTimeout(4*time.Minute))

	It("ends on Ctrl-C, says so, and leaves nothing but its state folder", func(ctx SpecContext) {
		state, home, temporary, settings := filepath.Join(GinkgoT().TempDir(), "state"), GinkgoT().TempDir(), GinkgoT().TempDir(), GinkgoT().TempDir()
		// The go command, which is asked for its version, counts in the settings folder how often it is used.
		session, _ := up(ctx, state, append(sameGo(ctx, home, settings), "TMPDIR="+temporary)...)
		Expect(leftover.Processes(state)).To(ConsistOf("sandbox", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "vpsie-autoscaler"))
		session.Interrupt()
		Eventually(session).WithTimeout(soon).Should(gexec.Exit(0))
		Expect(session.Out).To(gbytes.Say(`stopping the sandbox \.\.\.\n(?s:.*)nothing runs any more\n`))
		Expect(leftover.Processes(state)).To(BeEmpty())
		Expect(leftover.Files(state)).NotTo(BeEmpty(), "it wrote somewhere else")
		Expect(leftover.Files(home)).To(BeEmpty())
		Expect(leftover.Files(temporary)).To(BeEmpty())
	}, NodeTimeout(4*time.Minute))
})
