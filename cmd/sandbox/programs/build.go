// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
	"k8s.io/utils/clock"
)

// interruptGrace is how long an interrupted build may take to clean up.
const interruptGrace = 10 * time.Second

// BuildOptions says where to build and whom to tell.
type BuildOptions struct {
	// Root is the repository's top folder: it holds hack/controlplane.
	Root string
	// Go is the go command; "go" from the PATH when empty.
	Go string
	// Progress gets a line every few seconds while a build runs; nothing when nil.
	Progress io.Writer
	// Clock times the progress lines; the real one when nil.
	Clock clock.WithTicker
}

// Build makes the programs when something changed since the last time, and returns their folder.
// When nothing changed it takes milliseconds.
func Build(ctx context.Context, options BuildOptions) (string, error) {
	options = options.withDefaults()
	bin := Folder(options.Root)
	plan, err := newPlan(ctx, options)
	if err != nil {
		return "", err
	}
	if plan.done(bin) {
		return bin, nil
	}
	if err := os.MkdirAll(bin, 0o750); err != nil {
		return "", fmt.Errorf("making the folder for the programs: %w", err)
	}
	// Without its stamp an interrupted build is seen as what it is.
	if err := os.Remove(filepath.Join(bin, stampFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("removing the old stamp: %w", err)
	}
	if err := plan.compile(ctx, options, bin); err != nil {
		return "", err
	}
	// A copy, because go build links the program again whenever the name it gave is gone.
	if err := copyProgram(filepath.Join(bin, "server"), filepath.Join(bin, Etcd)); err != nil {
		return "", err
	}
	if err := writeStamp(bin, plan.key); err != nil {
		return "", err
	}
	return bin, Check(bin)
}

func (o BuildOptions) withDefaults() BuildOptions {
	if o.Go == "" {
		o.Go = "go"
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return o
}

// plan is one build: how to run the compiler, and a key that changes when its result would.
type plan struct {
	module  string // hack/controlplane
	ldflags string
	key     string
}

func newPlan(ctx context.Context, options BuildOptions) (plan, error) {
	p := plan{module: filepath.Join(options.Root, "hack", "controlplane")}
	mod, err := os.ReadFile(filepath.Join(filepath.Clean(p.module), "go.mod"))
	if err != nil {
		return plan{}, fmt.Errorf("reading which programs to build: %w", err)
	}
	sum, err := os.ReadFile(filepath.Join(filepath.Clean(p.module), "go.sum"))
	if err != nil {
		return plan{}, fmt.Errorf("reading which programs to build: %w", err)
	}
	version, err := kubernetesVersion(mod)
	if err != nil {
		return plan{}, err
	}
	p.ldflags = linkFlags(version)
	// Asked in the module's folder: its toolchain line may choose another Go than the default.
	command := exec.CommandContext(ctx, options.Go, "env", "GOVERSION", "GOOS", "GOARCH", "GOFLAGS")
	command.Dir, command.Env = p.module, environment()
	toolchain, err := command.Output()
	if err != nil {
		return plan{}, fmt.Errorf("asking %q for its version: %w", options.Go, err)
	}
	p.key = key(mod, sum, toolchain, []byte(p.ldflags))
	return p, nil
}

// done says whether bin holds exactly what this plan would build.
func (p plan) done(bin string) bool {
	built, err := readStamp(bin)
	return err == nil && built.Key == p.key && Check(bin) == nil
}

func (p plan) compile(ctx context.Context, options BuildOptions, bin string) error {
	absolute, err := filepath.Abs(bin)
	if err != nil {
		return fmt.Errorf("finding the folder for the programs: %w", err)
	}
	command := exec.CommandContext(ctx, options.Go, "build", "-v", "-ldflags="+p.ldflags,
		"-o", absolute+string(filepath.Separator), "tool")
	command.Dir, command.Env = p.module, environment()
	// Interrupted, go build ends its compilers and removes its temporary files; killed, it cannot.
	command.Cancel = func() error { return command.Process.Signal(os.Interrupt) }
	command.WaitDelay = interruptGrace
	watch := newProgress(options.Progress, options.Clock)
	command.Stdout, command.Stderr = watch, watch
	stop := watch.report(ctx)
	err = command.Run()
	stop()
	if err != nil {
		return fmt.Errorf("building the control plane's programs in %q (%w):\n%s", p.module, err, watch.messages())
	}
	return nil
}

// environment keeps the build independent of cgo and of a workspace around the repository.
func environment() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
}

// kubernetesVersion is the version of k8s.io/kubernetes that a go.mod file asks for.
func kubernetesVersion(mod []byte) (string, error) {
	file, err := modfile.ParseLax("hack/controlplane/go.mod", mod, nil)
	if err != nil {
		return "", fmt.Errorf("reading the Kubernetes version: %w", err)
	}
	for _, require := range file.Require {
		if require.Mod.Path == "k8s.io/kubernetes" && semver.IsValid(require.Mod.Version) {
			return require.Mod.Version, nil
		}
	}
	return "", errors.New("hack/controlplane/go.mod does not say which version of k8s.io/kubernetes to build")
}

// linkFlags stamps the version into the programs. Without it a server calls itself
// v0.0.0-master+$Format, on which kubectl and a chart's kubeVersion check fail.
func linkFlags(version string) string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(semver.MajorMinor(version), "v"), ".")
	flags := []string{"-s", "-w"}
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, set := range [][2]string{
			{"gitVersion", version}, {"gitMajor", major}, {"gitMinor", minor},
			{"gitTreeState", "clean"}, {"gitCommit", "unknown"},
		} {
			flags = append(flags, "-X", pkg+"."+set[0]+"="+set[1])
		}
	}
	return strings.Join(flags, " ")
}

// key hashes each part with its length, so that no two different lists of parts look the same.
func key(parts ...[]byte) string {
	hash := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(hash, "%d\n", len(part))
		_, _ = hash.Write(part)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// copyProgram replaces the target in one step: a sandbox may be running the old one.
func copyProgram(from, to string) error {
	content, err := os.ReadFile(filepath.Clean(from))
	if err != nil {
		return fmt.Errorf("copying the built program: %w", err)
	}
	if old, err := os.ReadFile(filepath.Clean(to)); err == nil && bytes.Equal(old, content) {
		return nil
	}
	next := to + ".next"
	if err := os.WriteFile(next, content, 0o700); err != nil { // a program has to be executable
		return fmt.Errorf("copying the built program: %w", err)
	}
	if err := os.Rename(next, to); err != nil {
		return fmt.Errorf("copying the built program: %w", err)
	}
	return nil
}
