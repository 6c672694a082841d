#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-gomod.sh checks, without writing, that go.mod and go.sum of every module are tidy.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

untidy=()
for dir in $(modules); do
	(cd "$ROOT/$dir" && go mod tidy -diff) || untidy+=("$dir")
done
if [ ${#untidy[@]} -gt 0 ]; then
	fail "not tidy: go.mod of ${untidy[*]}" "hack/update-gomod.sh"
fi
