// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package law

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const (
	projectFile      = "go.mod"
	controlPlaneFile = "hack/controlplane/go.mod"
	kubernetesModule = "k8s.io/kubernetes"
	runtimeModule    = "sigs.k8s.io/controller-runtime"
	ginkgoFile       = "hack/tools/ginkgo/go.mod"
	ginkgoModule     = "github.com/onsi/ginkgo/v2"
)

// mayDiffer names modules of which the project and the control plane's programs may use different versions, with the reason.
func mayDiffer() map[string]string {
	return map[string]string{
		"github.com/Masterminds/semver/v3": "helm wants a newer one than the project's dependencies",
		"github.com/mattn/go-isatty":       "the demo's tables want a newer one than helm",
		"github.com/mattn/go-runewidth":    "the demo's tables want a newer one than helm",
		runtimeModule:                      "helm uses a corner of an older one; no program of the control plane is a controller of ours",
	}
}

// versions are what a go.mod selects.
type versions struct {
	golang   string
	selected map[string]string // module -> version after replacements
	replaced map[string]modfile.Replace
}

// moduleVersions reports where the project and the control plane's programs differ in a dependency: each such difference
// compiles Kubernetes twice, and tests the project against another Kubernetes than it links.
func moduleVersions(r *Repository) []Violation {
	project, problem := readVersions(r, projectFile)
	if problem != nil {
		return problem
	}
	programs, problem := readVersions(r, controlPlaneFile)
	if problem != nil {
		return problem
	}
	found := slices.Concat(goVersions(r, project), kubernetesVersions(projectFile, project), kubernetesVersions(controlPlaneFile, programs))
	found = append(found, runtimeVersion(project)...)
	found = append(found, ginkgoVersion(r, project)...)
	excused := mayDiffer()
	for _, name := range slices.Sorted(maps.Keys(project.selected)) {
		ours, theirs := project.selected[name], programs.selected[name]
		_, excuse := excused[name]
		switch {
		case theirs != "" && theirs != ours && !excuse:
			found = append(found, Violation{File: controlPlaneFile, Text: fmt.Sprintf("%s %s, but %s has %s", name, theirs, projectFile, ours)})
		case excuse && theirs == ours:
			found = append(found, Violation{File: controlPlaneFile, Text: fmt.Sprintf("%s no longer differs: drop its excuse in mayDiffer", name)})
		}
	}
	return sorted(found)
}

func readVersions(r *Repository, name string) (versions, []Violation) {
	file, err := modfile.Parse(name, []byte(r.Texts[name]), nil)
	if err != nil {
		return versions{}, []Violation{{File: name, Text: err.Error()}}
	}
	if file.Go == nil {
		return versions{}, []Violation{{File: name, Text: "is missing, or has no go line"}}
	}
	v := versions{golang: file.Go.Version, selected: map[string]string{}, replaced: map[string]modfile.Replace{}}
	for _, require := range file.Require {
		v.selected[require.Mod.Path] = require.Mod.Version
	}
	for _, replace := range file.Replace {
		v.replaced[replace.Old.Path] = *replace
		if _, used := v.selected[replace.Old.Path]; used {
			v.selected[replace.Old.Path] = replace.New.Version
		}
	}
	return v, nil
}

// goVersions reports modules and images that ask for another Go than the project.
func goVersions(r *Repository, project versions) []Violation {
	var found []Violation
	minor := strings.TrimPrefix(semver.MajorMinor("v"+project.golang), "v")
	for _, name := range slices.Sorted(maps.Keys(r.Texts)) {
		switch {
		case strings.HasPrefix(name, "hack/") && strings.HasSuffix(name, "/go.mod"):
			other, problem := readVersions(r, name)
			if problem == nil && other.golang != project.golang {
				problem = []Violation{{File: name, Text: fmt.Sprintf("go %s, but %s has go %s", other.golang, projectFile, project.golang)}}
			}
			found = append(found, problem...)
		case strings.HasPrefix(name, "Dockerfile"):
			for number, line := range strings.Split(r.Texts[name], "\n") {
				if image := strings.Contains(line, "golang:"); image && !strings.Contains(line, "golang:"+minor) {
					found = append(found, Violation{name, number + 1, fmt.Sprintf("builds with another Go than %s of %s", minor, projectFile)})
				}
			}
		}
	}
	return found
}

// kubernetesVersions reports staging modules at another version than k8s.io/kubernetes v1.X.Y is made of, which is v0.X.Y, and
// replacements of anything else.
func kubernetesVersions(name string, v versions) []Violation {
	kubernetes, ok := strings.CutPrefix(v.selected[kubernetesModule], "v1.")
	if !ok {
		return []Violation{{File: name, Text: "does not require " + kubernetesModule + " v1"}}
	}
	staging := "v0." + kubernetes
	var found []Violation
	for _, module := range slices.Sorted(maps.Keys(v.replaced)) {
		replace := v.replaced[module]
		if !strings.HasPrefix(module, "k8s.io/") || replace.New.Path != module || replace.New.Version != staging {
			found = append(found, Violation{name, replace.Syntax.Start.Line, fmt.Sprintf(
				"replaces %s by %s %s; only staging modules may be replaced, by themselves at %s", module, replace.New.Path, replace.New.Version, staging,
			)})
		}
	}
	for _, module := range slices.Sorted(maps.Keys(v.selected)) {
		version := v.selected[module]
		released := semver.Prerelease(version) == "" && semver.Major(version) == "v0"
		if strings.HasPrefix(module, "k8s.io/") && released && version != staging {
			found = append(found, Violation{File: name, Text: fmt.Sprintf("%s %s, but %s v1.%s goes with %s", module, version, kubernetesModule, kubernetes, staging)})
		}
	}
	return found
}

// runtimeVersion reports a controller-runtime that was made for another Kubernetes: v0.N is made for k8s.io v0.(N+12).
func runtimeVersion(project versions) []Violation {
	minor := func(module string) int {
		_, digits, _ := strings.Cut(semver.MajorMinor(project.selected[module]), ".")
		number, err := strconv.Atoi(digits)
		if err != nil {
			return 0
		}
		return number
	}
	if runtime, kubernetes := minor(runtimeModule), minor(kubernetesModule); kubernetes != runtime+12 {
		return []Violation{{File: projectFile, Text: fmt.Sprintf("%s v0.%d is made for Kubernetes 1.%d, not 1.%d", runtimeModule, runtime, runtime+12, kubernetes)}}
	}
	return nil
}

// ginkgoVersion reports a test runner of another version than the tests import: the two speak a protocol of their own.
func ginkgoVersion(r *Repository, project versions) []Violation {
	if _, pinned := r.Texts[ginkgoFile]; !pinned {
		return nil
	}
	runner, problem := readVersions(r, ginkgoFile)
	if ours, theirs := project.selected[ginkgoModule], runner.selected[ginkgoModule]; problem == nil && theirs != ours {
		problem = []Violation{{File: ginkgoFile, Text: fmt.Sprintf("%s %s, but %s has %s", ginkgoModule, theirs, projectFile, ours)}}
	}
	return problem
}
