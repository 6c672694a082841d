// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/drain"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/disruption/execute"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/garbage"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/lifecycle"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/nodegroup"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/notice"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/yield"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

// run connects everything and blocks until ctx ends or the leadership is lost.
func run(ctx context.Context, c *config) error {
	logger := newLogger(c)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger.WithName("client-go"))
	scheduler, err := newScheduler(c) // a flag that cannot work is told of before an API server is asked for
	if err != nil {
		return err
	}
	restConfig, err := restConfig(c)
	if err != nil {
		return err
	}
	mgr, err := newManager(restConfig, c)
	if err != nil {
		return explainServer(err, c, restConfig.Host)
	}
	if err := wire(ctx, mgr, c, scheduler, logger); err != nil {
		return explainServer(err, c, restConfig.Host)
	}
	logger.Info("started", "version", version, "commit", commit, "buildDate", buildDate)
	return mgr.Start(ctx)
}

func newLogger(c *config) logr.Logger {
	level := zapcore.InfoLevel
	switch c.logLevel {
	case "debug":
		level = zapcore.DebugLevel
	case "error":
		level = zapcore.ErrorLevel
	}
	encoder := zap.JSONEncoder(func(e *zapcore.EncoderConfig) { e.EncodeTime = zapcore.RFC3339NanoTimeEncoder })
	if c.logFormat == "console" {
		encoder = zap.ConsoleEncoder(func(e *zapcore.EncoderConfig) { e.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000") })
	}
	// A stack trace tells where an error was logged, which nobody asks; the error itself says what was being done.
	return zap.New(zap.Level(level), encoder, zap.StacktraceLevel(zapcore.PanicLevel))
}

func restConfig(c *config) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: run inside it, or name a kubeconfig with --kubeconfig or KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = c.qps, c.burst
	config.UserAgent = "vpsie-autoscaler/" + version
	return config, nil
}

func newManager(restConfig *rest.Config, c *config) (manager.Manager, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering the Kubernetes kinds: %w", err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("registering our kinds: %w", err)
	}
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                        scheme,
		Metrics:                       metricsserver.Options{BindAddress: c.metricsAddress},
		HealthProbeBindAddress:        c.healthAddress,
		LeaderElection:                c.leaderElect,
		LeaderElectionID:              c.leaderID,
		LeaderElectionNamespace:       c.leaderNamespace,
		LeaderElectionReleaseOnCancel: true,
		GracefulShutdownTimeout:       &c.gracefulShutdown,
		Cache:                         cacheOptions(c),
		WebhookServer:                 birthServer(c),
	})
	if err != nil {
		return nil, fmt.Errorf("setting up: %w", err)
	}
	return mgr, nil
}

// cacheOptions keeps out of memory what nobody reads. Of all Secrets of the cluster only ours is watched, and only it may be.
func cacheOptions(c *config) cache.Options {
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Namespaces: map[string]cache.Config{
				c.secretNamespace: {FieldSelector: fields.OneTermEqualSelector("metadata.name", c.secretName)},
			}},
		},
	}
}

