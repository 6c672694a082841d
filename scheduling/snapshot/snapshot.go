// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package snapshot turns the objects of a cluster into a picture that can be changed, forked and taken back at the cost
// of what changed: which nodes there are, which pods are on them, which volumes they use. It is what kube-scheduler's
// plugins read. It never decides anything and never talks to anything.
package snapshot

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Objects is what a cluster consists of, as far as scheduling is concerned. A Snapshot reads them and never changes them.
type Objects struct {
	Nodes        []*corev1.Node
	VirtualNodes []*corev1.Node // ordered, not registered yet; named like their VPSieNodes
	Pods         []*corev1.Pod  // all that have not terminated, bound and unbound

	DaemonSets           []*appsv1.DaemonSet
	Namespaces           []*corev1.Namespace
	PodDisruptionBudgets []*policyv1.PodDisruptionBudget
	PriorityClasses      []*schedulingv1.PriorityClass
	PodGroups            []*schedulingv1beta1.PodGroup

	PersistentVolumes      []*corev1.PersistentVolume
	PersistentVolumeClaims []*corev1.PersistentVolumeClaim
	StorageClasses         []*storagev1.StorageClass
	CSINodes               []*storagev1.CSINode
	CSIDrivers             []*storagev1.CSIDriver
	CSIStorageCapacities   []*storagev1.CSIStorageCapacity
	VolumeAttachments      []*storagev1.VolumeAttachment

	ResourceClaims []*resourceapi.ResourceClaim
	ResourceSlices []*resourceapi.ResourceSlice
	DeviceClasses  []*resourceapi.DeviceClass
}

// Snapshot is a picture of a cluster with an undo journal. NodeInfos are changed in place, so a fork costs nothing per node. It is for
// one goroutine at a time; Clone makes a second one, which shares everything until one of the two changes it.
type Snapshot struct {
	facts *facts // shared with clones, never changed

	list    []fwk.NodeInfo
	own     []bool // of list: no clone has it
	index   layers[string, int]
	spread  nodeSet // nodes with pods that have any pod affinity or anti-affinity
	anti    nodeSet // nodes with pods that have required anti-affinity
	claims  layers[string, int]
	places  layers[types.NamespacedName, string]
	strays  map[string][]fwk.PodInfo // pods whose node is not in the picture; the slices are never changed
	csiPlan map[string]*storagev1.CSINode
	planned map[string]bool // nodes in the picture that are not registered
	kinds   kinds
	sorted  []fwk.NodeInfo // by name; nil until asked for
	lent    bool           // sorted belongs to clones as well
	bare    []fwk.NodeInfo // the list without pods, each a *narrowed; nil until asked for
	views   []*narrowed    // the same
	touched []*narrowed    // of bare: those that show pods now
	narrow  bool           // the list of all nodes is bare

	journal []change
	marks   []int

	state, newest uint64 // numbers that tell states apart; a revert brings the number back with the state
	states        []uint64
	memo          any
	memoOf        uint64
	born          *shared // of a clone: what was made of the state that it began with
	lending       *shared // what its clones share
	lendingOf     uint64
}

// New makes a snapshot. Pods that are bound, or nominated by kube-scheduler, are placed on their nodes; a pod on a node that is not
// among the objects is kept aside and comes back if that node is added. Virtual nodes lose against nodes of the same name.
func New(objects Objects) (*Snapshot, error) { return build(newFacts(&objects, NewShapes())) }

func build(facts *facts) (*Snapshot, error) {
	objects := facts.objects
	s := blank(facts, len(objects.Nodes)+len(objects.VirtualNodes), len(objects.Pods))
	for _, node := range objects.Nodes {
		if err := s.AddNode(node); err != nil {
			return nil, err
		}
	}
	for _, node := range objects.VirtualNodes {
		if s.Has(node.Name) {
			continue
		}
		if err := s.AddNode(s.AsRegistered(node)); err != nil {
			return nil, err
		}
	}
	for _, pod := range objects.Pods {
		if err := s.place(pod); err != nil {
			return nil, err
		}
		if pod.Spec.NodeName == "" {
			s.facts.unbound = append(s.facts.unbound, pod)
		}
	}
	return s, nil
}

// place puts a pod of the cluster where it runs or is about to run. A nomination counts only where the node is known:
// kube-scheduler made room there, and whoever plans must not give that room away.
func (s *Snapshot) place(pod *corev1.Pod) error {
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return nil
	}
	if pod.Spec.NodeName != "" {
		return s.AddPod(pod, pod.Spec.NodeName)
	}
	if s.Has(pod.Status.NominatedNodeName) {
		return s.AddPod(pod, pod.Status.NominatedNodeName)
	}
	return nil
}

