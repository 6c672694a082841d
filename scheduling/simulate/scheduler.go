// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/featuregate"
	"k8s.io/kubernetes/pkg/features"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
	"k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)

// Scheduler is the cluster's kube-scheduler as far as its verdicts are concerned: its profiles, and the plugins that are compiled into
// it. A nil Scheduler is the stock one of the linked version.
type Scheduler struct {
	profiles []config.KubeSchedulerProfile
	plugins  runtime.Registry // beside the ones in the tree
}

// ReadScheduler reads a KubeSchedulerConfiguration as kube-scheduler does: same scheme, same defaults, same validation. It refuses what
// cannot be imitated and would make plans wrong. Errors name the file and the field. Plugins that are out of the tree but compiled into
// this program come in the registry, which may be nil.
func ReadScheduler(file string, text []byte, registry runtime.Registry) (*Scheduler, error) {
	object, kind, err := scheme.Codecs.UniversalDecoder().Decode(text, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("reading the scheduler configuration %q: %w", file, err)
	}
	read, ok := object.(*config.KubeSchedulerConfiguration)
	if !ok {
		return nil, fmt.Errorf("reading the scheduler configuration %q: kind: got %s; want KubeSchedulerConfiguration", file, kind.Kind)
	}
	read.APIVersion = kind.GroupVersion().String() // the validation reads it, and decoding clears it
	if invalid := validation.ValidateKubeSchedulerConfiguration(read); invalid != nil {
		return nil, fmt.Errorf("reading the scheduler configuration %q: %w", file, invalid)
	}
	s := &Scheduler{profiles: read.Profiles, plugins: registry}
	failures := inimitable(read)
	failures = append(failures, s.prune()...)
	if len(failures) > 0 {
		return nil, fmt.Errorf("reading the scheduler configuration %q: %w", file, utilerrors.NewAggregate(failures))
	}
	s.ignore(read.Extenders)
	return s, nil
}

// Names returns the scheduler names of the profiles. Pods that ask for another scheduler are nobody's business here.
func (s *Scheduler) Names() []string {
	if s == nil {
		return []string{corev1.DefaultSchedulerName}
	}
	var all []string
	for i := range s.profiles {
		all = append(all, s.profiles[i].SchedulerName)
	}
	return all
}

func (s *Scheduler) content() ([]config.KubeSchedulerProfile, runtime.Registry, error) {
	if s != nil {
		return judging(s.profiles), s.plugins, nil
	}
	defaults, err := latest.Default()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the default scheduler configuration: %w", err)
	}
	return judging(defaults.Profiles[:1]), nil, nil
}

// judging returns the profiles without the plugins that act only when the verdict is there. They want more of a scheduler than is here.
func judging(profiles []config.KubeSchedulerProfile) []config.KubeSchedulerProfile {
	acting := []string{names.DefaultPreemption, names.GangScheduling, names.TopologyPlacementGenerator, names.PodGroupPodsCount}
	var all []config.KubeSchedulerProfile
	for i := range profiles {
		profile := profiles[i].DeepCopy()
		for _, set := range pluginSets(profile.Plugins) {
			set.Enabled = slices.DeleteFunc(set.Enabled, func(p config.Plugin) bool { return slices.Contains(acting, p.Name) })
		}
		all = append(all, *profile)
	}
	return all
}

// pluginSets returns the plugins by extension point, as the configuration spells it.
func pluginSets(points *config.Plugins) map[string]*config.PluginSet {
	sets := map[string]*config.PluginSet{}
	if points == nil {
		return sets
	}
	all := reflect.ValueOf(points).Elem()
	for i := range all.NumField() {
		if set, ok := reflect.TypeAssert[*config.PluginSet](all.Field(i).Addr()); ok {
			name := all.Type().Field(i).Name
			sets[strings.ToLower(name[:1])+name[1:]] = set
		}
	}
	return sets
}

