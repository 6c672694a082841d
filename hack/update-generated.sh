#!/usr/bin/env bash
# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# update-generated.sh [ROOT] writes what is generated from apis/: DeepCopy functions and the chart's CRDs.
# verify-generated.sh runs it on a copy.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

generator=$(tool controller-gen)
cd "${1:-$ROOT}"
# generateEmbeddedObjectMeta=false: our templates carry labels and annotations as fields of their own.
"$generator" object:headerFile=hack/boilerplate.go.txt crd:generateEmbeddedObjectMeta=false paths=./apis/... \
	output:crd:dir=charts/vpsie-autoscaler/files/crds
