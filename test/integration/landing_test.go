// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build integration

package integration

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/sandbox/controlplane"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// A failing seed is tried again alone with -landing.first=SEED -landing.trials=1.
var (
	landingFirst  = flag.Uint64("landing.first", 5000, "seed of the first trial that the real control plane is asked about")
	landingTrials = flag.Int("landing.trials", 24, "number of trials that the real control plane is asked about")
)

// storyteller are the controllers that are needed: machines and their pods are made by the test, volumes are bound by Kubernetes.
var storyteller = map[controlplane.Component][]string{
	controlplane.ControllerManager: {"--controllers=serviceaccount-controller,persistentvolume-binder-controller"},
	// Its finalizers want one more controller, to be told that nobody uses what is thrown away after a trial.
	controlplane.APIServer: {"--disable-admission-plugins=StorageObjectInUseProtection"},
}

var _ = Describe("a plan", Label("landing"), func() {
	It("is what the real control plane does with the planned nodes", func(ctx context.Context) {
		state := filepath.Join(GinkgoT().TempDir(), "state")
		cluster, err := controlplane.Start(ctx, sandboxBin, state, controlplane.Options{Args: storyteller})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(cluster.Stop)
		config := rest.CopyConfig(cluster.AdminConfig())
		config.QPS = -1
		admin, err := client.New(config, client.Options{})
		Expect(err).NotTo(HaveOccurred())
		world := &landing{Client: admin}
		stop := world.provision(ctx)
		defer stop()

		started := time.Now()
		var total landed
		var failures []string
		for course := range courses(ctx, *landingFirst, *landingTrials) {
			got, err := world.carryOut(ctx, course)
			total.add(got)
			if err != nil {
				failures = append(failures, fmt.Sprintf("seed %d (try -landing.first=%d -landing.trials=1): %v", course.seed, course.seed, err))
			}
			Expect(world.clear(ctx)).To(Succeed(), "clearing away the trial of seed %d", course.seed)
		}
		AddReportEntry("landing", total.String()+fmt.Sprintf(", in %s", time.Since(started).Round(time.Second)))
		Expect(failures).To(BeEmpty())
		Expect(total.bound).To(Equal(total.planned), "pods that were planned are not bound")
		if *landingTrials >= 20 {
			Expect(total.planned).To(BeNumerically(">", 5**landingTrials), "the trials do not try enough")
			Expect(total.onNew).To(BeNumerically(">", 2**landingTrials), "the trials do not try enough")
		}
	}, SpecTimeout(10*time.Minute))
})

// landed is what came of trials.
type landed struct{ trials, planned, onNew, launches, bound, asPlanned, refused int }

func (l *landed) add(o landed) {
	l.trials, l.planned, l.onNew, l.launches = l.trials+o.trials, l.planned+o.planned, l.onNew+o.onNew, l.launches+o.launches
	l.bound, l.asPlanned, l.refused = l.bound+o.bound, l.asPlanned+o.asPlanned, l.refused+o.refused
}

func (l *landed) String() string {
	share := func(n int) float64 { return 100 * float64(n) / float64(max(l.planned, 1)) }
	return fmt.Sprintf("%d trials: %d pods planned, %d of them on %d new nodes; kube-scheduler bound %.1f %%, %.1f %% where planned, and refused %d as planned",
		l.trials, l.planned, l.onNew, l.launches, share(l.bound), share(l.asPlanned), l.refused)
}

// seeded is a course with the number that it came from.
type seeded struct {
	*trial.Course
	seed uint64
}

// courses plans ahead while the control plane is busy.
func courses(ctx context.Context, first uint64, count int) <-chan seeded {
	out := make(chan seeded, 2)
	go func() {
		defer GinkgoRecover()
		defer close(out)
		for seed := first; seed < first+uint64(count); seed++ {
			course, err := trial.Wide(seed).Course()
			Expect(err).NotTo(HaveOccurred(), "planning for seed %d", seed)
			select {
			case out <- seeded{course, seed}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// carryOut makes the cluster of a course, its machines and its pods, and says what became of them.
func (l *landing) carryOut(ctx context.Context, c seeded) (landed, error) {
	got := landed{trials: 1, planned: len(c.Plan.Placements), launches: len(c.Plan.Launches)}
	for _, p := range c.Plan.Placements {
		if slices.ContainsFunc(c.Arrival.Nodes, func(n *corev1.Node) bool { return n.Name == p.Node }) {
			got.onNew++
		}
	}
	if err := l.put(ctx, c.Before); err != nil {
		return got, err
	}
	for _, step := range c.Now {
		if err := l.place(ctx, step); err != nil {
			return got, err
		}
	}
	if err := l.put(ctx, c.Arrival); err != nil {
		return got, err
	}
	for _, step := range c.Later {
		if err := l.place(ctx, step); err != nil {
			return got, err
		}
	}
	for _, r := range c.Plan.Rejections {
		pod := c.Pod(r.Pod.Name)
		if pod.Spec.SchedulerName != corev1.DefaultSchedulerName || len(pod.Spec.SchedulingGates) > 0 {
			continue // kube-scheduler says nothing about it
		}
		if err := l.refuse(ctx, pod); err != nil {
			return got, err
		}
		got.refused++
	}
	return got, l.count(ctx, slices.Concat(c.Now, c.Later), &got)
}
