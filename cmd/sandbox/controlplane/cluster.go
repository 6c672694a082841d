// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/process"
)

// Cluster is a running control plane.
type Cluster struct {
	bin       string
	layout    layout
	options   Options
	authority *authority
	ca        []byte
	admin     keyPair
	server    string
	claim     *claim
	failed    chan error

	mu        sync.Mutex
	processes map[Component]*process.Process
	stopped   bool
}

// URL is where the API server listens.
func (c *Cluster) URL() string { return c.server }

// LogFile is the path of a component's log.
func (c *Cluster) LogFile(component Component) string { return c.layout.log(component) }

// Failed receives an error for each component that ended although nobody stopped or killed it.
func (c *Cluster) Failed() <-chan error { return c.failed }

// PID is the process id of a component, or 0 while it does not run.
func (c *Cluster) PID(component Component) int {
	if p := c.process(component); p != nil && p.Running() {
		return p.PID()
	}
	return 0
}

// Kill ends a component at once, as a crash would, and returns when it is gone. Restart starts it
// again.
func (c *Cluster) Kill(component Component) error {
	p := c.process(component)
	if p == nil || !p.Running() {
		return fmt.Errorf("killing %q: it does not run", component)
	}
	p.Kill()
	return nil
}

// Restart starts a component on its old state and ports, after killing it if it runs, and returns
// when it works again.
func (c *Cluster) Restart(ctx context.Context, component Component) error {
	if !slices.Contains(Components(), component) {
		return fmt.Errorf("restarting %q: there is no such component", component)
	}
	if p := c.process(component); p != nil && p.Running() {
		p.Kill()
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.StartTimeout,
		fmt.Errorf("restarting %q: it was not ready within %s", component, c.options.StartTimeout))
	defer cancel()
	if err := c.launch(ctx, component); err != nil {
		return err
	}
	return c.await(ctx, component)
}

// Stop ends the components, the last started first, each with the grace that Options gives, and
// gives the state folder back. An error names the components that had to be killed; none runs
// afterwards in any case. Stopping twice does nothing.
func (c *Cluster) Stop() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil
	}
	c.stopped = true
	var errs []error
	for _, component := range slices.Backward(Components()) {
		if p := c.processes[component]; p != nil {
			errs = append(errs, c.stopOne(p))
		}
	}
	return errors.Join(append(errs, c.claim.release())...)
}

func (c *Cluster) stopOne(p *process.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), c.options.StopGrace)
	defer cancel()
	return p.Stop(ctx)
}

func (c *Cluster) process(component Component) *process.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.processes[component]
}

func (c *Cluster) kubeconfigPath(user string) string { return c.layout.kubeconfig(user) }

// launch starts a component's program and reports on Failed when it ends by itself.
func (c *Cluster) launch(ctx context.Context, component Component) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return fmt.Errorf("starting %q: the cluster was stopped", component)
	}
	program := filepath.Join(c.bin, string(component))
	if component == Scheduler && c.options.SchedulerProgram != "" {
		program = c.options.SchedulerProgram
	}
	p, err := process.Start(ctx, process.Command{
		Name: string(component),
		Path: program,
		Args: slices.Concat(c.layout.flags(component), c.options.Args[component]),
		Log:  c.layout.log(component),
	})
	if err != nil {
		return err
	}
	c.processes[component] = p
	go func() {
		<-p.Done()
		if err := p.Err(); err != nil {
			select {
			case c.failed <- err:
			default: // nobody listens, and the first failures say enough
			}
		}
	}()
	return nil
}
