// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// scenario is a random cluster with random demands, of every kind of constraint.
type scenario struct {
	objects   snapshot.Objects
	pods      []*corev1.Pod
	groups    []scheduling.Group
	offerings []scheduling.Offering
}

func (s scenario) input(t testing.TB) scheduling.Input {
	t.Helper()
	cluster, err := snapshot.New(s.objects)
	if err != nil {
		t.Fatal(err)
	}
	return scheduling.Input{Cluster: cluster, Pods: s.pods, Groups: s.groups, Offerings: s.offerings}
}

// permuted is the same scenario with every list in another order.
func (s scenario) permuted(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 99))
	s.objects.Nodes, s.objects.Pods = shuffled(r, s.objects.Nodes), shuffled(r, s.objects.Pods)
	s.objects.DaemonSets, s.objects.VirtualNodes = shuffled(r, s.objects.DaemonSets), shuffled(r, s.objects.VirtualNodes)
	s.pods, s.groups, s.offerings = shuffled(r, s.pods), shuffled(r, s.groups), shuffled(r, s.offerings)
	return s
}

func shuffled[T any](r *rand.Rand, list []T) []T {
	list = slices.Clone(list)
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func randomScenario(seed uint64) scenario {
	t := trial.Plain(seed)
	return scenario{objects: t.Objects, pods: t.Pods, groups: t.Groups, offerings: t.Offerings}
}
