// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package law

import (
	"fmt"
	"maps"
	"path"
	"strings"
)

// samples are trees for every rule: some that break it, some next to them that do not.
func samples() map[string]sample {
	all := map[string]sample{}
	for _, some := range []map[string]sample{importSamples(), sourceSamples(), packageSamples(), moduleSamples(), nameSamples()} {
		maps.Copy(all, some)
	}
	return all
}

// importing is a file of a package named like its folder that imports paths; "./x" is the project's folder x.
func importing(file string, paths ...string) map[string]string {
	var text strings.Builder
	fmt.Fprintf(&text, "package %s\n", strings.ReplaceAll(path.Base(path.Dir(file)), "-", ""))
	for _, imported := range paths {
		if own, ok := strings.CutPrefix(imported, "./"); ok {
			imported = Module + "/" + own
		}
		fmt.Fprintf(&text, "import _ %q\n", imported)
	}
	return map[string]string{file: text.String()}
}

func importSamples() map[string]sample {
	const rule = "folders import only what the import law allows"
	breaks := func(file, imported, because string) sample {
		return sample{rule, importing(file, imported), []string{
			fmt.Sprintf("%s:2: imports %s, but %s", file, strings.Replace(imported, "./", Module+"/", 1), because),
		}}
	}
	keeps := func(file string, imported ...string) sample {
		return sample{rule, importing(file, imported...), nil}
	}
	return map[string]sample{
		"apis may not import a client":          breaks("apis/v1alpha1/a.go", "k8s.io/client-go/rest", wordsOnly),
		"apis may not import metrics":           breaks("apis/v1alpha1/a.go", "github.com/prometheus/client_golang/prometheus", noMeasures),
		"apis may not import what reads it":     breaks("apis/v1alpha1/a.go", "./scheduling", "apis may import nothing of ours"),
		"not even a test of apis may":           breaks("apis/v1alpha1/a_test.go", "sigs.k8s.io/controller-runtime/pkg/client", wordsOnly),
		"scheduling may not ask the API server": breaks("scheduling/simulate/a.go", "k8s.io/client-go/kubernetes", pureBrain),
		"a test of it may, to compare":          keeps("scheduling/a_test.go", "k8s.io/client-go/kubernetes/fake"),
		"but may not use everything":            breaks("scheduling/a_test.go", "sigs.k8s.io/controller-runtime", pureBrain),
		"scheduling may not log":                breaks("scheduling/a.go", "log/slog", noLoggers),
		"scheduling may not know the cloud":     breaks("scheduling/pack/a.go", "./cloudprovider", "scheduling may import only itself, apis/..."),
		"scheduling may judge with kube-scheduler's plugins, and import itself": keeps("scheduling/simulate/a.go",
			"k8s.io/kubernetes/pkg/scheduler/framework", "k8s.io/klog/v2", "./scheduling/snapshot", "./apis/v1alpha1"),
		"the cloud may not know the picture":     breaks("cloudprovider/a.go", "./state", "cloudprovider may import only itself, apis/..., scheduling"),
		"the cloud may not know which vendor":    breaks("cloudprovider/a.go", "./cloudprovider/vpsie", "cloudprovider may import only itself, apis/..., scheduling"),
		"the client may not know the cloud":      breaks("cloudprovider/vpsie/api/a.go", "./cloudprovider", "cloudprovider/vpsie/api may import nothing of ours"),
		"the simulator may not share the client": breaks("cloudprovider/vpsiesim/a.go", "./cloudprovider/vpsie/api/wire", "only cloudprovider/vpsie speaks to VPSie, and cmd and test/chaos wire them"),
		"the simulator may not use what it tests": breaks("cloudprovider/vpsiesim/ledger/a.go", "./cloudprovider/vpsie",
			"cloudprovider/vpsiesim may import only itself, cloudprovider, apis/..., scheduling"),
		"a test of the simulator may":            keeps("cloudprovider/vpsiesim/a_test.go", "./cloudprovider/vpsie", "testing"),
		"the suite may not prefer a cloud":       breaks("cloudprovider/conformance/a.go", "./cloudprovider/vpsie", "cloudprovider/conformance may import only itself, cloudprovider, apis/..., scheduling"),
		"the suite is made for tests":            keeps("cloudprovider/conformance/a.go", "./cloudprovider", "testing"),
		"chaos may meet VPSie over HTTP":         keeps("test/chaos/a.go", "./cloudprovider/vpsie", "./cloudprovider/vpsie/api", "./cloudprovider/vpsiesim"),
		"the vendor's edge may use its client":   keeps("cloudprovider/vpsie/a.go", "./cloudprovider/vpsie/api", "./cloudprovider/vpsie/api/wire", "./scheduling"),
		"the picture may not know the cloud":     breaks("state/a.go", "./cloudprovider", "state may import only itself, apis/..., scheduling/..."),
		"the picture may not drag the scheduler": breaks("state/a.go", "k8s.io/kubernetes/pkg/scheduler", heavy),
		"one loop may not call the other":        breaks("disruption/drain/a.go", "./provisioner/lifecycle", "disruption may import only itself, apis/..., scheduling/..., cloudprovider, state/..."),
		"nor the other way round":                breaks("provisioner/a.go", "./disruption", "provisioner may import only itself, apis/..., scheduling/..., cloudprovider, state/..."),
		"a loop may not know which vendor":       breaks("provisioner/lifecycle/a.go", "./cloudprovider/vpsie", "provisioner may import only itself, apis/..., scheduling/..., cloudprovider, state/..."),
		"a test of a loop may use a whole cloud": keeps("provisioner/lifecycle/a_test.go", "./cloudprovider/vpsiesim", "./test/build"),
		"a loop may use what both share":         keeps("disruption/a.go", "./state", "./cloudprovider", "./scheduling/snapshot", "./disruption/drain"),
		"nobody imports a program":               breaks("state/a.go", "./cmd/sandbox/process", "state may import only itself, apis/..., scheduling/..."),
		"not even another program":               breaks("cmd/vpsie-autoscaler/a.go", "./cmd/sandbox/process", "a program shares nothing with another one"),
		"a program may import its own parts":     keeps("cmd/sandbox/a.go", "./cmd/sandbox/process", "./cloudprovider/vpsiesim"),
		"a program may not import tests":         breaks("cmd/sandbox/a.go", "./test/e2e", "cmd may import only itself, apis/..., scheduling/..., cloudprovider/..., state/..., provisioner/..., disruption/..."),
		"a suite may import a program's parts":   keeps("test/e2e/a_test.go", "./cmd/sandbox/process", "./test/build"),
		"builders are for tests only":            breaks("test/e2e/a.go", "./test/build", "only _test.go files build objects with it"),
		"a program may not know tests":           breaks("state/a.go", "testing", "what is compiled into programs must not know tests"),
		"a test may":                             keeps("state/a_test.go", "testing", "./test/build"),
		"a new folder needs a law first":         breaks("pkg/util/a.go", "./state", "pkg/util may import nothing of ours"),
		"nobody imports testify":                 breaks("state/a_test.go", "github.com/stretchr/testify/require", "cmp.Diff in plain tests and Gomega in suites are enough"),
		"the new random library is not the old":  keeps("state/a.go", "math/rand/v2"),
	}
}

