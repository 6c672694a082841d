# Copyright The VPSie Autoscaler Authors.
# SPDX-License-Identifier: Apache-2.0

# `make` alone lists the targets. Variables that a user may set stand with the targets that read them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# One build cache for everything: hack/controlplane compiles Kubernetes without cgo and without -trimpath, so the rest must
# do the same or it compiles Kubernetes again. Only the race detector needs cgo; its targets set it for themselves.
export CGO_ENABLED := 0

CACHE := $(CURDIR)/.cache
CHART := charts/vpsie-autoscaler
NAMESPACE ?= kube-system
RELEASE ?= vpsie-autoscaler
# The controller's image, for the targets that push and install it: no image is published, so there is no default.
IMAGE ?=

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT ?= $(shell git rev-parse --verify -q HEAD 2>/dev/null || echo unknown)
# The commit's date, not the clock: the same commit gives the same bytes.
BUILD_DATE ?= $(or $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null),unknown)
# As the chart's appVersion is written, so that the chart of a release asks for the image of that release by itself.
IMAGE_TAG = $(VERSION:v%=%)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.buildDate=$(BUILD_DATE)
GO_BUILD := hack/go-build.sh

# Test packages by build tag; TEST_ARGS goes to go test, after everything else.
TEST_ARGS ?=
RACE_TEST := CGO_ENABLED=1 go test -race
# One package at a time: each starts a control plane, and two of them on two cores only wait for each other.
INTEGRATION_TEST = KUBEBUILDER_ASSETS="$(CACHE)/bin" $(RACE_TEST) -tags=integration -p=1 -timeout=20m
# Most are in test/integration; some stand beside the code that they drive.
INTEGRATION_PACKAGES = $(shell grep -rl --include='*_test.go' --exclude-dir=.cache '^//go:build integration$$' . | xargs -n 1 dirname | sort -u)

SERIES_PACKAGES = $(shell grep -rl --include='*_test.go' --exclude-dir=.cache '/test/build/series"$$' . | xargs -n 1 dirname | sort -u)

