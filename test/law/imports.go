// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package law

import (
	"slices"
	"strconv"
	"strings"
)

// zone is a folder of the import law. A file belongs to the zone with the longest folder that holds it.
type zone struct {
	folder string
	// mayImport are our folders that the zone may import, besides itself and what is below it. A trailing /... includes what
	// is below; without it only the folder itself is meant.
	mayImport []string
	// tests are further folders for _test.go files.
	tests []string
	// never are paths outside the project that files of the zone must not import, tests included, except testsUse.
	never    []ban
	testsUse []string
}

// ban forbids an import path and everything below it; with a $ at its end, only the path itself.
type ban struct{ path, because string }

// Reasons that several bans share.
const (
	wordsOnly  = "reading the words of the API must not compile a client"
	pureBrain  = "a plan depends on its input only, not on an API server"
	noMeasures = "pure code returns figures; those who act record them"
	noLoggers  = "pure code returns reasons; those who act log them"
	noNetwork  = "only the cloud edge and servers speak over the network"
	heavy      = "it compiles kube-scheduler into everything that imports the folder; ask scheduling instead"
)

// everywhere lists what no file imports.
func everywhere() []ban {
	return []ban{
		{"github.com/stretchr/testify", "cmp.Diff in plain tests and Gomega in suites are enough"},
		{"github.com/pkg/errors", "fmt.Errorf with %w says the same"},
		{"io/ioutil", "os and io have replaced it"},
		{"math/rand$", "use math/rand/v2 with an injected source"},
	}
}

func client(because string) []ban {
	return []ban{
		{"k8s.io/client-go/kubernetes", because},
		{"k8s.io/client-go/dynamic", because},
		{"k8s.io/client-go/rest", because},
		{"k8s.io/client-go/tools/clientcmd", because},
		{"sigs.k8s.io/controller-runtime", because},
	}
}

// zones is the import law: folder by folder, who may import whom. docs/ARCHITECTURE.md tells it in words.
func zones() []zone {
	loop := []string{"apis/...", "scheduling/...", "cloudprovider", "state/..."}
	loopTests := []string{"test/build/...", "cloudprovider/..."} // a loop is tested with a whole cloud, not with a mock
	cloudTests := []string{"test/build/...", "cloudprovider/..."}
	kubernetes := ban{"k8s.io/kubernetes", heavy}
	return []zone{
		{
			folder: "apis",
			never: []ban{
				{"k8s.io/client-go", wordsOnly},
				{"sigs.k8s.io/controller-runtime", wordsOnly},
				{"github.com/prometheus", noMeasures},
				{"k8s.io/klog", noLoggers},
				kubernetes,
			},
		},
		{
			folder:    "scheduling",
			mayImport: []string{"apis/..."},
			tests:     []string{"test/build/..."},
			never: append(
				client(pureBrain),
				ban{"k8s.io/client-go/tools/record", pureBrain},
				ban{"github.com/prometheus", noMeasures},
				ban{"log$", noLoggers},
				ban{"log/slog", noLoggers},
				ban{"go.uber.org/zap", noLoggers},
				ban{"net/http", noNetwork},
			),
			testsUse: []string{"k8s.io/client-go/kubernetes"}, // a whole kube-scheduler is asked whether it agrees
		},
		{
			folder: "cloudprovider", mayImport: []string{"apis/...", "scheduling"}, tests: cloudTests,
			never: append(client("the cloud does not depend on the cluster"), kubernetes),
		},
		{
			folder: "cloudprovider/vpsie", mayImport: []string{"cloudprovider", "apis/...", "scheduling", "cloudprovider/vpsie/..."}, tests: cloudTests,
			never: []ban{kubernetes},
		},
		{
			folder: "cloudprovider/vpsie/api", tests: cloudTests,
			never: append(client("it speaks to VPSie, and to nobody else"), kubernetes),
		},
		{
			folder: "cloudprovider/vpsiesim", mayImport: []string{"cloudprovider", "apis/...", "scheduling"}, tests: cloudTests,
			never: append(client("it tells its Joiner of a new machine and knows no cluster"), kubernetes),
		},
		{
			folder: "cloudprovider/conformance", mayImport: []string{"cloudprovider", "apis/...", "scheduling"}, tests: cloudTests,
			never: append(client("a cloud is judged without a cluster"), kubernetes),
		},
		{
			folder:    "cloudprovider/memory",
			mayImport: []string{"cloudprovider", "apis/...", "scheduling", "cloudprovider/vpsiesim/fault", "cloudprovider/vpsiesim/ledger"}, tests: cloudTests,
			never: append(client("it is a cloud and knows no cluster"), kubernetes),
		},
		{folder: "state", mayImport: []string{"apis/...", "scheduling/..."}, tests: []string{"test/build/..."}, never: []ban{kubernetes}},
		{folder: "provisioner", mayImport: loop, tests: loopTests, never: []ban{kubernetes, {"net/http", noNetwork}}},
		{folder: "disruption", mayImport: loop, tests: loopTests, never: []ban{kubernetes, {"net/http", noNetwork}}},
		{
			folder:    "cmd",
			mayImport: []string{"apis/...", "scheduling/...", "cloudprovider/...", "state/...", "provisioner/...", "disruption/..."},
			tests:     []string{"test/build/..."},
		},
		{
			folder: "test",
			mayImport: []string{
				"apis/...", "scheduling/...", "cloudprovider/...", "state/...", "provisioner/...", "disruption/...", "cmd/...",
			},
		},
		{folder: "hack"}, // modules of their own, never imported and importing nothing of ours
	}
}

