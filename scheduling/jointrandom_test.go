// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/series"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build/trial"
)

// randomRack is a random scenario carried out: what it plans runs, some of it has left again, and most nodes are optional.
func randomRack(t testing.TB, seed uint64) (scenario, []scheduling.OptionalNode) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 21))
	wide := trial.Wide(seed)
	s := scenario{objects: wide.Objects, pods: wide.Pods, groups: wide.Groups, offerings: wide.Offerings}
	plan := solve(t, s.input(t))
	nodes := map[string]string{}
	for _, p := range plan.Placements {
		nodes[p.Pod.Name] = p.Node
	}
	virtual := map[string]bool{}
	for _, node := range s.objects.VirtualNodes {
		virtual[node.Name] = true
	}
	var optional []scheduling.OptionalNode
	for _, launch := range plan.Launches {
		o := launch.Offerings[0]
		for i := range s.groups {
			if g := &s.groups[i]; g.NodeGroup.Name == launch.Group {
				*g = g.With(o)
				node := scheduling.TemplateNode(g.NodeGroup, o, launch.Name)
				node.Labels["region"] = o.Datacenter // as its CSI driver says
				s.objects.Nodes = append(s.objects.Nodes, node)
				s.objects.CSINodes = append(s.objects.CSINodes, build.MakeCSINode(node.Name).Driver(build.VPSieDriver, 7, "region").Obj())
			}
		}
		optional = append(optional, scheduling.OptionalNode{
			Name: launch.Name, Price: o.Price, Group: launch.Group, CPUMilli: o.CPUMilli, MemoryMiB: o.MemoryMiB,
		})
	}
	for _, node := range s.objects.Nodes {
		if len(node.Labels) > 0 && r.IntN(2) == 0 && node.Labels[v1alpha1.NodeGroupLabel] == "" {
			optional = append(optional, scheduling.OptionalNode{Name: node.Name, Price: scheduling.PerMonth(float64(10 + r.IntN(90)))})
		}
	}
	pods := s.objects.Pods
	s.objects.Pods, s.pods = nil, nil
	movable := map[string][]*corev1.Pod{}
	for _, pod := range pods {
		pod = pod.DeepCopy()
		if node := nodes[pod.Name]; pod.Spec.NodeName == "" && node != "" && !virtual[node] {
			if r.IntN(4) == 0 {
				continue // it has left
			}
			pod.Spec.NodeName, pod.Status.Phase = node, corev1.PodRunning
		}
		s.objects.Pods = append(s.objects.Pods, pod)
		switch {
		case pod.Spec.NodeName == "":
			s.pods = append(s.pods, pod)
		case r.IntN(15) == 0:
			pod.Annotations = map[string]string{immovable: "true"}
		default:
			movable[pod.Spec.NodeName] = append(movable[pod.Spec.NodeName], pod)
		}
	}
	for i := range optional {
		optional[i].Movable = movable[optional[i].Name]
	}
	return s, optional
}

var racks = series.Length(60)

func TestRandomPlansWithOptionalNodesKeepThePromises(t *testing.T) {
	removed, moved, launched, saved := 0, 0, 0, scheduling.Price(0)
	for seed := range uint64(racks) {
		s, optional := randomRack(t, seed)
		in := s.input(t)
		in.Optional = optional
		if len(optional) == 0 {
			continue
		}
		before := picture(in.Cluster)
		plan := solve(t, in)
		if diff := cmp.Diff(before, picture(in.Cluster)); diff != "" {
			t.Fatalf("seed %d: Solve changed its input (-before +after):\n%s", seed, diff)
		}
		name := fmt.Sprintf("seed %d", seed)
		checkJoint(t, name, in, plan)
		checkLimitsWithout(t, seed, in, plan)
		again := s.permuted(seed).input(t)
		again.Optional = shuffled(rand.New(rand.NewPCG(seed, 3)), optional)
		if diff := cmp.Diff(asJSON(t, plan), asJSON(t, solve(t, again))); diff != "" {
			t.Errorf("seed %d: the same input in another order gives another plan (-first +second):\n%s", seed, diff)
		}
		removed, launched = removed+len(plan.Removed), launched+len(plan.Launches)
		moved += len(plan.Placements)
		stay := in
		stay.Optional = nil
		saved += solve(t, stay).Cost - plan.Cost
		for _, o := range in.Optional {
			saved += o.Price
		}
	}
	t.Logf("%d nodes removed, %d launched, %d placements, %s saved", removed, launched, moved, saved)
	if removed < racks || launched < racks/4 || moved < 2*racks || saved <= 0 {
		t.Error("the scenarios do not try enough")
	}
}

