// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling_test

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	featuregatetesting "k8s.io/component-base/featuregate/testing"
	"k8s.io/kubernetes/pkg/features"
	"sigs.k8s.io/yaml"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/apis/v1alpha1"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/simulate"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden solves testdata/NAME.in.yaml and compares with NAME.out.yaml. An input is Kubernetes manifests, of which a ReplicaSet
// stands for its pods and a VPSieNode for its virtual node, with optional documents of kind Catalogue (offerings) and NodeCost (what a
// machine costs beside its price), and documents of kind Usage (what a group uses already) and OptionalNode (a node that may go; its pods may move, but for those that it keeps). Run with -update to write the outputs, then read them.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*.in.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatal("no inputs", err)
	}
	for _, path := range inputs {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".in.yaml"), func(t *testing.T) {
			in := readCase(t, path)
			if len(in.Cluster.Objects().PodGroups) > 0 {
				featuregatetesting.SetFeatureGateDuringTest(t, utilfeature.DefaultFeatureGate, features.GenericWorkload, true)
			}
			got := render(t, solve(t, in))
			golden := strings.TrimSuffix(path, ".in.yaml") + ".out.yaml"
			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

type catalogue struct {
	Offerings []struct {
		Name          string
		CPU           int64
		MemoryGiB     int64
		PricePerMonth float64
		Category      string
		Zone          string
		Unavailable   bool
	}
}

type usage struct {
	Group       string
	Nodes       int
	CPU         int64
	MemoryGiB   int64
	CostPerHour v1alpha1.Price
}

type nodeCost struct{ PerMonth float64 }

type optionalNode struct {
	Name          string
	Group         string
	PricePerMonth float64
	Keeps         []string // pods that may not move
}

// reader collects the documents of one input.
type reader struct {
	objects   snapshot.Objects
	pending   []*corev1.Pod
	groups    []*v1alpha1.NodeGroup
	usage     []usage
	offerings []scheduling.Offering
	optional  []optionalNode
	scheduler *simulate.Scheduler
	nodeCost  float64 // per month
}

func readCase(t *testing.T, path string) scheduling.Input {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{}
	for i, document := range bytes.Split(text, []byte("\n---\n")) {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal(document, &meta); err != nil {
			t.Fatalf("%s: document %d: %v", path, i, err)
		}
		if meta.Kind == "" {
			continue // comments only
		}
		if err := r.read(meta.Kind, document); err != nil {
			t.Fatalf("%s: document %d: %s: %v", path, i, meta.Kind, err)
		}
	}
	cluster, err := snapshot.New(r.objects)
	if err != nil {
		t.Fatal(err)
	}
	input := scheduling.Input{Cluster: cluster, Pods: r.pending, Offerings: r.offerings, Scheduler: r.scheduler, NodeCost: scheduling.PerMonth(r.nodeCost)}
	if input.Offerings == nil {
		input.Offerings = build.Catalogue()
	}
	for _, group := range r.groups {
		input.Groups = append(input.Groups, r.group(t, group))
	}
	for _, o := range r.optional {
		node := scheduling.OptionalNode{Name: o.Name, Price: scheduling.PerMonth(o.PricePerMonth), Group: o.Group}
		for _, pod := range cluster.PodsOn(o.Name) {
			if !slices.Contains(o.Keeps, pod.Name) {
				node.Movable = append(node.Movable, pod)
			}
		}
		input.Optional = append(input.Optional, node)
	}
	return input
}

func (r *reader) group(t *testing.T, group *v1alpha1.NodeGroup) scheduling.Group {
	t.Helper()
	g := scheduling.Group{NodeGroup: group}
	for _, u := range r.usage {
		if u.Group != group.Name {
			continue
		}
		price, err := scheduling.ParsePrice(u.CostPerHour)
		if err != nil {
			t.Fatal(err)
		}
		g.Nodes, g.CPUMilli, g.MemoryMiB, g.Cost = u.Nodes, u.CPU*1000, u.MemoryGiB*1024, price
	}
	return g
}

func (r *reader) read(kind string, document []byte) error {
	switch kind {
	case "Pod":
		return into(document, func(pod *corev1.Pod) { r.pod(pod) })
	case "ReplicaSet":
		return into(document, r.replicaSet)
	case "Node":
		return into(document, func(node *corev1.Node) { r.objects.Nodes = append(r.objects.Nodes, node) })
	case "VPSieNode":
		return into(document, func(node *v1alpha1.VPSieNode) {
			r.objects.VirtualNodes = append(r.objects.VirtualNodes, scheduling.VirtualNode(node))
		})
	case "NodeGroup":
		return into(document, func(group *v1alpha1.NodeGroup) { r.groups = append(r.groups, group) })
	case "DaemonSet":
		return into(document, func(set *appsv1.DaemonSet) { r.objects.DaemonSets = append(r.objects.DaemonSets, set) })
	case "PriorityClass":
		return into(document, func(c *schedulingv1.PriorityClass) { r.objects.PriorityClasses = append(r.objects.PriorityClasses, c) })
	case "PersistentVolume":
		return into(document, func(v *corev1.PersistentVolume) { r.objects.PersistentVolumes = append(r.objects.PersistentVolumes, v) })
	case "PersistentVolumeClaim":
		return into(document, func(c *corev1.PersistentVolumeClaim) {
			c.Namespace = cmp.Or(c.Namespace, "default")
			r.objects.PersistentVolumeClaims = append(r.objects.PersistentVolumeClaims, c)
		})
	case "StorageClass":
		return into(document, func(c *storagev1.StorageClass) { r.objects.StorageClasses = append(r.objects.StorageClasses, c) })
	case "CSIDriver":
		return into(document, func(d *storagev1.CSIDriver) { r.objects.CSIDrivers = append(r.objects.CSIDrivers, d) })
	case "PodGroup":
		return into(document, func(g *schedulingv1beta1.PodGroup) {
			g.Namespace = cmp.Or(g.Namespace, "default")
			r.objects.PodGroups = append(r.objects.PodGroups, g)
		})
	case "Namespace":
		return into(document, func(n *corev1.Namespace) { r.objects.Namespaces = append(r.objects.Namespaces, n) })
	case "CSINode":
		return into(document, func(n *storagev1.CSINode) { r.objects.CSINodes = append(r.objects.CSINodes, n) })
	case "CSIStorageCapacity":
		return into(document, func(c *storagev1.CSIStorageCapacity) {
			r.objects.CSIStorageCapacities = append(r.objects.CSIStorageCapacities, c)
		})
	case "ResourceClaim":
		return into(document, func(c *resourceapi.ResourceClaim) {
			c.Namespace = cmp.Or(c.Namespace, "default")
			r.objects.ResourceClaims = append(r.objects.ResourceClaims, c)
		})
	case "ResourceSlice":
		return into(document, func(s *resourceapi.ResourceSlice) { r.objects.ResourceSlices = append(r.objects.ResourceSlices, s) })
	case "DeviceClass":
		return into(document, func(c *resourceapi.DeviceClass) { r.objects.DeviceClasses = append(r.objects.DeviceClasses, c) })
	case "KubeSchedulerConfiguration":
		var err error
		r.scheduler, err = simulate.ReadScheduler("the golden input", document, nil)
		return err
	case "Catalogue":
		return into(document, r.catalogue)
	case "NodeCost":
		return into(document, func(c *nodeCost) { r.nodeCost = c.PerMonth })
	case "OptionalNode":
		return into(document, func(o *optionalNode) { r.optional = append(r.optional, *o) })
	case "Usage":
		return into(document, func(u *usage) { r.usage = append(r.usage, *u) })
	}
	return fmt.Errorf("unknown kind")
}

func into[T any](document []byte, use func(*T)) error {
	object := new(T)
	if err := yaml.Unmarshal(document, object); err != nil {
		return err
	}
	use(object)
	return nil
}

func (r *reader) pod(pod *corev1.Pod) {
	pod.Namespace = cmp.Or(pod.Namespace, "default")
	pod.UID = types.UID(pod.Namespace + "/" + pod.Name)
	r.objects.Pods = append(r.objects.Pods, pod)
	if pod.Spec.NodeName == "" {
		r.pending = append(r.pending, pod)
	}
}

func (r *reader) replicaSet(set *appsv1.ReplicaSet) {
	for i := range *set.Spec.Replicas {
		pod := &corev1.Pod{ObjectMeta: *set.Spec.Template.ObjectMeta.DeepCopy(), Spec: *set.Spec.Template.Spec.DeepCopy()}
		pod.Namespace, pod.Name = set.Namespace, fmt.Sprintf("%s-%d", set.Name, i)
		pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(set, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))}
		r.pod(pod)
	}
}

