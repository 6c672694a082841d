// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package workload makes clusters as large as tests and benchmarks want them, from a seed: the same seed gives the same
// pods, offerings and nodes. It makes objects and never plans. Only _test.go files import it.
package workload

import (
	"fmt"
	"math"
	"math/rand/v2"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// Kind says what the pods of a workload ask of each other.
type Kind int

// Kinds in the order in which Mixed deals them out.
const (
	Plain Kind = iota
	Spread
	Near
	Apart
	kinds
)

// Pending makes the pods of classes workloads, about pods in all, none of which relates to other pods.
func Pending(seed uint64, pods, classes int) []*corev1.Pod {
	return pending(seed, pods, classes, func(int) Kind { return Plain })
}

// Mixed makes pods like Pending. A fifth of the workloads is spread, a fifth has an affinity and a fifth an anti-affinity.
func Mixed(seed uint64, pods, classes int) []*corev1.Pod {
	return pending(seed, pods, classes, func(class int) Kind {
		if kind := Kind(class % 5); kind < kinds {
			return kind
		}
		return Plain
	})
}

// pending deals the pods out unevenly, as workloads come: a few have very many replicas.
func pending(seed uint64, pods, classes int, kindOf func(int) Kind) []*corev1.Pod {
	r := rand.New(rand.NewPCG(seed, 11))
	shares, sum := make([]float64, classes), 0.0
	for c := range shares {
		shares[c] = math.Exp(r.NormFloat64() * 0.8)
		sum += shares[c]
	}
	all := make([]*corev1.Pod, 0, pods)
	for c := range classes {
		replicas := max(1, int(math.Round(float64(pods)*shares[c]/sum)))
		if c == classes-1 || len(all)+replicas > pods-(classes-1-c) {
			replicas = max(1, pods-len(all)-(classes-1-c))
		}
		all = append(all, replicate(template(r, fmt.Sprintf("w%d", c), kindOf(c), c), replicas)...)
	}
	return all
}

// template makes the pod that a workload's pods are copies of.
func template(r *rand.Rand, app string, kind Kind, class int) *corev1.Pod {
	cpu := int64(math.Exp(r.NormFloat64()*0.7+math.Log(300)))/10*10 + 20
	memory := int64(float64(cpu)*[]float64{1, 2, 4, 8}[r.IntN(4)]*(0.7+0.6*r.Float64())) + 16
	pod := build.MakePod(app).Label("app", app).
		CPU(fmt.Sprintf("%dm", min(cpu, 6000))).Memory(fmt.Sprintf("%dMi", min(memory, 24<<10))).
		Owner("ReplicaSet", app)
	variant := class / 5 % 4
	switch kind {
	case Spread:
		pod.Spread([]string{corev1.LabelTopologyZone, corev1.LabelHostname}[variant%2], app)
	case Near:
		switch variant {
		case 0: // in the zone of another workload
			pod.Near(corev1.LabelTopologyZone, fmt.Sprintf("w%d", max(class-2, 0)))
		default: // all of it in one zone
			pod.Near(corev1.LabelTopologyZone, app)
		}
	case Apart:
		pod.Apart(corev1.LabelHostname, app)
		if variant == 3 { // and away from another workload
			pod.Apart(corev1.LabelHostname, fmt.Sprintf("w%d", max(class-3, 0)))
		}
	case Plain, kinds:
	}
	return pod.Obj()
}

// replicate copies what differs between the pods of a workload and shares the rest, as the API machinery does with what it has read.
func replicate(template *corev1.Pod, replicas int) []*corev1.Pod {
	pods := make([]*corev1.Pod, replicas)
	for i := range pods {
		pod := new(*template)
		pod.Name = fmt.Sprintf("%s-%d", template.Name, i)
		pod.UID = types.UID("pod-" + pod.Name)
		pods[i] = pod
	}
	return pods
}

// Offerings makes count offerings: six families in three datacenters, from 1 to 64 cores, with prices that are nearly linear in size.
func Offerings(seed uint64, count int) []scheduling.Offering {
	r := rand.New(rand.NewPCG(seed, 12))
	families := []struct {
		name        string
		perCPU      float64
		memoryRatio float64
	}{{"shared", 11, 2}, {"general", 15, 4}, {"compute", 13, 2}, {"memory", 22, 8}, {"storage", 18, 4}, {"burst", 10, 3}}
	zones := []string{"hel", "ams", "fra"}
	cores := []int64{1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56, 60, 64}
	var all []scheduling.Offering
	for i := 0; len(all) < count; i++ {
		family, size := families[i/len(cores)%len(families)], cores[i%len(cores)]
		generation := i / (len(cores) * len(families))
		memory := max(1, int64(float64(size)*family.memoryRatio))
		month := float64(size)*family.perCPU*(0.97+0.06*r.Float64()) + 2
		for z, zone := range zones {
			if len(all) == count {
				break
			}
			name := fmt.Sprintf("%s-%d-g%d", family.name, size, generation)
			all = append(all, build.MakeOffering(name, size, memory, month*(1+0.02*float64(z))).Category(family.name).In(zone).Obj())
		}
	}
	return all
}

// Cluster makes as many nodes as asked for, in three zones, with podsPerNode running pods each, which are the pods of workloads with 150 pods. About an
// eighth of each node is free. One workload in a hundred keeps its pods apart.
func Cluster(seed uint64, nodes, podsPerNode int) snapshot.Objects {
	r := rand.New(rand.NewPCG(seed, 13))
	objects := snapshot.Objects{Namespaces: []*corev1.Namespace{{ObjectMeta: metav1.ObjectMeta{
		Name: "default", Labels: map[string]string{corev1.LabelMetadataName: "default"},
	}}}}
	zones := []string{"hel", "ams", "fra"}
	for n := range nodes {
		objects.Nodes = append(objects.Nodes, build.MakeNode(fmt.Sprintf("node-%05d", n)).Zone(zones[n%len(zones)]).Allocatable("8", "32Gi", "110").Obj())
	}
	const replicas = 150
	slot := 0 // pods go round the nodes
	for w := 0; slot < nodes*podsPerNode; w++ {
		app := fmt.Sprintf("old-%d", w)
		pod := build.MakePod(app).Label("app", app).CPU(fmt.Sprintf("%dm", 200+r.IntN(65))).Memory(fmt.Sprintf("%dMi", 700+r.IntN(350))).
			Owner("ReplicaSet", app)
		if w%100 == 7 {
			pod.Apart(corev1.LabelHostname, app)
		}
		for _, replica := range replicate(pod.Obj(), min(replicas, nodes*podsPerNode-slot)) {
			replica.Spec.NodeName = objects.Nodes[slot%nodes].Name
			replica.Status.Phase = corev1.PodRunning
			objects.Pods = append(objects.Pods, replica)
			slot++
		}
	}
	return objects
}

// Furnish gives the nodes of a cluster what a cluster in use has: VPSie's CSI driver on each, two volumes of running pods on each, with their claims and
// attachments, three DaemonSets with a pod on each, and a PodDisruptionBudget for each workload.
func Furnish(objects snapshot.Objects) snapshot.Objects {
	const class = "vpsie"
	objects.StorageClasses = append(objects.StorageClasses, build.MakeStorageClass(class, build.VPSieDriver).Obj())
	objects.CSIDrivers = append(objects.CSIDrivers, build.MakeCSIDriver(build.VPSieDriver).Obj())
	mounts := map[string]int{}
	budgets := map[string]bool{}
	for i, pod := range objects.Pods {
		app, node := pod.Labels["app"], pod.Spec.NodeName
		if !budgets[app] {
			budgets[app] = true
			objects.PodDisruptionBudgets = append(objects.PodDisruptionBudgets, &policyv1.PodDisruptionBudget{
				ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: app},
				Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
			})
		}
		if mounts[node]++; mounts[node] > 2 {
			continue
		}
		name := "data-" + pod.Name
		pod = pod.DeepCopy()
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}})
		objects.Pods[i] = pod
		objects.PersistentVolumes = append(objects.PersistentVolumes, build.MakePV(name, class).BoundTo(name).Obj())
		objects.PersistentVolumeClaims = append(objects.PersistentVolumeClaims, build.MakePVC(name, class).BoundTo(name).Obj())
		objects.VolumeAttachments = append(objects.VolumeAttachments, &storagev1.VolumeAttachment{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec:       storagev1.VolumeAttachmentSpec{Attacher: build.VPSieDriver, NodeName: node, Source: storagev1.VolumeAttachmentSource{PersistentVolumeName: &name}},
			Status:     storagev1.VolumeAttachmentStatus{Attached: true},
		})
	}
	for _, node := range objects.Nodes {
		objects.CSINodes = append(objects.CSINodes, build.MakeCSINode(node.Name).Driver(build.VPSieDriver, 7).Obj())
	}
	for d := range 3 {
		name := fmt.Sprintf("agent-%d", d)
		pod := build.MakePod(name).Label("app", name).CPU("10m").Memory("16Mi").Owner("DaemonSet", name)
		set := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}}
		set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
		set.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": name}}, Spec: pod.Obj().Spec}
		objects.DaemonSets = append(objects.DaemonSets, set)
		for n, replica := range replicate(pod.Obj(), len(objects.Nodes)) {
			replica.Spec.NodeName, replica.Status.Phase = objects.Nodes[n].Name, corev1.PodRunning
			objects.Pods = append(objects.Pods, replica)
		}
	}
	return objects
}
