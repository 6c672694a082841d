#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# fuzz.sh runs each fuzz target for FUZZTIME, one after another; inputs it finds go to testdata/fuzz of the package.
# Then the ledger is compared with kube-scheduler's plugins on LEDGER_SEEDS random clusters, the same ones each time.
# Then kube-scheduler itself, in the process, is asked about ORACLE_SCENARIOS random plans and a fifth as many with pod groups, from seed ORACLE_FIRST
# on (the clock's if it is left out); a failure prints its seed and how to try that one alone.
# Fuzzing compiles all that a package imports once more, with counters: minutes for one that imports Kubernetes, the first time.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
time=${FUZZTIME:-20s}
found=0
while IFS=: read -r file target; do
	found=$((found + 1))
	printf '== %s in %s, %s ==\n' "$target" "$(dirname "$file")" "$time"
	go test -run='^$' -fuzz="^$target\$" -fuzztime="$time" "./$(dirname "$file")"
done < <(files '*_test.go' | xargs -r grep -oHE '^func Fuzz[A-Za-z0-9_]*' | sed 's/func //' | sort)
if [ $found = 0 ]; then
	fail "there is no fuzz target" "write one: func FuzzX(f *testing.F) in a _test.go file"
fi
printf '== %s random clusters for the ledger and the plugins ==\n' "${LEDGER_SEEDS:=2000}"
LEDGER_SEEDS=$LEDGER_SEEDS go test ./scheduling/ledger -run='^TestTheLedgerSaysWhatThePluginsSay$' -v -timeout=1h
first=${ORACLE_FIRST:-$(date +%s)}
printf '== %s scenarios for kube-scheduler, from seed %s on ==\n' "${ORACLE_SCENARIOS:=10000}" "$first"
go test ./scheduling -run='^TestKubeScheduler(BindsWhatWasPlanned|StartsGangsAsPlanned)$' -v -timeout=6h -oracle.first="$first" -oracle.scenarios="$ORACLE_SCENARIOS"
