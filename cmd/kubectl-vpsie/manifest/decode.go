// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"cmp"
	gojson "encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/field"
)

// decoded is what became of a unit: an object, the head of a list, something to skip, or problems.
type decoded struct {
	at               place
	apiVersion, kind string
	object           client.Object
	skipped          string // the kind that nobody asked for
	head             *list
	waiting          *unit // an item that does not tell its kind, before its list has told it
	items            []decoded
	unknown          []located
	problems         []located
}

type located struct {
	at   place
	text string
}

func (d *decoded) fail(line int, format string, args ...any) {
	d.problems = append(d.problems, located{place{d.at.file, line}, fmt.Sprintf(format, args...)})
}

// title names the object as users do.
func (d *decoded) title() string {
	name := d.object.GetName()
	if namespace := d.object.GetNamespace(); namespace != "" {
		name = namespace + "/" + name
	}
	return fmt.Sprintf("%s %q", d.kind, name)
}

// decode reads a unit. It runs on several goroutines at once and changes nothing of the reader.
func (r *reader) decode(u unit) decoded {
	d := decoded{at: u.at}
	text := u.text
	if u.format == inYAML {
		var err error
		if text, err = yaml.YAMLToJSONStrict(u.text); err != nil {
			d.failYAML(u, err)
			return d
		}
	}
	meta := metav1.TypeMeta{APIVersion: u.ownVersion, Kind: u.ownKind}
	if meta.APIVersion == "" || meta.Kind == "" {
		if err := json.UnmarshalCaseSensitivePreserveInts(text, &meta); err != nil {
			d.failJSON(u, err)
			return d
		}
	}
	d.apiVersion, d.kind = meta.APIVersion, meta.Kind
	if u.isHead {
		d.head = u.list
		if !strings.HasSuffix(d.kind, "List") {
			d.fail(u.at.line, "kind: is %q, want a list such as List or PodList, because there are items", d.kind)
		}
		return d
	}
	if d.kind == "" && u.list != nil {
		if u.kind == "" {
			d.waiting = &u
			return d
		}
		d.apiVersion, d.kind = u.apiVersion, strings.TrimSuffix(u.kind, "List")
	}
	switch {
	case u.list == nil && strings.HasSuffix(d.kind, "List"):
		r.decodeList(u, text, &d)
	case r.checkKind(u, &d):
		r.decodeInto(u, text, &d)
	}
	return d
}

// decodeList reads a list that was not cut, because it is empty or its items stand in brackets in YAML. Their lines are not known.
func (r *reader) decodeList(u unit, text []byte, d *decoded) {
	var whole struct {
		Items []gojson.RawMessage `json:"items"`
	}
	if err := json.UnmarshalCaseSensitivePreserveInts(text, &whole); err != nil {
		d.fail(u.at.line, "%s: items: want a list", d.kind)
		return
	}
	for _, item := range whole.Items {
		d.items = append(d.items, r.decode(unit{
			at: u.at, text: item, format: inJSON, list: &list{}, apiVersion: d.apiVersion, kind: d.kind,
		}))
	}
}

// checkKind says whether the object is to be read, and writes down why not.
func (r *reader) checkKind(u unit, d *decoded) bool {
	switch {
	case d.kind == "":
		d.fail(u.at.line, "kind: is missing; want a Kubernetes object with apiVersion and kind")
		return false
	case d.apiVersion == "":
		d.fail(u.at.line, "%s: apiVersion: is missing; want one such as v1 or apps/v1", d.kind)
		return false
	}
	version, err := schema.ParseGroupVersion(d.apiVersion)
	if err != nil {
		d.fail(u.at.line, "%s: apiVersion: is %q, want one such as v1 or apps/v1", d.kind, d.apiVersion)
		return false
	}
	if !r.wanted[version.WithKind(d.kind)] {
		d.skipped = d.kind + " (" + d.apiVersion + ")"
		if known := r.versionOf(version.WithKind(d.kind)); known != "" {
			d.skipped = d.kind + " (" + d.apiVersion + ", want " + known + ")"
		}
		return false
	}
	return true
}

