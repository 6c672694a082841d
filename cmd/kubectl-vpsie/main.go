// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-vpsie is a plugin of kubectl: it shows what the autoscaler would do, for manifests or for a cluster, and changes
// nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/catalogue"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/manifest"
)

// Set by the linker.
var (
	version   = "dev"
	commit    = "unknown"
	buildDate = "unknown"
)

// Exit codes.
const (
	exitFailed  = 1
	exitInvalid = 2 // flags or files are wrong: running it again is no use
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], environment{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, clock: clock.RealClock{}})
	stop()
	os.Exit(code)
}

// environment is what commands have of the world.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	clock          clock.PassiveClock
}

// run runs a command line and returns the exit code.
func run(ctx context.Context, args []string, env environment) int {
	root := command(env) //nolint:contextcheck // cobra hands the context on
	root.SetArgs(args)
	root.SetIn(env.stdin)
	root.SetOut(env.stdout)
	root.SetErr(env.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(env.stderr, "Error:", err)
	if invalid(err) {
		return exitInvalid
	}
	return exitFailed
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func invalid(err error) bool {
	if _, ok := errors.AsType[usageError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*manifest.InvalidError](err); ok {
		return true
	}
	_, ok := errors.AsType[*catalogue.InvalidError](err)
	return ok
}

func command(env environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-vpsie",
		Short: "Show what the VPSie node autoscaler would do",
		Long: `kubectl vpsie shows what the VPSie node autoscaler would do. It uses the autoscaler's
own code, and changes nothing.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl vpsie"},
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("%q is no command of kubectl vpsie; see \"kubectl vpsie --help\"", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see \"%s --help\"", err, cmd.CommandPath())}
	})
	root.AddCommand(planCommand(env), versionCommand())
	return root
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is not expected here; see \"%s --help\"", args[0], cmd.CommandPath())}
	}
	return nil
}
