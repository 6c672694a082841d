// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/demo"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestHoldAfter(t *testing.T) {
	cases := map[string]struct {
		ended    error // how the demo did
		failed   error // what ends while it is held
		pressed  bool  // Ctrl-C during the demo
		wantSaid string
		want     string
	}{
		"a good demo is held until Ctrl-C": {wantSaid: "guide"},
		"the reason of a bad one is told before the wait": {
			ended: errors.New("2 of 36 pods ran"), wantSaid: "\n2 of 36 pods ran\nguide", want: "the demo failed, for the reason told above",
		},
		"what breaks while it is held ends it": {
			failed: errors.New("vpsie-autoscaler ended by itself"), wantSaid: "guide", want: "the sandbox broke: vpsie-autoscaler ended by itself",
		},
		"a broken sandbox is not held": {
			ended: fmt.Errorf("%w: etcd ended by itself", demo.ErrBroke), want: "the sandbox broke: etcd ended by itself",
		},
		"Ctrl-C during the demo ends it": {ended: context.Canceled, pressed: true, want: "context canceled"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, press := context.WithCancel(t.Context())
			defer press()
			failed := make(chan error, 1)
			if tc.pressed {
				press()
			}
			if tc.failed != nil {
				failed <- tc.failed
			}
			var said bytes.Buffer
			var saidBefore string
			ended := make(chan error)
			out := writer(func(chunk []byte) {
				said.Write(chunk)
				if saidBefore = said.String(); saidBefore == tc.wantSaid && tc.failed == nil {
					press() // what was to be said has been said while it is held
				}
			})
			go func() { ended <- holdAfter(ctx, out, tc.ended, failed, "guide") }()
			if diff := cmp.Diff(tc.want, text(<-ended)); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.wantSaid, said.String()); diff != "" {
				t.Errorf("said (-want +got):\n%s", diff)
			}
		})
	}
}

type writer func([]byte)

func (w writer) Write(chunk []byte) (int, error) { w(chunk); return len(chunk), nil }

func TestGuide(t *testing.T) {
	info := stack.Info{Kubeconfig: "/state/kubeconfig/admin", Bin: "/repo/.cache/bin", VPSieURL: "http://127.0.0.1:8000", ControllerLog: "/state/log/vpsie-autoscaler.log"}
	want := `
The sandbox is up. Ctrl-C ends it.

  export KUBECONFIG="/state/kubeconfig/admin"
  export PATH="/repo/.cache/bin:$PATH"   # kubectl and helm of the cluster's version

  simulated VPSie:   http://127.0.0.1:8000
  its books:         http://127.0.0.1:8000/sim/v1/ledger
  controller's log:  /state/log/vpsie-autoscaler.log

  Try: kubectl apply -f test/e2e/testdata/nodegroup.yaml -f test/e2e/testdata/shop
       kubectl get ng,vn,dis,nodes,pods --all-namespaces
`
	if diff := cmp.Diff(want, guide(info, "test/e2e/testdata")); diff != "" {
		t.Errorf("with a controller (-want +got):\n%s", diff)
	}
	info.ControllerLog = ""
	want = `
The sandbox is up. Ctrl-C ends it.

  export KUBECONFIG="/state/kubeconfig/admin"
  export PATH="/repo/.cache/bin:$PATH"   # kubectl and helm of the cluster's version

  simulated VPSie:   http://127.0.0.1:8000
  its books:         http://127.0.0.1:8000/sim/v1/ledger
  no controller runs

  Try: kubectl get nodes,pods --all-namespaces
`
	if diff := cmp.Diff(want, guide(info, "test/e2e/testdata")); diff != "" {
		t.Errorf("without a controller (-want +got):\n%s", diff)
	}
}
