// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
)

// wholeNodeGroup has every field that a bound is about.
const wholeNodeGroup = `
apiVersion: autoscaler.vpsie.com/v1alpha1
kind: NodeGroup
metadata:
  name: web
spec:
  template:
    labels: {team: web}
    annotations: {example.com/note: kept}
    taints: [{key: dedicated, value: web, effect: NoSchedule}]
    startupTaints: [{key: example.com/cni, effect: NoExecute}]
    requirements: [{key: autoscaler.vpsie.com/category, operator: In, values: [general], minValues: 1}]
    terminationGracePeriod: 1h
    expireAfter: 720h
    reserved: {cpu: 100m, memory: 256Mi}
    maxPods: 110
  maxWorkloadShare: 50
  preferencePrice: "0.001"
  limits: {cpu: "64", memory: 256Gi, nodes: 5000, costPerHour: "2.5"}
  headroom: [{name: web, replicas: 2, cpu: 500m, memory: 1Gi}]
  disruption:
    policy: WhenCheaper
    consolidateAfter: 5m
    minimumSavings: "0.01"
    budgets: [{nodes: 10%, reasons: [Empty], schedule: 0 22 * * 1-5, duration: 8h, timeZone: Europe/Helsinki}]
    approval: Automatic
  vpsie: {clusterID: c1, projectID: p1, datacenter: hel, offerings: [s-1vcpu-1gb]}
  paused: None
status:
  nodes: 1
  readyNodes: 1
  failedNodes: 0
  offerings: 3
  resources: {cpu: "4"}
  costPerHour: "0.0333"
  lowerBoundPerHour: "0.0333"
  conditions: [{type: Ready, status: "True", reason: Ready, message: "", lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 1}]
`

const (
	badLabelKeys       = "labels must have keys such as team or example.com/team: a name of at most 63 letters, digits, '-', '_' or '.', after an optional DNS name and '/'"
	badLabelValues     = "labels must have values that are empty or at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
	reservedLabels     = "labels must not have keys under autoscaler.vpsie.com/ nor hostname, arch, os, instance-type, region or zone, because the controller and the kubelet set those; remove them"
	badAnnotationKeys  = "annotations must have keys such as team or example.com/team: a name of at most 63 letters, digits, '-', '_' or '.', after an optional DNS name and '/'"
	badExpireAfter     = "expireAfter must be a duration from 5m to 87600h, such as 720h; leave it out for machines that never expire"
	badTermination     = "terminationGracePeriod must be a duration from 1s to 720h, such as 1h; leave it out for a drain that waits for ever"
	badTaintKey        = "key must be a name of at most 63 letters, digits, '-', '_' or '.', after an optional DNS name and '/', such as team or example.com/team"
	badTaintValue      = "value must be empty or at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
	badTimeZone        = "timeZone must be an IANA name such as Europe/Helsinki or UTC"
	badNodes           = `nodes must be a number of machines such as "3" or a share such as "10%", at most 9999 or 100%`
	badSchedule        = "schedule must be five cron fields (minute, hour, day of month, month, weekday 0-6) such as 0 22 * * 1-5, or @hourly, @daily, @weekly, @monthly or @yearly"
	badRequirementName = "values must each be 1 to 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit, because they are compared with labels"
	lonelyTimeZone     = "timeZone must come with a schedule; add schedule and duration or remove timeZone"
	lonelySchedule     = "schedule and duration must be set together; add the other one or remove both"
	tooFewValues       = "minValues must not be greater than the number of values for operator In; name more values or lower minValues"
	needsNumber        = `values must be exactly one whole number for operator Gt or Lt, such as ["4"]`
)

// labelKeys are the bounds of the keys of labels, wherever they are.
func labelKeys(at string) []bound {
	return []bound{
		{at: at, keyword: "cel", pass: keys(1, ""), refuse: map[string]any{"-team": ""}, says: "{at}: Invalid value: " + badLabelKeys},
		{at: at, keyword: "cel", pass: map[string]any{"example.com/team": ""}, refuse: map[string]any{"example..com/team": ""}, says: "{at}: Invalid value: " + badLabelKeys},
		{at: at, of: at + "{}", keyword: "maxLength", pass: map[string]any{"team": strings.Repeat("a", 63)}, refuse: map[string]any{"team": strings.Repeat("a", 64)}, says: "{at}.team: Too long: may not be more than 63 bytes"},
	}
}

