// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/provisioner/lifecycle"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
)

// config is what flags and environment say.
type config struct {
	metricsAddress, healthAddress string

	leaderElect       bool
	leaderNamespace   string
	leaderID          string
	kubeconfig        string
	qps               float32
	burst             int
	secretName        string
	secretNamespace   string
	clusterID         string
	datacenter        string
	requestsPerMinute int

	schedulerConfig, schedulerGates string
	nodeCost                        string

	batchIdle, batchMax                 time.Duration
	orderSettle, launchTimeout          time.Duration
	openTogether                        time.Duration
	registrationTimeout, failedTTL      time.Duration
	garbageInterval, garbageMinimumAge  time.Duration
	inventoryInterval, offeringsTTL     time.Duration
	disruptionInterval, disruptionTTL   time.Duration
	setAsideTTL, gracefulShutdown, sync time.Duration

	birthPort               int
	birthCertDir, birthName string

	logLevel, logFormat string
}

func defaults() *config { return &config{} }

func (c *config) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&c.metricsAddress, "metrics-bind-address", ":8080", "address that Prometheus metrics are served on; 0 turns them off")
	flags.StringVar(&c.healthAddress, "health-bind-address", ":8081", "address that /healthz and /readyz are served on")
	flags.BoolVar(&c.leaderElect, "leader-elect", true, "let one of several replicas act at a time; off only for a single local run")
	flags.StringVar(&c.leaderNamespace, "leader-election-namespace", "kube-system", "namespace of the Lease that replicas compete for")
	flags.StringVar(&c.leaderID, "leader-election-id", "vpsie-autoscaler", "name of that Lease")
	flags.StringVar(&c.kubeconfig, "kubeconfig", "", "path of a kubeconfig; left out: KUBECONFIG, the pod's service account, or ~/.kube/config")
	flags.Float32Var(&c.qps, "kube-api-qps", 50, "requests per second to the Kubernetes API")
	flags.IntVar(&c.burst, "kube-api-burst", 100, "requests to the Kubernetes API at once")
	flags.StringVar(&c.secretName, "credentials-secret", "vpsie-secret", "name of the Secret that holds token, or clientId and clientSecret, and optionally url")
	flags.StringVar(&c.secretNamespace, "credentials-namespace", "kube-system", "namespace of that Secret")
	flags.StringVar(&c.clusterID, "vpsie-cluster-id", "", "VPSie's identifier of this cluster; left out: discovered, which works while the account has one cluster")
	flags.StringVar(&c.datacenter, "vpsie-datacenter", "", "identifier or name of the datacenter; left out: the cluster's")
	flags.IntVar(&c.requestsPerMinute, "vpsie-requests-per-minute", 100, "requests per minute to the VPSie API")
	flags.StringVar(&c.schedulerConfig, "scheduler-config", "",
		"path of the KubeSchedulerConfiguration that the cluster's kube-scheduler runs with; left out: its defaults. Pods of none of its profiles are left alone")
	flags.StringVar(&c.schedulerGates, "scheduler-feature-gates", "",
		"feature gates that the cluster's kube-scheduler runs with, as in A=true,B=false; left out: the defaults of the linked version")
	flags.StringVar(&c.nodeCost, "node-cost", "0",
		"what a machine costs per hour beside its price: a licence, an address, an agent; more of it makes fewer, larger machines the better buy")
	flags.DurationVar(&c.batchIdle, "batch-idle", time.Second, "pods are planned for together until none has come for that long")
	flags.DurationVar(&c.batchMax, "batch-max", 10*time.Second, "or until the first of them has waited that long")
	flags.DurationVar(&c.orderSettle, "order-settle", 2*time.Minute, "how long an order whose reply was lost may take to show up")
	flags.DurationVar(&c.launchTimeout, "launch-timeout", 15*time.Minute, "how long an accepted order may take to show up")
	flags.DurationVar(&c.registrationTimeout, "registration-timeout", 20*time.Minute, "how long a machine may take to join the cluster and become ready")
	flags.DurationVar(&c.openTogether, "open-together", 10*time.Second,
		"how long a node that is ready waits for the others of its plan, so that kube-scheduler puts pods where they were planned; 0: not at all, at most 1m")
	flags.DurationVar(&c.failedTTL, "failed-ttl", 30*time.Minute, "how long a failed VPSieNode is kept so that its reason can be read")
	flags.DurationVar(&c.inventoryInterval, "inventory-interval", 5*time.Second, "least time between two reads of VPSie's inventory")
	flags.DurationVar(&c.garbageInterval, "garbage-interval", 2*time.Minute, "how often VPSie's inventory is compared with Nodes and VPSieNodes")
	flags.DurationVar(&c.garbageMinimumAge, "garbage-minimum-age", 10*time.Minute, "how long they must disagree before a lost VPSieNode is written again or a Node without a machine is removed")
	flags.DurationVar(&c.offeringsTTL, "offerings-ttl", 5*time.Minute, "how long prices and sizes are kept before they are read again")
	flags.DurationVar(&c.setAsideTTL, "set-aside-ttl", 10*time.Minute, "how long an offering that VPSie could not deliver is not asked for again")
	flags.DurationVar(&c.disruptionInterval, "disruption-interval", 10*time.Second, "how often nodes are looked at for removal")
	flags.DurationVar(&c.disruptionTTL, "disruption-ttl", 24*time.Hour, "how long finished Disruptions are kept")
	flags.DurationVar(&c.sync, "resync", 10*time.Second, "waiting pods are planned for again at least that often")
	flags.DurationVar(&c.gracefulShutdown, "graceful-shutdown", 20*time.Second, "how long work in hand may take after the signal to stop")
	flags.IntVar(&c.birthPort, "birth-webhook-port", 0, "port of the webhook that taints new workers where the cluster has no MutatingAdmissionPolicy; 0: none")
	flags.StringVar(&c.birthCertDir, "birth-webhook-cert-dir", "", "folder with its certificate, tls.crt and tls.key; a change is taken over without a restart")
	flags.StringVar(&c.birthName, "birth-webhook-node-name-pattern", "-slave-[0-9a-f]+$", "regular expression over node names: only nodes that match are tainted")
	flags.StringVar(&c.logLevel, "log-level", "info", "info, debug (also why nothing was done) or error")
	flags.StringVar(&c.logFormat, "log-format", "json", "json or console")
}

