// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane turns a folder of programs and an empty state folder into a running cluster
// without nodes: real etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback,
// with RBAC, the Node authorizer and NodeRestriction on. It never listens anywhere else, never
// touches a folder that is not a sandbox's, and leaves no process behind.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"k8s.io/utils/clock"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/process"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/programs"
)

// Component names one program of the control plane.
type Component string

// The components, in the order in which they start. They stop in the opposite order.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "kube-apiserver"
	ControllerManager Component = "kube-controller-manager"
	Scheduler         Component = "kube-scheduler"
)

// Components lists them in the order in which they start.
func Components() []Component {
	return []Component{Etcd, APIServer, ControllerManager, Scheduler}
}

const (
	defaultStartTimeout = 2 * time.Minute
	defaultStopGrace    = 10 * time.Second
)

// Options says how a control plane differs from the stock one.
type Options struct {
	// SchedulerProgram replaces the stock kube-scheduler. It takes the same flags.
	SchedulerProgram string
	// Args are appended to a component's flags; of a flag given twice the last one counts.
	Args map[Component][]string
	// Ports are chosen among the free ones where they are 0.
	Ports Ports
	// StartTimeout bounds the start; two minutes when 0.
	StartTimeout time.Duration
	// StopGrace is how long each component may take to end before it is killed; ten seconds when 0.
	StopGrace time.Duration
	// Clock dates the certificates; the real one when nil.
	Clock clock.PassiveClock
}

func (o Options) withDefaults() Options {
	if o.StartTimeout == 0 {
		o.StartTimeout = defaultStartTimeout
	}
	if o.StopGrace == 0 {
		o.StopGrace = defaultStopGrace
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return o
}

// Start runs the programs in bin, which programs.Build made, with their state in the folder state,
// and returns when the cluster can be used. After an error nothing runs. The cluster lives on when
// ctx ends later: Stop ends it.
func Start(ctx context.Context, bin, state string, options Options) (*Cluster, error) {
	options = options.withDefaults()
	if err := programs.Check(bin); err != nil {
		return nil, err
	}
	state, err := filepath.Abs(state)
	if err != nil {
		return nil, fmt.Errorf("finding the state folder: %w", err)
	}
	claim, err := claimState(state)
	if err != nil {
		return nil, err
	}
	c, err := prepare(ctx, bin, state, options)
	if err != nil {
		return nil, errors.Join(err, claim.release())
	}
	c.claim = claim
	ctx, cancel := context.WithTimeoutCause(ctx, options.StartTimeout,
		fmt.Errorf("the control plane was not ready within %s; its logs are in %q", options.StartTimeout, filepath.Join(state, logFolder)))
	defer cancel()
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(err, c.Stop()) //nolint:contextcheck // what started has to stop, above all when ctx has ended
	}
	return c, nil
}

// prepare chooses ports and writes every file that the programs read.
func prepare(ctx context.Context, bin, state string, options Options) (*Cluster, error) {
	ports, err := options.Ports.choose(ctx)
	if err != nil {
		return nil, err
	}
	authority, err := newAuthority(options.Clock)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		bin:       bin,
		layout:    layout{state: state, ports: ports},
		options:   options,
		authority: authority,
		server:    fmt.Sprintf("https://%s:%d", loopback, ports.APIServer),
		processes: map[Component]*process.Process{},
		failed:    make(chan error, len(Components())),
	}
	if c.ca, err = authority.pem(); err != nil {
		return nil, err
	}
	if c.admin, err = authority.client("sandbox-admin", "system:masters"); err != nil {
		return nil, err
	}
	if err := authority.writeFiles(filepath.Join(state, pkiFolder)); err != nil {
		return nil, err
	}
	return c, c.writeKubeconfigs()
}

func (c *Cluster) writeKubeconfigs() error {
	for _, user := range []struct {
		file, name string
		groups     []string
	}{
		{file: "admin", name: "sandbox-admin", groups: []string{"system:masters"}},
		{file: "kube-controller-manager", name: "system:kube-controller-manager"},
		{file: "kube-scheduler", name: "system:kube-scheduler"},
	} {
		if err := c.KubeconfigFor(user.name, user.groups, c.kubeconfigPath(user.file)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) start(ctx context.Context) error {
	// The API server waits for etcd itself; the other two only poll for it, so they start after it.
	for _, step := range []struct{ launch, await []Component }{
		{launch: []Component{Etcd, APIServer}, await: []Component{APIServer}},
		{launch: []Component{ControllerManager, Scheduler}, await: []Component{ControllerManager, Scheduler}},
	} {
		for _, component := range step.launch {
			if err := c.launch(ctx, component); err != nil {
				return err
			}
		}
		for _, component := range step.await {
			if err := c.await(ctx, component); err != nil {
				return err
			}
		}
	}
	return c.awaitServiceAccount(ctx)
}