func sourceSamples() map[string]sample {
	const clock, logs = "the clock is injected", "decisions do not log"
	const machine, promise = "no file names a machine of ours", "no file promises work instead of doing it"
	now := "package a\n\nimport \"time\"\n\nvar x = time.Now()\nvar hour = time.Hour\n"
	return map[string]sample{
		"a decision that reads the clock": {clock, map[string]string{"disruption/a.go": now},
			[]string{"disruption/a.go:5: time.Now: take the clock from Options (k8s.io/utils/clock)"}},
		"a clock read under another name": {clock, map[string]string{"state/a.go": "package a\n\nimport t \"time\"\n\nvar x = t.Since\n"},
			[]string{"state/a.go:5: time.Since: take the clock from Options (k8s.io/utils/clock)"}},
		"a command and a test that read the clock": {clock, map[string]string{"cmd/x/a.go": now, "state/a_test.go": now, "test/e2e/a.go": now}, nil},
		"a word of the brain that logs": {logs, map[string]string{"scheduling/a.go": "package a\n\nimport \"k8s.io/klog/v2\"\n\nfunc f() { klog.InfoS(\"x\") }\n"},
			[]string{"scheduling/a.go:5: InfoS of k8s.io/klog/v2: " + noLoggers}},
		"a logger that leads nowhere": {logs, map[string]string{"scheduling/a.go": "package a\n\nimport \"k8s.io/klog/v2\"\n\nvar l = klog.Background()\n"}, nil},
		"a path of somebody's machine": {machine, map[string]string{"docs/a.md": "first\nsee /wo" + "rk/main/x\n"},
			[]string{"docs/a.md:2: names a path of one machine: /wo" + "rk/m"}},
		"a home folder of somebody's machine": {machine, map[string]string{"Makefile": "X := /ro" + "ot/go\n"},
			[]string{"Makefile:1: names a path of one machine: /ro" + "ot/g"}},
		"a host that packages come from": {machine, map[string]string{"hack/a.sh": "GOPROXY=https://proxy.golang.or" + "g go build\n"},
			[]string{"hack/a.sh:1: names proxy.golang.or" + "g: leave where packages come from to the machine's settings"}},
		"words that only look like such paths": {machine, map[string]string{"docs/a.md": "a framework/plugin, https://host/network/x, ../work/x\n", "x/go.sum": "/wo" + "rk/x\n"}, nil},
		"a promise": {promise, map[string]string{"a.sh": "# TO" + "DO later\n", "a/a.go": "package a\n\n// FIX" + "ME\n"},
			[]string{"a.sh:1: TO" + "DO: do it, or open an issue and say what the code does today", "a/a.go:3: FIX" + "ME: do it, or open an issue and say what the code does today"}},
		"a word that only contains one": {promise, map[string]string{"a.md": "MASTO" + "DONS, todo\n"}, nil},
	}
}

