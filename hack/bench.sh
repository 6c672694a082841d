#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# bench.sh runs the benchmarks COUNT times and sums them up; with REF it runs those of that commit too and compares.
# Close other programs first: a figure from a busy machine is noise.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

benchstat=$(tool benchstat)
count=${COUNT:-6} bench=${BENCH:-.} ref=${REF:-}
results=$ROOT/.cache/bench
mkdir -p "$results"

# measure FOLDER FILE
measure() {
	cd "$1"
	local packages
	packages=$(git grep --untracked -lE '^func Benchmark' -- '*_test.go' | xargs -r -n 1 dirname | sort -u | sed 's,^,./,')
	[ -n "$packages" ] || fail "there is no benchmark in $1" "write one: func BenchmarkX(b *testing.B) in a _test.go file"
	# shellcheck disable=SC2086 # a list of packages
	go test -run='^$' -bench="$bench" -benchmem -count="$count" $packages | tee "$2"
}

(measure "$ROOT" "$results/new.txt")
if [ -z "$ref" ]; then
	"$benchstat" "$results/new.txt"
	exit 0
fi
old=$results/worktree
trap 'git -C "$ROOT" worktree remove --force "$old" 2>/dev/null || true' EXIT
git -C "$ROOT" worktree add --force --detach "$old" "$ref" >/dev/null
(measure "$old" "$results/old.txt")
"$benchstat" "$ref=$results/old.txt" "new=$results/new.txt"
