// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/manifest"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/workload"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

func read(t *testing.T, strictness manifest.Strictness, stdin string, paths ...string) (*manifest.Result, error) {
	t.Helper()
	scheme, err := objects.NewScheme()
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Read(paths, manifest.Options{
		Scheme: scheme, Kinds: append(state.Watched(), workload.Kinds()...), Strictness: strictness, Stdin: strings.NewReader(stdin),
	})
}

// put writes a file into a fresh folder, which becomes the present one: errors then name the file as a user would.
func put(t *testing.T, name, text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const (
	pod       = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: m}]}\n"
	podJSON   = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"},"spec":{"containers":[{"name":"m"}]}}`
	bareJSON  = `{"metadata":{"name":"%s"},"spec":{"containers":[{"name":"m"}]}}`
	service   = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
	podOfSize = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n  - name: m\n    resources:\n      requests:\n        cpu: %s\n"
)

func TestReadsWhatKubectlReads(t *testing.T) {
	item := func(name string) string { return fmt.Sprintf(podJSON, name) }
	bare := func(name string) string { return fmt.Sprintf(bareJSON, name) }
	cases := map[string]struct {
		text string
		want []string
	}{
		"one document":                      {pod, []string{"default/a"}},
		"documents, some of them empty":     {"# first\n---\n" + pod + "---\n---\n# none\n--- # and another\n" + strings.Replace(pod, "name: a", "name: b, namespace: x", 1) + "...\n", []string{"default/a", "x/b"}},
		"a document on the separator line":  {"--- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: m}]}}\n", []string{"default/a"}},
		"Windows line ends and a byte mark": {"\ufeff" + strings.ReplaceAll(pod, "\n", "\r\n"), []string{"default/a"}},
		"no line end at the end":            {strings.TrimSpace(pod), []string{"default/a"}},
		"a List in YAML": {
			"apiVersion: v1\nkind: List\nitems:\n# two\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: a, annotations: {text: \"x\"}}\n  spec:\n    containers:\n    - name: m\n      command:\n      - |\n        - not an item\n\n        items:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: b}\n  spec: {containers: [{name: m}]}\nmetadata: {}\n",
			[]string{"default/a", "default/b"},
		},
		"a List in YAML whose items are indented": {
			"kind: PodList\napiVersion: v1\nitems:\n  - metadata: {name: a}\n    spec: {containers: [{name: m}]}\n  -\n    metadata: {name: b}\n    spec: {containers: [{name: m}]}\n---\n" + strings.Replace(pod, "name: a", "name: c", 1),
			[]string{"default/a", "default/b", "default/c"},
		},
		"a PodList in YAML that tells its kind last": {
			"items:\n- metadata: {name: a}\n  spec: {containers: [{name: m}]}\napiVersion: v1\nkind: PodList\n", []string{"default/a"},
		},
		"a List in YAML with brackets": {"apiVersion: v1\nkind: List\nitems: [" + item("a") + "]\n", []string{"default/a"}},
		"an empty List in YAML":        {"apiVersion: v1\nkind: List\nitems: []\n", nil},
		"JSON":                         {item("a"), []string{"default/a"}},
		"objects in JSON one after the other": {
			item("a") + "\n" + item("b") + item("c"), []string{"default/a", "default/b", "default/c"},
		},
		"a List in JSON": {`{"apiVersion":"v1","kind":"List","items":[` + item("a") + `,` + item("b") + `]}`, []string{"default/a", "default/b"}},
		"a PodList whose items tell no kind": {
			`{"apiVersion":"v1","kind":"PodList","metadata":{"resourceVersion":"1"},"items":[` + bare("a") + `, ` + bare("b") + "]}", []string{"default/a", "default/b"},
		},
		"a PodList that tells its kind last": {
			`{"apiVersion":"v1","items":[` + bare("a") + `,` + bare("b") + `],"kind":"PodList","metadata":{"x":[1,{"y":"]}\\\""}]}}`, []string{"default/a", "default/b"},
		},
		"an empty List in JSON":     {`{"apiVersion":"v1","kind":"List","items":[]}`, nil},
		"quotes inside of strings":  {strings.Replace(item("a"), `"name":"m"`, `"name":"m","command":["\"}],\\","{[\\\""]`, 1), []string{"default/a"}},
		"a kind inside of a string": {strings.Replace(item("a"), `"metadata"`, `"status":{"reason":"kind"},"metadata"`, 1), []string{"default/a"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			put(t, "in", tc.text)
			result, err := read(t, manifest.Strict, "", "in")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, pod := range objects.Of[*corev1.Pod](result.Objects) {
				got = append(got, pod.Namespace+"/"+pod.Name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("pods (-want +got):\n%s", diff)
			}
		})
	}
}

// placed is a pod with rules about where it goes.
func placed(rules string) string {
	return "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: m}], " + rules + "}\n"
}

func TestNamesWhatIsWrong(t *testing.T) {
	deployment := "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: %s\n  template:\n    spec:\n      containers:\n      - name: m\n        resources:\n          requests: {cpu: %s}\n"
	cases := map[string]struct{ text, want string }{
		"an empty file":              {"", "in:1: there is nothing in it; want Kubernetes manifests in YAML or JSON"},
		"a file of comments":         {"# nothing\n---\n", "in:1: there is nothing in it; want Kubernetes manifests in YAML or JSON"},
		"a binary file":              {"\x7fELF\x02\x01\x01\x00\x00", "in:1: this is no text; want Kubernetes manifests in YAML or JSON"},
		"text that is no YAML":       {"hello: [world\n", "in:1: this is no valid YAML: did not find expected ',' or ']'"},
		"text that is no object":     {"hello\n", "in:1: this is no object with apiVersion and kind"},
		"a tab":                      {pod + "\tx: y\n", "in:5: this is no valid YAML: found character that cannot start any token"},
		"a key given twice":          {"---\n" + pod + "kind: Pod\n", `in:6: this is no valid YAML: key "kind" already set in map`},
		"no kind":                    {"a: b\n", "in:1: kind: is missing; want a Kubernetes object with apiVersion and kind"},
		"no apiVersion":              {"kind: Pod\n", "in:1: Pod: apiVersion: is missing; want one such as v1 or apps/v1"},
		"an apiVersion that is none": {"kind: Pod\napiVersion: a/b/c\n", `in:1: Pod: apiVersion: is "a/b/c", want one such as v1 or apps/v1`},
		"no name":                    {"apiVersion: v1\nkind: Pod\nspec: {containers: [{name: m}]}\n", `in:1: Pod "default/": metadata.name: is missing`},
		"no containers":              {"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", `in:1: Pod "default/a": spec.containers: is missing; want at least one container`},
		"a quantity that is none": {
			"---\n" + fmt.Sprintf(podOfSize, "lots"),
			`in:11: Pod "default/a": spec.containers[0].resources.requests.cpu: is "lots", want a quantity such as 500m, 2 or 4Gi`,
		},
		"a negative quantity": {
			fmt.Sprintf(podOfSize, "-1"), `in:10: Pod "default/a": spec.containers[0].resources.requests.cpu: is -1, want 0 or more`,
		},
		"text for a number": {
			"---\n" + fmt.Sprintf(deployment, "three", "1"),
			`in:6: Deployment "shop/web": spec.replicas: is "three", want a whole number that fits in 32 bits`,
		},
		"a number that is too large": {
			fmt.Sprintf(deployment, "3000000000", "1"),
			`in:5: Deployment "shop/web": spec.replicas: is the number 3000000000, want a whole number that fits in 32 bits`,
		},
		"several mistakes in one object": {
			fmt.Sprintf(deployment, "[1]", "{}"),
			"in:5: Deployment \"shop/web\": spec.replicas: is a list, want a whole number that fits in 32 bits\n" +
				`in:11: Deployment "shop/web": spec.template.spec.containers[0].resources.requests.cpu: is an object, want a quantity such as 500m, 2 or 4Gi`,
		},
		"a negative count": {fmt.Sprintf(deployment, "-1", "1"), `in:5: Deployment "shop/web": spec.replicas: is -1, want 0 or more`},
		"a number for text": {
			"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels: {app: 1}\nspec: {containers: [{name: m}]}\n",
			`in:5: Pod "default/a": metadata.labels.app: is the number 1, want text: put it in quotes, "1"`,
		},
		"a word that YAML takes for true": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: y}\nspec: {containers: [{name: m}]}\n",
			`in:3: Pod "default/a": metadata.namespace: y means true or false in YAML, want text: put it in quotes, "y"`,
		},
		"a list for an object": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n- containers\n", `in:5: Pod "default/a": spec: is a list, want an object`,
		},
		"an object for a list": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: {name: m}}\n", `in:4: Pod "default/a": spec.containers: is an object, want a list`,
		},
		"text for true or false": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: a}\nspec: {unschedulable: maybe}\n", `in:4: Node "a": spec.unschedulable: is "maybe", want true or false`,
		},
		"a time that is none": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: a, creationTimestamp: yesterday}\n", `in:3: Node: metadata.creationTimestamp: is "yesterday", want a time such as 2026-01-31T12:00:00Z`,
		},
		"a node without room": {
			"apiVersion: v1\nkind: Node\nmetadata: {name: a}\n", `in:1: Node "a": status.allocatable: is missing; want what the node has for pods, at least cpu and memory`,
		},
		"a NodeGroup with a bad limit": {
			"apiVersion: autoscaler.vpsie.com/v1alpha1\nkind: NodeGroup\nmetadata: {name: a}\nspec: {limits: {cpu: some}}\n",
			`in:4: NodeGroup "a": spec.limits.cpu: is "some", want a quantity such as 500m, 2 or 4Gi`,
		},
		"a NodeGroup with a price in words": {
			"apiVersion: autoscaler.vpsie.com/v1alpha1\nkind: NodeGroup\nmetadata: {name: a}\nspec:\n  maxNodes: -1\n  limits: {costPerHour: cheap}\n  template: {requirements: [{key: x, operator: Gt, values: [a]}]}\n",
			"in:5: NodeGroup \"a\": spec.maxNodes: is -1, want 0 or more\n" +
				"in:6: NodeGroup \"a\": spec.limits.costPerHour: is \"cheap\", want a price such as 0.0333\n" +
				`in:7: NodeGroup "a": spec.template.requirements[0].values: is ["a"]; operator Gt wants one whole number`,
		},
		"a template": {
			"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{ .Release.Name }}\n",
			"in:1: this is no valid YAML: invalid map key: map[interface {}]interface {}{\".Release.Name\":interface {}(nil)}; it looks like a template: render it first, for example with helm template",
		},
		"a spread that is none": {
			placed("topologySpreadConstraints: [{maxSkew: 0, whenUnsatisfiable: Never, minDomains: 0}]"),
			"in:4: Pod \"default/a\": spec.topologySpreadConstraints[0].maxSkew: is 0, want 1 or more\n" +
				"in:4: Pod \"default/a\": spec.topologySpreadConstraints[0].topologyKey: is missing; want a label of nodes, such as kubernetes.io/hostname or topology.kubernetes.io/zone\n" +
				"in:4: Pod \"default/a\": spec.topologySpreadConstraints[0].whenUnsatisfiable: is \"Never\", want DoNotSchedule or ScheduleAnyway\n" +
				`in:4: Pod "default/a": spec.topologySpreadConstraints[0].minDomains: is 0, want 1 or more`,
		},
		"an operator of labels that is none": {
			placed("affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: z, labelSelector: {matchExpressions: [{key: a, operator: Inn}]}}]}}"),
			`in:4: Pod "default/a": spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchExpressions[0].operator: is "Inn", want In, NotIn, Exists or DoesNotExist`,
		},
		"an affinity without topology": {
			placed("affinity: {podAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {labelSelector: {}}}]}}"),
			`in:4: Pod "default/a": spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: is missing; want a label of nodes, such as kubernetes.io/hostname or topology.kubernetes.io/zone`,
		},
		"values that an operator has no use for": {
			placed("affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists, values: [b]}, {key: a, operator: In}]}]}}}"),
			"in:4: Pod \"default/a\": spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: is [\"b\"]; operator Exists wants none\n" +
				`in:4: Pod "default/a": spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].values: is missing; operator In wants at least one`,
		},
		"an object given twice": {pod + "---\n" + pod, `in:6: Pod "default/a" is there twice; it is also at in:1`},
		"a mistake in an item of a list": {
			"apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(podOfSize, "1")), "\n", "\n  ") + "\n- " +
				strings.ReplaceAll(fmt.Sprintf(podOfSize, "1 core"), "\n", "\n  "),
			`in:23: Pod "default/a": spec.containers[0].resources.requests.cpu: is "1 core", want a quantity such as 500m, 2 or 4Gi`,
		},
		"an item without a kind":       {"apiVersion: v1\nkind: List\nitems:\n- metadata: {name: a}\n", "in:4: kind: is missing; want a Kubernetes object with apiVersion and kind"},
		"items that are no list":       {"apiVersion: v1\nkind: Pod\nitems:\n- metadata: {name: a}\n  spec: {containers: [{name: m}]}\n", `in:1: kind: is "Pod", want a list such as List or PodList, because there are items`},
		"JSON that ends too soon":      {`{"apiVersion":"v1","kind":"List","items":[` + "\n" + `{"apiVersion":"v1"`, "in:2: the file ends inside the object that begins on line 2; its closing brace is missing"},
		"JSON that is cut in a string": {`{"apiVersion":"v`, "in:1: the file ends inside the object that begins on line 1; its closing brace is missing"},
		"JSON without a colon":         {"{\n\"apiVersion\" \"v1\"}", `in:2: found '"' where ':' should follow the field name "apiVersion"`},
		"JSON without quotes":          {"{apiVersion: v1}", `in:1: found 'a' where a field name in quotes or '}' should be`},
		"JSON that is a list":          {"[1]", `in:1: found '[' where an object should begin with '{'`},
		"JSON with a word that is none": {
			"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"metadata\":{\"name\":nope}}", "in:2: this is no valid JSON: invalid character 'o' in literal null (expecting 'u')",
		},
		"a wrong type in JSON": {
			"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\n\"metadata\":{\"name\":\"a\",\n\"labels\":{\"app\":true}},\"spec\":{\"containers\":[{\"name\":\"m\"}]}}",
			`in:3: Pod "default/a": metadata.labels.app: is true, want text: put it in quotes, "true"`,
		},
		"a wrong type in JSON with tabs": {
			"{\n\t\"apiVersion\":\"v1\",\n\t\"kind\":\"Pod\",\n\t\"metadata\":{\"name\":\t7}\n}", `in:4: Pod: metadata.name: is the number 7, want text: put it in quotes, "7"`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			put(t, "in", tc.text)
			_, err := read(t, manifest.Lenient, "", "in")
			if invalid := new(manifest.InvalidError); !errors.As(err, &invalid) {
				t.Fatalf("got error %v of type %s, want an InvalidError", err, reflect.TypeOf(err))
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBoundsTheMistakesItShows(t *testing.T) {
	put(t, "in", strings.Repeat("apiVersion: v1\nkind: Pod\n---\n", 30))
	_, err := read(t, manifest.Lenient, "", "in")
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 21 || lines[20] != "and 40 more" {
		t.Errorf("got %d lines, the last of which is %q; want 20 and a last one \"and 40 more\"", len(lines), lines[len(lines)-1])
	}
}

func TestWarnsOfWhatItSkips(t *testing.T) {
	text := pod + "  typo: x\n---\n" + service + "---\n" + service + "---\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\nmetadata: {name: x}\n"
	put(t, "in", strings.Replace(text, "  typo", "typo", 1))
	result, err := read(t, manifest.Lenient, "", "in")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"skipped 3 objects of a kind that a plan does not use: 1 PodDisruptionBudget (policy/v1beta1, want policy/v1), 2 Service (v1)",
		"ignored Pod typo in 1 object: no such field is known",
	}
	if diff := cmp.Diff(want, result.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	_, err = read(t, manifest.Strict, "", "in")
	wantError := strings.Join([]string{
		"in:5: Pod typo: no such field is known; correct it, or do without --strict",
		"in:7: kind Service (v1) is not used by a plan; leave it out, or do without --strict",
		"in:11: kind Service (v1) is not used by a plan; leave it out, or do without --strict",
		"in:15: kind PodDisruptionBudget (policy/v1beta1, want policy/v1) is not used by a plan; leave it out, or do without --strict",
	}, "\n")
	if err == nil || cmp.Diff(wantError, err.Error()) != "" {
		t.Errorf("strict: %v, want\n%s", err, wantError)
	}
}

func TestReadsFoldersAndStandardInput(t *testing.T) {
	put(t, "ignored.txt", "no manifest")
	for name, text := range map[string]string{"b.yaml": pod, "a.json": fmt.Sprintf(podJSON, "z"), "c.yml": strings.Replace(pod, "name: a", "name: c", 1)} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	result, err := read(t, manifest.Lenient, fmt.Sprintf(podJSON, "stdin"), ".", "-", filepath.Join(".", "b.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, pod := range objects.Of[*corev1.Pod](result.Objects) {
		got = append(got, pod.Name)
	}
	if diff := cmp.Diff([]string{"z", "a", "c", "stdin"}, got); diff != "" {
		t.Errorf("pods (-want +got):\n%s", diff)
	}
}

func TestNamesFilesThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("empty", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, manifest.Lenient, "", "missing.yaml", "empty")
	want := "missing.yaml: there is no such file or folder\nempty: no file in this folder ends in .yaml, .yml or .json"
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

// FuzzList compares the cutting of lists with reading them as a whole.
func FuzzList(f *testing.F) {
	f.Add("a", "b\"}],", 3)
	f.Add("{[", "\\", 70)
	f.Fuzz(func(t *testing.T, name, annotation string, count int) {
		if count < 0 || count > 200 {
			return
		}
		list := &corev1.PodList{}
		list.APIVersion, list.Kind = "v1", "PodList"
		for i := range count {
			pod := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "m"}}}}
			pod.Name, pod.Namespace = fmt.Sprintf("%s-%d", strings.ToValidUTF8(name, ""), i), "x"
			pod.Annotations = map[string]string{"text": strings.ToValidUTF8(annotation, "")}
			list.Items = append(list.Items, pod)
		}
		compareLists(t, list)
	})
}

func compareLists(t *testing.T, list *corev1.PodList) {
	t.Helper()
	for _, encode := range encoders() {
		text, err := encode(list)
		if err != nil {
			t.Fatal(err)
		}
		result, err := read(t, manifest.Strict, string(text), "-")
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		pods := objects.Of[*corev1.Pod](result.Objects)
		if len(pods) != len(list.Items) {
			t.Fatalf("read %d pods of %d from\n%s", len(pods), len(list.Items), text)
		}
		for i, pod := range pods {
			if client.ObjectKeyFromObject(pod) != client.ObjectKeyFromObject(&list.Items[i]) || pod.Annotations["text"] != list.Items[i].Annotations["text"] {
				t.Fatalf("pod %d is %q %q, want %q", i, pod.Name, pod.Annotations, list.Items[i].Name)
			}
		}
	}
}
