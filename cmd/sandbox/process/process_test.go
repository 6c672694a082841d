// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test program is its own child: role says what it plays when it is started again.
const role = "SANDBOX_PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "polite": // ends when asked
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		fmt.Println("polite is up")
		<-stop
	case "stubborn": // ignores the request
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("stubborn is up")
		time.Sleep(time.Hour)
	case "broken": // ends by itself
		for i := range 50 {
			fmt.Println("line", i)
		}
		fmt.Fprintln(os.Stderr, "cannot bind the port")
		os.Exit(3)
	case "parent": // starts a child, tells its pid, and waits to be killed
		child, err := Start(context.Background(), self("polite", os.Getenv("CHILD_LOG")))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("child", child.PID())
		time.Sleep(time.Hour)
	}
}

func self(as, log string) Command {
	return Command{Name: as, Path: os.Args[0], Env: []string{role + "=" + as}, Log: log}
}

func start(t *testing.T, command Command) *Process {
	t.Helper()
	p, err := Start(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

func waitForLog(t *testing.T, path, text string) string {
	t.Helper()
	for range 500 {
		if content, _ := os.ReadFile(path); strings.Contains(string(content), text) {
			return string(content)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%q never appeared in %s", text, path)
	return ""
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		return syscall.Kill(pid, 0) == nil && !isLinux()
	}
	// A zombie whose new parent has not collected it yet is dead.
	return !strings.Contains(string(stat), ") Z ")
}

func isLinux() bool {
	_, err := os.Stat("/proc/self/stat")
	return err == nil
}

func TestStopEndsAPoliteChildWithoutAnError(t *testing.T) {
	log := filepath.Join(t.TempDir(), "polite.log")
	p := start(t, self("polite", log))
	waitForLog(t, log, "polite is up")
	if err := p.Err(); err != nil {
		t.Errorf("a running child has the error %v", err)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if p.Running() || alive(p.PID()) {
		t.Error("the child is still there after Stop")
	}
	if err := p.Err(); err != nil {
		t.Errorf("a child that was asked to stop has the error %v", err)
	}
}

func TestStopKillsAChildThatIgnoresTheRequest(t *testing.T) {
	log := filepath.Join(t.TempDir(), "stubborn.log")
	p := start(t, self("stubborn", log))
	waitForLog(t, log, "stubborn is up")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Stop(ctx); err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("Stop says %v, want that the child was killed", err)
	}
	if alive(p.PID()) {
		t.Error("the child is still there after Stop")
	}
}

func TestAnEarlyEndIsExplainedWithTheEndOfTheLog(t *testing.T) {
	log := filepath.Join(t.TempDir(), "broken.log")
	p := start(t, self("broken", log))
	<-p.Done()
	err := p.Err()
	if err == nil {
		t.Fatal("no error for a child that ended by itself")
	}
	for _, want := range []string{"broken ended by itself (exit status 3)", log, "line 49\ncannot bind the port"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "line 10\n") {
		t.Errorf("the whole log is in: %v", err)
	}
}

func TestStartNamesAProgramThatIsMissing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "etcd")
	_, err := Start(t.Context(), Command{Name: "etcd", Path: missing, Log: missing + ".log"})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("Start says %v, want that %s does not exist", err, missing)
	}
}

func TestChildrenDieWithAParentThatIsKilled(t *testing.T) {
	if !isLinux() {
		t.Skip("only Linux ends children with their parent")
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "parent.log")
	command := self("parent", log)
	command.Env = append(command.Env, "CHILD_LOG="+filepath.Join(dir, "child.log"))
	parent := start(t, command)
	content := waitForLog(t, log, "\n")
	child, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(content, "child ")))
	if err != nil {
		t.Fatalf("the parent wrote %q", content)
	}
	if !alive(child) {
		t.Fatal("the child did not start")
	}
	if err := syscall.Kill(parent.PID(), syscall.SIGKILL); err != nil { // only the parent, not its group
		t.Fatal(err)
	}
	for range 500 {
		if !alive(child) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the child outlived its parent")
}
