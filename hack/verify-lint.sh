#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-lint.sh [PACKAGES] runs golangci-lint on the code of all build tags, and kube-api-linter on apis/.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

linter=$(tool golangci-lint)
cd "$ROOT"
failed=0
"$linter" run "${@:-./...}" || failed=1
"$linter" run --config .golangci-kal.yml ./apis/... || failed=1
if [ $failed = 1 ]; then
	fail "the linter has complaints" "hack/update-lint.sh repairs some; the rest is for you"
fi
