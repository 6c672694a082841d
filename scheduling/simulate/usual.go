// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// usualFilters are the plugins that decide about fit in the default profile, whose verdicts can be foreseen by counting.
func usualFilters() []string {
	return []string{
		names.NodeUnschedulable, names.NodeName, names.TaintToleration, names.NodeAffinity, names.NodePorts, names.NodeResourcesFit,
		names.NodeVolumeLimits, names.VolumeRestrictions, names.VolumeBinding, names.VolumeZone, names.PodTopologySpread,
		names.InterPodAffinity, names.DynamicResources, names.NodeDeclaredFeatures,
	}
}

// Usual says whether the pod's profile decides about fit with kube-scheduler's default plugins, no more and no fewer, and with no rules
// of its own for nodes. Of other profiles nobody can foresee the verdicts.
func (e *Engine) Usual(pod *corev1.Pod) bool {
	fw := e.frameworkOf(pod)
	set := fw.ListPlugins()
	usual := usualFilters()
	enabled := map[string]bool{}
	for _, plugin := range slices.Concat(set.Filter.Enabled, set.PreFilter.Enabled) {
		if enabled[plugin.Name] = true; !slices.Contains(usual, plugin.Name) {
			return false
		}
	}
	for _, name := range usual {
		if !enabled[name] && name != names.DynamicResources && name != names.NodeDeclaredFeatures { // behind feature gates
			return false
		}
	}
	return !slices.ContainsFunc(e.arguments[fw.ProfileName()], func(given config.PluginConfig) bool {
		switch args := given.Args.(type) {
		case *config.NodeAffinityArgs:
			return args.AddedAffinity != nil
		case *config.NodeResourcesFitArgs:
			return len(args.IgnoredResources) > 0 || len(args.IgnoredResourceGroups) > 0
		}
		return false
	})
}
