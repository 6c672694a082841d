// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// bound is one rule of a schema with a value that it lets pass, a value that it refuses, and what the user reads then.
type bound struct {
	at      string // the field that is set
	keyword string // as schemaRules names it
	pass    any    // absent removes the field, an overlay changes fields of it
	refuse  any
	says    string // each line a field and a message, the one of the rule first; {at} and {body} stand for at
	from    any    // the field before an update; nil for rules that hold for new objects too
	of      string // where the schema has the rule, if not at the field that is set; "." is the object that the bounds are about
}

// absent is the value of a field that is left out.
type absent struct{}

// overlay is a value that changes some fields of an object and keeps the others.
type overlay map[string]any

// The bounds that say the same of every field.

func longest(at string, length int) bound {
	return bound{at: at, keyword: "maxLength", pass: strings.Repeat("a", length), refuse: strings.Repeat("a", length+1), says: tooLong(length)}
}

func tooLong(length int) string {
	return fmt.Sprintf("{at}: Too long: may not be more than %d bytes", length)
}

func notEmpty(at string) bound {
	return bound{at: at, keyword: "minLength", pass: "a", refuse: "", says: `{at}: Invalid value: "": {body} in body should be at least 1 chars long`}
}

func atLeast(at string, least int64) bound {
	return bound{at: at, keyword: "minimum", pass: least, refuse: least - 1, says: fmt.Sprintf("{at}: Invalid value: %d: {body} in body should be greater than or equal to %d", least-1, least)}
}

func atMost(at string, most int64) bound {
	return bound{at: at, keyword: "maximum", pass: most, refuse: most + 1, says: fmt.Sprintf("{at}: Invalid value: %d: {body} in body should be less than or equal to %d", most+1, most)}
}

func fewest(at string, one any) bound {
	return bound{at: at, keyword: "minItems", pass: []any{one}, refuse: []any{}, says: "{at}: Invalid value: 0: {body} in body should have at least 1 items"}
}

func most(at string, count int, item func(int) any) bound {
	return bound{at: at, keyword: "maxItems", pass: many(count, item), refuse: many(count+1, item), says: fmt.Sprintf("{at}: Too many: %d: must have at most %d items", count+1, count)}
}

func mostKeys(at string, count int, value any) bound {
	return bound{at: at, keyword: "maxProperties", pass: keys(count, value), refuse: keys(count+1, value), says: fmt.Sprintf("{at}: Too many: %d: must have at most %d items", count+1, count)}
}

func required(at string, value any) bound {
	return bound{at: at, keyword: "required", pass: value, refuse: absent{}, says: "{at}: Required value"}
}

func oneOf(at, pass string, values ...string) bound {
	quoted := make([]string, len(values))
	for i, value := range values {
		quoted[i] = strconv.Quote(value)
	}
	return bound{at: at, keyword: "enum", pass: pass, refuse: "Sometimes", says: `{at}: Unsupported value: "Sometimes": supported values: ` + strings.Join(quoted, ", ")}
}

func shaped(at, pattern, pass, refuse string) bound {
	return bound{at: at, keyword: "pattern", pass: pass, refuse: refuse, says: fmt.Sprintf("{at}: Invalid value: %q: {body} in body should match '%s'", refuse, pattern)}
}

// amounts are the bounds of a quantity.
func amounts(at, pass, refuse, message string) []bound {
	return []bound{
		shaped(at, quantityPattern, "1", "much").and(`{at}: Invalid value: "much": ` + message),
		{at: at, keyword: "maxLength", pass: "1." + strings.Repeat("0", 38), refuse: "1." + strings.Repeat("0", 39), says: tooLong(40)},
		{at: at, keyword: "cel", pass: pass, refuse: refuse, says: fmt.Sprintf("{at}: Invalid value: %q: %s", refuse, message)},
		{at: at, keyword: "cel", pass: "0", refuse: "-1", says: fmt.Sprintf(`{at}: Invalid value: "-1": %s`, message)},
	}
}

// resourceBounds are the bounds of a list of resources.
func resourceBounds(at string) []bound {
	return []bound{
		mostKeys(at, 32, "1"),
		{at: at, of: at + "{}", keyword: "pattern", pass: map[string]any{"cpu": "100m"}, refuse: map[string]any{"cpu": "much"}, says: "{at}.cpu: Invalid value: \"much\": {body}.cpu in body should match '" + quantityPattern + "'"},
	}
}

