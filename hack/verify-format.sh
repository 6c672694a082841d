#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-format.sh shows where formatting differs from what update-format.sh would write.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

linter=$(tool golangci-lint)
cd "$ROOT"
"$linter" fmt --diff || fail "some Go files are not formatted" "make fmt"
