#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-scripts.sh checks that every shell script parses, can be run, and stops at the first error.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
for script in $(files '*.sh' .ci/run); do
	bash -n "$script" || fail "$script does not parse" "mend the line above"
	[ "$script" != hack/lib.sh ] || continue # sourced by scripts that have set it
	[ -x "$script" ] || fail "$script cannot be run" "chmod +x $script"
	grep -q '^set -[a-z]*e' "$script" || fail "$script goes on after an error" "put \"set -euo pipefail\" at its start"
done
