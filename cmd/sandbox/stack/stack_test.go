// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/hollow"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/programs"
)

// The test program also plays the controller: it says that it is ready and runs until it is told to end.
const fakeController = "SANDBOX_STACK_FAKE_CONTROLLER"

func TestMain(m *testing.M) {
	if os.Getenv(fakeController) == "" {
		os.Exit(m.Run())
	}
	for _, argument := range os.Args[1:] {
		if address, ok := strings.CutPrefix(argument, "--health-bind-address="); ok {
			fmt.Println("started")
			ready := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			_ = http.ListenAndServe(address, ready) //nolint:gosec // a test's, on loopback
		}
	}
	os.Exit(2)
}

// withController is a stack that is nothing but a controller.
func withController(t *testing.T) *Stack {
	t.Helper()
	t.Setenv(fakeController, "yes")
	state := t.TempDir()
	if err := os.Mkdir(filepath.Join(state, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := newStack(Options{State: state, Controller: os.Args[0], Step: func(string, ...any) {}})
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.StartController(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func kill(t *testing.T, s *Stack) {
	t.Helper()
	if err := syscall.Kill(s.Info.ControllerPID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestAControllerThatDiesIsReported(t *testing.T) {
	s := withController(t)
	kill(t, s)
	select {
	case err := <-s.Failed():
		for _, want := range []string{"vpsie-autoscaler ended by itself (signal: killed)", s.Info.ControllerLog, "started"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is missing from: %v", want, err)
			}
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported")
	}
}

func TestAControllerThatWasKilledCanBeStartedAgain(t *testing.T) {
	s := withController(t)
	first := s.Info.ControllerPID
	kill(t, s)
	if err := s.StartController(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Info.ControllerPID == first || !s.controller.Running() {
		t.Errorf("the controller has pid %d as before, or does not run", first)
	}
}

func TestAControllerThatWasStoppedIsNotReported(t *testing.T) {
	s := withController(t)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	<-s.controller.Done()
	select {
	case err := <-s.Failed():
		t.Errorf("reported %v", err)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestADeadPartOfTheControlPlaneIsReported(t *testing.T) {
	s := newStack(Options{})
	cluster := make(chan error, 1)
	go s.forward(cluster)
	cluster <- errors.New("etcd ended by itself")
	select {
	case err := <-s.Failed():
		if err.Error() != "etcd ended by itself" {
			t.Errorf("reported %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported")
	}
	if err := errors.Join(s.Stop(), s.Stop()); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestAPortInUseIsNamedWithItsFlag(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	cases := map[string]struct {
		options Options
		want    string
	}{
		// Without programs nothing else could be started: the port is looked at first.
		"of the simulated VPSie": {
			options: Options{Bin: t.TempDir(), VPSiePort: port},
			want:    fmt.Sprintf("port %d for the simulated VPSie is in use: stop what holds it, or choose another with --vpsie-port (0: any)", port),
		},
		"of kube-apiserver": {
			options: Options{Bin: builtPrograms(t), KubePort: port},
			want: fmt.Sprintf("starting the control plane: port %d, wanted for kube-apiserver, is in use on 127.0.0.1:"+
				" stop the program that listens there (`ss -ltnp` names it), or choose another port with --kube-port (0: any)", port),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.options.State = filepath.Join(t.TempDir(), "state")
			if _, err := Start(t.Context(), tc.options); err == nil || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestAStateFolderThatCannotBeUsedIsNamedWithItsFlag(t *testing.T) {
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := t.TempDir()
	mark, err := os.Create(filepath.Join(used, "sandbox.pid"))
	if err != nil {
		t.Fatal(err)
	}
	defer mark.Close()
	if err := syscall.Flock(int(mark.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{
		foreign: fmt.Sprintf("the folder %q holds files that no sandbox put there (%q, for one): give an empty one or a new one as the state folder with --state", foreign, "thesis.tex"),
		used:    fmt.Sprintf("the state folder %q is in use by a running sandbox (process unknown): stop that one, or give this one another folder with --state", used),
	} {
		want = "starting the control plane: " + want
		if _, err := Start(t.Context(), Options{Bin: builtPrograms(t), State: state}); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestAShareOfTheMachinesNeverBecomesReady(t *testing.T) {
	picked := func(oneIn int, seed int64) []string {
		var names []string
		for i := range 400 {
			name := fmt.Sprintf("HEL-Kubernetes-49ab-slave-%04x", i)
			if neverReady(oneIn, seed)(hollow.Machine{Name: name}) {
				names = append(names, name)
			}
		}
		return names
	}
	for oneIn, bounds := range map[int][2]int{0: {0, 0}, 1: {400, 400}, 4: {70, 130}} {
		if got := len(picked(oneIn, 1)); got < bounds[0] || got > bounds[1] {
			t.Errorf("one in %d: %d of 400, want %v", oneIn, got, bounds)
		}
	}
	if !slices.Equal(picked(4, 1), picked(4, 1)) || slices.Equal(picked(4, 1), picked(4, 2)) {
		t.Error("the seed does not decide which machines they are")
	}
	if !neverReady(4, 1)(hollow.Machine{Name: strings.ToLower(picked(4, 1)[0])}) {
		t.Error("the letter case decides too")
	}
}

func TestTheSecretHoldsTheCredentialsThatWereAskedFor(t *testing.T) {
	for kind, want := range map[Credentials][]string{"": {"token", "url"}, Token: {"token", "url"}, Client: {"clientId", "clientSecret", "url"}} {
		s := newStack(Options{Credentials: kind})
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(s.credentials()))); diff != "" {
			t.Errorf("%q: %s", kind, diff)
		}
	}
}

// builtPrograms is a folder that looks as if everything had been built.
func builtPrograms(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	sizes := map[string]int{}
	for _, name := range []string{programs.Etcd, programs.APIServer, programs.ControllerManager, programs.Scheduler, programs.Kubectl, programs.Helm} {
		sizes[name] = 1
		if err := os.WriteFile(filepath.Join(bin, name), []byte("x"), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	stamp, err := json.Marshal(map[string]any{"key": "k", "sizes": sizes})
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "stamp.json"), stamp, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return bin
}
