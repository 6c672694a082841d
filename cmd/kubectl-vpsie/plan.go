// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/catalogue"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/cluster"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/report"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/state"
)

const planLong = `Plan which machines to buy for pods that have no node, and where the pods go.

With -f, pods, workloads and everything else that matters are read from manifests, and no
cluster is asked: Pods, Deployments, ReplicaSets, StatefulSets, Jobs, CronJobs (one run each),
ReplicationControllers, DaemonSets, Nodes, NodeGroups, VPSieNodes, PersistentVolumes and
-Claims, StorageClasses, PriorityClasses, Namespaces, and the ResourceClaims, ResourceSlices and
DeviceClasses of devices. Without a NodeGroup everything in the catalogue may be bought.

Without -f, the cluster of the current kubeconfig is read. Nothing in it is changed.

The plan is the autoscaler's own: kube-scheduler's plugins have accepted every placement, and
no machines cost less than the lower bound beside which these pods have room, whatever of them
the nodes that are there take. Nobody is preempted.

Exit code 0: a plan was made, also if pods fit nowhere. 1: something failed. 2: a flag or a
file is wrong.`

const planExample = `  # What would these manifests cost on these machines?
  kubectl vpsie plan -f shop.yaml -f monitoring/ --catalogue vpsie.json

  # The pods of another cluster, as JSON
  kubectl get pods,nodes -A -o json | kubectl vpsie plan -f - --catalogue vpsie.json -o json

  # What the autoscaler would do in this cluster now, as a page to look at
  kubectl vpsie plan -o html > plan.html`

// planFlags are the flags of plan.
type planFlags struct {
	files     []string
	strict    bool
	catalogue string
	deadline  time.Duration
	output    string
	nodeCost  string
	scheduler struct{ config, gates string }
	cluster   cluster.Options
}

func planCommand(env environment) *cobra.Command {
	f := &planFlags{cluster: cluster.Options{UserAgent: "kubectl-vpsie/" + version}}
	cmd := &cobra.Command{
		Use:     "plan [-f FILE...]",
		Short:   "Plan which machines to buy, for manifests or for a cluster",
		Long:    planLong,
		Example: planExample,
		Args:    noArguments,
		RunE:    func(cmd *cobra.Command, _ []string) error { return plan(cmd.Context(), f, env) },
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.files, "filename", "f", nil, "file or folder of manifests, or - for standard input; may be given several times")
	flags.BoolVar(&f.strict, "strict", false, "refuse objects and fields that are not known, instead of skipping them with a warning")
	flags.StringVar(&f.catalogue, "catalogue", "", "file of sizes and prices; left out: simulated ones with -f, VPSie's own without")
	flags.DurationVar(&f.deadline, "deadline", time.Second, "stop making the plan cheaper after that long; finishing, checking and bounding it may take longer")
	flags.StringVarP(&f.output, "output", "o", string(report.Text), "text, json, yaml or html")
	flags.StringVar(&f.nodeCost, "node-cost", "0", "what a machine costs per hour beside its price: a licence, an address, an agent")
	flags.StringVar(&f.scheduler.config, "scheduler-config", "",
		"file with the KubeSchedulerConfiguration that the cluster's kube-scheduler runs with; left out: its defaults")
	flags.StringVar(&f.scheduler.gates, "scheduler-feature-gates", "",
		"feature gates that the cluster's kube-scheduler runs with, as in A=true,B=false; left out: the defaults of the linked version")
	flags.StringVar(&f.cluster.Kubeconfig, "kubeconfig", "", "path of a kubeconfig; left out: KUBECONFIG or ~/.kube/config")
	flags.StringVar(&f.cluster.Context, "context", "", "context of the kubeconfig; left out: the current one")
	flags.StringVar(&f.cluster.Secret, "credentials-secret", "vpsie-secret", "name of the Secret with VPSie's credentials in the cluster")
	flags.StringVar(&f.cluster.SecretNamespace, "credentials-namespace", "kube-system", "namespace of that Secret")
	flags.StringVar(&f.cluster.ClusterID, "vpsie-cluster-id", "", "VPSie's identifier of the cluster; left out: discovered")
	flags.StringVar(&f.cluster.Datacenter, "vpsie-datacenter", "", "identifier or name of the datacenter; left out: the cluster's")
	return cmd
}

