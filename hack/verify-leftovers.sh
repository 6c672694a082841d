#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-leftovers.sh looks for notes to ourselves in what is committed or about to be.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$ROOT"
# Written so that this line does not find itself.
words='\b(TO''DO|FIX''ME)\b'
if git grep --untracked --line-number -I -E "$words" -- ':!LICENSE'; then
	fail "these lines promise work instead of doing it" "do it, or open an issue and say in the code what it does today"
fi
