// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stack turns the sandbox's parts into one running whole: control plane, simulated VPSie, hollow kubelets for the
// machines that VPSie boots, the chart, and the controller under the chart's service account. It never gives the controller more rights
// than the chart does.
package stack

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/go-logr/logr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/simadmin"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/controlplane"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/hollow"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/process"
)

// Options say what runs and how fast machines boot.
type Options struct {
	Bin        string // folder of the control plane's programs
	State      string // folder that everything is written to
	Chart      string // folder of the chart
	Controller string // the controller's program; empty: none is started
	// ControllerArgs come after the flags that the stack needs.
	ControllerArgs []string

	VPSiePort   int // 0: a free one
	KubePort    int // 0: a free one
	Seed        int64
	WorkerLimit int
	Boot        Boot
	Scheduler   string                           // the program that replaces the stock kube-scheduler; empty: none does
	Catalogue   *vpsiesim.Catalogue              // what the simulated VPSie sells; nil: its own catalogue
	FailReady   int                              // one machine in so many joins and never becomes Ready; 0: none
	Credentials Credentials                      // empty: Token
	Step        func(format string, args ...any) // told what was done; nothing when nil
}

// Credentials is what the controller shows to VPSie.
type Credentials string

// The kinds of credentials.
const (
	Token  Credentials = "token"  // a static token
	Client Credentials = "client" // a client identifier and its secret, exchanged for a token that expires
)

// Boot says how long the life of a machine takes.
type Boot struct {
	Visible, Join, Ready, Delete time.Duration
	PodStart, PodStop            time.Duration
}

// Real is roughly what VPSie takes.
func Real() Boot {
	return Boot{Visible: 10 * time.Second, Join: 60 * time.Second, Ready: 5 * time.Second, Delete: 10 * time.Second, PodStart: 2 * time.Second, PodStop: 3 * time.Second}
}

// Demo is quick enough to watch and slow enough to follow.
func Demo() Boot {
	return Boot{Visible: 4 * time.Second, Join: 8 * time.Second, Ready: 2 * time.Second, Delete: 3 * time.Second, PodStart: time.Second, PodStop: time.Second}
}

// Fast is for tests.
func Fast() Boot {
	return Boot{Visible: time.Second, Join: time.Second, Ready: 500 * time.Millisecond, Delete: 3 * time.Second, PodStart: 200 * time.Millisecond, PodStop: 200 * time.Millisecond}
}

// Info is what a test or a person needs to use a running stack. It is also written to sandbox.json in the state folder.
type Info struct {
	Kubeconfig           string `json:"kubeconfig"`
	ControllerKubeconfig string `json:"controllerKubeconfig"`
	VPSieURL             string `json:"vpsieURL"`
	VPSieToken           string `json:"vpsieToken"`
	VPSieClientID        string `json:"vpsieClientID"`
	VPSieClientSecret    string `json:"vpsieClientSecret"`
	Bin                  string `json:"bin"`
	ControllerLog        string `json:"controllerLog"`
	MetricsURL           string `json:"metricsURL,omitempty"`
	HealthURL            string `json:"healthURL,omitempty"`
	ControllerPID        int    `json:"controllerPID,omitempty"`
}

// Stack is everything, running.
type Stack struct {
	Info    Info
	Cluster *controlplane.Cluster
	Admin   *simadmin.Client

	options    Options
	failed     chan error
	stopped    chan struct{} // closed by stop
	stop       func()
	fleet      *hollow.Fleet
	listener   net.Listener // of the simulated VPSie, before it serves
	vpsie      *http.Server
	machines   context.CancelFunc
	machinesUp chan struct{}
	controller *process.Process
}

const (
	namespace      = "kube-system"
	serviceAccount = "vpsie-autoscaler"
	// The simulated VPSie's, worth nothing anywhere else.
	token        = "sandbox-token" //nolint:gosec // see above
	clientID     = "sandbox-client"
	clientSecret = "sandbox-secret" //nolint:gosec // see above
	// InfoFile is where Info is written, in the state folder.
	InfoFile = "sandbox.json"
)

// Start runs everything. After an error nothing runs.
func Start(ctx context.Context, options Options) (*Stack, error) {
	if options.Step == nil {
		options.Step = func(string, ...any) {}
	}
	s := newStack(options)
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop()) //nolint:contextcheck // what was started has to end although ctx did
	}
	return s, nil
}

func newStack(options Options) *Stack {
	stopped := make(chan struct{})
	return &Stack{options: options, failed: make(chan error, maxFailures), stopped: stopped, stop: sync.OnceFunc(func() { close(stopped) })}
}

// maxFailures is how many failures wait for a reader; the first ones say enough.
const maxFailures = 16

func (s *Stack) start(ctx context.Context) error {
	if err := s.listen(ctx); err != nil { // before the control plane, whose start would have been for nothing
		return err
	}
	if err := s.startCluster(ctx); err != nil {
		return err
	}
	if err := s.startVPSie(); err != nil { //nolint:contextcheck // it lives on until Stop
		return err
	}
	if err := s.install(ctx); err != nil {
		return err
	}
	if s.options.Controller != "" {
		if err := s.StartController(ctx); err != nil {
			return err
		}
	}
	return s.writeInfo()
}

