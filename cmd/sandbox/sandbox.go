// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Command sandbox runs a whole real cluster on one machine: etcd, kube-apiserver, scheduler and controller-manager, hollow kubelets, a
// simulated VPSie, and the autoscaler. It needs no container engine and no network but loopback.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/demo"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/programs"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetLogger(logr.Discard()) // a library complains on the terminal when nobody sets one
	if err := command().ExecuteContext(ctx); err != nil {
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintln(os.Stderr, "sandbox:", err)
		}
		os.Exit(1) //nolint:gocritic // nothing is deferred that matters
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "sandbox",
		Short:         "A whole real cluster on one machine, with a simulated VPSie",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(buildCommand(), upCommand(), demoCommand())
	return root
}

func buildCommand() *cobra.Command {
	var repository string
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the control plane's programs (" + programs.FirstBuild + " the first time, nothing afterwards)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bin, err := programs.Build(cmd.Context(), programs.BuildOptions{Root: repository, Progress: cmd.OutOrStdout()})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the control plane's programs are in", bin)
			return err
		},
	}
	cmd.Flags().StringVar(&repository, "repository", ".", "top folder of the repository")
	return cmd
}

// common are the flags of the commands that start a cluster.
type common struct {
	repository, state, controller string
	kubePort, vpsiePort           int
	workerLimit                   int
	seed                          int64
	noController                  bool
	failReady                     int
	boot, credentials             string
	scheduler, catalogue          string
	controllerArgs                []string
}

func (c *common) add(cmd *cobra.Command, boot string) {
	flags := cmd.Flags()
	flags.StringVar(&c.repository, "repository", ".", "top folder of the repository")
	flags.StringVar(&c.state, "state", "", "folder that everything is written to; left out: .sandbox in the repository")
	flags.StringVar(&c.controller, "controller", "", "the controller's program; left out: bin/vpsie-autoscaler in the repository")
	flags.StringArrayVar(&c.controllerArgs, "controller-arg", nil, "a further flag for the controller; may be repeated")
	flags.IntVar(&c.kubePort, "kube-port", 0, "port of kube-apiserver; 0: any that is free")
	flags.IntVar(&c.vpsiePort, "vpsie-port", 0, "port of the simulated VPSie; 0: any that is free")
	flags.IntVar(&c.workerLimit, "worker-limit", 20, "how many workers the simulated account may have")
	flags.IntVar(&c.failReady, "fail-ready", 0, "one in so many machines joins and never becomes Ready, the same ones for the same --seed; 0: none, 1: all")
	flags.StringVar(&c.catalogue, "catalogue", "", "JSON file with what the simulated VPSie sells; left out: cloudprovider/vpsiesim/catalogue.json")
	flags.StringVar(&c.scheduler, "scheduler", "", "program that runs instead of the stock kube-scheduler, with the same flags")
	flags.StringVar(&c.credentials, "credentials", string(stack.Token), "what the controller shows to VPSie: token (a static one) or client (an identifier and a secret, exchanged for a token)")
	flags.Int64Var(&c.seed, "seed", 1, "seed of identifiers, host names and delays")
	flags.StringVar(&c.boot, "boot", boot, "how long machines take to boot: real (about a minute), demo (about ten seconds) or fast (two seconds)")
}

// manifests is the folder of what the demo applies.
func (c *common) manifests() string { return filepath.Join(c.repository, "test", "e2e", "testdata") }

// steps prints what was done, each with the seconds since the start.
func steps(out io.Writer) func(string, ...any) {
	start := time.Now()
	return func(format string, args ...any) {
		fmt.Fprintf(out, "  %4.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (c *common) start(ctx context.Context, out io.Writer) (*stack.Stack, error) {
	options, err := c.options(out)
	if err != nil {
		return nil, err
	}
	root, err := filepath.Abs(c.repository)
	if err != nil {
		return nil, fmt.Errorf("--repository: %w", err)
	}
	options.Bin, err = programs.Build(ctx, programs.BuildOptions{Root: root, Progress: out})
	if err != nil {
		return nil, err
	}
	return stack.Start(ctx, options)
}

func upCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the sandbox and keep it running until Ctrl-C",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.start(cmd.Context(), cmd.OutOrStdout())
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), guide(s.Info, c.manifests()))
			err = hold(cmd.Context(), s.Failed())
			return errors.Join(err, stop(cmd.OutOrStdout(), s))
		},
	}
	c.add(cmd, "demo")
	cmd.Flags().BoolVar(&c.noController, "no-controller", false, "do not start the controller")
	return cmd
}

func demoCommand() *cobra.Command {
	var c common
	var keep, fast bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch a shop's pods become VPSie machines, and the machines go again",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if fast {
				c.boot = "fast"
			}
			s, err := c.start(cmd.Context(), cmd.OutOrStdout())
			if err != nil {
				return err
			}
			err = demo.Run(cmd.Context(), s, demo.Options{
				Manifests: c.manifests(), Out: cmd.OutOrStdout(),
			})
			if keep {
				err = holdAfter(cmd.Context(), cmd.OutOrStdout(), err, s.Failed(), guide(s.Info, c.manifests()))
			}
			return errors.Join(err, stop(cmd.OutOrStdout(), s))
		},
	}
	c.add(cmd, "demo")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave everything running at the end, until Ctrl-C")
	cmd.Flags().BoolVar(&fast, "fast", false, "machines boot in two seconds")
	return cmd
}
