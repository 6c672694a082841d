#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# update-format.sh formats the Go code and sorts its imports.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

linter=$(tool golangci-lint)
cd "$ROOT"
"$linter" fmt
