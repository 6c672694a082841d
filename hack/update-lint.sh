#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# update-lint.sh repairs what the linter can repair by itself; look at the result before you commit it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

linter=$(tool golangci-lint)
cd "$ROOT"
"$linter" run --fix ./...
