// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
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

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func randomScenario(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 5))
	s := scenario{}
	for _, o := range build.Catalogue() {
		s.offerings = append(s.offerings, o)
		if r.IntN(2) == 0 {
			o.Zone, o.Datacenter, o.Price = "ams", "dc-ams", o.Price+o.Price/10
			s.offerings = append(s.offerings, o)
		}
	}
	s.offerings[r.IntN(len(s.offerings))].Available = false
	for i := range 1 + r.IntN(3) {
		s.groups = append(s.groups, randomGroup(r, i))
	}
	for i := range r.IntN(5) {
		node := build.MakeNode(fmt.Sprintf("node-%d", i)).Zone(pick(r, "hel", "ams")).Allocatable(pick(r, "2", "4", "8"), "16Gi", "20")
		if r.IntN(6) == 0 {
			node.Cordon()
		}
		s.objects.Nodes = append(s.objects.Nodes, node.Obj())
	}
	if r.IntN(2) == 0 {
		s.objects.VirtualNodes = append(s.objects.VirtualNodes, build.MakeNode("virtual-0").Zone("hel").Obj())
	}
	if r.IntN(2) == 0 {
		daemon := build.MakePod("agent").CPU("150m").Memory("200Mi")
		daemon.Obj()
		s.objects.DaemonSets = []*appsv1.DaemonSet{build.MakeDaemonSet("agent", daemon.Tolerate("team")).Obj()}
	}
	for w := range 1 + r.IntN(6) {
		s.addWorkload(r, w)
	}
	s.objects.Namespaces = []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}}
	return s
}

func randomGroup(r *rand.Rand, i int) scheduling.Group {
	group := build.MakeNodeGroup(fmt.Sprintf("group-%d", i)).Weight(int32(1 + r.IntN(3)))
	if r.IntN(3) == 0 {
		group.Taint("team", "a")
	}
	if r.IntN(4) == 0 {
		group.Requirement(v1alpha1.CPULabel, corev1.NodeSelectorOpLt, pick(r, "8", "16"))
	}
	usage := scheduling.Group{Nodes: r.IntN(3)}
	switch r.IntN(6) {
	case 0:
		group.MaxNodes(int32(1 + r.IntN(4)))
	case 1:
		group.LimitCPU(pick(r, "8", "24"))
	case 2:
		group.LimitCost(pick(r, "0.1", "0.5"))
	case 3:
		group.LimitNodes(int32(2 + r.IntN(3))).LimitMemory("64Gi")
	}
	usage.NodeGroup = group.Obj()
	return usage
}

// addWorkload adds some equal pods; one in four of them runs already where there are nodes.
func (s *scenario) addWorkload(r *rand.Rand, w int) {
	app := fmt.Sprintf("app-%d", w)
	pod := func(i int) *build.Pod { return build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app) }
	cpu, memory := fmt.Sprintf("%dm", 50*(1+r.IntN(50))), fmt.Sprintf("%dMi", 64*(1+r.IntN(60)))
	priority, kind, other := int32(r.IntN(3)), r.IntN(12), fmt.Sprintf("app-%d", r.IntN(w+1))
	for i := range 1 + r.IntN(12) {
		p := pod(i).CPU(cpu).Memory(memory).Priority(priority)
		constrain(p, kind, app, other)
		if len(s.objects.Nodes) > 0 && i%4 == 3 {
			s.objects.Pods = append(s.objects.Pods, p.On(s.objects.Nodes[i%len(s.objects.Nodes)].Name).Obj())
			continue
		}
		s.pods = append(s.pods, p.Obj())
		s.objects.Pods = append(s.objects.Pods, p.Obj())
	}
}

func constrain(p *build.Pod, kind int, app, other string) {
	switch kind {
	case 0:
		p.Spread(corev1.LabelTopologyZone, app)
	case 1:
		p.Spread(corev1.LabelHostname, app)
	case 2:
		p.Apart(corev1.LabelHostname, app)
	case 3:
		p.Apart(corev1.LabelTopologyZone, other)
	case 4:
		p.Near(corev1.LabelTopologyZone, other)
	case 5:
		p.Near(corev1.LabelHostname, other)
	case 6:
		p.HostPort(8080)
	case 7:
		p.Tolerate("team").NodeAffinity(corev1.LabelTopologyZone, "ams")
	case 8:
		p.Tolerate("team").SpreadSoftly(corev1.LabelHostname, app)
	case 9:
		p.Spread(corev1.LabelTopologyZone, app).With(func(pod *corev1.Pod) {
			pod.Spec.TopologySpreadConstraints[0].MinDomains = ptr.To[int32](2)
		})
	default:
		p.Tolerate("team")
	}
}