// labelValues are the bounds of the values of labels that people write.
func labelValues(at string) []bound {
	return []bound{
		{at: at, keyword: "cel", pass: map[string]any{"team": "Web_1.2"}, refuse: map[string]any{"team": "the web"}, says: "{at}: Invalid value: " + badLabelValues},
	}
}

// annotationBounds are the bounds of annotations.
func annotationBounds(at string) []bound {
	return []bound{
		{at: at, keyword: "cel", pass: map[string]any{"example.com/note": "any text: ok"}, refuse: map[string]any{"example.com/": "x"}, says: "{at}: Invalid value: " + badAnnotationKeys},
		{at: at, of: at + "{}", keyword: "maxLength", pass: map[string]any{"note": strings.Repeat("a", 4096)}, refuse: map[string]any{"note": strings.Repeat("a", 4097)}, says: "{at}.note: Too long: may not be more than 4096 bytes"},
	}
}

// taintBounds are the bounds of a list of taints with one entry.
func taintBounds(list string) []bound {
	taint := func(i int) any { return map[string]any{"key": named(i), "effect": "NoSchedule"} }
	return append([]bound{
		most(list, 20, taint),
		{at: list, keyword: "unique", pass: []any{taint(0), map[string]any{"key": named(0), "effect": "NoExecute"}}, refuse: []any{taint(0), taint(1), taint(0)}, says: `{at}[2]: Duplicate value: {"effect":"NoSchedule","key":"name-0"}`},
	}, below(list+"[0]", []bound{
		required("key", "dedicated"),
		{at: "key", keyword: "maxLength", pass: strings.Repeat("a.", 126) + "a/" + strings.Repeat("a", 63), refuse: strings.Repeat("a.", 127) + "/" + strings.Repeat("a", 63), says: tooLong(317)},
		{at: "key", keyword: "cel", pass: "example.com/web", refuse: "the web", says: `{at}: Invalid value: "the web": ` + badTaintKey},
		{at: "key", keyword: "cel", pass: "w", refuse: "", says: `{at}: Invalid value: "": ` + badTaintKey},
		longest("value", 63),
		{at: "value", keyword: "cel", pass: "", refuse: "-web", says: `{at}: Invalid value: "-web": ` + badTaintValue},
		required("effect", "NoExecute"),
		oneOf("effect", "PreferNoSchedule", "NoSchedule", "PreferNoSchedule", "NoExecute"),
	})...)
}

