// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot/roster"
)

// facts is what never changes and is shared by clones.
type facts struct {
	objects  *Objects
	nodes    []*corev1.Node            // registered, by name
	alike    map[traits][]*corev1.Node // registered, by name; for Like
	csiNodes map[string]*storagev1.CSINode
	shapes   *Shapes
	unbound  []*corev1.Pod
	mu       sync.Mutex
	likes    map[traits]*corev1.Node
	kept     *kept
}

func newFacts(objects *Objects, shapes *Shapes) *facts {
	f := &facts{
		objects: objects, nodes: slices.Clone(objects.Nodes), alike: map[traits][]*corev1.Node{}, csiNodes: csiNodesOf(objects),
		shapes: shapes, likes: map[traits]*corev1.Node{}, kept: &kept{last: map[string]made{}},
	}
	slices.SortFunc(f.nodes, roster.Compare)
	for _, node := range f.nodes {
		key := traitsOf(node)
		f.alike[key] = append(f.alike[key], node)
	}
	return f
}

func csiNodesOf(objects *Objects) map[string]*storagev1.CSINode {
	byName := make(map[string]*storagev1.CSINode, len(objects.CSINodes))
	for _, csiNode := range objects.CSINodes {
		byName[csiNode.Name] = csiNode
	}
	return byName
}

// next returns the facts about the objects after these changes of registered nodes and of pods. All lists are by namespace and name.
func (f *facts) next(objects *Objects, nodes []roster.Change[*corev1.Node], pods []roster.Change[*corev1.Pod]) *facts {
	next := &facts{
		objects: objects, nodes: objects.Nodes, alike: f.alike, csiNodes: f.csiNodes, shapes: f.shapes,
		unbound: roster.Patch(f.unbound, roster.Only(pods, isUnbound)), likes: map[traits]*corev1.Node{}, kept: f.kept,
	}
	if !roster.Same(f.objects.CSINodes, objects.CSINodes) {
		next.csiNodes = csiNodesOf(objects)
	}
	if len(nodes) > 0 {
		next.alike = maps.Clone(f.alike)
	}
	for _, change := range nodes {
		next.realign(change)
	}
	return next
}

// realign moves a node to where its traits are.
func (f *facts) realign(change roster.Change[*corev1.Node]) {
	switch before, after := change.Before, change.After; {
	case before != nil && after != nil && traitsOf(before) == traitsOf(after):
		f.patch(traitsOf(after), change)
	case before != nil && after != nil:
		f.realign(roster.Change[*corev1.Node]{Before: before})
		f.realign(roster.Change[*corev1.Node]{After: after})
	default:
		f.patch(traitsOf(change.Any()), change)
	}
}

func (f *facts) patch(key traits, change roster.Change[*corev1.Node]) {
	f.alike[key] = roster.Patch(f.alike[key], []roster.Change[*corev1.Node]{change})
	if len(f.alike[key]) == 0 {
		delete(f.alike, key)
	}
}

func isUnbound(pod *corev1.Pod) bool { return pod.Spec.NodeName == "" }

// registered returns the registered node of that name, or nothing.
func (f *facts) registered(node string) *corev1.Node { return roster.Find(f.nodes, "", node) }

// traits are what a node is compared by with others, and what each is worth.
type traits [3]string

type trait struct {
	label string
	worth int
}

func worths() [len(traits{})]trait {
	return [...]trait{{v1alpha1.NodeGroupLabel, 4}, {v1alpha1.ManagedLabel, 2}, {corev1.LabelInstanceTypeStable, 1}}
}

func traitsOf(node *corev1.Node) (t traits) {
	for i, trait := range worths() {
		t[i] = node.Labels[trait.label]
	}
	return t
}

// likeness says how much two nodes have in common; it differs for each set of traits.
func (t traits) likeness(example traits) int {
	score := 1
	for i, trait := range worths() {
		if t[i] != "" && t[i] == example[i] {
			score += trait.worth
		}
	}
	return score
}

// Like returns the registered node that tells most about how the given node will look once it registers: one of the same
// group, else another machine of ours, else any node; of the same instance type where there is one.
func (s *Snapshot) Like(node *corev1.Node) *corev1.Node {
	if s.facts.registered(node.Name) != nil { // it is not like itself
		return s.facts.likest(node)
	}
	key := traitsOf(node)
	s.facts.mu.Lock()
	defer s.facts.mu.Unlock()
	like, known := s.facts.likes[key]
	if !known {
		like = s.facts.likest(node)
		s.facts.likes[key] = like
	}
	return like
}

// likest returns the first by name of those that are most alike.
func (f *facts) likest(node *corev1.Node) *corev1.Node {
	var best *corev1.Node
	most, key := 0, traitsOf(node)
	for traits, examples := range f.alike {
		if examples[0].Name == node.Name {
			examples = examples[1:]
		}
		score := key.likeness(traits)
		if len(examples) > 0 && (score > most || score == most && examples[0].Name < best.Name) {
			best, most = examples[0], score
		}
	}
	return best
}
