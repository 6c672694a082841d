#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-vet.sh runs go vet on the code of all build tags.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
go vet -tags="$TAGS" ./... || fail "go vet has complaints" "mend the lines above"
