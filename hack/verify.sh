#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify.sh [NAME...] runs every verify-NAME.sh beside it, also after one has failed: one line for each, with its time.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
logs=.cache/verify
mkdir -p "$logs"
names=("$@")
if [ ${#names[@]} = 0 ]; then
	# Quick ones first; lint and vet last, as they compile.
	names=(scripts leftovers format generated docs gomod chart vet lint)
	for script in hack/verify-*.sh; do
		name=${script#hack/verify-}
		name=${name%.sh}
		[[ " ${names[*]} " == *" $name "* ]] || names+=("$name")
	done
fi
failed=()
for name in "${names[@]}"; do
	script=hack/verify-$name.sh
	[ -x "$script" ] || fail "there is no check \"$name\"" "one of: $(cd hack && ls verify-*.sh | sed 's/verify-//; s/\.sh//' | xargs)"
	start=$SECONDS
	if "$script" >"$logs/$name.log" 2>&1; then
		printf 'ok    %-10s %4d s\n' "$name" $((SECONDS - start))
	else
		printf 'FAIL  %-10s %4d s  %s\n' "$name" $((SECONDS - start)) "$(grep '^fix: ' "$logs/$name.log" | tail -n 1)"
		failed+=("$name")
	fi
done
for name in "${failed[@]+"${failed[@]}"}"; do
	printf '\n== %s (whole log: %s) ==\n' "$name" "$logs/$name.log"
	tail -n 60 "$logs/$name.log"
done
if [ ${#failed[@]} -gt 0 ]; then
	printf '\nverify: %d of %d checks failed: %s\n' ${#failed[@]} ${#names[@]} "${failed[*]}"
	exit 1
fi
printf 'verify: all %d checks passed\n' ${#names[@]}
