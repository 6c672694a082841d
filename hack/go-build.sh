#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# go-build.sh WHAT ARGUMENTS... runs "go build ARGUMENTS..." and says every few seconds how far it is: a first build
# compiles about a thousand packages, and silence for minutes looks like a hang.
set -euo pipefail

what=$1
shift
go build -v "$@" 2>&1 | awk -v what="$what" -v every=10 '
	BEGIN { "date +%s" | getline start; close("date +%s"); next_line = start + every }
	# A package path or a download is progress; anything else is for the reader.
	/^go: downloading / { downloads++ }
	/^[A-Za-z0-9_.~\/-]+$/ { packages++ }
	!/^go: downloading / && !/^[A-Za-z0-9_.~\/-]+$/ { print; fflush(); next }
	{
		"date +%s" | getline now; close("date +%s")
		if (now >= next_line) {
			printf "building %s: %d modules downloaded, %d packages compiled, %d s\n", what, downloads, packages, now - start
			fflush()
			next_line = now + every
		}
	}
	END {
		"date +%s" | getline now; close("date +%s")
		if (packages > 0) printf "built %s: %d packages compiled, %d s\n", what, packages, now - start
	}'
