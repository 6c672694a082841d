#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# update-docs.sh [ROOT] writes the pages that list what the code declares: docs/metrics.md and docs/events.md.
# verify-docs.sh runs it on a copy.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

root=$(cd "${1:-$ROOT}" && pwd)
mkdir -p "$ROOT/.cache/tools"
(cd "$ROOT" && go build -buildvcs=false -o .cache/tools/docs ./hack/docs)
cd "$root"
"$ROOT/.cache/tools/docs"
