// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsie

import (
	"os"
	"strings"
	"testing"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

// TestThePageOfVPSieIsComplete finds every reason beside its reaction, and every fault of the simulator, in docs/vpsie.md.
func TestThePageOfVPSieIsComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/vpsie.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			rows[strings.Trim(strings.TrimSpace(cells[1]), "`")] = line
		}
	}
	for _, r := range rules("kube-system/vpsie-secret") {
		if !strings.Contains(rows[string(r.reaction)], "`"+r.reason+"`") {
			t.Errorf("the row of %s does not name %s", r.reaction, r.reason)
		}
	}
	for _, kind := range fault.Kinds() {
		if !strings.Contains(string(text), "`"+string(kind)+"`") {
			t.Errorf("fault %s is not named", kind)
		}
	}
}

// TestWhatAPersonHasToDoIsInTheTroubleshooting: whoever reads a reason in a condition looks it up there.
func TestWhatAPersonHasToDoIsInTheTroubleshooting(t *testing.T) {
	text, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	reasons := []string{ReasonAmbiguousCluster, ReasonAmbiguousDatacenter, ReasonClusterNotFound, ReasonDatacenterNotFound, ReasonServerError}
	for _, r := range rules(SecretName) {
		if r.advice != "" {
			reasons = append(reasons, r.reason)
		}
	}
	for _, reason := range reasons {
		if !strings.Contains(string(text), "`"+reason+"`") {
			t.Errorf("%s is not named", reason)
		}
	}
}
