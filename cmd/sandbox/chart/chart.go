// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart turns a folder with a Helm chart into a release in the sandbox's cluster, by the
// real helm program. It keeps helm's own files beside the kubeconfig it is given and never reads or
// writes the user's helm settings, nor the caches in the user's home.
package chart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Release is what to install, where and with what.
type Release struct {
	// Helm is the helm program.
	Helm string
	// Kubeconfig is the file of a user who may do all that the chart does.
	Kubeconfig string
	Namespace  string
	// Name is the release's name.
	Name string
	// Dir is the chart's folder.
	Dir string
	// Set are single values, as helm's --set takes them.
	Set []string
}

// Install installs the release, or upgrades it to this chart and these values. It returns when the
// objects exist; it does not wait until they work.
func Install(ctx context.Context, r Release) error {
	if err := r.check(); err != nil {
		return err
	}
	args := []string{"upgrade", r.Name, r.Dir, "--install", "--kubeconfig", r.Kubeconfig, "--namespace", r.Namespace}
	for _, value := range r.Set {
		args = append(args, "--set", value)
	}
	return r.run(ctx, args)
}

func (r Release) check() error {
	return errors.Join(
		exists("the helm program", r.Helm, "run `make control-plane`"),
		exists("the chart", filepath.Join(r.Dir, "Chart.yaml"), "give the folder of a chart"),
		exists("the kubeconfig", r.Kubeconfig, "start the sandbox first"),
	)
}

func exists(what, path, remedy string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%s %q cannot be read: %s", what, path, remedy)
	}
	return nil
}

func (r Release) run(ctx context.Context, args []string) error {
	home := filepath.Join(filepath.Dir(r.Kubeconfig), "helm")
	var output bytes.Buffer
	command := exec.CommandContext(ctx, r.Helm, args...)
	command.Env = append(os.Environ(),
		"HELM_CACHE_HOME="+filepath.Join(home, "cache"),
		"HELM_CONFIG_HOME="+filepath.Join(home, "config"),
		"HELM_DATA_HOME="+filepath.Join(home, "data"),
		"KUBECACHEDIR="+filepath.Join(home, "cache"), // of what the API server serves; else ~/.kube/cache
	)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Run(); err != nil {
		return fmt.Errorf("running helm %s of release %q (chart %q, namespace %q): %w\n%s",
			args[0], r.Name, r.Dir, r.Namespace, err, strings.TrimSpace(output.String()))
	}
	return nil
}