// checkLimitsWithout checks the limits as they are once the removed nodes have left.
func checkLimitsWithout(t *testing.T, seed uint64, in scheduling.Input, plan scheduling.Plan) {
	t.Helper()
	gone := map[string]bool{}
	for _, name := range plan.Removed {
		gone[name] = true
	}
	var groups []scheduling.Group
	for _, g := range in.Groups {
		for _, o := range in.Optional {
			if gone[o.Name] && o.Group == g.NodeGroup.Name {
				g.Nodes, g.CPUMilli, g.MemoryMiB, g.Cost = g.Nodes-1, g.CPUMilli-o.CPUMilli, g.MemoryMiB-o.MemoryMiB, g.Cost-o.Price
			}
		}
		groups = append(groups, g)
	}
	in.Groups = groups
	checkLimits(t, seed, in, plan)
}

// TestNoArrangementUndercutsTheBound compares with every arrangement there is, of clusters that are small enough.
func TestNoArrangementUndercutsTheBound(t *testing.T) {
	trials := series.Length(300)
	best, found := scheduling.Price(0), scheduling.Price(0)
	for seed := range uint64(trials) {
		r := rand.New(rand.NewPCG(seed, 31))
		rk := rack{prices: map[string]float64{}, catalog: []scheduling.Offering{
			build.MakeOffering("Two", 2, 4, float64(20+r.IntN(10))).Obj(), build.MakeOffering("Four", 4, 8, float64(38+r.IntN(16))).Obj(),
		}}
		for n := range 2 + r.IntN(2) {
			name := fmt.Sprintf("n%d", n)
			size := pick(r, "2", "4")
			rk.nodes = append(rk.nodes, node(name, size, "8Gi"))
			rk.prices[name] = float64(15 + r.IntN(50))
			left := 1900
			for i := range r.IntN(3) {
				if cpu := 100 * (1 + r.IntN(14)); cpu <= left {
					left -= cpu
					rk.running = append(rk.running, pod(fmt.Sprintf("p%d-%d", n, i), fmt.Sprintf("%dm", cpu), "100Mi", name))
				}
			}
		}
		if r.IntN(2) == 0 {
			rk.pending = append(rk.pending, pod("q", fmt.Sprintf("%dm", 100*(1+r.IntN(14))), "100Mi", ""))
		}
		in := rk.input(t)
		plan := solve(t, in)
		optimum := cheapestArrangement(in)
		if plan.LowerBound > optimum || plan.Cost < optimum {
			t.Fatalf("seed %d: bound %s, cost %s, optimum %s: %s", seed, plan.LowerBound, plan.Cost, optimum, lines(plan))
		}
		best, found = best+optimum, found+plan.Cost
	}
	ratio := float64(found) / float64(best)
	t.Logf("plans cost %.4f times the optimum", ratio)
	if ratio > 1.005 {
		t.Errorf("plans cost %.4f times the optimum", ratio)
	}
}