// conditionBounds are the bounds of status.conditions with one entry.
func conditionBounds() []bound {
	condition := func(i int) any {
		return map[string]any{"type": named(i), "status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}
	}
	return append([]bound{
		most("status.conditions", 16, condition),
		{at: "status.conditions", keyword: "unique", pass: many(2, condition), refuse: []any{condition(0), condition(0)}, says: `{at}[1]: Duplicate value: {"type":"name-0"}`},
	}, below("status.conditions[0]", []bound{
		required("lastTransitionTime", "2026-01-02T03:04:05Z"),
		required("message", ""),
		longest("message", 32768),
		atLeast("observedGeneration", 0),
		required("reason", "Ready"),
		longest("reason", 1024),
		{at: "reason", keyword: "minLength", pass: "A", refuse: "", says: `{at}: Invalid value: "": {body} in body should be at least 1 chars long`},
		shaped("reason", `^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`, "NotReady", "not ready"),
		required("status", "Unknown"),
		oneOf("status", "False", "True", "False", "Unknown"),
		required("type", "Ready"),
		longest("type", 316),
		shaped("type", `^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$`, "Ready", "is ready"),
	})...)
}

// templateBounds are the bounds of NodeTemplate.
func templateBounds() []bound {
	requirement := func(int) any { return map[string]any{"key": "kubernetes.io/arch", "operator": "Exists"} }
	return append(append(append(taintBounds("taints"), taintBounds("startupTaints")...), []bound{
		mostKeys("labels", 50, ""),
		{at: "labels", keyword: "cel", pass: map[string]any{"node-role.kubernetes.io/worker": ""}, refuse: map[string]any{"autoscaler.vpsie.com/managed": "true"}, says: "{at}: Invalid value: " + reservedLabels},
		{at: "labels", keyword: "cel", pass: map[string]any{"zone": "a"}, refuse: map[string]any{"topology.kubernetes.io/zone": "a"}, says: "{at}: Invalid value: " + reservedLabels},
		mostKeys("annotations", 50, ""),
		{at: "annotations", keyword: "cel", pass: map[string]any{"autoscaler.vpsie.com/protected": "true"}, refuse: map[string]any{"autoscaler.vpsie.com/vps-id": "1"}, says: "{at}: Invalid value: annotations must not have the keys creation-reason, vps-id or pods of autoscaler.vpsie.com/, because the controller sets those; remove them"},
		{at: "taints[0].key", of: "taints", keyword: "cel", pass: "vpsie.com/web", refuse: "autoscaler.vpsie.com/web", says: "spec.template.taints: Invalid value: taints must not have keys under autoscaler.vpsie.com/ or node.kubernetes.io/, because the controllers set those; remove them"},
		{at: "startupTaints[0].key", of: "startupTaints", keyword: "cel", pass: "node.cilium.io/agent-not-ready", refuse: "node.kubernetes.io/not-ready", says: "spec.template.startupTaints: Invalid value: startupTaints must not have keys under autoscaler.vpsie.com/ or node.kubernetes.io/, because the controllers set those; remove them"},
		{at: "startupTaints[0]", of: ".", keyword: "cel", pass: overlay{"key": "dedicated", "effect": "NoExecute"}, refuse: overlay{"key": "dedicated", "effect": "NoSchedule"}, says: "spec.template.startupTaints: Invalid value: startupTaints must not repeat the key and effect of an entry of taints, because a Node carries each only once; remove one of the two"},
		most("requirements", 30, requirement),
		atLeast("maxPods", 1),
		atMost("maxPods", 1000),
	}...), below("", labelKeys("labels"), labelValues("labels"), annotationBounds("annotations"),
		durations("terminationGracePeriod", "0.5s", "1s", "720h", "720h0m1s", badTermination),
		durations("expireAfter", "4m59s", "5m", "87600h", "87601h", badExpireAfter),
		amounts("reserved.cpu", "1000", "1001", "cpu must be an amount from 0 to 1000, such as 100m"),
		amounts("reserved.memory", "1Pi", "2Pi", "memory must be an amount from 0 to 1Pi, such as 256Mi"),
		below("requirements[0]", requirementBounds()),
	)...)
}

// requirementBounds are the bounds of Requirement.
func requirementBounds() []bound {
	valid := v1alpha1.RequirementKeys()
	const of, here = ".", "spec.template.requirements[0]"
	cpu := func(values ...any) overlay {
		return overlay{"key": "autoscaler.vpsie.com/cpu", "operator": "Gt", "values": values}
	}
	choice := func(key, operator string, least int, values ...any) overlay {
		if len(values) == 0 {
			return overlay{"key": key, "operator": operator, "minValues": least, "values": absent{}}
		}
		return overlay{"key": key, "operator": operator, "minValues": least, "values": values}
	}
	return []bound{
		required("key", "kubernetes.io/arch"),
		oneOf("key", valid[0], valid...),
		required("operator", "NotIn"),
		oneOf("operator", "NotIn", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"),
		most("values", 100, named),
		{at: "values", of: "values[]", keyword: "maxLength", pass: []any{strings.Repeat("a", 63)}, refuse: []any{strings.Repeat("a", 64)}, says: "{at}[0]: Too long: may not be more than 63 bytes"},
		{at: "values", keyword: "cel", pass: []any{"a", "B-2"}, refuse: []any{"a", "b c"}, says: "{at}: Invalid value: " + badRequirementName},
		{at: "values", keyword: "cel", pass: []any{"a"}, refuse: []any{""}, says: "{at}: Invalid value: " + badRequirementName},
		{at: "values", of: of, keyword: "cel", pass: []any{"general"}, refuse: []any{}, says: "{at}: Invalid value: values must not be empty for operator In or NotIn; name at least one value"},
		{at: "values", of: of, keyword: "cel", pass: []any{"general"}, refuse: absent{}, says: "{at}: Invalid value: values must not be empty for operator In or NotIn; name at least one value"},
		{at: "operator", of: of, keyword: "cel", pass: "NotIn", refuse: "Exists", says: here + ".values: Invalid value: values must be left out for operator Exists or DoesNotExist; remove them or use In or NotIn"},
		{at: "", of: of, keyword: "cel", pass: cpu("4"), refuse: cpu("4", "8"), says: here + ".values: Invalid value: " + needsNumber},
		{at: "", of: of, keyword: "cel", pass: cpu("16"), refuse: cpu("four"), says: here + ".values: Invalid value: " + needsNumber},
		{at: "", of: of, keyword: "cel", pass: overlay{"key": "autoscaler.vpsie.com/memory", "operator": "Lt", "values": []any{"4096"}}, refuse: overlay{"key": "kubernetes.io/arch", "operator": "Lt", "values": []any{"64"}}, says: here + ".operator: Invalid value: operator must not be Gt or Lt unless key is autoscaler.vpsie.com/cpu or autoscaler.vpsie.com/memory, because only those are numbers; use In or NotIn"},
		atLeast("minValues", 1),
		{at: "", of: "minValues", keyword: "maximum", pass: choice("autoscaler.vpsie.com/offering", "Exists", 16), refuse: choice("autoscaler.vpsie.com/offering", "Exists", 17), says: here + ".minValues: Invalid value: 17: " + here + ".minValues in body should be less than or equal to 16"},
		{at: "", of: of, keyword: "cel", pass: choice("node.kubernetes.io/instance-type", "In", 2, "a", "b"), refuse: choice("node.kubernetes.io/instance-type", "In", 3, "a", "b"), says: here + ".minValues: Invalid value: " + tooFewValues},
		{at: "", of: of, keyword: "cel", pass: choice("autoscaler.vpsie.com/offering", "Exists", 2), refuse: choice("topology.kubernetes.io/zone", "Exists", 2), says: here + ".minValues: Invalid value: minValues must be left out where key is datacenter, region or zone, because a machine is ordered in one datacenter; remove it"},
		{at: "", of: of, keyword: "cel", pass: choice("autoscaler.vpsie.com/category", "Exists", 2), refuse: choice("autoscaler.vpsie.com/category", "DoesNotExist", 2), says: here + ".minValues: Invalid value: minValues must be left out for operator DoesNotExist, because there are no values to choose from; remove it"},
	}
}

// disruptionRuleBounds are the bounds of DisruptionRules.
func disruptionRuleBounds() []bound {
	budget := func(int) any { return map[string]any{"nodes": "1"} }
	bounds := below("", prices("minimumSavings"), []bound{
		oneOf("policy", "Never", "WhenEmpty", "WhenCheaper", "Never"),
		oneOf("approval", "Required", "Automatic", "Required"),
		most("budgets", 16, budget),
	}, durations("consolidateAfter", "-0s", "0s", "720h", "720h0m1s", "consolidateAfter must be a duration from 0s to 720h, such as 5m"))
	return append(bounds, below("budgets[0]", []bound{
		required("nodes", "1"),
		{at: "nodes", keyword: "maxLength", pass: "9999", refuse: "10000", says: tooLong(4)},
		{at: "nodes", keyword: "cel", pass: "100%", refuse: "101%", says: `{at}: Invalid value: "101%": ` + badNodes},
		{at: "nodes", keyword: "cel", pass: "0", refuse: "-1", says: `{at}: Invalid value: "-1": ` + badNodes},
		{at: "reasons", keyword: "maxItems", pass: []any{"Empty", "Expired", "Drifted", "Unhealthy", "Cheaper"}, refuse: []any{"Empty", "Expired", "Drifted", "Unhealthy", "Cheaper", "Empty"}, says: "{at}: Too many: 6: must have at most 5 items\n{at}[5]: Duplicate value: \"Empty\""},
		{at: "reasons", keyword: "unique", pass: []any{"Empty", "Cheaper"}, refuse: []any{"Empty", "Empty"}, says: `{at}[1]: Duplicate value: "Empty"`},
		oneOf("reasons[0]", "Cheaper", "Empty", "Expired", "Drifted", "Unhealthy", "Cheaper"),
		{at: "schedule", keyword: "maxLength", pass: "0 " + strings.Repeat("0", 112) + " * * *", refuse: "0 " + strings.Repeat("0", 113) + " * * *", says: tooLong(120)},
		{at: "schedule", keyword: "cel", pass: "*/15 0,12 1-5 JAN mon-fri", refuse: "0 22 * *", says: `{at}: Invalid value: "0 22 * *": ` + badSchedule},
		{at: "schedule", keyword: "cel", pass: "@daily", refuse: "@every 1h", says: `{at}: Invalid value: "@every 1h": ` + badSchedule},
		{at: "schedule", keyword: "cel", pass: "0 22 * * *", refuse: "", says: `{at}: Invalid value: "": ` + badSchedule},
		{at: "schedule", of: ".", keyword: "cel", pass: "@daily", refuse: absent{}, says: "spec.disruption.budgets[0].schedule: Invalid value: " + lonelySchedule + "\nspec.disruption.budgets[0].timeZone: Invalid value: " + lonelyTimeZone},
		{at: "duration", of: ".", keyword: "cel", pass: "1h", refuse: absent{}, says: "spec.disruption.budgets[0].schedule: Invalid value: " + lonelySchedule},
		longest("timeZone", 64),
		{at: "timeZone", keyword: "cel", pass: "America/Argentina/Buenos_Aires", refuse: "Local", says: `{at}: Invalid value: "Local": ` + badTimeZone},
		{at: "timeZone", keyword: "cel", pass: "Etc/GMT+5", refuse: "+02:00", says: `{at}: Invalid value: "+02:00": ` + badTimeZone},
		{at: "", of: ".", keyword: "cel", pass: overlay{"schedule": absent{}, "duration": absent{}, "timeZone": absent{}}, refuse: overlay{"schedule": absent{}, "duration": absent{}}, says: "spec.disruption.budgets[0].timeZone: Invalid value: " + lonelyTimeZone},
	}, durations("duration", "59s", "1m", "8760h", "8761h", "duration must be a duration from 1m to 8760h, such as 8h"))...)
}

// vpsieBounds are the bounds of VPSieSettings.
func vpsieBounds() []bound {
	return []bound{
		notEmpty("clusterID"),
		longest("clusterID", 64),
		notEmpty("projectID"),
		longest("projectID", 64),
		notEmpty("datacenter"),
		longest("datacenter", 64),
		most("offerings", 100, named),
		{at: "offerings", keyword: "unique", pass: []any{"a", "b"}, refuse: []any{"a", "b", "a"}, says: `{at}[2]: Duplicate value: "a"`},
		notEmpty("offerings[0]"),
		longest("offerings[0]", 64),
	}
}

// headroomBounds are the bounds of spec.headroom with one entry.
func headroomBounds() []bound {
	room := func(i int) any {
		return map[string]any{"name": named(i), "replicas": 1, "cpu": "1", "memory": "1Gi"}
	}
	return append([]bound{
		most("headroom", 16, room),
		{at: "headroom", keyword: "unique", pass: many(2, room), refuse: []any{room(0), room(0)}, says: `{at}[1]: Duplicate value: {"name":"name-0"}`},
	}, below("headroom[0]", []bound{
		required("name", "web"),
		longest("name", 63),
		{at: "name", keyword: "minLength", pass: "a", refuse: "", says: `{at}: Invalid value: "": {body} in body should be at least 1 chars long`},
		shaped("name", "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "web-1", "Web"),
		required("replicas", 1),
		atLeast("replicas", 1),
		atMost("replicas", 1000),
		required("cpu", "1"),
		required("memory", "1Gi"),
		{at: "", of: ".", keyword: "cel", pass: overlay{"cpu": 0, "memory": 1}, refuse: overlay{"cpu": 0, "memory": "0Gi"}, says: "{at}: Invalid value: cpu and memory must not both be zero; say what one such pod requests"},
	}, amounts("cpu", "1000", "1001", "cpu must be an amount from 0 to 1000, such as 500m"), amounts("memory", "1Pi", "1025Ti", "memory must be an amount from 0 to 1Pi, such as 1Gi"))...)
}

// nodeGroupBounds are the bounds of NodeGroup.
func nodeGroupBounds() []bound {
	const (
		overMax      = "spec.minNodes: Invalid value: minNodes must not be greater than maxNodes; lower minNodes or raise maxNodes"
		minOverLimit = "spec.minNodes: Invalid value: minNodes must not be greater than limits.nodes; lower minNodes or raise limits.nodes"
		maxOverLimit = "spec.maxNodes: Invalid value: maxNodes must not be greater than limits.nodes; lower maxNodes or raise limits.nodes"
	)
	spec := []bound{
		atLeast("minNodes", 0),
		atMost("minNodes", 5000).and(minOverLimit),
		atLeast("maxNodes", 0).and(overMax),
		atMost("maxNodes", 5000).and(maxOverLimit),
		{at: "", of: ".", keyword: "cel", pass: overlay{"minNodes": 3, "maxNodes": 3}, refuse: overlay{"minNodes": 4, "maxNodes": 3}, says: overMax},
		{at: "", of: ".", keyword: "cel", pass: overlay{"minNodes": 3, "limits": overlay{"nodes": 3}}, refuse: overlay{"minNodes": 4, "limits": overlay{"nodes": 3}}, says: minOverLimit},
		{at: "", of: ".", keyword: "cel", pass: overlay{"maxNodes": 3, "limits": overlay{"nodes": 3}}, refuse: overlay{"maxNodes": 4, "limits": overlay{"nodes": 3}}, says: maxOverLimit},
		atLeast("limits.nodes", 0).and(minOverLimit),
		atMost("limits.nodes", 5000),
		atLeast("weight", 1),
		atMost("weight", 1000),
		atLeast("maxWorkloadShare", 1),
		atMost("maxWorkloadShare", 100),
		oneOf("paused", "All", "None", "Provisioning", "Disruption", "All"),
	}
	status := []bound{
		atLeast("nodes", 0),
		atLeast("readyNodes", 0),
		atLeast("failedNodes", 0),
		atLeast("offerings", 0),
	}
	return below("",
		[]bound{
			{at: "metadata.name", of: ".", keyword: "cel", pass: strings.Repeat("a", 40), refuse: strings.Repeat("a", 41), says: "Invalid value: metadata.name must be at most 40 characters, because the names of VPSieNodes start with it; choose a shorter one"},
			required("spec", map[string]any{}),
		},
		below("spec", spec, headroomBounds(), prices("limits.costPerHour"), prices("preferencePrice"),
			amounts("limits.cpu", "1M", "1000001", "cpu must be an amount from 0 to 1M, such as 64"),
			amounts("limits.memory", "1Ei", "2Ei", "memory must be an amount from 0 to 1Ei, such as 256Gi"),
			below("template", templateBounds()), below("disruption", disruptionRuleBounds()), below("vpsie", vpsieBounds())),
		below("status", status, prices("costPerHour"), prices("lowerBoundPerHour"), resourceBounds("resources")),
		conditionBounds(),
	)
}

var _ = Describe("A NodeGroup", Label("basic"), func() { describeBounds(parse(wholeNodeGroup).Object, nodeGroupBounds()) })
