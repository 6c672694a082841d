// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package hollow turns machines into nodes without running a container: one hollow kubelet for each
// machine registers a Node, renews its lease and reports the pods bound to it as started, ready,
// finished or gone, at the pace that Options gives. Every kubelet acts under its own node's
// identity, so the Node authorizer and NodeRestriction judge it as they judge a real one. It never
// puts a label or a taint of ours on a node and never writes a node's metadata or spec after birth.
package hollow

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// Annotations on pods that override the fleet's pace. Values are Go durations such as 90s.
const (
	// AnnotationStartDelay is the time from admission to Running.
	AnnotationStartDelay = "sandbox.vpsie.com/start-delay"
	// AnnotationStopDelay is the time that the pod takes to end after it was asked to. Its grace
	// period still bounds it.
	AnnotationStopDelay = "sandbox.vpsie.com/stop-delay"
	// AnnotationRunFor is the time from Running to Succeeded. It works on pods that are not
	// restarted when they end (restartPolicy Never or OnFailure).
	AnnotationRunFor = "sandbox.vpsie.com/run-for"
)

// Machine is what a kubelet runs on.
type Machine struct {
	// Name is the hostname. The node gets it in lower case.
	Name string
	IP   string

	CPU      int // cores
	MemoryMB int // MiB, as clouds mean it
	DiskGB   int // GiB
}

// Range is a range of durations.
type Range struct {
	Min, Max time.Duration
}

// Options says how the machines behave. With the zero value nodes and pods are ready at once.
type Options struct {
	// ReadyDelay is the time from registration to Ready.
	ReadyDelay time.Duration
	// FailReady names machines whose node registers but never becomes Ready; none when nil.
	FailReady func(Machine) bool
	// StartDelay is how long a pod takes from admission to Running: a value in the range that
	// depends on the pod's UID only.
	StartDelay Range
	// StopDelay is how long a pod takes to end after it was asked to, within its grace period.
	StopDelay time.Duration
	// Heartbeat is the time between lease renewals; ten seconds when 0.
	Heartbeat time.Duration
	// Clock is the real one when nil.
	Clock clock.WithTicker
	// Log receives what changed; nothing is logged with the zero value.
	Log logr.Logger
}

const defaultHeartbeat = 10 * time.Second

func (o Options) withDefaults() Options {
	if o.FailReady == nil {
		o.FailReady = func(Machine) bool { return false }
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = defaultHeartbeat
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	return o
}

// Fleet is the kubelets of a cluster's machines.
type Fleet struct {
	admin   *rest.Config
	options Options
	ctx     context.Context //nolint:containedctx // ends every kubelet on Stop, long after Join returned
	cancel  context.CancelFunc

	mu       sync.Mutex
	kubelets map[string]*kubelet // by node name
	joined   int                 // counts joins, to give each machine pod addresses of its own
	version  string
}

// NewFleet returns an empty fleet. admin has to be allowed to impersonate nodes.
func NewFleet(admin *rest.Config, options Options) *Fleet {
	options = options.withDefaults()
	ctx, cancel := context.WithCancel(logr.NewContext(context.Background(), options.Log))
	return &Fleet{
		admin:    admin,
		options:  options,
		ctx:      ctx,
		cancel:   cancel,
		kubelets: map[string]*kubelet{},
	}
}

// NodeName is the name of the node that a machine with this hostname becomes.
func NodeName(hostname string) string { return strings.ToLower(hostname) }

// Join starts the kubelet of a machine that has booted. It returns when the Node exists and tries
// until ctx ends, as a kubelet does; the node becomes Ready later.
func (f *Fleet) Join(ctx context.Context, machine Machine) error {
	if err := machine.validate(); err != nil {
		return err
	}
	k, err := f.add(machine)
	if err != nil {
		return err
	}
	if err := k.register(ctx, f.kubeletVersion); err != nil {
		f.remove(k)
		close(k.done)
		return fmt.Errorf("joining machine %q: %w", machine.Name, err)
	}
	go k.run()
	return nil
}

// Leave ends a machine's kubelet at once, as the machine's destruction would: no farewell, no more
// heartbeats. The Node object stays until somebody deletes it.
func (f *Fleet) Leave(ctx context.Context, hostname string) error {
	f.mu.Lock()
	k, ok := f.kubelets[NodeName(hostname)]
	f.mu.Unlock()
	if !ok {
		return fmt.Errorf("leaving: no machine %q has joined", hostname)
	}
	f.remove(k)
	select {
	case <-k.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for the kubelet of %q to end: %w", hostname, context.Cause(ctx))
	}
}

// Stop ends every kubelet and returns when all have ended. The fleet cannot be used afterwards.
func (f *Fleet) Stop() {
	f.cancel()
	f.mu.Lock()
	kubelets := f.kubelets
	f.kubelets = map[string]*kubelet{}
	f.mu.Unlock()
	for _, k := range kubelets {
		k.stop()
		<-k.done
	}
}

func (f *Fleet) add(machine Machine) (*kubelet, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ctx.Err(); err != nil {
		return nil, fmt.Errorf("joining machine %q: the fleet has been stopped", machine.Name)
	}
	name := NodeName(machine.Name)
	if _, ok := f.kubelets[name]; ok {
		return nil, fmt.Errorf("joining machine %q: a machine of that name has joined already", machine.Name)
	}
	k, err := newKubelet(f.ctx, f.admin, f.options, machine, podRange(f.joined))
	if err != nil {
		return nil, fmt.Errorf("joining machine %q: %w", machine.Name, err)
	}
	f.joined++
	f.kubelets[name] = k
	return k, nil
}

func (f *Fleet) remove(k *kubelet) {
	k.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.kubelets[k.name] == k {
		delete(f.kubelets, k.name)
	}
}

// kubeletVersion asks the API server for its version, once: a kubelet must not be newer than that.
func (f *Fleet) kubeletVersion(ctx context.Context) (string, error) {
	f.mu.Lock()
	version := f.version
	f.mu.Unlock()
	if version != "" {
		return version, nil
	}
	client, err := discovery.NewDiscoveryClientForConfig(f.admin)
	if err != nil {
		return "", fmt.Errorf("making a client: %w", err)
	}
	info, err := client.ServerVersionWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("asking the API server for its version: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version = info.GitVersion
	return f.version, nil
}

func (m Machine) validate() error {
	if problems := validation.IsDNS1123Subdomain(NodeName(m.Name)); len(problems) > 0 {
		return fmt.Errorf("joining machine %q: its name cannot name a node: %s", m.Name, problems[0])
	}
	if _, err := netip.ParseAddr(m.IP); err != nil {
		return fmt.Errorf("joining machine %q: its address %q is not an IP address", m.Name, m.IP)
	}
	if m.CPU <= 0 || m.MemoryMB <= 0 || m.DiskGB <= 0 {
		return fmt.Errorf("joining machine %q: it needs cpu, memory and disk, and has %d, %d MB and %d GB",
			m.Name, m.CPU, m.MemoryMB, m.DiskGB)
	}
	return nil
}
