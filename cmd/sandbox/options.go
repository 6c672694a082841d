// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

const (
	mostWorkers = 10000 // the simulated VPSie has names for no more
	mostPort    = 65535
)

// options are what the flags ask for. A flag that asks for nonsense is refused here, before anything is built or started.
func (c *common) options(out io.Writer) (stack.Options, error) {
	if err := c.check(); err != nil {
		return stack.Options{}, err
	}
	repository, err := filepath.Abs(c.repository)
	if err != nil {
		return stack.Options{}, fmt.Errorf("--repository: %w", err)
	}
	options := stack.Options{
		State: c.state, Chart: filepath.Join(repository, "charts", "vpsie-autoscaler"), Controller: c.controller, ControllerArgs: c.controllerArgs,
		VPSiePort: c.vpsiePort, KubePort: c.kubePort, Seed: c.seed, WorkerLimit: c.workerLimit, Boot: boots()[c.boot](),
		Scheduler: c.scheduler, FailReady: c.failReady, Credentials: stack.Credentials(c.credentials),
		Step: steps(out),
	}
	if c.catalogue != "" {
		if options.Catalogue, err = vpsiesim.LoadCatalogue(c.catalogue); err != nil {
			return stack.Options{}, fmt.Errorf("--catalogue: %w", err)
		}
	}
	if options.State == "" {
		options.State = filepath.Join(repository, ".sandbox")
	}
	if options.Controller == "" {
		options.Controller = filepath.Join(repository, "bin", "vpsie-autoscaler")
	}
	if _, err := os.Stat(options.Controller); err != nil && !c.noController {
		return stack.Options{}, fmt.Errorf("the controller's program %s is missing: run make build", options.Controller)
	}
	if c.noController {
		options.Controller = ""
	}
	return options, nil
}

func boots() map[string]func() stack.Boot {
	return map[string]func() stack.Boot{"real": stack.Real, "demo": stack.Demo, "fast": stack.Fast}
}

// check names every flag that is wrong.
func (c *common) check() error {
	var wrong []error
	if _, ok := boots()[c.boot]; !ok {
		wrong = append(wrong, fmt.Errorf("--boot: %q is none of real, demo, fast", c.boot))
	}
	if kind := stack.Credentials(c.credentials); kind != stack.Token && kind != stack.Client {
		wrong = append(wrong, fmt.Errorf("--credentials: %q is none of token, client", c.credentials))
	}
	for _, number := range []struct {
		flag               string
		value, least, most int
	}{
		{"--kube-port", c.kubePort, 0, mostPort},
		{"--vpsie-port", c.vpsiePort, 0, mostPort},
		{"--worker-limit", c.workerLimit, 1, mostWorkers},
		{"--fail-ready", c.failReady, 0, mostWorkers},
	} {
		if number.value < number.least || number.value > number.most {
			wrong = append(wrong, fmt.Errorf("%s: %d is not from %d to %d", number.flag, number.value, number.least, number.most))
		}
	}
	if c.scheduler != "" {
		info, err := os.Stat(c.scheduler)
		switch {
		case err != nil:
			wrong = append(wrong, fmt.Errorf("--scheduler: %w", err))
		case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
			wrong = append(wrong, fmt.Errorf("--scheduler: %s is not a program", c.scheduler))
		}
	}
	return errors.Join(wrong...)
}