// versionOf returns the version in which a kind is read that came in another one. The groups that kinds have moved from are as good.
func (r *reader) versionOf(kind schema.GroupVersionKind) string {
	for _, wanted := range slices.SortedFunc(maps.Keys(r.wanted), func(a, b schema.GroupVersionKind) int { return cmp.Compare(a.String(), b.String()) }) {
		if wanted.Kind == kind.Kind && (wanted.Group == kind.Group || kind.Group == "extensions") {
			return wanted.GroupVersion().String()
		}
	}
	return ""
}

func (r *reader) decodeInto(u unit, text []byte, d *decoded) {
	version, _ := schema.ParseGroupVersion(d.apiVersion) // checkKind has parsed it
	fresh, err := r.options.Scheme.New(version.WithKind(d.kind))
	if err != nil {
		d.fail(u.at.line, "%s: %v", d.kind, err)
		return
	}
	object, ok := fresh.(client.Object)
	if !ok {
		d.fail(u.at.line, "%s: is no object that has a name", d.kind)
		return
	}
	d.object = object
	unknown, err := json.UnmarshalStrict(text, object, json.DisallowUnknownFields)
	if err != nil || len(unknown) > 0 {
		r.diagnose(u, d, err)
	}
	if err != nil {
		return
	}
	r.settleNamespace(object)
	for _, problem := range meaningless(object) {
		line := u.at.line
		if parsed, err := field.Parse(u.text); err == nil {
			parsed.Check(reflect.TypeOf(object))
			line += parsed.Line(problem.path) - 1
		}
		d.fail(line, "%s: %s: %s", d.title(), problem.path, problem.text)
	}
	object.SetManagedFields(nil)
	if annotations := object.GetAnnotations(); annotations != nil {
		delete(annotations, corev1.LastAppliedConfigAnnotation) // the whole object once more
	}
}

// diagnose finds out which fields do not fit. It is slow, and only asked when some do not.
func (r *reader) diagnose(u unit, d *decoded, cause error) {
	problems := []field.Problem{}
	if parsed, err := field.Parse(u.text); err == nil {
		problems = parsed.Check(reflect.TypeOf(d.object))
	}
	title := d.kind
	if d.object.GetName() != "" {
		r.settleNamespace(d.object)
		title = d.title()
	}
	for _, problem := range problems {
		line := u.at.line + problem.Line - 1
		if problem.Unknown {
			d.unknown = append(d.unknown, located{place{u.at.file, line}, d.kind + " " + indexes.ReplaceAllString(problem.Path, "[]")})
			continue
		}
		d.fail(line, "%s: %s", title, problem)
	}
	if cause != nil && len(d.problems) == 0 {
		d.failJSON(u, fmt.Errorf("%s: %w", title, cause))
	}
}

// Regular expressions are compiled once.
var (
	indexes   = regexp.MustCompile(`\[\d+\]`)
	yamlLines = regexp.MustCompile(`line (\d+)(?:: )?`)
	yamlNoise = regexp.MustCompile(`^(error converting YAML to JSON: )?(yaml: )?(unmarshal errors:\s*)?`)
)

// failYAML puts the file's line in the place of the document's.
func (d *decoded) failYAML(u unit, err error) {
	text := yamlNoise.ReplaceAllString(err.Error(), "")
	line := d.at.line
	if found := yamlLines.FindStringSubmatchIndex(text); found != nil {
		if number, err := strconv.Atoi(text[found[2]:found[3]]); err == nil {
			line += number - 1
			text = text[:found[0]] + text[found[1]:]
		}
	}
	text = strings.Join(strings.Fields(text), " ")
	if bytes.Contains(u.text, []byte("{{")) {
		text += "; it looks like a template: render it first, for example with helm template"
	}
	d.fail(line, "this is no valid YAML: %s", text)
}

func (d *decoded) failJSON(u unit, err error) {
	line := u.at.line
	text := err.Error()
	switch isSyntax, offset := json.SyntaxErrorOffset(err); {
	case isSyntax && u.format == inJSON:
		line += bytes.Count(u.text[:min(int(offset), len(u.text))], []byte("\n"))
		text = "this is no valid JSON: " + text
	case d.kind == "":
		text = "this is no object with apiVersion and kind"
	}
	d.fail(line, "%s", text)
}

// settleNamespace puts objects without a namespace where kubectl would put them.
func (r *reader) settleNamespace(object client.Object) {
	switch {
	case clusterWide(object):
		object.SetNamespace("")
	case object.GetNamespace() == "":
		object.SetNamespace(metav1.NamespaceDefault)
	}
}