header = @printf '\n== %s ==\n' "$(1)"
# $(call need,program,how to get it)
need = @command -v $(1) >/dev/null || { echo "make $@ needs $(1), which is not on PATH: $(2)" >&2; exit 1; }
need_docker = $(call need,docker,install Docker Engine (https://docs.docker.com/engine/install/)) ; \
	docker info >/dev/null 2>&1 || { echo "make $@ needs a running Docker daemon and \"docker info\" fails: start it, or add your user to the group docker" >&2; exit 1; }
need_image = [ -n "$(IMAGE)" ] || { echo "make $@ needs the name of the controller's image: IMAGE=REGISTRY/vpsie-autoscaler" >&2; exit 1; }
need_kind = $(call need,kind,install it with "go install sigs.k8s.io/kind@latest" and put $$(go env GOPATH)/bin on PATH)
find_helm = helm=$(CACHE)/bin/helm; [ -x "$$helm" ] || helm=$$(command -v helm) || \
	{ echo "make $@ needs helm: run \"make control-plane\", which builds it, or install it (https://helm.sh/docs/intro/install/)" >&2; exit 1; }

##@ Start here

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## "; printf "Usage: make TARGET\n" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9-]*:.*## / { printf "  %-24s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: bin/sandbox bin/vpsie-autoscaler ## Show the whole path on this machine: pending pods, machines bought, pods running, machines released. ARGS="--fast --keep"
	bin/sandbox demo $(ARGS)

.PHONY: sandbox
sandbox: bin/sandbox bin/vpsie-autoscaler ## Start a whole cluster with a simulated VPSie on this machine; Ctrl-C ends it. ARGS=...
	bin/sandbox up $(ARGS)

.PHONY: test
test: ## Run all tests with the race detector: unit, integration, e2e; then long random series without it. All run, also after a failure.
	@failed=; for class in unit series integration e2e; do $(MAKE) --no-print-directory test-$$class || failed="$$failed $$class"; done; \
		[ -z "$$failed" ] || { echo "make test: failed:$$failed" >&2; exit 1; }

##@ Build

.PHONY: build
build: ## Build every program into bin/.
	@$(GO_BUILD) programs -buildvcs=false -ldflags="$(LDFLAGS)" -o bin/ ./cmd/...

# Always asked: go itself knows what is up to date, and takes a second to say so.
.PHONY: bin/sandbox bin/vpsie-autoscaler bin/kubectl-vpsie
bin/sandbox bin/vpsie-autoscaler bin/kubectl-vpsie:
	@$(GO_BUILD) $@ -buildvcs=false -ldflags="$(LDFLAGS)" -o $@ ./cmd/$(@F)

.PHONY: control-plane
control-plane: bin/sandbox ## Build the real etcd, kube-apiserver, scheduler, controller-manager, kubectl and helm into .cache/bin (the first time about 12 minutes on two cores).
	bin/sandbox build

.PHONY: run
run: bin/vpsie-autoscaler ## Run the controller here, against the cluster of the current kubeconfig. ARGS=...
	bin/vpsie-autoscaler $(ARGS)

.PHONY: plan
plan: bin/kubectl-vpsie ## Plan machines for manifests or for the cluster of the current kubeconfig. ARGS="-f shop.yaml -o html"
	@bin/kubectl-vpsie plan $(ARGS)

.PHONY: deps
deps: ## Download the modules of the project and of its tools.
	@source hack/lib.sh; for dir in $$(modules); do echo "downloading modules of $$dir"; (cd "$$dir" && go mod download); done

.PHONY: clean
clean: ## Remove built programs and test leftovers; .cache stays, as it takes minutes to fill.
	rm -rf bin .sandbox .cache/verify .cache/bench coverage.out
	find . -name '*.test' -type f -not -path './.cache/*' -delete

.PHONY: clean-cache
clean-cache: clean ## Remove .cache as well: the control plane, linter and generators are built again when needed.
	rm -rf .cache

##@ Test

.PHONY: test-unit
test-unit: need-cc ## Run the unit tests, with the race detector.
	$(call header,unit tests)
	$(RACE_TEST) -timeout=20m ./... $(TEST_ARGS)

# The race detector makes random series ten to twenty times slower; under it they are a tenth as long (test/build/series).
.PHONY: test-series
test-series: ## Run the tests of packages with long random series once more, in full length and without the race detector.
	$(call header,long series)
	go test -timeout=20m $(SERIES_PACKAGES) $(TEST_ARGS)

.PHONY: test-integration
test-integration: need-cc control-plane ## Run the integration tests against a real kube-apiserver, with the race detector.
	$(call header,integration tests)
	$(INTEGRATION_TEST) $(INTEGRATION_PACKAGES) $(TEST_ARGS)

.PHONY: test-integration-basic
test-integration-basic: need-cc control-plane ## Run the integration tests labelled "basic" only: the API and its rules.
	$(call header,basic integration tests)
	$(INTEGRATION_TEST) ./test/integration/... -ginkgo.label-filter=basic -ginkgo.fail-on-empty $(TEST_ARGS)

.PHONY: test-integration-all
test-integration-all: need-cc control-plane ## Run every integration test, also those that passed and did not change since.
	$(call header,all integration tests)
	$(INTEGRATION_TEST) -count=1 $(INTEGRATION_PACKAGES) $(TEST_ARGS)

# Most of an end-to-end test is waiting for machines that boot: several at a time, each with a sandbox of its own.
E2E_PROCS ?= 3

.PHONY: test-e2e
test-e2e: need-cc control-plane build ## Run the end-to-end tests: the whole sandbox, with the race detector. E2E_PROCS=3 FOCUS=regexp
	$(call header,end-to-end tests)
	@hack/build-tool.sh ginkgo
	KUBEBUILDER_ASSETS="$(CACHE)/bin" CGO_ENABLED=1 $(CACHE)/tools/ginkgo run --race --tags=e2e --timeout=40m --procs=$(E2E_PROCS) --no-color \
		--poll-progress-after=150s $(if $(FOCUS),--focus="$(FOCUS)") $(TEST_ARGS) ./test/e2e

.PHONY: test-performance
test-performance: control-plane build ## Run the performance tests, without the race detector: it would be what they measure.
	$(call header,performance tests)
	KUBEBUILDER_ASSETS="$(CACHE)/bin" go test -tags=performance -count=1 -timeout=60m -v ./test/perf/... $(TEST_ARGS)

RUNS ?= 2000
SEED ?= 1

.PHONY: chaos
chaos: ## Live through RUNS=2000 clusters in which everything goes wrong, made from SEED=1, and audit VPSie's books after each.
	@CGO_ENABLED=0 go run ./test/chaos/run -runs=$(RUNS) -seed=$(SEED)

.PHONY: bench
bench: ## Run the benchmarks and sum them up. COUNT=6 BENCH=regexp REF=main (compare with that commit)
	@hack/bench.sh

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (20s), compare LEDGER_SEEDS (2000) random clusters with the plugins, then ask kube-scheduler about ORACLE_SCENARIOS (10000) random plans, from seed ORACLE_FIRST on.
	@hack/fuzz.sh

# The race detector is the one thing here that needs a C compiler; without it go's own message is about cgo.
.PHONY: need-cc
need-cc:
	@printf '#include <stdlib.h>\nint main(void){return 0;}\n' | $$(go env CC) -x c -o /dev/null - 2>/dev/null || \
		{ echo 'the race detector needs a C compiler and the C library headers: install them with "apt-get install gcc libc6-dev"' >&2; exit 1; }

##@ Check

.PHONY: verify
verify: ## Run every check of hack/verify-*.sh: generated files, format, lint, vet, go.mod, chart. ONLY="lint vet" for some
	@hack/verify.sh $(ONLY)

.PHONY: lint
lint: ## Run golangci-lint, and kube-api-linter on apis/.
	@hack/verify-lint.sh

.PHONY: fmt
fmt: ## Format the Go code and sort its imports.
	@hack/update-format.sh

.PHONY: vet
vet: ## Run go vet on the code of all build tags.
	@hack/verify-vet.sh

##@ Generate

.PHONY: generate
generate: ## Regenerate DeepCopy functions and CRDs from apis/, and the pages of metrics and events from the code.
	@hack/update-generated.sh
	@hack/update-docs.sh

.PHONY: manifests
manifests: ## Regenerate the chart's CRDs (and DeepCopy functions: both come out of one run) from apis/.
	@hack/update-generated.sh

##@ Cluster

CLUSTER ?= vpsie-autoscaler

.PHONY: kind-create
kind-create: ## Create a kind cluster for trying the chart; hack/kind-cluster.yaml says what it can show. CLUSTER=name
	$(need_docker)
	$(need_kind)
	kind create cluster --name "$(CLUSTER)" --config hack/kind-cluster.yaml

.PHONY: kind-delete
kind-delete: ## Delete that kind cluster. CLUSTER=name
	$(need_docker)
	$(need_kind)
	kind delete cluster --name "$(CLUSTER)"

.PHONY: helm-install
helm-install: ## Install or upgrade the chart in the cluster of the current kubeconfig. IMAGE=repository HELM_ARGS="--set ..."
	@$(need_image)
	@$(find_helm); "$$helm" upgrade --install "$(RELEASE)" "$(CHART)" --namespace "$(NAMESPACE)" \
		--set image.repository="$(IMAGE)" --set-string image.tag="$(IMAGE_TAG)" $(HELM_ARGS)

.PHONY: helm-uninstall
helm-uninstall: ## Remove the chart from the cluster of the current kubeconfig.
	@$(find_helm); "$$helm" uninstall "$(RELEASE)" --namespace "$(NAMESPACE)" $(HELM_ARGS)

PLATFORMS ?= linux/amd64,linux/arm64

.PHONY: docker-buildx-push
docker-buildx-push: ## Build the controller's image for all platforms and push it: what helm-install runs. IMAGE=repository VERSION=... PLATFORMS=...
	@$(need_image)
	$(need_docker)
	@docker buildx version >/dev/null 2>&1 || { echo 'make $@ needs docker buildx: install the package docker-buildx-plugin' >&2; exit 1; }
	docker buildx build --push --platform "$(PLATFORMS)" --tag "$(IMAGE):$(IMAGE_TAG)" \
		--build-arg VERSION="$(VERSION)" --build-arg COMMIT="$(COMMIT)" --build-arg BUILD_DATE="$(BUILD_DATE)" .
