#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# build-tool.sh NAME builds one pinned program into .cache/tools, unless what is there came from the same pin.
# Each has a module of its own, so that its dependencies never move ours.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

name=${1:?which tool? controller-gen, golangci-lint, benchstat, ginkgo or helm}
case $name in
controller-gen) dir=hack/tools/controller-gen package=sigs.k8s.io/controller-tools/cmd/controller-gen ;;
golangci-lint) dir=hack/tools/golangci-lint package=. ;;
benchstat) dir=hack/tools/benchstat package=golang.org/x/perf/cmd/benchstat ;;
ginkgo) dir=hack/tools/ginkgo package=github.com/onsi/ginkgo/v2/ginkgo ;; # of the version that the tests import
helm) dir=hack/controlplane package=helm.sh/helm/v4/cmd/helm ;; # pinned with the control plane that it installs into
*) fail "unknown tool \"$name\"" "use controller-gen, golangci-lint, benchstat, ginkgo or helm" ;;
esac

cd "$ROOT/$dir"
out=$ROOT/.cache/tools/$name
stamp=$out.stamp
mkdir -p "$ROOT/.cache/tools"
key=$({ go env GOVERSION GOOS GOARCH; find . -maxdepth 1 -type f \( -name 'go.*' -o -name '*.go' \) | sort | xargs cat; } | sha256sum)
if [ -x "$out" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
	exit 0
fi
rm -f "$stamp" # written last: a build that did not finish is not taken for a tool
"$ROOT/hack/go-build.sh" "$name" -buildvcs=false -ldflags='-s -w' -o "$out" "$package"
printf '%s\n' "$key" >"$stamp"
