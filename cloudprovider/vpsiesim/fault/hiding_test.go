// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package fault_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

func TestAListIsShortForAWhile(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var h fault.Hiding
	left := func(at time.Time) string {
		text := ""
		for _, identifier := range []string{"a", "b", "c", "new"} {
			if !h.Hides(identifier, at) {
				text += identifier + " "
			}
		}
		return text
	}
	begin := func(kind fault.Kind) {
		h.Begin(fault.Fault{Kind: kind, DelaySeconds: 60}, noon, []string{"a", "b", "c"})
	}
	before := left(noon)
	begin(fault.EmptyList)
	empty, last, over := left(noon), left(noon.Add(59*time.Second)), left(noon.Add(time.Minute))
	begin(fault.ShortList)
	odd := left(noon)
	begin(fault.ShortList)
	even := left(noon)
	want := []string{"a b c new ", "new ", "new ", "a b c new ", "a c new ", "b new "}
	if diff := cmp.Diff(want, []string{before, empty, last, over, odd, even}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !h.Active(noon.Add(59*time.Second)) || h.Active(noon.Add(time.Minute)) {
		t.Error("a list is not short for as long as it is")
	}
}
