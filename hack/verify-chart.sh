#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# verify-chart.sh lints the chart and renders it: with its defaults, and with every file of its ci folder.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

chart=charts/vpsie-autoscaler
helm=$ROOT/.cache/bin/helm
[ -x "$helm" ] || helm=$(tool helm)
cd "$ROOT"

check() {
	"$helm" lint --strict --quiet "$chart" "$@" || fail "helm lint refuses the chart ($*)" "mend $chart"
	"$helm" template vpsie-autoscaler "$chart" --namespace kube-system "$@" >/dev/null ||
		fail "helm template cannot render the chart ($*)" "mend $chart"
}

# The image is the one value without a default.
check --set image.repository=vpsie-autoscaler
values=("$chart"/ci/*.yaml)
[ -e "${values[0]}" ] || fail "$chart/ci has no values file" "add one that sets every value, so that every branch of the templates is rendered"
for file in "${values[@]}"; do
	check --values "$file"
done
