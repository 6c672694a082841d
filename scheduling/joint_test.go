// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// rack is a cluster of optional nodes of the group "general". Each is a machine of its offering, and all pods on it may move unless
// they are annotated.
type rack struct {
	nodes   []*build.Node
	fixed   []*build.Node // not optional
	prices  map[string]float64
	running []*build.Pod
	pending []*build.Pod
	group   *build.NodeGroup
	catalog []scheduling.Offering
}

const immovable = "test/immovable"

func (r rack) input(t testing.TB) scheduling.Input {
	t.Helper()
	group := scheduling.Group{NodeGroup: build.MakeNodeGroup("general").Obj()}
	if r.group != nil {
		group.NodeGroup = r.group.Obj()
	}
	s := scenario{offerings: r.catalog}
	s.objects.Namespaces = []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{Name: "default"}}}
	movable := map[string][]*corev1.Pod{}
	for _, p := range r.running {
		pod := p.Obj()
		s.objects.Pods = append(s.objects.Pods, pod)
		if pod.Annotations[immovable] == "" {
			movable[pod.Spec.NodeName] = append(movable[pod.Spec.NodeName], pod)
		}
	}
	for _, p := range r.pending {
		pod := p.Obj()
		s.pods, s.objects.Pods = append(s.pods, pod), append(s.objects.Pods, pod)
	}
	var optional []scheduling.OptionalNode
	for _, n := range r.nodes {
		node := n.Obj()
		s.objects.Nodes = append(s.objects.Nodes, node)
		o := scheduling.OptionalNode{
			Name: node.Name, Price: scheduling.PerMonth(r.prices[node.Name]), Movable: movable[node.Name], Group: "general",
			CPUMilli: node.Status.Capacity.Cpu().MilliValue(), MemoryMiB: node.Status.Capacity.Memory().Value() >> 20,
		}
		group.Nodes++
		group.CPUMilli, group.MemoryMiB, group.Cost = group.CPUMilli+o.CPUMilli, group.MemoryMiB+o.MemoryMiB, group.Cost+o.Price
		optional = append(optional, o)
	}
	for _, n := range r.fixed {
		s.objects.Nodes = append(s.objects.Nodes, n.Obj())
	}
	s.groups = []scheduling.Group{group}
	in := s.input(t)
	in.Optional = optional
	return in
}

// lines says what a plan changes.
func lines(plan scheduling.Plan) string {
	var b strings.Builder
	for _, node := range plan.Removed {
		fmt.Fprintf(&b, "remove %s\n", node)
	}
	for _, launch := range plan.Launches {
		fmt.Fprintf(&b, "add %s as %s\n", launch.Offerings[0].Name, launch.Name)
	}
	for _, p := range plan.Placements {
		fmt.Fprintf(&b, "%s to %s\n", p.Pod.Name, p.Node)
	}
	for _, r := range plan.Rejections {
		fmt.Fprintf(&b, "%s has no place\n", r.Pod.Name)
	}
	return b.String()
}

func pod(name, cpu, memory, node string) *build.Pod {
	p := build.MakePod(name).Label("app", strings.TrimRight(name, "0123456789")).CPU(cpu).Memory(memory)
	if node != "" {
		p.On(node)
	}
	return p
}

func node(name, cpu, memory string) *build.Node {
	return build.MakeNode(name).Group("general").Allocatable(cpu, memory, "110")
}

