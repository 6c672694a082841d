#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-generated.sh checks that generated files are what apis/ says, without touching the tree.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

crds=charts/vpsie-autoscaler/files/crds
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$ROOT"
# apis/ imports nothing else of ours, so it and go.mod are all that the generator needs. Generated files are left out: one that
# the generator no longer writes must show up as a difference.
mkdir -p "$copy/hack" "$copy/$crds"
cp -r go.mod go.sum apis "$copy"
cp hack/boilerplate.go.txt "$copy/hack"
find "$copy/apis" -name 'zz_generated.*' -delete
hack/update-generated.sh "$copy"
different=0
diff -ru "$ROOT/apis" "$copy/apis" || different=1
diff -ru "$ROOT/$crds" "$copy/$crds" || different=1
if [ $different = 1 ]; then
	fail "generated files are not what apis/ says" "make generate"
fi