// cheapestArrangement tries every set of optional nodes with every way to put the pods on them and on new machines. Only cpu is scarce.
func cheapestArrangement(in scheduling.Input) scheduling.Price {
	var pods []int64
	seen := map[types.NamespacedName]bool{}
	addPods := func(list []*corev1.Pod) {
		for _, p := range list {
			if key := (types.NamespacedName{Namespace: p.Namespace, Name: p.Name}); !seen[key] {
				seen[key] = true
				pods = append(pods, p.Spec.Containers[0].Resources.Requests.Cpu().MilliValue())
			}
		}
	}
	addPods(in.Pods)
	var free []int64
	var prices []scheduling.Price
	for _, node := range in.Cluster.Nodes() {
		for _, o := range in.Optional {
			if o.Name == node.Name {
				addPods(o.Movable)
				free, prices = append(free, node.Status.Allocatable.Cpu().MilliValue()), append(prices, o.Price)
			}
		}
	}
	var rooms []int64
	for _, o := range in.Offerings {
		template := scheduling.TemplateNode(in.Groups[0].NodeGroup, o, "new")
		rooms = append(rooms, template.Status.Allocatable.Cpu().MilliValue())
	}
	b := bins{pods: pods, free: free, prices: prices, used: make([]bool, len(free)), rooms: rooms, offerings: in.Offerings, best: 1 << 62}
	b.place(0, 0)
	return b.best
}

// bins are machines with what is left on each, the first of them those that are there.
type bins struct {
	pods, free, rooms []int64
	prices            []scheduling.Price
	used              []bool
	offerings         []scheduling.Offering
	best              scheduling.Price
}

func (b *bins) place(pod int, cost scheduling.Price) {
	if cost >= b.best {
		return
	}
	if pod == len(b.pods) {
		b.best = cost
		return
	}
	size := b.pods[pod]
	for i := range b.free {
		if b.free[i] < size {
			continue
		}
		was, price := b.used[i], b.prices[i]
		if was {
			price = 0
		}
		b.free[i], b.used[i] = b.free[i]-size, true
		b.place(pod+1, cost+price)
		b.free[i], b.used[i] = b.free[i]+size, was
	}
	for o, room := range b.rooms {
		if room < size {
			continue
		}
		b.free, b.prices, b.used = append(b.free, room-size), append(b.prices, b.offerings[o].Price), append(b.used, true)
		b.place(pod+1, cost+b.offerings[o].Price)
		last := len(b.free) - 1
		b.free, b.prices, b.used = b.free[:last], b.prices[:last], b.used[:last]
	}
}

// TestKubeSchedulerBindsWhatIsMoved takes the nodes away that plans remove, lets the pods that move wait, and has the real scheduler place them
// and the pending ones where they are planned.
func TestKubeSchedulerBindsWhatIsMoved(t *testing.T) {
	moved := 0
	for seed := range uint64(series.Length(40)) {
		s, optional := randomRack(t, 2000+seed)
		in := s.input(t)
		in.Optional = optional
		plan := solve(t, in)
		after := without(s, plan)
		course, err := (&trial.Trial{Objects: after.objects, Pods: after.pods, Groups: after.groups, Offerings: after.offerings}).CourseOf(plan)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := (carried{course}).obey(t.Context()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		moved += len(after.pods) - len(s.pods)
	}
	t.Logf("%d pods that ran were moved", moved)
	if moved == 0 {
		t.Error("the scenarios do not try enough")
	}
}

// without is a scenario as it is once the plan's nodes have gone and the pods that move wait.
func without(s scenario, plan scheduling.Plan) scenario {
	places := map[types.NamespacedName]bool{}
	for _, p := range plan.Placements {
		places[p.Pod] = true
	}
	gone := func(name string) bool { return slices.Contains(plan.Removed, name) }
	s.objects.Nodes = slices.DeleteFunc(slices.Clone(s.objects.Nodes), func(n *corev1.Node) bool { return gone(n.Name) })
	s.objects.CSINodes = slices.DeleteFunc(slices.Clone(s.objects.CSINodes), func(n *storagev1.CSINode) bool { return gone(n.Name) })
	pods := s.objects.Pods
	s.objects.Pods, s.pods = nil, nil
	for _, pod := range pods {
		moves := pod.Spec.NodeName != "" && places[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}]
		if moves {
			pod = pod.DeepCopy()
			pod.Spec.NodeName, pod.Status.Phase = "", corev1.PodPending
		}
		if pod.Spec.NodeName == "" {
			s.pods = append(s.pods, pod)
		}
		s.objects.Pods = append(s.objects.Pods, pod)
	}
	return s
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
