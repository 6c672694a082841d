// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
)

// wholeVPSieNode has every field that a bound is about.
const wholeVPSieNode = `
apiVersion: autoscaler.vpsie.com/v1alpha1
kind: VPSieNode
metadata:
  name: web-7f3a
spec:
  nodeGroup: web
  offerings:
  - id: "104"
    name: s-1vcpu-1gb
    pricePerHour: "0.0083"
    capacity: {cpu: "1", memory: 1Gi}
    allocatable: {cpu: 900m, memory: 700Mi}
    labels: {node.kubernetes.io/instance-type: s-1vcpu-1gb}
  datacenter: hel
  labels: {autoscaler.vpsie.com/nodegroup: web}
  annotations: {example.com/note: kept}
  taints: [{key: dedicated, value: web, effect: NoSchedule}]
  startupTaints: [{key: example.com/cni, effect: NoExecute}]
  resources: {cpu: 500m}
  creationReason: provisioning
  terminationGracePeriod: 1h
  expireAfter: 720h
status:
  phase: Provisioning
  order: {offering: "104", state: Recorded, time: "2026-01-02T03:04:05.000006Z", attempt: 1, seen: [m-1]}
  refusals: [{offering: "105", message: out of stock}]
  allocatable: {cpu: 900m}
  conditions: [{type: Ready, status: "False", reason: Launching, message: "", lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 1}]
`

// vpsieNodeSpecBounds are the bounds of VPSieNodeSpec.
func vpsieNodeSpecBounds() []bound {
	offering := func(i int) any { return map[string]any{"id": named(i), "name": "s", "pricePerHour": "1"} }
	return below("", []bound{
		required("nodeGroup", "web"),
		notEmpty("nodeGroup"),
		longest("nodeGroup", 40),
		required("offerings", []any{offering(0)}),
		fewest("offerings", offering(0)),
		most("offerings", 32, offering),
		{at: "offerings", keyword: "unique", pass: many(2, offering), refuse: []any{offering(0), offering(0)}, says: `{at}[1]: Duplicate value: {"id":"name-0"}`},
		required("datacenter", "hel"),
		notEmpty("datacenter"),
		longest("datacenter", 64),
		mostKeys("labels", 64, ""),
		mostKeys("annotations", 64, ""),
		required("creationReason", "provisioning"),
		oneOf("creationReason", "replacement", "provisioning", "headroom", "min-nodes", "replacement", "recovery", "rebalance", "metrics", "manual", "initial"),
	}, labelKeys("labels"), labelValues("labels"), annotationBounds("annotations"), taintBounds("taints"), taintBounds("startupTaints"), resourceBounds("resources"),
		durations("terminationGracePeriod", "0.5s", "1s", "720h", "720h0m1s", badTermination),
		durations("expireAfter", "4m59s", "5m", "87600h", "87601h", badExpireAfter),
		below("offerings[0]", []bound{
			required("id", "104"),
			notEmpty("id"),
			longest("id", 64),
			required("name", "s-1vcpu-1gb"),
			notEmpty("name"),
			longest("name", 64),
			required("pricePerHour", "1"),
			mostKeys("labels", 32, ""),
		}, prices("pricePerHour"), resourceBounds("capacity"), resourceBounds("allocatable"), labelKeys("labels")),
	)
}

// vpsieNodeStatusBounds are the bounds of VPSieNodeStatus, apart from the conditions.
func vpsieNodeStatusBounds() []bound {
	refusal := func(i int) any { return map[string]any{"offering": named(i), "message": "no"} }
	return below("", []bound{
		oneOf("phase", "Failed", "Pending", "Provisioning", "Provisioned", "Joining", "Ready", "Terminating", "Deleting", "Failed"),
		longest("instanceID", 64),
		longest("hostname", 253),
		longest("offering", 64),
		longest("providerID", 512),
		longest("nodeName", 253),
		most("refusals", 32, refusal),
		{at: "refusals", keyword: "unique", pass: many(2, refusal), refuse: []any{refusal(0), refusal(0)}, says: `{at}[1]: Duplicate value: {"offering":"name-0"}`},
		required("refusals[0].offering", "104"),
		notEmpty("refusals[0].offering"),
		longest("refusals[0].offering", 64),
		required("refusals[0].message", "out of stock"),
		notEmpty("refusals[0].message"),
		longest("refusals[0].message", 1024),
	}, prices("pricePerHour"), resourceBounds("allocatable"), below("order", []bound{
		required("offering", "104"),
		notEmpty("offering"),
		longest("offering", 64),
		required("state", "Accepted"),
		oneOf("state", "Unknown", "Recorded", "Accepted", "Unknown"),
		required("time", "2026-01-02T03:04:05.000006Z"),
		required("attempt", 2),
		atLeast("attempt", 1),
		most("seen", 1024, named),
		{at: "seen", keyword: "unique", pass: []any{"a", "b"}, refuse: []any{"a", "a"}, says: `{at}[1]: Duplicate value: "a"`},
		longest("seen[0]", 64),
	}))
}

// vpsieNodeBounds are the bounds of VPSieNode.
func vpsieNodeBounds() []bound {
	const immutable = "spec: Invalid value: spec is immutable; delete the VPSieNode and let its NodeGroup order another machine"
	return below("", []bound{
		{at: "metadata.name", of: ".", keyword: "cel", pass: strings.Repeat("a", 63), refuse: strings.Repeat("a", 64), says: "Invalid value: metadata.name must be at most 63 characters, because a label of the Node holds it; choose a shorter one"},
		required("spec", parse(wholeVPSieNode).Object["spec"]),
		{at: "spec", of: "spec", keyword: "cel", from: overlay{"datacenter": "hel"}, pass: overlay{"datacenter": "hel"}, refuse: overlay{"datacenter": "ams"}, says: immutable},
		{at: "spec", of: "spec", keyword: "cel", from: overlay{"expireAfter": absent{}}, pass: overlay{}, refuse: overlay{"expireAfter": "1h"}, says: immutable},
		{at: "spec", of: "spec", keyword: "cel", from: overlay{}, pass: overlay{}, refuse: overlay{"taints": absent{}}, says: immutable},
	}, below("spec", vpsieNodeSpecBounds()), below("status", vpsieNodeStatusBounds()), conditionBounds())
}

var _ = Describe("A VPSieNode", Label("basic"), func() { describeBounds(parse(wholeVPSieNode).Object, vpsieNodeBounds()) })
