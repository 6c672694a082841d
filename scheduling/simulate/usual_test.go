// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package simulate_test

import (
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// A new version of Kubernetes with another filter in its default profile fails here: then that filter has to be counted, or its pods to be
// asked about one by one.
func TestTheVerdictsOfUsualProfilesCanBeForeseen(t *testing.T) {
	const head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: default-scheduler\n"
	for name, c := range map[string]struct {
		configuration string
		usual         bool
	}{
		"the default":           {"", true},
		"other weights":         {"  plugins: {score: {enabled: [{name: ImageLocality, weight: 9}]}}\n", true},
		"a filter is missing":   {"  plugins: {multiPoint: {disabled: [{name: InterPodAffinity}]}}\n", false},
		"an affinity for every": {"  pluginConfig: [{name: NodeAffinity, args: {addedAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: Exists}]}]}}}}]\n", false},
		"a resource is ignored": {"  pluginConfig: [{name: NodeResourcesFit, args: {ignoredResources: [example.com/a]}}]\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			var scheduler *simulate.Scheduler
			if c.configuration != "" {
				var err error
				if scheduler, err = simulate.ReadScheduler("scheduler.yaml", []byte(head+c.configuration), nil); err != nil {
					t.Fatal(err)
				}
			}
			snap, err := snapshot.New(snapshot.Objects{})
			if err != nil {
				t.Fatal(err)
			}
			engine, err := simulate.New(snap, simulate.Options{Scheduler: scheduler})
			if err != nil {
				t.Fatal(err)
			}
			defer engine.Close()
			if got := engine.Usual(build.MakePod("p").Obj()); got != c.usual {
				t.Errorf("got %v, want %v", got, c.usual)
			}
		})
	}
}
