// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/demo"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

// hold waits for Ctrl-C, or for the end of something that should run.
func hold(ctx context.Context, failed <-chan error) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("the sandbox broke: %w", err)
	}
}

// holdAfter leaves everything running after the demo, unless it broke or somebody has pressed Ctrl-C. How the demo ended is told before the
// wait: after it nobody could look for the reason any more.
func holdAfter(ctx context.Context, out io.Writer, ended error, failed <-chan error, guide string) error {
	if ctx.Err() != nil || errors.Is(ended, demo.ErrBroke) {
		return ended
	}
	if ended != nil {
		fmt.Fprintf(out, "\n%v\n", ended)
		ended = errors.New("the demo failed, for the reason told above")
	}
	fmt.Fprint(out, guide)
	return errors.Join(ended, hold(ctx, failed))
}

// stop ends the sandbox and says so: it takes some seconds, in which a silent terminal would look as if Ctrl-C had not been heard.
func stop(out io.Writer, s interface{ Stop() error }) error {
	fmt.Fprintf(out, "\nstopping the sandbox ...\n")
	err := s.Stop()
	if err == nil {
		fmt.Fprintf(out, "nothing runs any more\n")
	}
	return err
}

// guide tells what a person can do with a running sandbox. Without a controller nothing would come of the demo's manifests.
func guide(info stack.Info, manifests string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nThe sandbox is up. Ctrl-C ends it.\n\n")
	fmt.Fprintf(&b, "  export KUBECONFIG=%q\n", info.Kubeconfig)
	fmt.Fprintf(&b, "  export PATH=\"%s:$PATH\"   # kubectl and helm of the cluster's version\n\n", info.Bin)
	fmt.Fprintf(&b, "  simulated VPSie:   %s\n", info.VPSieURL)
	fmt.Fprintf(&b, "  its books:         %s%s/ledger\n", info.VPSieURL, vpsiesim.AdminPrefix)
	if info.ControllerLog == "" {
		fmt.Fprintf(&b, "  no controller runs\n\n  Try: kubectl get nodes,pods --all-namespaces\n")
		return b.String()
	}
	fmt.Fprintf(&b, "  controller's log:  %s\n\n", info.ControllerLog)
	fmt.Fprintf(&b, "  Try: kubectl apply -f %s -f %s\n", filepath.Join(manifests, "nodegroup.yaml"), filepath.Join(manifests, "shop"))
	fmt.Fprintf(&b, "       kubectl get ng,vn,dis,nodes,pods --all-namespaces\n")
	return b.String()
}
