// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Command vpsie-autoscaler is the controller: it reads flags and environment, connects the packages that watch, plan, order
// and remove, and runs them until it is told to stop or loses its leadership.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"
)

// Set by the linker.
var (
	version   = "dev"
	commit    = "unknown"
	buildDate = "unknown"
)

func main() {
	ctx := ctrl.SetupSignalHandler()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "vpsie-autoscaler:", err)
		os.Exit(1)
	}
}

const long = `vpsie-autoscaler adds VPSie machines to a Kubernetes cluster when pods wait for room and
removes them when nothing needs them any more.

Every flag can be given as an environment variable too: --batch-idle is
VPSIE_AUTOSCALER_BATCH_IDLE. A flag on the command line wins. A variable with
that prefix that is no flag's is refused.`

func command() *cobra.Command {
	c := defaults()
	root := &cobra.Command{
		Use:           "vpsie-autoscaler",
		Short:         "Node autoscaler for Kubernetes on VPSie",
		Long:          long,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.Environ()); err != nil {
				return err
			}
			if err := c.validate(); err != nil {
				return err
			}
			return explain(run(cmd.Context(), c), c)
		},
	}
	c.addFlags(root.Flags())
	root.AddCommand(&cobra.Command{
		Use:   "version",
		Short: "Print version, commit and build date",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "vpsie-autoscaler %s (commit %s, built %s)\n", version, commit, buildDate)
			return err
		},
	})
	return root
}
