// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package trial turns a number into a random cluster with random demands, and a plan for it into the steps in which kube-scheduler can
// carry it out. It asks no scheduler itself: tests do, of a scheduler in their own process or of one that runs beside a real API server.
package trial

import (
	"fmt"
	"math/rand/v2"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// Trial is a random cluster with random demands.
type Trial struct {
	Objects   snapshot.Objects
	Pods      []*corev1.Pod // that have no node; Objects has them too
	Groups    []scheduling.Group
	Offerings []scheduling.Offering
	KindOf    map[string]string // the kind of demand, by pod
}

// Pod returns the pod of that name.
func (s *Trial) Pod(name string) *corev1.Pod {
	return s.Pods[slices.IndexFunc(s.Pods, func(p *corev1.Pod) bool { return p.Name == name })]
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// Plain is a random cluster with random demands of the commonest kinds.
func Plain(seed uint64) *Trial {
	r := rand.New(rand.NewPCG(seed, 5))
	s := &Trial{KindOf: map[string]string{}}
	for _, o := range build.Catalogue() {
		s.Offerings = append(s.Offerings, o)
		if r.IntN(2) == 0 {
			o.Zone, o.Datacenter, o.Price = "ams", "dc-ams", o.Price+o.Price/10
			s.Offerings = append(s.Offerings, o)
		}
	}
	s.Offerings[r.IntN(len(s.Offerings))].Available = false
	for i := range 1 + r.IntN(3) {
		s.Groups = append(s.Groups, randomGroup(r, i))
	}
	for i := range r.IntN(5) {
		node := build.MakeNode(fmt.Sprintf("node-%d", i)).Zone(pick(r, "hel", "ams")).Allocatable(pick(r, "2", "4", "8"), "16Gi", "20")
		if r.IntN(6) == 0 {
			node.Cordon()
		}
		s.Objects.Nodes = append(s.Objects.Nodes, node.Obj())
	}
	if r.IntN(2) == 0 {
		s.Objects.VirtualNodes = append(s.Objects.VirtualNodes, build.MakeNode("virtual-0").Zone("hel").Obj())
	}
	if r.IntN(2) == 0 {
		daemon := build.MakePod("agent").CPU("150m").Memory("200Mi")
		daemon.Obj()
		s.Objects.DaemonSets = []*appsv1.DaemonSet{build.MakeDaemonSet("agent", daemon.Tolerate("team")).Obj()}
	}
	for w := range 1 + r.IntN(6) {
		s.addWorkload(r, w)
	}
	s.Objects.Namespaces = []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}}
	for _, pod := range s.Pods {
		s.KindOf[pod.Name] = "mixed"
	}
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
func (s *Trial) addWorkload(r *rand.Rand, w int) {
	app := fmt.Sprintf("app-%d", w)
	pod := func(i int) *build.Pod { return build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app) }
	cpu, memory := fmt.Sprintf("%dm", 50*(1+r.IntN(50))), fmt.Sprintf("%dMi", 64*(1+r.IntN(60)))
	priority, kind, other := int32(r.IntN(3)), r.IntN(12), fmt.Sprintf("app-%d", r.IntN(w+1))
	for i := range 1 + r.IntN(12) {
		p := pod(i).CPU(cpu).Memory(memory).Priority(priority)
		constrain(p, kind, app, other)
		if len(s.Objects.Nodes) > 0 && i%4 == 3 {
			s.Objects.Pods = append(s.Objects.Pods, p.On(s.Objects.Nodes[i%len(s.Objects.Nodes)].Name).Obj())
			continue
		}
		s.Pods = append(s.Pods, p.Obj())
		s.Objects.Pods = append(s.Objects.Pods, p.Obj())
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