func (s *Stack) startCluster(ctx context.Context) error {
	cluster, err := controlplane.Start(ctx, s.options.Bin, s.options.State, controlplane.Options{
		Ports: controlplane.Ports{APIServer: s.options.KubePort}, SchedulerProgram: s.options.Scheduler,
		// A dead machine is noticed in seconds: nobody wants to watch the 40 s that are right for a real cluster.
		Args: map[controlplane.Component][]string{controlplane.ControllerManager: {"--node-monitor-grace-period=25s", "--node-monitor-period=2s"}},
	})
	var inUse *controlplane.PortInUseError
	if errors.As(err, &inUse) && inUse.Port == s.options.KubePort {
		return fmt.Errorf("starting the control plane: %w with --kube-port (0: any)", err)
	}
	if _, ok := errors.AsType[*controlplane.StateError](err); ok {
		return fmt.Errorf("starting the control plane: %w with --state", err)
	}
	if err != nil {
		return fmt.Errorf("starting the control plane: %w", err)
	}
	s.Cluster = cluster
	go s.forward(cluster.Failed())
	s.Info.Kubeconfig, s.Info.Bin = cluster.AdminKubeconfig(), s.options.Bin
	s.options.Step("kube-apiserver, etcd, scheduler and controller-manager run at %s", cluster.URL())
	return nil
}

// joiner makes the machines that VPSie boots into hollow kubelets.
type joiner struct{ fleet *hollow.Fleet }

func (j joiner) Join(ctx context.Context, m vpsiesim.Machine) error {
	return j.fleet.Join(ctx, hollow.Machine{Name: m.Hostname, IP: m.IP, CPU: m.CPU, MemoryMB: m.MemoryMB, DiskGB: m.DiskGB})
}

func (j joiner) Leave(ctx context.Context, m vpsiesim.Machine) error {
	return j.fleet.Leave(ctx, m.Hostname)
}

// neverReady picks one machine in so many, for the same seed always the same ones: host names come from the seed.
func neverReady(oneIn int, seed int64) func(hollow.Machine) bool {
	return func(m hollow.Machine) bool {
		if oneIn <= 0 {
			return false
		}
		hash := sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, hollow.NodeName(m.Name)))
		return binary.BigEndian.Uint64(hash[:])%uint64(oneIn) == 0
	}
}

// listen takes the simulated VPSie's port.
func (s *Stack) listen(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", s.options.VPSiePort))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d for the simulated VPSie is in use: stop what holds it, or choose another with --vpsie-port (0: any)", s.options.VPSiePort)
	}
	if err != nil {
		return fmt.Errorf("listening for the simulated VPSie: %w", err)
	}
	s.listener = listener
	return nil
}

func (s *Stack) startVPSie() error {
	boot := s.options.Boot
	s.fleet = hollow.NewFleet(s.Cluster.AdminConfig(), hollow.Options{
		ReadyDelay: boot.Ready, FailReady: neverReady(s.options.FailReady, s.options.Seed), StartDelay: hollow.Range{Min: boot.PodStart / 2, Max: boot.PodStart}, StopDelay: boot.PodStop,
	})
	server, err := vpsiesim.New(vpsiesim.Options{
		Catalogue: s.options.Catalogue, Token: token, ClientID: clientID, ClientSecret: clientSecret, Seed: s.options.Seed, WorkerLimit: s.options.WorkerLimit,
		VisibleDelay: vpsiesim.Range{Min: boot.Visible / 2, Max: boot.Visible},
		BootDelay:    vpsiesim.Range{Min: boot.Join / 2, Max: boot.Join},
		DeleteDelay:  boot.Delete,
		Joiner:       joiner{s.fleet},
		Logger:       logr.Discard(),
	})
	if err != nil {
		return fmt.Errorf("making the simulated VPSie: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(vpsiesim.AdminPrefix+"/", server.AdminHandler())
	mux.Handle("/", server.Handler())
	s.vpsie = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.vpsie.Serve(s.listener) }() // ends with ErrServerClosed when the stack stops
	machines, cancel := context.WithCancel(context.Background())
	s.machines, s.machinesUp = cancel, make(chan struct{})
	go func() {
		defer close(s.machinesUp)
		_ = server.Run(machines) // ends without an error when the stack stops
	}()
	s.Info.VPSieURL, s.Info.VPSieToken = "http://"+s.listener.Addr().String(), token
	s.Info.VPSieClientID, s.Info.VPSieClientSecret = clientID, clientSecret
	s.Admin = simadmin.New(s.Info.VPSieURL, nil)
	s.options.Step("a simulated VPSie answers at %s", s.Info.VPSieURL)
	return nil
}

func (s *Stack) writeInfo() error {
	data, err := json.MarshalIndent(s.Info, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(s.options.State, InfoFile), append(data, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", InfoFile, err)
	}
	return nil
}

// Failed receives an error when a component of the control plane or the controller ends although nobody stopped it, also when somebody
// killed it from outside and has started it again since.
func (s *Stack) Failed() <-chan error { return s.failed }

// forward hands on what happens to the control plane.
func (s *Stack) forward(failed <-chan error) {
	for {
		select {
		case err := <-failed:
			s.fail(err)
		case <-s.stopped:
			return
		}
	}
}

func (s *Stack) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Stop ends everything, the controller first, and leaves no process behind.
func (s *Stack) Stop() error {
	s.stop()
	var failures []error
	if s.controller != nil {
		failures = append(failures, s.StopController())
	}
	if s.machines != nil {
		s.machines()
		<-s.machinesUp
	}
	if s.vpsie != nil {
		failures = append(failures, s.vpsie.Close())
	} else if s.listener != nil {
		failures = append(failures, s.listener.Close())
	}
	if s.fleet != nil {
		s.fleet.Stop()
	}
	if s.Cluster != nil {
		failures = append(failures, s.Cluster.Stop())
	}
	return errors.Join(failures...)
}