func packageSamples() map[string]sample {
	const comments, licence = "every package has one package comment", "every Go file carries the licence header"
	const generated = "//go:build !x\n\n" + header + "\n// Code generated by a program. DO NOT EDIT.\n\npackage a\n"
	return map[string]sample{
		"a package without a comment": {comments, map[string]string{"a/a.go": "package a\n", "a/b.go": "// Licence\n\npackage a\n"},
			[]string{"a: no file has a package comment"}},
		"a package with two comments": {comments, map[string]string{"a/a.go": "// Package a is one.\npackage a\n", "a/b.go": "// Package a is two.\npackage a\n"},
			[]string{"a/b.go:1: second package comment; the first is in a.go"}},
		"a comment that begins in another way": {comments, map[string]string{"a/a.go": "// This package is a.\npackage a\n"},
			[]string{`a/a.go:1: the package comment does not begin with "Package a "`}},
		"a comment where nobody starts to read": {comments, map[string]string{"a/a.go": "package a\n", "a/b.go": "// Package a is here.\npackage a\n"},
			[]string{"a/b.go:1: the package comment belongs where reading starts: a.go"}},
		"a program that calls itself a package": {comments, map[string]string{"cmd/x/main.go": "// Package main runs.\npackage main\n"},
			[]string{`cmd/x/main.go:1: the package comment does not begin with "Command x "`}},
		"comments as they should be": {comments, map[string]string{
			"a/a.go": "// Package a is one.\npackage a\n", "a/a_test.go": "package a_test\n",
			"cmd/x/main.go": "// Command x runs.\npackage main\n", "test/e2e/up_test.go": "// Package e2e tests.\npackage e2e_test\n",
			"test/chart/x_test.go": "// Package chart_test renders.\npackage chart_test\n",
		}, nil},
		"a file without the licence": {licence, map[string]string{"a/a.go": "package a\n"},
			[]string{"a/a.go:1: does not start with the licence header of hack/boilerplate.go.txt and an empty line"}},
		"a licence that has become the package's comment": {licence, map[string]string{"a/a.go": header + "package a\n"},
			[]string{"a/a.go:1: does not start with the licence header of hack/boilerplate.go.txt and an empty line"}},
		"a licence below a build constraint": {licence, map[string]string{"a/a.go": "//go:build x\n\n" + header + "\npackage a\n"},
			[]string{"a/a.go:1: does not start with the licence header of hack/boilerplate.go.txt and an empty line"}},
		"licences as they should be": {licence, map[string]string{"a/a.go": header + "\npackage a\n", "a/zz_generated.a.go": generated}, nil},
	}
}