// wire lists every part that acts, once.
func wire(ctx context.Context, mgr manager.Manager, c *config, scheduler *simulate.Scheduler, logger logr.Logger) error {
	realClock := clock.RealClock{}
	registry := metrics.Registry               // the one that the manager serves
	recorder := mgr.GetEventRecorder(reporter) // of what happened
	notices, err := newNotices(mgr)            // of what holds now
	if err != nil {
		return err
	}
	nodeCost, err := scheduling.ParseNodeCost(c.nodeCost)
	if err != nil {
		return fmt.Errorf("--node-cost (%s): %w", environmentName("node-cost"), err)
	}
	cloud, err := newCloud(mgr.GetClient(), c, registry, logger)
	if err != nil {
		return err
	}
	yields := yield.New(mgr.GetClient(), mgr.GetAPIReader(), c.leaderNamespace, yield.Options{Registerer: registry})
	cloud = yields.Correcting(cloud)
	// Started now, so that the first plan does not wait for a list of everything.
	if _, err := mgr.GetCache().GetInformer(ctx, &corev1.Secret{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("watching %T: %w", &corev1.Secret{}, err)
	}
	cluster := state.NewMeasured(mgr.GetClient(), realClock, registry)
	if err := cluster.Follow(ctx, mgr.GetCache()); err != nil {
		return err
	}
	drainer := drain.New(mgr.GetClient(), mgr.GetAPIReader(), drain.Options{Registerer: registry})
	disruptions := disruption.New(mgr.GetClient(), mgr.GetAPIReader(), cluster, disruption.Options{
		Recorder: recorder, Registerer: registry, Interval: c.disruptionInterval, Scheduler: scheduler, NodeCost: nodeCost,
	})

	parts := []interface {
		SetupWithManager(manager.Manager) error
	}{
		yields,
		nodegroup.New(mgr.GetClient(), cloud, cluster, notices, nodegroup.Options{Registerer: registry, Scheduler: scheduler, NodeCost: nodeCost}),
		provisioner.New(mgr.GetClient(), cluster, cloud, notices, provisioner.Options{
			BatchIdle: c.batchIdle, BatchMax: c.batchMax, Resync: c.sync, Registerer: registry, Scheduler: scheduler, NodeCost: nodeCost,
		}),
		lifecycle.New(mgr.GetClient(), cloud, drainWith(drainer), recorder, lifecycle.Options{
			OrderSettle: c.orderSettle, LaunchTimeout: c.launchTimeout, RegistrationTimeout: c.registrationTimeout,
			FailedTTL: c.failedTTL, InventoryInterval: c.inventoryInterval, OpenTogether: c.openTogether, Registerer: registry,
		}),
		garbage.New(mgr.GetClient(), mgr.GetAPIReader(), cloud, recorder, garbage.Options{
			Interval: c.garbageInterval, MinimumAge: c.garbageMinimumAge, Registerer: registry,
		}),
		disruptions,
		execute.New(mgr.GetClient(), mgr.GetAPIReader(), disruptions, drainer, execute.Options{
			Recorder: recorder, Registerer: registry, KeepFor: c.disruptionTTL,
		}),
	}
	for _, part := range parts {
		if err := part.SetupWithManager(mgr); err != nil {
			return fmt.Errorf("setting up %T: %w", part, err)
		}
	}
	if err := setupBirth(mgr, c, registry); err != nil {
		return err
	}
	return healthChecks(mgr)
}

// reporter is who speaks in Events.
const reporter = "vpsie-autoscaler"

func newNotices(mgr manager.Manager) (*notice.Recorder, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("finding out which replica this is: %w", err)
	}
	notices := notice.New(mgr.GetClient(), reporter, notice.Options{Instance: reporter + "-" + host})
	if err := mgr.Add(notices); err != nil {
		return nil, fmt.Errorf("adding the writer of notices: %w", err)
	}
	return notices, nil
}

// newScheduler reads what the cluster's kube-scheduler was started with. A plan by other rules would buy machines that it does not use.
func newScheduler(c *config) (*simulate.Scheduler, error) {
	if err := simulate.SetFeatureGates(c.schedulerGates); err != nil {
		return nil, fmt.Errorf("--scheduler-feature-gates (%s): %w", environmentName("scheduler-feature-gates"), err)
	}
	if c.schedulerConfig == "" {
		return nil, nil //nolint:nilnil // a nil Scheduler is the stock one
	}
	text, err := os.ReadFile(c.schedulerConfig)
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config (%s): %w", environmentName("scheduler-config"), err)
	}
	scheduler, err := simulate.ReadScheduler(c.schedulerConfig, text, nil)
	if err != nil {
		return nil, fmt.Errorf("--scheduler-config (%s): %w", environmentName("scheduler-config"), err)
	}
	return scheduler, nil
}

// drainWith lends the one drain implementation to the life cycle, which may not know where it lives.
func drainWith(drainer *drain.Drainer) lifecycle.Drain {
	return func(ctx context.Context, node *corev1.Node, deadline time.Time) (bool, []string, error) {
		progress, err := drainer.Drain(ctx, node, deadline)
		return progress.Done, progress.Waiting, err
	}
}

// healthChecks never ask VPSie: an outage there must not restart a controller that has nothing wrong with it.
func healthChecks(mgr manager.Manager) error {
	alive := func(*http.Request) error { return nil }
	if err := mgr.AddHealthzCheck("alive", alive); err != nil {
		return fmt.Errorf("adding the health check: %w", err)
	}
	synced := func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return fmt.Errorf("the watches have not caught up with the API server yet")
		}
		return nil
	}
	if err := mgr.AddReadyzCheck("watches", synced); err != nil {
		return fmt.Errorf("adding the readiness check: %w", err)
	}
	return nil
}
