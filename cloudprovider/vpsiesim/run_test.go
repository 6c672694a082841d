// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package vpsiesim_test

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cloudprovider/vpsiesim"
)

// TestRunKeepsTimeByItself runs in a bubble whose time moves when everybody waits, on the real clock.
func TestRunKeepsTimeByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := &joiner{}
		sim, err := vpsiesim.New(vpsiesim.Options{
			Token: token, VisibleDelay: between(10), IPDelay: between(5), BootDelay: between(60), DeleteDelay: 20 * time.Second, Joiner: nodes,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- sim.Run(ctx) }()
		send := func(method, path, body string) {
			request := httptest.NewRequestWithContext(ctx, method, "/apps/v2/k8s/cluster/byId/"+sim.ClusterIdentifier()+path, strings.NewReader(body))
			request.Header.Set("Vpsie-Auth", token)
			request.Header.Set("Content-Type", "application/json")
			sim.Handler().ServeHTTP(httptest.NewRecorder(), request)
		}
		after := func(wait time.Duration, want string) {
			t.Helper()
			time.Sleep(wait)
			synctest.Wait()
			if got := nodes.did(); got != want {
				t.Errorf("the joiner did %q, want %q", got, want)
			}
		}
		send("POST", "/add/slave", "")
		after(30*time.Second, "")
		send("POST", "/add/slave", "") // while Run sleeps for the first
		after(44*time.Second, "")
		after(time.Second, "join")
		after(30*time.Second, "join, join")
		send("DELETE", "/delete/slave", `{"identifier":"`+nodes.joined[0].Identifier+`"}`)
		after(19*time.Second, "join, join")
		after(time.Second, "join, join, leave")
		after(time.Hour, "join, join, leave")
		nodes.fail = 1
		send("POST", "/add/slave", "")
		after(75*time.Second, "join, join, leave, failed join")
		after(time.Second, "join, join, leave, failed join, join")
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func TestRunEndsOnlyWhenTheJoinerHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowJoiner{}
		sim, err := vpsiesim.New(vpsiesim.Options{Token: token, Joiner: slow})
		if err != nil {
			t.Fatal(err)
		}
		order := func() {
			request := httptest.NewRequestWithContext(t.Context(), "POST", "/apps/v2/k8s/cluster/byId/"+sim.ClusterIdentifier()+"/add/slave", nil)
			request.Header.Set("Vpsie-Auth", token)
			sim.Handler().ServeHTTP(httptest.NewRecorder(), request)
		}
		order()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- sim.Run(ctx) }()
		synctest.Wait()
		order() // wakes Run, which must not join the first one again
		synctest.Wait()
		stop()
		synctest.Wait()
		select {
		case <-ended:
			t.Error("Run ended while a machine was joining")
		default:
		}
		if err := <-ended; err != nil || slow.began.Load() != 2 || slow.finished.Load() != 2 {
			t.Errorf("Run ended with %v, %d machines began to join and %d have, want 2", err, slow.began.Load(), slow.finished.Load())
		}
	})
}

// slowJoiner takes a minute and does not look at its context.
type slowJoiner struct{ began, finished atomic.Int32 }

func (j *slowJoiner) Join(context.Context, vpsiesim.Machine) error {
	j.began.Add(1)
	time.Sleep(time.Minute)
	j.finished.Add(1)
	return nil
}

func (j *slowJoiner) Leave(context.Context, vpsiesim.Machine) error { return nil }
