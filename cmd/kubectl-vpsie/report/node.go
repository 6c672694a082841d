// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	resourcehelper "k8s.io/component-helpers/resource"
	schedulinghelper "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/kubernetes/pkg/controller/daemon/util"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// node is a node with what is on it once the plan is carried out.
type node struct {
	name, offering, datacenter, group string
	price                             scheduling.Price
	stage                             stage
	room                              size // for pods
	used                              size
	pods                              []tenant // running ones first, then by workload and name
}

// stage says how far a node has come.
type stage int

const (
	there stage = iota
	ordered
	toBuy
)

func (s stage) String() string { return []string{"there", "on its way", "to buy"}[s] }

type size struct{ cpuMilli, memory, pods int64 }

func (s size) plus(o size) size {
	return size{s.cpuMilli + o.cpuMilli, s.memory + o.memory, s.pods + o.pods}
}

func (s size) holds(o size) bool {
	return s.cpuMilli >= o.cpuMilli && s.memory >= o.memory && s.pods >= o.pods
}

func (s size) less(o size) size {
	return size{s.cpuMilli - o.cpuMilli, s.memory - o.memory, s.pods - o.pods}
}

// tenant is a pod on a node.
type tenant struct {
	name, workload string
	size           size
	origin         origin
}

// origin says why a pod is on a node.
type origin int

const (
	running origin = iota
	ofDaemonSet
	planned
)

func sizeOf(list corev1.ResourceList) size {
	return size{list.Cpu().MilliValue(), list.Memory().Value(), list.Pods().Value()}
}

func tenantOf(pod *corev1.Pod, why origin) tenant {
	requests := sizeOf(resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{UseStatusResources: true}))
	requests.pods = 1
	return tenant{name: pod.Namespace + "/" + pod.Name, workload: workloadOf(pod), size: requests, origin: why}
}

// nodes lists the nodes that are there and the machines to buy.
func nodes(facts Facts, pods map[types.NamespacedName]*corev1.Pod) []node {
	placed := map[string][]tenant{}
	for _, placement := range facts.Plan.Placements {
		if pod := pods[placement.Pod]; pod != nil {
			placed[placement.Node] = append(placed[placement.Node], tenantOf(pod, planned))
		}
	}
	daemons, tied := daemonPods(facts.Cluster.Objects().DaemonSets), tiedPods(facts.Cluster)
	var list []node
	for _, known := range facts.Cluster.Nodes() {
		n := node{
			name: known.Name, offering: known.Labels[corev1.LabelInstanceTypeStable], datacenter: known.Labels[corev1.LabelTopologyZone],
			group: known.Labels[v1alpha1.NodeGroupLabel], room: sizeOf(known.Status.Allocatable), pods: placed[known.Name],
		}
		n.pods = append(n.pods, runningOn(facts.Cluster, known.Name, n.pods)...)
		awaited := tied[known.Name]
		if facts.Cluster.Planned(known.Name) {
			n.stage, awaited = ordered, daemons
		}
		n.pods = append(n.pods, landed(awaited, known, n.room.less(n.settled().used))...)
		list = append(list, n.settled())
	}
	groups := map[string]*v1alpha1.NodeGroup{}
	for _, group := range facts.Groups {
		groups[group.NodeGroup.Name] = group.NodeGroup
	}
	for _, launch := range facts.Plan.Launches {
		best := launch.Offerings[0]
		template := scheduling.TemplateNode(groups[launch.Group], best, launch.Name)
		n := node{
			name: launch.Name, offering: best.Name, datacenter: placeOf(best), group: launch.Group,
			price: best.Price, stage: toBuy, room: sizeOf(template.Status.Allocatable),
		}
		n.pods = append(landed(daemons, template, n.room), placed[launch.Name]...)
		list = append(list, n.settled())
	}
	return list
}

// runningOn lists the pods that are on a node without the plan. One that is nominated to it counts as planned.
func runningOn(cluster *snapshot.Snapshot, name string, plannedThere []tenant) []tenant {
	known := map[string]bool{}
	for _, t := range plannedThere {
		known[t.name] = true
	}
	var list []tenant
	for _, pod := range cluster.PodsOn(name) {
		if t := tenantOf(pod, running); !known[t.name] {
			list = append(list, t)
		}
	}
	return list
}

func (n node) settled() node {
	n.used = size{}
	for _, t := range n.pods {
		n.used = n.used.plus(t.size)
	}
	slices.SortStableFunc(n.pods, func(a, b tenant) int {
		return cmp.Or(cmp.Compare(a.origin, b.origin), cmp.Compare(a.workload, b.workload), cmp.Compare(a.name, b.name))
	})
	return n
}

// daemonPods are the pods that DaemonSets put on a node, the most important first.
func daemonPods(sets []*appsv1.DaemonSet) []*corev1.Pod {
	var pods []*corev1.Pod
	for _, set := range sets {
		if set.DeletionTimestamp != nil {
			continue
		}
		pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: set.Spec.Template.Spec}
		pod.Namespace, pod.Name = set.Namespace, set.Name
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("DaemonSet"))}
		pods = append(pods, pod)
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int {
		return cmp.Or(cmp.Compare(schedulinghelper.PodPriority(b), schedulinghelper.PodPriority(a)), snapshot.ComparePods(a, b))
	})
	return pods
}

// tiedPods lists, by node, the pods that DaemonSets have made for nodes that are there and that are not bound yet.
func tiedPods(cluster *snapshot.Snapshot) map[string][]*corev1.Pod {
	tied := map[string][]*corev1.Pod{}
	for _, pod := range cluster.Objects().Pods {
		controller := metav1.GetControllerOfNoCopy(pod)
		if _, placed := cluster.NodeOf(pod); placed || controller == nil || controller.Kind != "DaemonSet" || pod.DeletionTimestamp != nil ||
			pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
			continue
		}
		if node, err := util.GetTargetNodeName(pod); err == nil {
			tied[node] = append(tied[node], pod)
		}
	}
	return tied
}

// landed lists the DaemonSet pods that belong on a node and find room. The plan has charged the node for them; it does not tell which.
func landed(daemons []*corev1.Pod, on *corev1.Node, room size) []tenant {
	var list []tenant
	var used size
	for _, pod := range daemons {
		matches, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(on)
		_, repelled := schedulinghelper.FindMatchingUntoleratedTaint(logr.Discard(), on.Spec.Taints, pod.Spec.Tolerations, func(t *corev1.Taint) bool {
			return t.Effect != corev1.TaintEffectPreferNoSchedule
		}, true)
		t := tenantOf(pod, ofDaemonSet)
		if pod.UID == "" { // nobody has made it yet
			t.name += "-" + on.Name
		}
		if err == nil && matches && !repelled && room.less(used).holds(t.size) {
			used = used.plus(t.size)
			list = append(list, t)
		}
	}
	return list
}

// serial is the end of a name that tells equal pods apart.
var serial = regexp.MustCompile(`-[0-9]+$`)

// workloadOf names what a pod belongs to: its controller, and above a ReplicaSet the Deployment; else what its labels or its name say.
func workloadOf(pod *corev1.Pod) string {
	name := cmp.Or(pod.Labels["app.kubernetes.io/name"], pod.Labels["app"], pod.Labels["k8s-app"], serial.ReplaceAllString(pod.Name, ""))
	if controller := metav1.GetControllerOfNoCopy(pod); controller != nil {
		name = controller.Name
		if hash := pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]; controller.Kind == "ReplicaSet" && hash != "" {
			name = strings.TrimSuffix(name, "-"+hash)
		}
	}
	return pod.Namespace + "/" + name
}