func TestOptionalNodes(t *testing.T) {
	small := []scheduling.Offering{build.MakeOffering("Professional", 4, 8, 48).Obj()}
	for name, c := range map[string]struct {
		rack rack
		want string
	}{
		"a half-empty pair becomes one, and the pods of the fuller one stay": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{pod("x1", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "b"), pod("y2", "1", "1Gi", "b")}, catalog: small,
			},
			"remove a\nx1 to b\n",
		},
		"an empty node goes": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{pod("x1", "1", "1Gi", "a")}, catalog: small,
			},
			"remove b\n",
		},
		"the dearer of two goes although the cheaper one is emptier": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 50},
				running: []*build.Pod{pod("x1", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "b"), pod("y2", "1", "1Gi", "b")}, catalog: small,
			},
			"remove b\ny1 to a\ny2 to a\n",
		},
		"three dear small nodes are replaced by one cheaper large one": {
			rack{
				nodes:   []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi"), node("c", "4", "8Gi")},
				prices:  map[string]float64{"a": 80, "b": 80, "c": 80},
				running: []*build.Pod{pod("x1", "3", "3Gi", "a"), pod("x2", "3", "3Gi", "b"), pod("x3", "3", "3Gi", "c")},
				catalog: []scheduling.Offering{build.MakeOffering("Enterprise", 16, 64, 150).Obj(), build.MakeOffering("Professional", 4, 8, 80).Obj()},
			},
			"remove a\nremove b\nremove c\nadd Enterprise as new-1\nx1 to new-1\nx2 to new-1\nx3 to new-1\n",
		},
		"a large node with little on it is replaced by a small one": {
			rack{
				nodes: []*build.Node{node("a", "16", "64Gi")}, prices: map[string]float64{"a": 384},
				running: []*build.Pod{pod("x1", "1", "1Gi", "a")}, catalog: build.Catalogue(),
			},
			"remove a\nadd Starter as new-1\nx1 to new-1\n",
		},
		"nothing changes where nothing is cheaper": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{pod("x1", "3", "3Gi", "a"), pod("y1", "3", "3Gi", "b")}, catalog: small,
			},
			"",
		},
		"at equal prices nothing is moved": {
			rack{
				nodes: []*build.Node{node("a", "3900m", "7936Mi"), node("b", "3900m", "7936Mi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{
					pod("x1", "2", "1Gi", "a"), pod("x2", "500m", "1Gi", "a"), pod("y1", "2", "1Gi", "b"), pod("y2", "500m", "1Gi", "b"),
				},
				catalog: append([]scheduling.Offering{build.MakeOffering("Double", 8, 16, 96).Obj()}, small...),
			},
			"",
		},
		"a node with a pod that may not move stays, and takes in others": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a").Annotation(immovable, "true"), pod("y1", "1", "1Gi", "b"), pod("y2", "1", "1Gi", "b"),
				},
				catalog: small,
			},
			"remove b\ny1 to a\ny2 to a\n",
		},
		"a daemon set's pod moves nowhere and keeps nothing": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a"), pod("agent-a", "100m", "100Mi", "a").Owner("DaemonSet", "agent").Annotation(immovable, "true"),
					pod("agent-b", "100m", "100Mi", "b").Owner("DaemonSet", "agent").Annotation(immovable, "true"),
					pod("static-b", "100m", "100Mi", "b").Annotation(corev1.MirrorPodAnnotationKey, "x").Annotation(immovable, "true"),
				},
				catalog: small,
			},
			"remove b\n",
		},
		"a pod that is not listed keeps its node even if it could move": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a").Annotation(immovable, "true"), pod("y1", "1", "1Gi", "b").Annotation(immovable, "true"),
				},
				catalog: small,
			},
			"",
		},
		"a limit admits a replacement because what goes is given back": {
			rack{
				nodes: []*build.Node{node("a", "16", "64Gi")}, prices: map[string]float64{"a": 384}, group: build.MakeNodeGroup("general").LimitNodes(1),
				running: []*build.Pod{pod("x1", "1", "1Gi", "a")}, catalog: build.Catalogue(),
			},
			"remove a\nadd Starter as new-1\nx1 to new-1\n",
		},
		"a limit admits no two replacements for one": {
			rack{
				nodes: []*build.Node{node("a", "16", "64Gi")}, prices: map[string]float64{"a": 384}, group: build.MakeNodeGroup("general").LimitNodes(1),
				running: []*build.Pod{pod("x1", "3", "3Gi", "a"), pod("x2", "3", "3Gi", "a")},
				catalog: []scheduling.Offering{build.MakeOffering("Professional", 4, 8, 48).Obj()},
			},
			"",
		},
		"a group keeps its least number of nodes": {
			rack{
				nodes:  []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi"), node("c", "4", "8Gi")},
				prices: map[string]float64{"a": 50, "b": 48, "c": 49}, group: build.MakeNodeGroup("general").MinNodes(2),
				running: []*build.Pod{pod("x1", "1", "1Gi", "c")}, catalog: small,
			},
			"remove a\n",
		},
		"a paused group buys nothing, and nodes still join": {
			rack{
				nodes:  []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi"), node("c", "16", "64Gi")},
				prices: map[string]float64{"a": 48, "b": 48, "c": 384}, group: build.MakeNodeGroup("general").Paused("Provisioning"),
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "b"), pod("y2", "1", "1Gi", "b"), pod("z1", "1", "1Gi", "c"),
				},
				catalog: build.Catalogue(),
			},
			"remove a\nremove c\nx1 to b\nz1 to b\n",
		},
		"pods that keep apart do not join": {
			rack{
				nodes:  []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi"), node("c", "4", "8Gi")},
				prices: map[string]float64{"a": 48, "b": 48, "c": 48},
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a").Apart(corev1.LabelHostname, "x"), pod("x2", "1", "1Gi", "b").Apart(corev1.LabelHostname, "x"),
					pod("y1", "1", "1Gi", "c"), pod("y2", "1", "1Gi", "b"),
				},
				catalog: small,
			},
			"remove c\ny1 to b\n",
		},
		"pods that are spread over zones stay spread": {
			rack{
				nodes: []*build.Node{
					node("a", "4", "8Gi").Zone("ams"), node("b", "4", "8Gi").Zone("hel"), node("c", "4", "8Gi").Zone("hel"), node("d", "4", "8Gi").Zone("ams"),
				},
				prices: map[string]float64{"a": 48, "b": 48, "c": 48, "d": 48},
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a").Spread(corev1.LabelTopologyZone, "x"), pod("x2", "1", "1Gi", "b").Spread(corev1.LabelTopologyZone, "x"),
					pod("x3", "1", "1Gi", "c").Spread(corev1.LabelTopologyZone, "x"), pod("x4", "1", "1Gi", "d").Spread(corev1.LabelTopologyZone, "x"),
					pod("y1", "1", "1Gi", "b"), pod("z1", "1", "1Gi", "d"),
				},
				catalog: small,
			},
			"remove a\nremove c\nx1 to b\nx3 to d\n",
		},
		"pods that belong to a zone move within it": {
			rack{
				nodes:  []*build.Node{node("a", "16", "64Gi").Zone("ams"), node("b", "4", "8Gi").Zone("hel")},
				prices: map[string]float64{"a": 384, "b": 48},
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a").NodeAffinity(corev1.LabelTopologyZone, "ams"),
					pod("y1", "1", "1Gi", "b").NodeAffinity(corev1.LabelTopologyZone, "hel"),
				},
				catalog: append(build.Catalogue(), build.MakeOffering("Professional", 4, 8, 60).In("ams").Obj()),
			},
			"remove a\nremove b\nadd Starter as new-1\nadd Professional as new-2\nx1 to new-2\ny1 to new-1\n",
		},
		"a pod goes where the pod is that it must be near": {
			rack{
				nodes:  []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi"), node("c", "4", "8Gi")},
				prices: map[string]float64{"a": 48, "b": 48, "c": 48},
				running: []*build.Pod{
					pod("x1", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "a").Near(corev1.LabelHostname, "x"), pod("z1", "3", "1Gi", "b"), pod("w1", "3", "1Gi", "c"),
					pod("x2", "500m", "1Gi", "c"),
				},
				catalog: small,
			},
			"",
		},
		"pending pods take the place of what goes, and nothing is bought for them": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "8", "16Gi")}, prices: map[string]float64{"a": 48, "b": 96},
				running: []*build.Pod{pod("x1", "1", "1Gi", "a"), pod("y1", "2", "1Gi", "b")}, pending: []*build.Pod{pod("p1", "4", "4Gi", "")},
				catalog: build.Catalogue(),
			},
			"remove a\np1 to b\nx1 to b\n",
		},
		"pending pods and rearrangement make one larger machine": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 100, "b": 100},
				running: []*build.Pod{pod("x1", "3", "3Gi", "a"), pod("y1", "3", "3Gi", "b")}, pending: []*build.Pod{pod("p1", "3", "3Gi", "")},
				catalog: []scheduling.Offering{build.MakeOffering("Large", 12, 32, 150).Obj(), build.MakeOffering("Small", 4, 8, 100).Obj()},
			},
			"remove a\nremove b\nadd Large as new-1\np1 to new-1\nx1 to new-1\ny1 to new-1\n",
		},
		"a pending pod that fits nowhere changes nothing": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi")}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{pod("x1", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "b"), pod("y2", "1", "1Gi", "b")},
				pending: []*build.Pod{pod("p1", "99", "3Gi", "")}, catalog: small,
			},
			"remove a\nx1 to b\np1 has no place\n",
		},
		"pods on cordoned nodes leave them only for less money": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi").Cordon(), node("b", "4", "8Gi").Cordon()}, prices: map[string]float64{"a": 48, "b": 48},
				running: []*build.Pod{pod("x1", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "b")}, catalog: small,
			},
			"remove a\nremove b\nadd Professional as new-1\nx1 to new-1\ny1 to new-1\n",
		},
		"what is not optional takes pods in and never goes": {
			rack{
				nodes: []*build.Node{node("a", "4", "8Gi")}, fixed: []*build.Node{node("f", "4", "8Gi"), node("g", "4", "8Gi")},
				prices: map[string]float64{"a": 48}, running: []*build.Pod{pod("x1", "1", "1Gi", "a"), pod("y1", "1", "1Gi", "f")}, catalog: small,
			},
			"remove a\nx1 to f\n",
		},
		"pods are rearranged among nodes that stay where that frees one": {
			rack{
				nodes:  []*build.Node{node("a", "4", "8Gi"), node("b", "4", "8Gi"), node("c", "4", "8Gi")},
				prices: map[string]float64{"a": 48, "b": 48, "c": 48},
				running: []*build.Pod{ // 2.5 + 1.5 and 2.5 + 1.5 fill two nodes; now each has room for 1.5 at most
					pod("x1", "2500m", "1Gi", "a"), pod("x2", "2500m", "1Gi", "b"), pod("y1", "1500m", "1Gi", "c"), pod("y2", "1500m", "1Gi", "c"),
				},
				catalog: small,
			},
			"remove b\nx2 to c\ny2 to a\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.rack.input(t)
			before := picture(in.Cluster)
			plan := solve(t, in)
			if diff := cmp.Diff(c.want, lines(plan)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(before, picture(in.Cluster)); diff != "" {
				t.Errorf("Solve changed its input (-before +after):\n%s", diff)
			}
			checkJoint(t, name, in, plan)
		})
	}
}
