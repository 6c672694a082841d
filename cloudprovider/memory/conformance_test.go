// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"testing"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/conformance"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/memory"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim/fault"
)

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) conformance.Harness {
		t.Helper()
		between := func(low, high time.Duration) memory.Range { return memory.Range{Min: low, Max: high} }
		w := newWorld(t, func(o *memory.Options) {
			o.VisibleDelay, o.IPDelay = between(5*time.Second, time.Minute), between(time.Second, 20*time.Second)
			o.BootDelay, o.DeleteDelay = between(time.Minute, 4*time.Minute), time.Minute
		})
		if _, err := w.AddForeign("5"); err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute)
		onChange := func(kind fault.Kind) func() {
			return func() {
				w.script(fault.Fault{Kind: kind, Call: fault.AddSlaveToGroup}, fault.Fault{Kind: kind, Call: fault.DeleteSlave})
			}
		}
		return conformance.Harness{
			Provider: w, Refused: w.Stranger(), Advance: w.pass, Patience: 3 * time.Minute, SetAside: memory.DefaultSetAside,
			Faults: conformance.Faults{
				OutOfStock:            func(string) { w.script(fault.Fault{Kind: fault.NoStock}) },
				AtLimit:               func() { w.LimitTo(0) },
				LoseReplyAfterEffect:  onChange(fault.LostReplyAfterEffect),
				LoseReplyBeforeEffect: onChange(fault.LostReplyBeforeEffect),
				IgnoreRelease:         func() { w.script(fault.Fault{Kind: fault.DeleteLies}) },
				Unreadable:            func() { w.script(fault.Fault{Kind: fault.Status, Call: fault.GetCluster, Status: 502}) },
				Throttle:              func() { w.script(fault.Fault{Kind: fault.RateLimited, Call: fault.AddSlaveToGroup}) },
				AnswerUnknown:         func() { w.script(fault.Fault{Kind: fault.Error200, Call: fault.AddSlaveToGroup, Message: "?"}) },
				AddForeign: func(id string) {
					if _, err := w.AddForeign(id); err != nil {
						t.Error(err)
					}
				},
				Destroy: func(id string) {
					if err := w.Destroy(id); err != nil {
						t.Error(err)
					}
				},
			},
		}
	})
}
