#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# Shared by the scripts beside it; sourced, never run. Sets ROOT and the settings that make every Go command here use one
# build cache: a differing CGO_ENABLED, or -trimpath in one place only, compiles Kubernetes a second time.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export CGO_ENABLED=0
export TAGS=integration,e2e,performance

# modules lists the folders of all Go modules of the repository.
modules() {
	printf '%s\n' . hack/controlplane
	(cd "$ROOT" && for mod in hack/tools/*/go.mod; do dirname "$mod"; done)
}

# files lists the files of the repository, also those not committed yet, without ignored and deleted ones.
files() {
	(cd "$ROOT" && git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r file; do
		if [ -f "$file" ]; then printf '%s\n' "$file"; fi
	done)
}

# fail ends the script: what is wrong, then how to mend it.
fail() {
	printf '%s\n' "$1" >&2
	printf 'fix: %s\n' "$2" >&2
	exit 1
}

# tool builds a pinned program if its pin or the Go version changed, and prints its path.
tool() {
	"$ROOT/hack/build-tool.sh" "$1" >&2
	printf '%s\n' "$ROOT/.cache/tools/$1"
}