// inimitable lists what makes the real scheduler refuse nodes that this program would accept.
func inimitable(read *config.KubeSchedulerConfiguration) (failures []error) {
	for i, extender := range read.Extenders {
		if extender.FilterVerb != "" {
			failures = append(failures, field.Forbidden(field.NewPath("extenders").Index(i).Child("filterVerb"),
				"an extender that filters cannot be asked about nodes that do not exist yet; remove it from this copy of the configuration to have "+
					"plans that it may refuse"))
		}
	}
	for i := range read.Profiles {
		for j, given := range read.Profiles[i].PluginConfig {
			args, ok := given.Args.(*config.PodTopologySpreadArgs)
			if !ok {
				continue
			}
			for k, constraint := range args.DefaultConstraints {
				if constraint.WhenUnsatisfiable == corev1.DoNotSchedule {
					failures = append(failures, field.Forbidden(
						field.NewPath("profiles").Index(i).Child("pluginConfig").Index(j).Child("args", "defaultConstraints").Index(k).Child("whenUnsatisfiable"),
						"a strict default spread depends on Services and owners, which are not watched; write the constraint into the pods"))
				}
			}
		}
	}
	return failures
}

// prune drops plugins that are not compiled in from the extension points that decide nothing about fit, and fails where they do decide.
func (s *Scheduler) prune() (failures []error) {
	known := plugins.NewInTreeRegistry()
	maps.Copy(known, s.plugins)
	for i := range s.profiles {
		points := s.profiles[i].Plugins
		if points == nil {
			continue
		}
		path := field.NewPath("profiles").Index(i).Child("plugins")
		decides := []*config.PluginSet{&points.MultiPoint, &points.PreFilter, &points.Filter, &points.Reserve}
		for point, set := range pluginSets(points) {
			path := path.Child(point).Child("enabled")
			set.Enabled = slices.DeleteFunc(slices.Clone(set.Enabled), func(p config.Plugin) bool {
				_, compiledIn := known[p.Name]
				if !compiledIn && slices.Contains(decides, set) {
					failures = append(failures, field.NotSupported(path, p.Name, sorted(known)))
				}
				return !compiledIn
			})
		}
		// A framework cannot be made without these two, and no verdict depends on them.
		points.QueueSort.Enabled = []config.Plugin{{Name: names.PrioritySort}}
		points.Bind.Enabled = []config.Plugin{{Name: names.DefaultBinder}}
	}
	return failures
}

// ignore makes the plugin for resources pass over those that only an extender counts, as kube-scheduler does.
func (s *Scheduler) ignore(extenders []config.Extender) {
	var ignored []string
	for _, extender := range extenders {
		for _, managed := range extender.ManagedResources {
			if managed.IgnoredByScheduler {
				ignored = append(ignored, managed.Name)
			}
		}
	}
	for i := range s.profiles {
		for j := range s.profiles[i].PluginConfig {
			if args, ok := s.profiles[i].PluginConfig[j].Args.(*config.NodeResourcesFitArgs); ok {
				args.IgnoredResources = append(args.IgnoredResources, ignored...)
			}
		}
	}
}

func sorted(registry runtime.Registry) []string {
	var all []string
	for name := range registry {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Gangs says whether kube-scheduler starts the pods of a pod group together or not at all.
func Gangs() bool { return utilfeature.DefaultFeatureGate.Enabled(features.GenericWorkload) }

// SetFeatureGates makes the plugins behave as those of a kube-scheduler that was started with --feature-gates=GATES, for example
// "GenericWorkload=true". They are one set for the whole process and must be set before the first Engine is made.
func SetFeatureGates(gates string) error {
	tried := utilfeature.DefaultMutableFeatureGate.DeepCopy() // a set that is refused would spoil the real one
	err := tried.Set(gates)
	for _, gate := range []featuregate.Feature{
		features.InterPodAffinityHostnameFastPath, features.CompositePodGroup, features.TopologyAwareWorkloadScheduling,
	} {
		if err == nil && tried.Enabled(gate) {
			err = fmt.Errorf("%s cannot be imitated; leave it out to have plans that kube-scheduler may refuse", gate)
		}
	}
	if err == nil {
		err = utilfeature.DefaultMutableFeatureGate.Set(gates)
	}
	if err != nil {
		return fmt.Errorf("setting the scheduler's feature gates %q: %w", gates, err)
	}
	return nil
}