// importLaw reports imports that the law does not allow.
func importLaw(r *Repository) []Violation {
	var found []Violation
	laws := zones()
	for _, file := range r.Go {
		law := zoneOf(laws, file.Folder())
		for _, spec := range file.Syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue // the compiler says it better
			}
			if because := refusal(law, file, imported); because != "" {
				found = append(found, file.At(spec.Pos(), "imports %s, %s", imported, because))
			}
		}
	}
	return sorted(found)
}

// zoneOf finds the zone with the longest folder that holds the folder. One that no zone holds may import nothing of ours: a
// new folder needs a line in the law first.
func zoneOf(laws []zone, folder string) zone {
	best := zone{folder: folder}
	found := -1
	for _, law := range laws {
		if within(folder, law.folder) && len(law.folder) > found {
			best, found = law, len(law.folder)
		}
	}
	return best
}

// refusal says why a file may not import a path, or nothing.
func refusal(law zone, file GoFile, imported string) string {
	own, ok := strings.CutPrefix(imported, Module+"/")
	if !ok {
		for _, ban := range slices.Concat(everywhere(), law.never) {
			excused := file.Test() && slices.ContainsFunc(law.testsUse, func(path string) bool { return within(imported, path) })
			if banned(imported, ban.path) && !excused {
				return "but " + ban.because
			}
		}
		if imported == "testing" && !file.Test() && !testSupport(file.Folder()) {
			return "but what is compiled into programs must not know tests"
		}
		return ""
	}
	return ownRefusal(law, file, own)
}

// banned says whether a ban holds for an import path.
func banned(imported, path string) bool {
	if exact, ok := strings.CutSuffix(path, "$"); ok {
		return imported == exact
	}
	return within(imported, path)
}

// testSupport says whether a folder holds helpers of tests in files that are not _test.go.
func testSupport(folder string) bool {
	return within(folder, "test") || within(folder, "cloudprovider/conformance")
}

// ownRefusal says why a file may not import a folder of ours, or nothing.
func ownRefusal(law zone, file GoFile, own string) string {
	switch {
	case within(own, "test/law"):
		return "but the law is not a library"
	case within(own, "test/build") && !file.Test() && !within(file.Folder(), "test/build"):
		return "but only _test.go files build objects with it"
	case within(own, "cloudprovider/vpsie/api") && !mayUseClient(file.Folder()):
		return "but only cloudprovider/vpsie speaks to VPSie, and cmd and test/chaos wire them"
	case within(own, "cmd") && law.folder == "cmd":
		if !within(own, program(file.Folder())) {
			return "but a program shares nothing with another one"
		}
		return ""
	case within(own, law.folder) && zoneOf(zones(), own).folder == law.folder:
		return ""
	}
	may := law.mayImport
	if file.Test() {
		may = slices.Concat(may, law.tests)
	}
	for _, folder := range may {
		tree, recursive := strings.CutSuffix(folder, "/...")
		if own == tree || recursive && within(own, tree) {
			return ""
		}
	}
	if len(may) == 0 {
		return "but " + law.folder + " may import nothing of ours"
	}
	return "but " + law.folder + " may import only itself, " + strings.Join(may, ", ")
}

func mayUseClient(folder string) bool {
	return within(folder, "cloudprovider/vpsie") || within(folder, "cmd") || within(folder, "test/chaos")
}

// program is cmd/X for a folder at or below it.
func program(folder string) string {
	parts := strings.SplitN(folder, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}
