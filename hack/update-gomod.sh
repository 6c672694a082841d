#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# update-gomod.sh makes go.mod and go.sum of every module list what its code imports, and nothing else.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

for dir in $(modules); do
	(cd "$ROOT/$dir" && go mod tidy)
done
