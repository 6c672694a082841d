// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
)

// readScheduler reads what the cluster's kube-scheduler was started with, by the reader of the controller. The gates are set for the
// whole process.
func readScheduler(config, gates string) (*simulate.Scheduler, error) {
	if gates != "" {
		if err := simulate.SetFeatureGates(gates); err != nil {
			return nil, usageError{fmt.Errorf("--scheduler-feature-gates: %w", err)}
		}
	}
	if config == "" {
		return nil, nil //nolint:nilnil // a nil Scheduler is the stock one
	}
	text, err := os.ReadFile(config)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usageError{fmt.Errorf("--scheduler-config: %s: there is no such file", config)}
	case err != nil:
		return nil, usageError{fmt.Errorf("--scheduler-config: %s: %w", config, errors.Unwrap(err))}
	}
	scheduler, err := simulate.ReadScheduler(config, text, nil)
	if err != nil {
		return nil, usageError{fmt.Errorf("--scheduler-config: %w", err)}
	}
	return scheduler, nil
}