func blank(facts *facts, nodes, pods int) *Snapshot {
	return &Snapshot{
		facts: facts, index: newLayers[string, int](nodes), claims: newLayers[string, int](0),
		places: newLayers[types.NamespacedName, string](pods), strays: map[string][]fwk.PodInfo{},
		csiPlan: map[string]*storagev1.CSINode{}, planned: map[string]bool{}, kinds: newKinds(),
	}
}

// Clone returns an independent copy of the present state, without the journal. What both have in common is copied when one of them
// changes it.
func (s *Snapshot) Clone() *Snapshot {
	sorted := s.Infos()
	clear(s.own)
	s.lent = true
	return &Snapshot{
		born: s.lend(), facts: s.facts, list: slices.Clone(s.list), own: make([]bool, len(s.list)), index: s.index.copy(),
		spread: s.spread.copy(), anti: s.anti.copy(), claims: s.claims.copy(), places: s.places.copy(), strays: maps.Clone(s.strays),
		csiPlan: map[string]*storagev1.CSINode{}, planned: maps.Clone(s.planned), kinds: s.kinds.copy(), sorted: sorted, lent: true,
	}
}

// Empty returns a picture of the same cluster without any node or pod.
func (s *Snapshot) Empty() *Snapshot { return blank(s.facts, 0, 0) }

// Objects returns the objects that the snapshot was made from. Later changes do not show in them.
func (s *Snapshot) Objects() *Objects { return s.facts.objects }

// Shapes tells pods by what kube-scheduler sees of them.
func (s *Snapshot) Shapes() *Shapes { return s.facts.shapes }

// Unbound returns the pods among the objects that are bound to no node.
func (s *Snapshot) Unbound() []*corev1.Pod { return s.facts.unbound }

// Nodes returns the nodes, by name.
func (s *Snapshot) Nodes() []*corev1.Node {
	nodes := make([]*corev1.Node, 0, len(s.list))
	for _, info := range s.Infos() {
		nodes = append(nodes, info.Node())
	}
	return nodes
}

// Infos returns the nodes with their pods, by name. The list must not be changed, and holds only until the snapshot changes.
func (s *Snapshot) Infos() []fwk.NodeInfo {
	if s.sorted == nil {
		s.sorted, s.lent = slices.Clone(s.list), false
		slices.SortFunc(s.sorted, func(a, b fwk.NodeInfo) int { return cmp.Compare(a.Node().Name, b.Node().Name) })
	}
	return s.sorted
}

// Has says whether the node is in the picture.
func (s *Snapshot) Has(node string) bool {
	_, known := s.index.get(node)
	return known
}

// Planned says whether the node is in the picture without being registered: ordered, or only thought of.
func (s *Snapshot) Planned(node string) bool { return s.planned[node] }

// PlannedNodes returns the names of such nodes, sorted.
func (s *Snapshot) PlannedNodes() []string { return slices.Sorted(maps.Keys(s.planned)) }

// PodsOn returns the pods on the node, by namespace and name, also where the node itself is not in the picture.
func (s *Snapshot) PodsOn(node string) []*corev1.Pod {
	infos := s.strays[node]
	if at, known := s.index.get(node); known {
		infos = s.list[at].GetPods()
	}
	pods := make([]*corev1.Pod, 0, len(infos))
	for _, info := range infos {
		pods = append(pods, info.GetPod())
	}
	slices.SortFunc(pods, ComparePods)
	return pods
}

// NodeOf returns the node that the pod is on, in the picture or not.
func (s *Snapshot) NodeOf(pod *corev1.Pod) (node string, placed bool) {
	node, placed = s.places.get(keyOf(pod))
	return node, placed
}