// validate returns one error for each flag whose value cannot work.
func (c *config) validate() error {
	var failures []error
	refuse := func(flag, format string, args ...any) {
		failures = append(failures, fmt.Errorf("--%s (%s): %s", flag, environmentName(flag), fmt.Sprintf(format, args...)))
	}
	for flag, value := range map[string]string{"metrics-bind-address": c.metricsAddress, "health-bind-address": c.healthAddress} {
		if reason := badAddress(value); reason != "" && value != "0" {
			refuse(flag, "%q is not an address%s; want host:port such as :8080, or 0 for none", value, reason)
		}
	}
	c.refuseNames(refuse)
	c.refuseBirth(refuse)
	for flag, value := range c.durations() {
		if value <= 0 {
			refuse(flag, "%s is not a positive duration; want something like 30s or 5m", value)
		}
	}
	if c.batchIdle > c.batchMax {
		refuse("batch-idle", "%s is longer than --batch-max %s; the batch would never be idle", c.batchIdle, c.batchMax)
	}
	if c.orderSettle > c.launchTimeout {
		refuse("order-settle", "%s is longer than --launch-timeout %s", c.orderSettle, c.launchTimeout)
	}
	if c.openTogether < 0 || c.openTogether > lifecycle.LongestHold {
		refuse("open-together", "%s is not between 0 and %s, after which every node is open", c.openTogether, lifecycle.LongestHold)
	}
	if _, err := scheduling.ParseNodeCost(c.nodeCost); err != nil {
		refuse("node-cost", "%v", err)
	}
	if c.qps <= 0 {
		refuse("kube-api-qps", "%v must be greater than 0", c.qps)
	}
	if c.burst < 1 {
		refuse("kube-api-burst", "%d must be at least 1", c.burst)
	}
	if c.requestsPerMinute < 1 {
		refuse("vpsie-requests-per-minute", "%d must be at least 1", c.requestsPerMinute)
	}
	switch c.logLevel {
	case "info", "debug", "error":
	default:
		refuse("log-level", "%q is none of info, debug, error", c.logLevel)
	}
	switch c.logFormat {
	case "json", "console":
	default:
		refuse("log-format", "%q is neither json nor console", c.logFormat)
	}
	return joinSorted(failures)
}

// refuseNames refuses what no object or namespace can be called.
func (c *config) refuseNames(refuse func(flag, format string, args ...any)) {
	for flag, value := range map[string]string{
		"credentials-secret": c.secretName, "leader-election-id": c.leaderID,
	} {
		if reasons := validation.IsDNS1123Subdomain(value); len(reasons) > 0 {
			refuse(flag, "%q is not a name that an object can have; want lower-case letters, digits, '-' and '.'", value)
		}
	}
	for flag, value := range map[string]string{"credentials-namespace": c.secretNamespace, "leader-election-namespace": c.leaderNamespace} {
		if reasons := validation.IsDNS1123Label(value); len(reasons) > 0 {
			refuse(flag, "%q is not a namespace; want lower-case letters, digits and '-'", value)
		}
	}
}

// badAddress says why nothing can listen on an address; empty when something can.
func badAddress(value string) string {
	_, port, err := net.SplitHostPort(value)
	if err != nil {
		return " with a port"
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Sprintf(": its port %q is not a number from 1 to 65535", port)
	}
	return ""
}

func (c *config) durations() map[string]time.Duration {
	return map[string]time.Duration{
		"batch-idle": c.batchIdle, "batch-max": c.batchMax, "order-settle": c.orderSettle, "launch-timeout": c.launchTimeout,
		"registration-timeout": c.registrationTimeout, "failed-ttl": c.failedTTL, "inventory-interval": c.inventoryInterval,
		"garbage-interval": c.garbageInterval, "garbage-minimum-age": c.garbageMinimumAge,
		"offerings-ttl": c.offeringsTTL, "set-aside-ttl": c.setAsideTTL, "disruption-interval": c.disruptionInterval,
		"disruption-ttl": c.disruptionTTL, "resync": c.sync, "graceful-shutdown": c.gracefulShutdown,
	}
}

// joinSorted makes one error of many, in an order that does not change from run to run.
func joinSorted(failures []error) error {
	slices.SortFunc(failures, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(failures...)
}