func moduleSamples() map[string]sample {
	const rule = "both modules use the same versions"
	module := func(lines ...string) string {
		return "module example.com/m\n\ngo 1.26.0\n\nrequire (\n\tk8s.io/kubernetes v1.37.2\n\t" + strings.Join(lines, "\n\t") + "\n)\n"
	}
	runtime, differs := runtimeModule+" v0.25.2", "github.com/Masterminds/semver/v3"
	project := module(runtime, "k8s.io/api v0.37.2", "example.com/x v1.0.0")
	return map[string]sample{
		"modules that agree": {rule, map[string]string{
			projectFile: project, controlPlaneFile: module("k8s.io/api v0.0.0", "example.com/y v1.2.0") + "replace k8s.io/api => k8s.io/api v0.37.2\n",
			"hack/tools/x/go.mod": "module x\n\ngo 1.26.0\n", "Dockerfile": "FROM golang:1.26 AS build\n",
		}, nil},
		"a dependency at two versions": {rule, map[string]string{projectFile: project, controlPlaneFile: module("example.com/x v1.1.0")},
			[]string{controlPlaneFile + ": example.com/x v1.1.0, but go.mod has v1.0.0"}},
		"a difference that has an excuse": {rule, map[string]string{projectFile: module(runtime, differs+" v3.4.0"), controlPlaneFile: module(differs + " v3.5.0")}, nil},
		"an excuse that is not needed any more": {rule, map[string]string{projectFile: module(runtime, differs+" v3.5.0"), controlPlaneFile: module(differs + " v3.5.0")},
			[]string{controlPlaneFile + ": " + differs + " no longer differs: drop its excuse in mayDiffer"}},
		"a staging module of another Kubernetes": {rule, map[string]string{projectFile: module(runtime, "k8s.io/api v0.37.1"), controlPlaneFile: module()},
			[]string{"go.mod: k8s.io/api v0.37.1, but k8s.io/kubernetes v1.37.2 goes with v0.37.2"}},
		"a dependency replaced by another one": {rule, map[string]string{projectFile: project + "replace example.com/x => example.com/fork v1.0.1\n", controlPlaneFile: module()},
			[]string{"go.mod:11: replaces example.com/x by example.com/fork v1.0.1; only staging modules may be replaced, by themselves at v0.37.2"}},
		"a controller-runtime for another Kubernetes": {rule, map[string]string{projectFile: module(runtimeModule + " v0.24.1"), controlPlaneFile: module()},
			[]string{"go.mod: " + runtimeModule + " v0.24 is made for Kubernetes 1.36, not 1.37"}},
		"tools and images with another Go": {rule, map[string]string{
			projectFile: project, controlPlaneFile: module(),
			"hack/tools/x/go.mod": "module x\n\ngo 1.25.0\n", "Dockerfile": "# the image\nFROM golang:1.25 AS build\n",
		}, []string{"Dockerfile:2: builds with another Go than 1.26 of go.mod", "hack/tools/x/go.mod: go 1.25.0, but go.mod has go 1.26.0"}},
		"a test runner of another version": {rule, map[string]string{
			projectFile: module(runtime, ginkgoModule+" v2.1.0"), controlPlaneFile: module(),
			ginkgoFile: "module x\n\ngo 1.26.0\n\nrequire " + ginkgoModule + " v2.2.0 // indirect\n",
		}, []string{ginkgoFile + ": " + ginkgoModule + " v2.2.0, but go.mod has v2.1.0"}},
		"no module for the control plane": {rule, map[string]string{projectFile: project}, []string{controlPlaneFile + ": is missing, or has no go line"}},
	}
}

