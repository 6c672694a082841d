// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package process turns a command line into a child that cannot outlive the sandbox: it runs in a
// process group of its own, writes to a log file, is stopped within a bounded time, and on Linux is
// killed by the kernel when the sandbox dies without a chance to clean up. It never restarts a child
// by itself and never uses a shell.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
)

// Command is what to run and where its output goes.
type Command struct {
	// Name is what messages call the child.
	Name string
	// Path is the program's file.
	Path string
	Args []string
	// Env is added to the sandbox's own environment; later entries win.
	Env []string
	// Log is the file that both output streams are appended to. Its folder must exist.
	Log string
}

// Process is one child, running or ended.
type Process struct {
	command Command
	pid     int
	done    chan struct{}
	exit    error // how it ended; set before done is closed
	wanted  atomic.Bool
}

// Start runs the command. The child lives on after ctx ends: only Stop, Kill or its own end stop it.
func Start(ctx context.Context, command Command) (*Process, error) {
	log, err := os.OpenFile(filepath.Clean(command.Log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %q: %w", command.Name, err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), command.Path, command.Args...)
	cmd.Env = append(os.Environ(), command.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attributes()

	p := &Process{command: command, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(cmd, log, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %q from %q: %w", command.Name, command.Path, err)
	}
	return p, nil
}

// run starts the child and waits for its end on one locked thread, because Linux sends the parent
// death signal when the starting thread ends: on a shared thread the child could die at any moment.
func (p *Process) run(cmd *exec.Cmd, log io.Closer, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	if err != nil {
		started <- errors.Join(err, log.Close())
		return
	}
	p.pid = cmd.Process.Pid
	started <- nil
	p.exit = errors.Join(cmd.Wait(), log.Close())
	close(p.done)
}

// PID is the child's process id, and that of its group.
func (p *Process) PID() int { return p.pid }

// Done is closed when the child has ended, however it ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running says whether the child has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err explains an end that nobody asked for, with the last lines of the child's log. It is nil
// while the child runs and after Stop or Kill.
func (p *Process) Err() error {
	if p.Running() || p.wanted.Load() {
		return nil
	}
	how := "exit status 0"
	if p.exit != nil {
		how = p.exit.Error()
	}
	return fmt.Errorf("%s ended by itself (%s); the end of its log %s:\n%s",
		p.command.Name, how, p.command.Log, tail(p.command.Log))
}

// Stop asks the child to end and kills its whole group when ctx ends first. It returns once the
// child is gone; an error says that it had to be killed.
func (p *Process) Stop(ctx context.Context) error {
	p.wanted.Store(true)
	if !p.Running() {
		return nil
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		p.signal(syscall.SIGKILL) // whatever it left behind in its group
		return nil
	case <-ctx.Done():
		p.Kill()
		return fmt.Errorf("stopping %q: it did not end in time and was killed", p.command.Name)
	}
}

// Kill ends the child and its group at once, as a crash would, and returns when the child is gone.
func (p *Process) Kill() {
	p.wanted.Store(true)
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal reaches the whole group. It fails only when nothing is left to signal, which is fine.
func (p *Process) signal(signal syscall.Signal) {
	_ = syscall.Kill(-p.pid, signal)
}

const (
	tailBytes = 16 << 10
	tailLines = 12
)

// tail is the end of a log, for a message: enough to see the cause, not the whole story.
func tail(path string) string {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return "(" + err.Error() + ")"
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > tailBytes {
		if _, err := file.Seek(-tailBytes, io.SeekEnd); err != nil {
			return "(" + err.Error() + ")"
		}
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return "(" + err.Error() + ")"
	}
	text := strings.TrimSpace(string(content))
	if text == "" {
		return "(empty)"
	}
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