func (r *reader) catalogue(c *catalogue) {
	r.offerings = []scheduling.Offering{}
	for _, o := range c.Offerings {
		offering := build.MakeOffering(o.Name, o.CPU, o.MemoryGiB, o.PricePerMonth).Category(cmp.Or(o.Category, "general"))
		if o.Zone != "" {
			offering.In(o.Zone)
		}
		if o.Unavailable {
			offering.Unavailable()
		}
		r.offerings = append(r.offerings, offering.Obj())
	}
}

// render writes a plan as people read it.
func render(t *testing.T, plan scheduling.Plan) []byte {
	t.Helper()
	type launch struct {
		Name      string   `json:"1-name"`
		Group     string   `json:"2-group"`
		Offerings []string `json:"3-offerings"`
		Pods      []string `json:"4-pods"`
		Requests  string   `json:"5-requests"`
		Why       string   `json:"6-why"`
	}
	out := struct {
		Launches   []launch `json:"1-launches"`
		Placements []string `json:"2-placements"`
		Rejections []any    `json:"3-rejections"`
		Cost       string   `json:"4-cost"`
		LowerBound string   `json:"5-lowerBound"`
		Verified   bool     `json:"6-verified"`
		Removed    []string `json:"7-removed,omitempty"`
	}{[]launch{}, []string{}, []any{}, plan.Cost.Decimal(), plan.LowerBound.String(), plan.Verified, plan.Removed}
	for _, l := range plan.Launches {
		rendered := launch{
			Name: l.Name, Group: l.Group, Why: l.Why,
			Requests: fmt.Sprintf("cpu %s, memory %s", l.Requests.Cpu(), l.Requests.Memory()),
		}
		for _, o := range l.Offerings {
			rendered.Offerings = append(rendered.Offerings, fmt.Sprintf("%s at %s in %s", o.Name, o.Price, o.Zone))
		}
		for _, pod := range l.Pods {
			rendered.Pods = append(rendered.Pods, pod.String())
		}
		out.Launches = append(out.Launches, rendered)
	}
	for _, p := range plan.Placements {
		out.Placements = append(out.Placements, fmt.Sprintf("%s on %s", p.Pod, p.Node))
	}
	for _, r := range plan.Rejections {
		out.Rejections = append(out.Rejections, map[string]any{"1-pod": r.Pod.String(), "2-message": r.Message, "3-reasons": r.Reasons})
	}
	text, err := yaml.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	for i := '1'; i <= '7'; i++ { // the digits only keep the order
		text = bytes.ReplaceAll(text, []byte("\n"+string(i)+"-"), []byte("\n"))
		text = bytes.ReplaceAll(text, []byte(" "+string(i)+"-"), []byte(" "))
	}
	return bytes.TrimPrefix(text, []byte("1-"))
}
