// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
)

// wholeDisruption has every field that a bound is about, apart from the spec of the machine that comes, which is that of
// wholeVPSieNode.
const wholeDisruption = `
apiVersion: autoscaler.vpsie.com/v1alpha1
kind: Disruption
metadata:
  name: cheaper-1
spec:
  reason: Cheaper
  nodeGroup: web
  remove: [{vpsieNode: web-1, uid: u-1, node: hel-slave-01ab, offering: s-4vcpu-8gb, pricePerHour: "0.0667"}]
  launch: [{name: web-2}]
  savingsPerHour: "0.0333"
  pods: [shop/web-1]
  approved: "No"
status:
  phase: Proposed
  conditions: [{type: Ready, status: "False", reason: Waiting, message: "", lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 1}]
`

// disruptionBase returns wholeDisruption with the spec of the machine that comes.
func disruptionBase() map[string]any {
	object := parse(wholeDisruption)
	set(object.Object, "spec.launch[0].spec", parse(wholeVPSieNode).Object["spec"])
	return object.Object
}

// disruptionSpecBounds are the bounds of DisruptionSpec, apart from what is forbidden to change.
func disruptionSpecBounds() []bound {
	machine := parse(wholeVPSieNode).Object["spec"]
	removal := func(i int) any { return map[string]any{"vpsieNode": named(i), "uid": "u"} }
	launch := func(i int) any { return map[string]any{"name": named(i), "spec": machine} }
	pod := func(i int) any { return "shop/" + named(i).(string) }
	return below("", []bound{
		required("reason", "Empty"),
		oneOf("reason", "Unhealthy", "Empty", "Expired", "Drifted", "Unhealthy", "Cheaper"),
		required("nodeGroup", "web"),
		notEmpty("nodeGroup"),
		longest("nodeGroup", 40),
		required("remove", []any{removal(0)}),
		fewest("remove", removal(0)),
		most("remove", 100, removal),
		{at: "remove", keyword: "unique", pass: many(2, removal), refuse: []any{removal(0), removal(0)}, says: `{at}[1]: Duplicate value: {"vpsieNode":"name-0"}`},
		most("launch", 100, launch),
		{at: "launch", keyword: "unique", pass: many(2, launch), refuse: []any{launch(0), launch(0)}, says: `{at}[1]: Duplicate value: {"name":"name-0"}`},
		{at: "launch[0].name", of: ".", keyword: "cel", pass: "web-3", refuse: "web-1", says: "spec.launch: Invalid value: launch must not name a VPSieNode that remove names; give the replacement a name of its own"},
		required("savingsPerHour", "0"),
		{at: "savingsPerHour", keyword: "maxLength", pass: "-123456789.123456789", refuse: "-1234567890.123456789", says: tooLong(20)},
		shaped("savingsPerHour", `^-?[0-9]{1,9}(\.[0-9]{1,9})?$`, "-0.5", "half"),
		most("pods", 200, pod),
		{at: "pods", keyword: "unique", pass: many(2, pod), refuse: []any{pod(0), pod(0)}, says: `{at}[1]: Duplicate value: "shop/name-0"`},
		{at: "pods[0]", keyword: "maxLength", pass: "shop/" + strings.Repeat("a", 312), refuse: "shop/" + strings.Repeat("a", 313), says: tooLong(317)},
		shaped("pods[0]", "^[a-z0-9-]+/[a-z0-9.-]+$", "shop/web-1", "web-1"),
		oneOf("approved", "Yes", "Yes", "No"),
	}, below("remove[0]", []bound{
		required("vpsieNode", "web-1"),
		notEmpty("vpsieNode"),
		longest("vpsieNode", 63),
		required("uid", "u-1"),
		notEmpty("uid"),
		longest("uid", 64),
		longest("node", 253),
		longest("offering", 64),
	}, prices("pricePerHour")), below("launch[0]", []bound{
		required("name", "web-3"),
		notEmpty("name"),
		longest("name", 63),
		shaped("name", "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "web-3", "Web"),
		required("spec", machine),
	}, below("spec", vpsieNodeSpecBounds())))
}

// disruptionBounds are the bounds of Disruption.
func disruptionBounds() []bound {
	const immutable = "spec: Invalid value: spec is immutable except for approved; delete the Disruption to have another decision made"
	approve := overlay{"approved": "Yes"}
	frozen := func(field string, value any) bound {
		return bound{at: "spec", of: "spec", keyword: "cel", from: overlay{}, pass: approve, refuse: overlay{field: value}, says: immutable}
	}
	return below("", []bound{
		required("spec", disruptionBase()["spec"]),
		frozen("reason", "Drifted"),
		frozen("nodeGroup", "other"),
		frozen("savingsPerHour", "1"),
		frozen("remove", []any{map[string]any{"vpsieNode": "web-9", "uid": "u-1"}}),
		frozen("launch", absent{}),
		frozen("launch", []any{map[string]any{"name": "web-9", "spec": parse(wholeVPSieNode).Object["spec"]}}),
		frozen("pods", absent{}),
		frozen("pods", []any{"shop/web-2"}),
		{at: "spec", of: "spec", keyword: "cel", from: overlay{"launch": absent{}}, pass: approve, refuse: overlay{"launch": disruptionBase()["spec"].(map[string]any)["launch"]}, says: immutable},
		{at: "spec", of: "spec", keyword: "cel", from: approve, pass: overlay{}, refuse: overlay{"approved": "No"}, says: "spec.approved: Invalid value: approved cannot be taken back; delete the Disruption to stop it"},
	}, below("spec", disruptionSpecBounds()), below("status", []bound{
		oneOf("phase", "RolledBack", "Proposed", "Approved", "Launching", "Draining", "Verifying", "Succeeded", "RolledBack", "Rejected"),
		longest("message", 2048),
		longest("removed", 256),
		longest("launched", 256),
	}), conditionBounds())
}

var _ = Describe("A Disruption", Label("basic"), func() { describeBounds(disruptionBase(), disruptionBounds()) })
