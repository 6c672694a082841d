// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package demo turns a running sandbox into an account for people: a shop is applied, its pods become machines, the shop closes, the
// machines go. It only does what a user of the cluster could do, and it never calls a run good that left a pod idle or a machine paid for.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/stack"
)

// Options of the demo. Manifests and Out are needed; the rest may be left out.
type Options struct {
	Manifests string    // folder with nodegroup.yaml and shop/*.yaml
	Out       io.Writer // where the account goes
	Clock     clock.WithTicker
	Patience  time.Duration // how long a chapter may take; 5m
	Interval  time.Duration // between two glances; 300ms
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Minute
	}
	if o.Interval == 0 {
		o.Interval = 300 * time.Millisecond
	}
	return o
}

// ErrBroke says that a part of the sandbox ended, so that the rest is of no use.
var ErrBroke = errors.New("the sandbox broke")

// Run tells the story from the first pending pod to the last released machine. The error names everything that is not as it should be.
func Run(ctx context.Context, s *stack.Stack, options Options) error {
	kube, err := connect(s.Cluster.AdminConfig())
	if err != nil {
		return err
	}
	return run(ctx, world{
		kube: kube, vpsie: s.Admin, failed: s.Failed(), log: s.Info.ControllerLog,
		alive: func(ctx context.Context) error { return alive(ctx, s.Info.HealthURL) },
	}, options.withDefaults())
}

// connect makes a client that is not slowed down: it reads everything several times a second.
func connect(config *rest.Config) (client.Client, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("knowing the kinds: %w", err)
	}
	config = rest.CopyConfig(config)
	config.QPS = -1
	kube, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return kube, nil
}

// alive asks the controller whether it lives. Without a controller there is nobody to ask.
func alive(ctx context.Context, url string) error {
	if url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, hang/4)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/healthz", http.NoBody)
	if err != nil {
		return fmt.Errorf("asking the controller for its health: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking the controller for its health: %w", err)
	}
	_ = response.Body.Close()
	return nil
}

// world is what the demo acts on and looks at.
type world struct {
	kube   client.Client
	vpsie  books
	failed <-chan error // a part of the sandbox ended
	alive  func(context.Context) error
	log    string // the controller's
}
