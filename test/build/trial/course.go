// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// Step is one pod that goes to one node.
type Step struct {
	Pod  *corev1.Pod
	Node string
}

// Course is a plan with everything that kube-scheduler needs to know to carry it out.
type Course struct {
	Trial
	Plan    scheduling.Plan
	Before  snapshot.Objects // what is there when the pods come; of pods, the ones that run
	Arrival snapshot.Objects // what the machines bring
	Now     []Step           // to nodes that are there
	Later   []Step           // to the others, or beside pods that do
}

// Course solves the trial and says how to carry the plan out.
func (s *Trial) Course() (*Course, error) {
	cluster, err := snapshot.New(s.Objects)
	if err != nil {
		return nil, err
	}
	plan, err := scheduling.Solve(scheduling.Input{Cluster: cluster, Pods: s.Pods, Groups: s.Groups, Offerings: s.Offerings})
	if err != nil {
		return nil, err
	}
	if !plan.Verified || plan.Refused > 0 {
		return nil, fmt.Errorf("verified %v, and the last check refused %d placements; want none, ever", plan.Verified, plan.Refused)
	}
	return s.CourseOf(plan)
}

// CourseOf brings the placements of a plan into an order in which each is possible when its turn comes.
func (s *Trial) CourseOf(plan scheduling.Plan) (*Course, error) {
	c := &Course{Trial: *s, Plan: plan, Before: s.Objects}
	cluster, err := snapshot.New(s.Objects)
	if err != nil {
		return nil, err
	}
	c.Before.Pods = slices.DeleteFunc(slices.Clone(c.Before.Pods), func(p *corev1.Pod) bool { return p.Spec.NodeName == "" })
	engine, err := simulate.New(cluster, simulate.Options{})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	var now, later []Step
	waits := map[string]bool{} // gangs, for a new node
	for _, p := range c.Plan.Placements {
		if gang := GangOf(s.Pod(p.Pod.Name)); gang != "" && !cluster.Has(p.Node) {
			waits[gang] = true
		}
	}
	for _, p := range c.Plan.Placements {
		step := Step{s.Pod(p.Pod.Name), p.Node}
		if cluster.Has(p.Node) && !waits[GangOf(step.Pod)] {
			now = append(now, step)
		} else {
			later = append(later, step)
		}
	}
	virtual, err := c.settle(engine, cluster.Objects().VirtualNodes)
	if err != nil {
		return nil, err
	}
	c.Before.VirtualNodes = virtual.Nodes // as they are expected to look
	c.Before.Pods, c.Before.CSINodes = append(c.Before.Pods, virtual.Pods...), append(c.Before.CSINodes, virtual.CSINodes...)
	var rest []Step
	if c.Now, rest, err = sequence(engine, now); err != nil {
		return nil, err
	}
	if c.Arrival, err = c.settle(engine, c.templates()); err != nil {
		return nil, err
	}
	c.Before.ResourceSlices = slices.Clone(c.Before.ResourceSlices)
	for _, node := range c.Arrival.Nodes { // what a driver will publish is no harm before there is such a node
		if twin := cluster.Twin(node); twin != nil && slices.ContainsFunc(s.Objects.ResourceSlices, func(slice *resourceapi.ResourceSlice) bool {
			return *slice.Spec.NodeName == twin.Name
		}) {
			c.Before.ResourceSlices = append(c.Before.ResourceSlices, devicesOf(node.Name))
		}
	}
	c.Later, rest, err = sequence(engine, append(rest, later...)) // some want to be near a pod that is to come
	for _, r := range rest {
		err = errors.Join(err, fmt.Errorf("there is no order in which pod %s gets to node %s: %s", r.Pod.Name, r.Node, engine.Fits(r.Pod, r.Node)))
	}
	return c, err
}

// settle puts nodes into the picture, with the pods of the scenario's DaemonSets and what CSI drivers say about them.
func (c *Course) settle(engine *simulate.Engine, nodes []*corev1.Node) (snapshot.Objects, error) {
	var arrival snapshot.Objects
	snap := engine.Snapshot()
	for _, node := range nodes {
		if !snap.Has(node.Name) {
			if err := snap.AddNode(snap.AsRegistered(node)); err != nil {
				return arrival, err
			}
		}
		info, err := snap.NodeInfos().Get(node.Name)
		if err != nil {
			return arrival, err
		}
		arrival.Nodes = append(arrival.Nodes, info.Node())
		if csiNode, known := snap.CSINode(node.Name); known {
			arrival.CSINodes = append(arrival.CSINodes, csiNode)
		}
		for _, set := range c.Objects.DaemonSets {
			pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
			pod.Namespace, pod.Name, pod.UID = set.Namespace, set.Name+"-"+node.Name, types.UID(set.Name+node.Name)
			verdict, err := engine.Place(pod, node.Name)
			if err != nil {
				return arrival, err
			}
			if verdict.Fits {
				bound := pod.DeepCopy()
				bound.Spec.NodeName = node.Name
				arrival.Pods = append(arrival.Pods, bound)
			}
		}
	}
	return arrival, nil
}

func (c *Course) templates() (nodes []*corev1.Node) {
	for _, launch := range c.Plan.Launches {
		for _, g := range c.Groups {
			if g.NodeGroup.Name == launch.Group {
				nodes = append(nodes, scheduling.TemplateNode(g.NodeGroup, launch.Offerings[0], launch.Name))
			}
		}
	}
	return nodes
}

// sequence puts the steps into an order in which each is possible when its turn comes, as far as there is one that taking turns finds. In
// a cluster kube-scheduler gets there by trying again; here a pod that comes too early would land elsewhere.
func sequence(engine *simulate.Engine, steps []Step) (possible, rest []Step, err error) {
	for again := true; again; {
		again, rest = false, nil
		tried := map[string]bool{}
		for _, s := range steps {
			turn := s.Node + " " + s.Pod.Labels["app"]
			if tried[turn] {
				rest = append(rest, s)
				continue
			}
			tried[turn] = true
			verdict, err := engine.Place(s.Pod, s.Node)
			if err != nil {
				return nil, nil, err
			}
			if verdict.Fits {
				possible, again = append(possible, s), true
			} else {
				rest = append(rest, s)
			}
		}
		steps = rest
	}
	return possible, rest, nil
}