func nameSamples() map[string]sample {
	const metrics, events = "every metric is documented, and nothing else", "every event reason is documented, and nothing else"
	const start = "package a\n\nimport \"github.com/prometheus/client_golang/prometheus\"\n\n"
	return map[string]sample{
		"a metric that no page explains": {metrics, map[string]string{
			"a/a.go": start + "var x = prometheus.CounterOpts{Name: \"vpsie_autoscaler_a_things_total\"}\n",
		}, []string{"a/a.go:5: metric vpsie_autoscaler_a_things_total has no row in docs/metrics.md (| `vpsie_autoscaler_a_things_total` | ...)"}},
		"a metric in parts that no page explains": {metrics, map[string]string{
			"a/a.go": start + "var x = prometheus.GaugeOpts{Namespace: space, Subsystem: \"a\", Name: \"nodes_\" + \"ready\"}\n",
			"a/b.go": "package a\n\nconst space = \"vpsie_autoscaler\"\n",
		}, []string{"a/a.go:5: metric vpsie_autoscaler_a_nodes_ready has no row in docs/metrics.md (| `vpsie_autoscaler_a_nodes_ready` | ...)"}},
		"a metric that is named at run time": {metrics, map[string]string{
			"a/a.go": start + "func f(name string) { _ = prometheus.CounterOpts{Name: name} }\n",
		}, []string{"a/a.go:5: the name of this metric is not made of constants of its package, so it cannot be looked up"}},
		"a page about a metric that is gone": {metrics, map[string]string{metricsPage: "| `vpsie_autoscaler_a_old_total` | |\n"},
			[]string{"docs/metrics.md: metric vpsie_autoscaler_a_old_total is declared nowhere: drop it"}},
		"a metric and its page": {metrics, map[string]string{
			"a/a.go":    start + "var x = prometheus.HistogramOpts{Name: \"vpsie_autoscaler_a_seconds\"}\n",
			metricsPage: "| `vpsie_autoscaler_a_seconds` | rate(vpsie_autoscaler_a_seconds_bucket[5m]) |\n",
		}, nil},
		"a metric whose name only begins like a documented one": {metrics, map[string]string{
			"a/a.go": start + "var x = prometheus.CounterOpts{Name: \"vpsie_autoscaler_a_b\"}\n", metricsPage: "vpsie_autoscaler_a_b_total\n",
		}, []string{
			"a/a.go:5: metric vpsie_autoscaler_a_b has no row in docs/metrics.md (| `vpsie_autoscaler_a_b` | ...)",
			"docs/metrics.md: metric vpsie_autoscaler_a_b_total is declared nowhere: drop it",
		}},
		"an event that no page explains": {events, map[string]string{"a/a.go": "package a\n\nconst EventPlanned = \"Planned\"\n", eventsPage: "It was Planned.\n"},
			[]string{"a/a.go:3: event reason Planned has no row in docs/events.md (| `Planned` | ...)"}},
		"a page about an event that is gone": {events, map[string]string{eventsPage: "| `Gone` | |\n"},
			[]string{"docs/events.md: event reason Gone is declared nowhere: drop it"}},
		"an event and its page": {events, map[string]string{"a/a.go": "package a\n\nconst (\n\tEventPlanned = \"Planned\"\n\treasonOther = \"Other\"\n)\n", eventsPage: "| Reason | |\n|---|---|\n| `Planned` | |\n"}, nil},
	}
}
