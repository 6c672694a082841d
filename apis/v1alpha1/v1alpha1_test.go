// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestAddToScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for kind, object := range map[string]runtime.Object{
		"NodeGroup": &NodeGroup{}, "NodeGroupList": &NodeGroupList{},
		"VPSieNode": &VPSieNode{}, "VPSieNodeList": &VPSieNodeList{},
		"Disruption": &Disruption{}, "DisruptionList": &DisruptionList{},
	} {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil {
			t.Fatal(err)
		}
		if len(kinds) != 1 || kinds[0] != GroupVersion.WithKind(kind) {
			t.Errorf("%T is registered as %v, want %v", object, kinds, GroupVersion.WithKind(kind))
		}
	}
}

func TestManaged(t *testing.T) {
	for name, test := range map[string]struct {
		labels map[string]string
		want   bool
	}{
		"the label with the value true hands it over":     {map[string]string{"autoscaler.vpsie.com/managed": "true"}, true},
		"another value of the label does not":             {map[string]string{"autoscaler.vpsie.com/managed": "false"}, false},
		"another spelling of true does not":               {map[string]string{"autoscaler.vpsie.com/managed": "True"}, false},
		"a group without labels belongs to somebody else": {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			group := &NodeGroup{ObjectMeta: metav1.ObjectMeta{Labels: test.labels}}
			if got := group.Managed(); got != test.want {
				t.Errorf("Managed() = %v, want %v", got, test.want)
			}
		})
	}
}

func TestFinished(t *testing.T) {
	phases := []DisruptionPhase{
		"", DisruptionProposed, DisruptionApproved, DisruptionLaunching, DisruptionDraining, DisruptionVerifying,
		DisruptionSucceeded, DisruptionRolledBack, DisruptionRejected,
	}
	var finished []DisruptionPhase
	for _, phase := range phases {
		if phase.Finished() {
			finished = append(finished, phase)
		}
	}
	if diff := cmp.Diff([]DisruptionPhase{DisruptionSucceeded, DisruptionRolledBack, DisruptionRejected}, finished); diff != "" {
		t.Error(diff)
	}
}

func TestGetConditions(t *testing.T) {
	condition := metav1.Condition{Type: ConditionReady}
	group, node, disruption := &NodeGroup{}, &VPSieNode{}, &Disruption{}
	for name, conditions := range map[string]*[]metav1.Condition{"NodeGroup": group.GetConditions(), "VPSieNode": node.GetConditions(), "Disruption": disruption.GetConditions()} {
		if *conditions = append(*conditions, condition); len(*conditions) != 1 {
			t.Errorf("%s has %d conditions", name, len(*conditions))
		}
	}
	want := []metav1.Condition{condition}
	for name, got := range map[string][]metav1.Condition{"NodeGroup": group.Status.Conditions, "VPSieNode": node.Status.Conditions, "Disruption": disruption.Status.Conditions} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what was set through GetConditions is not in the status of the %s:\n%s", name, diff)
		}
	}
}

func TestNamesOfMachines(t *testing.T) {
	name := func(i int) string { return fmt.Sprintf("web-%d", i) }
	for title, test := range map[string]struct {
		machines int
		want     string
	}{
		"no machine has no name":             {0, ""},
		"one machine is named":               {1, "web-0"},
		"three machines are named":           {3, "web-0, web-1, web-2"},
		"the fourth and later are counted":   {4, "web-0, web-1, web-2 and 1 more"},
		"as many as a Disruption may remove": {100, "web-0, web-1, web-2 and 97 more"},
	} {
		t.Run(title, func(t *testing.T) {
			var spec DisruptionSpec
			for i := range test.machines {
				spec.Remove = append(spec.Remove, Removal{VPSieNode: name(i)})
				spec.Launch = append(spec.Launch, Replacement{Name: name(i)})
			}
			if diff := cmp.Diff([]string{test.want, test.want}, []string{spec.RemovedNames(), spec.LaunchedNames()}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The status fields refuse more than 256 characters, and a status that is refused stops its controller.
func TestNamesOfMachinesFitTheStatus(t *testing.T) {
	var spec DisruptionSpec
	for range 100 {
		spec.Remove = append(spec.Remove, Removal{VPSieNode: strings.Repeat("n", 63)})
	}
	if length := len(spec.RemovedNames()); length > 256 {
		t.Errorf("RemovedNames() has %d characters", length)
	}
}

func TestRequirementKeysAreSortedAndDifferent(t *testing.T) {
	keys := RequirementKeys()
	if !slices.IsSorted(keys) || len(slices.Compact(slices.Clone(keys))) != len(keys) {
		t.Errorf("RequirementKeys() = %q", keys)
	}
	keys[0] = "changed"
	if RequirementKeys()[0] == "changed" {
		t.Error("a caller can change what RequirementKeys returns to others")
	}
}

func TestCopiesShareNothing(t *testing.T) {
	template := NodeTemplate{Labels: map[string]string{"team": "web"}, Annotations: map[string]string{"note": "kept"}}
	copied := template.DeepCopy()
	copied.Labels["team"], copied.Annotations["note"] = "shop", "lost"
	want := NodeTemplate{Labels: Labels{"team": "web"}, Annotations: Annotations{"note": "kept"}}
	if diff := cmp.Diff(want, template); diff != "" {
		t.Errorf("changing a copy changed the original:\n%s", diff)
	}
	if empty := (&NodeTemplate{}).DeepCopy(); empty.Labels != nil || empty.Annotations != nil {
		t.Errorf("the copy of nothing is %v and %v", empty.Labels, empty.Annotations)
	}
}