// ComparePods orders pods by namespace, then name.
func ComparePods(a, b *corev1.Pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// AddNode adds a node. Pods that were kept aside for it are placed on it.
func (s *Snapshot) AddNode(node *corev1.Node) error {
	if s.Has(node.Name) {
		return fmt.Errorf("adding node %q: it is already in the snapshot", node.Name)
	}
	info := framework.NewNodeInfo()
	info.SetNode(node)
	for _, pod := range s.strays[node.Name] {
		info.AddPodInfo(pod)
	}
	delete(s.strays, node.Name)
	s.insert(info, true)
	s.record(change{kind: nodeAdded, node: node.Name})
	return nil
}

// RemoveNode removes a node. Its pods are kept aside: they count nowhere until the node, or each of them, is added again.
func (s *Snapshot) RemoveNode(node string) error {
	if !s.Has(node) {
		return fmt.Errorf("removing node %q: it is not in the snapshot", node)
	}
	info, own := s.extract(node)
	s.record(change{kind: nodeRemoved, node: node, info: info, own: own})
	return nil
}

// AddPod places a pod on a node without asking whether it fits. On a node that is not in the picture it is kept aside.
func (s *Snapshot) AddPod(pod *corev1.Pod, node string) error {
	key := keyOf(pod)
	if before, placed := s.places.get(key); placed {
		if s.Has(before) {
			return fmt.Errorf("placing pod %q on node %q: it is already on node %q", key, node, before)
		}
		if err := s.RemovePod(pod); err != nil {
			return err
		}
	}
	info, err := s.facts.shapes.of(pod)
	if err != nil {
		return fmt.Errorf("placing pod %q on node %q: %w", key, node, err)
	}
	s.attach(info, node)
	s.record(change{kind: podAdded, node: node, pod: info})
	return nil
}

// RemovePod takes a pod off its node.
func (s *Snapshot) RemovePod(pod *corev1.Pod) error {
	key := keyOf(pod)
	node, placed := s.places.get(key)
	if !placed {
		return fmt.Errorf("removing pod %q: it is on no node", key)
	}
	info, err := s.detach(key, node)
	if err != nil {
		return err
	}
	s.record(change{kind: podRemoved, node: node, pod: info})
	return nil
}

func (s *Snapshot) insert(info fwk.NodeInfo, own bool) {
	node := info.Node().Name
	s.index.set(node, len(s.list))
	s.list, s.own = append(s.list, info), append(s.own, own)
	s.sorted, s.bare, s.views = nil, nil, nil
	if s.facts.registered(node) == nil {
		s.planned[node] = true
	}
	for _, pod := range info.GetPods() {
		s.countClaims(pod.GetPod(), 1)
		s.countKind(pod, node, 1)
	}
	s.track(info)
}

// extract takes a node out of the picture and puts its pods aside.
func (s *Snapshot) extract(node string) (info fwk.NodeInfo, own bool) {
	at, _ := s.index.get(node)
	last := len(s.list) - 1
	info, own = s.list[at], s.own[at]
	s.list[at], s.own[at] = s.list[last], s.own[last]
	s.index.set(s.list[at].Node().Name, at)
	s.list, s.own = s.list[:last], s.own[:last]
	s.index.remove(node)
	delete(s.csiPlan, node)
	delete(s.planned, node)
	s.spread.remove(node)
	s.anti.remove(node)
	s.sorted, s.bare, s.views = nil, nil, nil
	for _, pod := range info.GetPods() {
		s.countClaims(pod.GetPod(), -1)
		s.countKind(pod, node, -1)
	}
	if len(info.GetPods()) > 0 {
		s.strays[node] = slices.Clone(info.GetPods())
	}
	return info, own
}

// changing returns a node that is about to be changed, after taking a copy of what belongs to clones as well.
func (s *Snapshot) changing(at int) fwk.NodeInfo {
	if s.own[at] {
		return s.list[at]
	}
	info := s.list[at].Snapshot()
	s.list[at], s.own[at] = info, true
	if s.sorted != nil {
		if s.lent {
			s.sorted, s.lent = slices.Clone(s.sorted), false
		}
		name := info.Node().Name
		place, _ := slices.BinarySearchFunc(s.sorted, name, func(other fwk.NodeInfo, name string) int { return cmp.Compare(other.Node().Name, name) })
		s.sorted[place] = info
	}
	if s.views != nil {
		s.views[at].NodeInfo = info
	}
	return info
}

func (s *Snapshot) attach(pod fwk.PodInfo, node string) {
	s.places.set(keyOf(pod.GetPod()), node)
	at, known := s.index.get(node)
	if !known {
		s.strays[node] = append(slices.Clip(s.strays[node]), pod)
		return
	}
	info := s.changing(at)
	info.AddPodInfo(pod)
	s.countClaims(pod.GetPod(), 1)
	s.countKind(pod, node, 1)
	s.track(info)
}

func (s *Snapshot) detach(key types.NamespacedName, node string) (fwk.PodInfo, error) {
	infos := s.strays[node]
	at, known := s.index.get(node)
	if known {
		infos = s.list[at].GetPods()
	}
	found := slices.IndexFunc(infos, func(info fwk.PodInfo) bool { return keyOf(info.GetPod()) == key })
	if found < 0 {
		return nil, fmt.Errorf("removing pod %q: node %q does not have it", key, node)
	}
	info := infos[found]
	s.places.remove(key)
	if !known {
		if len(infos) == 1 {
			delete(s.strays, node)
		} else {
			s.strays[node] = slices.Delete(slices.Clone(infos), found, found+1)
		}
		return info, nil
	}
	on := s.changing(at)
	if err := on.RemovePod(klog.Background(), info.GetPod()); err != nil {
		return nil, fmt.Errorf("removing pod %q from node %q: %w", key, node, err)
	}
	s.countClaims(info.GetPod(), -1)
	s.countKind(info, node, -1)
	s.track(on)
	return info, nil
}

// track keeps the two lists that inter-pod affinity reads instead of all nodes.
func (s *Snapshot) track(info fwk.NodeInfo) {
	s.spread.set(info, len(info.GetPodsWithAffinity()) > 0)
	s.anti.set(info, len(info.GetPodsWithRequiredAntiAffinity()) > 0)
}

func keyOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}
