// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package programs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// FirstBuild is how long it takes with nothing in the build cache.
const FirstBuild = "about 12 minutes on two cores"

const (
	progressEvery = 5 * time.Second
	keptMessages  = 40
)

// progress reads what `go build -v` prints, a line for each package and a message for each trouble,
// and tells how far the build is. Writes come from the command, reports from a ticker.
type progress struct {
	out     io.Writer
	clock   clock.WithTicker
	started time.Time

	mu         sync.Mutex
	partial    []byte // a line that has not ended yet
	compiled   int
	downloaded int
	told       int // compiled and downloaded at the last report
	kept       []string
}

func newProgress(out io.Writer, c clock.WithTicker) *progress {
	return &progress{out: out, clock: c, started: c.Now()}
}

// Write implements io.Writer for the command's output.
func (p *progress) Write(chunk []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, chunk...)
	for {
		line, rest, ended := bytes.Cut(p.partial, []byte("\n"))
		if !ended {
			return len(chunk), nil
		}
		p.take(string(line))
		p.partial = rest
	}
}

// take sorts one line; p.mu is held. A package path has no blanks, a message has.
func (p *progress) take(line string) {
	switch {
	case line == "":
	case strings.HasPrefix(line, "go: downloading "):
		p.downloaded++
	case !strings.ContainsAny(line, " \t"):
		p.compiled++
	default:
		p.kept = append(p.kept, line)
		p.kept = p.kept[max(0, len(p.kept)-keptMessages):]
	}
}

// messages are the last lines that were neither a package nor a download: the compiler's errors.
func (p *progress) messages() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(append(p.kept, string(p.partial)), "\n")
}

// report prints a line now and then until the returned function is called.
func (p *progress) report(ctx context.Context) (stop func()) {
	_, _ = fmt.Fprintf(p.out, "control plane: building etcd, Kubernetes and helm from source;"+
		" the first build takes %s, the next ones none\n", FirstBuild)
	ctx, cancel := context.WithCancel(ctx)
	ticker := p.clock.NewTicker(progressEvery)
	var done sync.WaitGroup
	done.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
				p.print()
			}
		}
	})
	return func() {
		cancel()
		done.Wait()
	}
}

// print says "linking" when no package was compiled since the last time: the compiler names packages, the linker works in silence.
func (p *progress) print() {
	p.mu.Lock()
	defer p.mu.Unlock()
	linking := ""
	if p.compiled+p.downloaded == p.told {
		linking = ", linking"
	}
	p.told = p.compiled + p.downloaded
	_, _ = fmt.Fprintf(p.out, "control plane: %s, %s compiled, %s downloaded%s\n",
		p.clock.Since(p.started).Round(time.Second), number(p.compiled, "package"), number(p.downloaded, "module"), linking)
}

func number(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