// quantityPattern is what controller-gen demands of every quantity.
const quantityPattern = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$`

// prices are the bounds of an amount of money.
func prices(at string) []bound {
	const message = "must be a price such as 0.0333: digits, and a point with at most nine digits if needed"
	return []bound{
		{at: at, keyword: "maxLength", pass: "123456789.123456789", refuse: "123456789.1234567890", says: tooLong(19)},
		{at: at, keyword: "cel", pass: "0.0333", refuse: "-0.01", says: `{at}: Invalid value: "-0.01": ` + message},
		{at: at, keyword: "cel", pass: "7", refuse: "1,5", says: `{at}: Invalid value: "1,5": ` + message},
	}
}

// durations are the bounds of a duration that may be from least to most; less and more are just outside.
func durations(at, less, least, most, more, message string) []bound {
	bounds := []bound{
		{at: at, keyword: "maxLength", pass: "000000h0000010m00000000.000000000s", refuse: "000000h0000010m00000000.0000000000s", says: tooLong(34)},
		{at: at, keyword: "cel", pass: least, refuse: less, says: fmt.Sprintf("{at}: Invalid value: %q: %s", less, message)},
		{at: at, keyword: "cel", pass: most, refuse: more, says: fmt.Sprintf("{at}: Invalid value: %q: %s", more, message)},
	}
	for _, text := range []string{"", "h", "5 minutes", "-1h", "1d"} {
		bounds = append(bounds, bound{at: at, keyword: "cel", pass: least, refuse: text, says: fmt.Sprintf("{at}: Invalid value: %q: %s", text, message)})
	}
	return bounds
}

// and adds what else the user reads about the refused value.
func (b bound) and(line string) bound {
	b.says += "\n" + line
	return b
}

// below puts bounds of a type under the field of that type.
func below(prefix string, lists ...[]bound) []bound {
	var all []bound
	for _, list := range lists {
		for _, b := range list {
			if b.of != "" {
				b.of = join(prefix, b.of)
			}
			b.at = join(prefix, b.at)
			all = append(all, b)
		}
	}
	return all
}

func many(count int, item func(int) any) []any {
	items := make([]any, count)
	for i := range items {
		items[i] = item(i)
	}
	return items
}

func keys(count int, value any) map[string]any {
	entries := map[string]any{}
	for i := range count {
		entries[fmt.Sprintf("key-%d", i)] = value
	}
	return entries
}

// named returns the i-th of different names.
func named(i int) any { return fmt.Sprintf("name-%d", i) }

var index = regexp.MustCompile(`\[\d+\]`)

// rule is the rule of the schema that the bound is about.
func (b bound) rule(kind string) schemaRule {
	path := b.at
	if b.of != "" {
		path = strings.TrimSuffix(b.of, ".")
	}
	rule := schemaRule{kind: kind, path: index.ReplaceAllString(path, "[]"), keyword: b.keyword}
	if b.keyword == "cel" {
		rule.message, _, _ = strings.Cut(b.says, "\n")
	}
	return rule
}

// covers says whether the bound is about that rule. The message of a rule in CEL stands at the end of what the user reads.
func (b bound) covers(rule schemaRule) bool {
	mine := b.rule(rule.kind)
	return mine.path == rule.path && mine.keyword == rule.keyword && strings.HasSuffix(mine.message, rule.message)
}

// describeBounds makes one test of every bound of a kind. Base is an object that has every field that a bound is about.
func describeBounds(base map[string]any, bounds []bound) {
	for _, b := range bounds {
		// The validator of the status subresource does not name "status" again inside its messages.
		says := strings.NewReplacer("{at}", b.at, "{body}", strings.TrimPrefix(b.at, "status.")).Replace(b.says)
		title, _, _ := strings.Cut(says, "\n")
		It(fmt.Sprintf("has a bound on %s (%s): %.120s", b.at, b.keyword, title), func(ctx context.Context) {
			try := b.tryCreate
			switch {
			case strings.HasPrefix(b.at, "status"):
				try = b.tryStatus
			case b.from != nil:
				try = b.tryUpdate
			}
			Expect(try(ctx, base, b.pass)).To(Succeed(), "the value that is allowed: %v", b.pass)
			Expect(refusals(try(ctx, base, b.refuse))).To(ConsistOf(strings.Split(says, "\n")), "what the user reads about %v", b.refuse)
		})
	}
}

// tryCreate asks the API server what it thinks of a new object with that value, and stores nothing.
func (b bound) tryCreate(ctx context.Context, base map[string]any, value any) error {
	object := &unstructured.Unstructured{Object: plain(base).(map[string]any)}
	set(object.Object, b.at, value)
	return k8s.Create(ctx, object, client.DryRunAll)
}

// tryUpdate stores an object with the old value and asks what the API server thinks of the new one.
func (b bound) tryUpdate(ctx context.Context, base map[string]any, value any) error {
	object := &unstructured.Unstructured{Object: plain(base).(map[string]any)}
	set(object.Object, b.at, b.from)
	store(ctx, object)
	set(object.Object, b.at, value)
	return k8s.Update(ctx, object, client.DryRunAll)
}

// tryStatus stores an object and asks what the API server thinks of a status with that value.
func (b bound) tryStatus(ctx context.Context, base map[string]any, value any) error {
	object := &unstructured.Unstructured{Object: plain(base).(map[string]any)}
	status := object.Object["status"]
	store(ctx, object)
	object.Object["status"] = status
	set(object.Object, b.at, value)
	return k8s.Status().Update(ctx, object, &client.SubResourceUpdateOptions{UpdateOptions: client.UpdateOptions{DryRun: []string{"All"}}})
}

// store creates an object under a name of its own for the time of the test.
func store(ctx context.Context, object *unstructured.Unstructured) {
	GinkgoHelper()
	object.SetName("")
	object.SetGenerateName("stored-")
	Expect(k8s.Create(ctx, object)).To(Succeed())
	DeferCleanup(func(ctx context.Context) {
		Expect(client.IgnoreNotFound(k8s.Delete(ctx, object))).To(Succeed())
	})
}

// refusals lists what a user reads when an object is refused, without the remark that CEL waits until the schema is met.
func refusals(err error) []string {
	GinkgoHelper()
	Expect(err).To(HaveOccurred(), "the API server accepted it")
	var status apierrors.APIStatus
	Expect(errors.As(err, &status)).To(BeTrue(), "not an answer of the API server: %v", err)
	Expect(apierrors.IsInvalid(err)).To(BeTrue(), "refused for another reason than validation: %v", err)
	var said []string
	for _, cause := range status.Status().Details.Causes {
		if !strings.Contains(cause.Message, "some validation rules were not checked") {
			said = append(said, strings.TrimPrefix(cause.Field+": "+cause.Message, "<nil>: "))
		}
	}
	return said
}

// parse reads an object. It panics because the tables use it before any test runs.
func parse(text string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &object.Object); err != nil {
		panic(err)
	}
	return object
}

// set puts a value at a path such as spec.budgets[0].nodes, into an object that has all parents of it.
func set(object map[string]any, path string, value any) {
	GinkgoHelper()
	parent, last, nested := strings.Cut(path, ".")
	name, item, inList := strings.Cut(parent, "[")
	if !inList && !nested {
		setField(object, name, value)
		return
	}
	if !inList {
		child, isObject := object[name].(map[string]any)
		Expect(isObject).To(BeTrue(), "%q is not an object in the base of this test", name)
		set(child, last, value)
		return
	}
	items, isList := object[name].([]any)
	Expect(isList).To(BeTrue(), "%q is not a list in the base of this test", name)
	i, err := strconv.Atoi(strings.TrimSuffix(item, "]"))
	Expect(err).NotTo(HaveOccurred())
	if nested {
		set(items[i].(map[string]any), last, value)
		return
	}
	entry := map[string]any{"": items[i]}
	setField(entry, "", value)
	items[i] = entry[""]
}

func setField(object map[string]any, name string, value any) {
	GinkgoHelper()
	switch value := value.(type) {
	case absent:
		delete(object, name)
	case overlay:
		child, isObject := object[name].(map[string]any)
		Expect(isObject).To(BeTrue(), "%q is not an object in the base of this test", name)
		for field, fieldValue := range value {
			setField(child, field, fieldValue)
		}
	default:
		object[name] = plain(value)
	}
}

// plain returns a copy of a value in the types that JSON gives, so that no test changes what another one holds.
func plain(value any) any {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	var copied any
	Expect(yaml.Unmarshal(text, &copied)).To(Succeed())
	return copied
}
