#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-docs.sh checks that docs/metrics.md and docs/events.md list what the code declares, without touching the tree.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$ROOT"
mkdir "$copy/docs"
files '*.go' | tar -cf - -T - | tar -xf - -C "$copy"
hack/update-docs.sh "$copy"
for page in metrics.md events.md; do
	diff -u "docs/$page" "$copy/docs/$page" || fail "docs/$page does not list what the code declares" "make generate"
done