func plan(ctx context.Context, f *planFlags, env environment) error {
	format, err := report.ParseFormat(f.output)
	if err != nil {
		return usageError{fmt.Errorf("--output: %w", err)}
	}
	if f.deadline <= 0 {
		return usageError{fmt.Errorf("--deadline: %s is not a positive duration; want something like 1s or 500ms", f.deadline)}
	}
	nodeCost, err := scheduling.ParseNodeCost(f.nodeCost)
	if err != nil {
		return usageError{fmt.Errorf("--node-cost: %w", err)}
	}
	scheduler, err := readScheduler(f.scheduler.config, f.scheduler.gates) // before anything else: the gates say which kinds matter
	if err != nil {
		return err
	}
	gather := fromCluster
	if len(f.files) > 0 {
		gather = fromFiles
	}
	scene, err := gather(ctx, f, env)
	if err != nil {
		return err
	}
	for _, warning := range scene.warnings {
		fmt.Fprintln(env.stderr, "Warning:", warning)
	}
	input := scene.input()
	input.Scheduler, input.NodeCost = scheduler, nodeCost
	started := env.clock.Now()
	input.Stop = func() bool { return env.clock.Since(started) >= f.deadline || ctx.Err() != nil }
	made, err := scheduling.Solve(input)
	if err != nil {
		return err
	}
	elapsed := env.clock.Since(started)
	if err := ctx.Err(); err != nil {
		return err
	}
	result := report.New(report.Facts{
		Plan: made, Cluster: input.Cluster, Pods: input.Pods, Groups: input.Groups, Elapsed: elapsed, NodeCost: nodeCost,
		Catalogue: scene.catalogue.Source, Warnings: scene.warnings,
	})
	out := bufio.NewWriter(env.stdout)
	return errors.Join(result.Write(out, format), out.Flush())
}

// scene is what a plan is made for.
type scene struct {
	picture   *state.Picture
	groups    []scheduling.Group
	catalogue *catalogue.Catalogue
	warnings  []string
}

// picture reads everything that a plan looks at, with the kinds that not every cluster has.
func picture(ctx context.Context, reader client.Reader, env environment) (*state.Picture, error) {
	all := state.New(reader, env.clock)
	all.IncludeOptional()
	return all.Snapshot(ctx)
}

// fromCluster reads the cluster of a kubeconfig.
func fromCluster(ctx context.Context, f *planFlags, env environment) (*scene, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	live, err := cluster.Open(f.cluster, scheme)
	if err != nil {
		return nil, err
	}
	s := &scene{catalogue: &catalogue.Catalogue{Source: "VPSie"}}
	if f.catalogue != "" {
		if s.catalogue, err = catalogue.Load(f.catalogue); err != nil {
			return nil, err
		}
	}
	if s.picture, err = picture(ctx, live, env); err != nil {
		return nil, fmt.Errorf("reading the cluster: %w", err)
	}
	s.warnings = append(s.warnings, live.Hidden()...)
	if f.catalogue == "" {
		if s.catalogue.Offerings, err = live.Offerings(ctx); err != nil {
			return nil, err
		}
	}
	s.groups = s.picture.Groups()
	switch {
	case !live.Installed():
		s.warnings = append(s.warnings, "the cluster knows no NodeGroups: the autoscaler is not installed; planned as if one NodeGroup allowed everything")
		s.groups = anyGroup()
	case len(s.groups) == 0:
		s.warnings = append(s.warnings, "no NodeGroup in the cluster has the label autoscaler.vpsie.com/managed=true: the autoscaler may buy nothing")
	}
	return s, nil
}
