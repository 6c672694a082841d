// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
	testingclock "k8s.io/utils/clock/testing"
)

func newTestAuthority(t *testing.T) *authority {
	t.Helper()
	authority, err := newAuthority(testingclock.NewFakePassiveClock(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

func parse(t *testing.T, pem []byte) *x509.Certificate {
	t.Helper()
	certificates, err := certutil.ParseCertsPEM(pem)
	if err != nil {
		t.Fatal(err)
	}
	return certificates[0]
}

func TestClientCertificatesCarryUserAndGroups(t *testing.T) {
	authority := newTestAuthority(t)
	pair, err := authority.client("zoe", "editors", "auditors")
	if err != nil {
		t.Fatal(err)
	}
	certificate := parse(t, pair.certificate)
	if got := certificate.Subject.CommonName; got != "zoe" {
		t.Errorf("user is %q", got)
	}
	if diff := cmp.Diff([]string{"editors", "auditors"}, certificate.Subject.Organization); diff != "" {
		t.Errorf("groups: %s", diff)
	}
	if _, err := keyutil.ParsePrivateKeyPEM(pair.key); err != nil {
		t.Errorf("key: %v", err)
	}
	verify(t, authority, certificate, x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	refuse(t, authority, certificate, x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	refuse(t, newTestAuthority(t), certificate, x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func TestServerCertificatesHoldForLoopbackOnly(t *testing.T) {
	authority := newTestAuthority(t)
	pair, err := authority.server("sandbox")
	if err != nil {
		t.Fatal(err)
	}
	certificate := parse(t, pair.certificate)
	for _, name := range []string{"127.0.0.1", "localhost", "10.96.0.1", "kubernetes.default.svc"} {
		verify(t, authority, certificate, x509.VerifyOptions{DNSName: name})
	}
	for _, name := range []string{"127.0.0.2", "example.com"} {
		refuse(t, authority, certificate, x509.VerifyOptions{DNSName: name})
	}
	refuse(t, authority, certificate, x509.VerifyOptions{KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func TestCertificatesSurviveAClockThatIsALittleLate(t *testing.T) {
	now := time.Now()
	authority, err := newAuthority(testingclock.NewFakePassiveClock(now))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.client("zoe")
	if err != nil {
		t.Fatal(err)
	}
	certificate := parse(t, pair.certificate)
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	verify(t, authority, certificate, x509.VerifyOptions{KeyUsages: usages, CurrentTime: now.Add(-30 * time.Minute)})
	refuse(t, authority, certificate, x509.VerifyOptions{KeyUsages: usages, CurrentTime: now.Add(2 * certificateLife)})
}

func verify(t *testing.T, a *authority, certificate *x509.Certificate, options x509.VerifyOptions) {
	t.Helper()
	options.Roots = x509.NewCertPool()
	options.Roots.AddCert(a.certificate)
	if _, err := certificate.Verify(options); err != nil {
		t.Errorf("%+v: %v", options, err)
	}
}

func refuse(t *testing.T, a *authority, certificate *x509.Certificate, options x509.VerifyOptions) {
	t.Helper()
	options.Roots = x509.NewCertPool()
	options.Roots.AddCert(a.certificate)
	if _, err := certificate.Verify(options); err == nil {
		t.Errorf("the certificate of %q is accepted with %+v", certificate.Subject.CommonName, options)
	}
}

func TestKeyFilesAreForTheOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	if err := newTestAuthority(t).writeFiles(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
	want := []string{"ca.crt", "front-proxy.crt", "front-proxy.key", "server.crt", "server.key", "service-account.key", "service-account.pub"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("files (the authority's key must not be one): %s", diff)
	}
	if _, err := keyutil.PublicKeysFromFile(filepath.Join(dir, "service-account.pub")); err != nil {
		t.Error(err)
	}
}

func TestAPortInUseIsNamedWithWhatToDo(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	port := listener.Addr().(*net.TCPAddr).Port
	_, err = Ports{ControllerManager: port}.choose(t.Context())
	want := fmt.Sprintf("port %d, wanted for kube-controller-manager, is in use on 127.0.0.1:"+
		" stop the program that listens there (`ss -ltnp` names it), or choose another port", port)
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestOnePortForTwoComponentsIsRefused(t *testing.T) {
	free, err := Ports{}.choose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Ports{Etcd: free.Etcd, Scheduler: free.Etcd}).choose(t.Context()); err == nil {
		t.Error("two components got the same port")
	}
}

func TestPortsLeftOutAreChosenAndGivenOnesKept(t *testing.T) {
	free, err := Ports{}.choose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ports, err := Ports{Scheduler: free.Scheduler}.choose(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ports.Scheduler != free.Scheduler {
		t.Errorf("scheduler got %d, want %d", ports.Scheduler, free.Scheduler)
	}
	all := []int{ports.APIServer, ports.Etcd, ports.EtcdPeer, ports.ControllerManager, ports.Scheduler}
	slices.Sort(all)
	if len(slices.Compact(all)) != 5 || all[0] == 0 {
		t.Errorf("ports are not five different ones: %+v", ports)
	}
}

func TestClaimRefusesAFolderInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	first, err := claimState(dir)
	if err != nil {
		t.Fatal(err)
	}
	keep := filepath.Join(dir, etcdFolder, "data")
	if err := os.WriteFile(keep, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = claimState(dir)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by a running sandbox (process %d)", os.Getpid())) {
		t.Errorf("the second claim: %v", err)
	}
	if _, err := os.Stat(keep); err != nil {
		t.Errorf("the refused claim harmed the first one's data: %v", err)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	again, err := claimState(dir)
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if _, err := os.Stat(keep); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("old data is still there: %v", err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}

func TestClaimRefusesToEmptyAFolderThatIsNotASandboxs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, etcdFolder, "member")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := claimState(dir); err == nil || !strings.Contains(err.Error(), "no sandbox put there") {
		t.Errorf("claim: %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestClaimTakesOverFromASandboxThatWasKilled(t *testing.T) {
	dir := t.TempDir()
	// Process 1 is alive, but holds no lock: the pid alone must not count.
	if err := os.WriteFile(filepath.Join(dir, claimFile), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := claimState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := readPID(filepath.Join(dir, claimFile)), fmt.Sprint(os.Getpid()); got != want {
		t.Errorf("the claim names process %s, want %s", got, want)
	}
	if err := c.release(); err != nil {
		t.Error(err)
	}
}

func TestStartRefusesAFolderWithoutPrograms(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	_, err := Start(t.Context(), t.TempDir(), state, Options{})
	if err == nil || !strings.Contains(err.Error(), "make control-plane") {
		t.Errorf("Start: %v", err)
	}
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state folder was touched: %v", err)
	}
}

func TestFlagsKeepTheClusterClosed(t *testing.T) {
	l := layout{state: "/state", ports: Ports{APIServer: 1, Etcd: 2, EtcdPeer: 3, ControllerManager: 4, Scheduler: 5}}
	has := map[Component][]string{
		Etcd:              {"--listen-client-urls=http://127.0.0.1:2", "--listen-peer-urls=http://127.0.0.1:3"},
		APIServer:         {"--bind-address=127.0.0.1", "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--etcd-servers=http://127.0.0.1:2"},
		ControllerManager: {"--bind-address=127.0.0.1", "--use-service-account-credentials=true", "--secure-port=4"},
		Scheduler:         {"--bind-address=127.0.0.1", "--secure-port=5", "--kubeconfig=/state/kubeconfig/kube-scheduler.kubeconfig"},
	}
	for _, component := range Components() {
		flags := l.flags(component)
		for _, want := range has[component] {
			if !slices.Contains(flags, want) {
				t.Errorf("%s: %s is missing from %v", component, want, flags)
			}
		}
	}
}
