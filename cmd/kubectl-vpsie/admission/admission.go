// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admission turns objects as people write them into objects as an API server stores them, as far as scheduling looks: defaults,
// the value of a priority class, the default storage class, namespaces that nobody wrote down. It changes the objects in place, and
// never refuses one.
package admission

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	appsdefaults "k8s.io/kubernetes/pkg/apis/apps/v1"
	batchdefaults "k8s.io/kubernetes/pkg/apis/batch/v1"
	coredefaults "k8s.io/kubernetes/pkg/apis/core/v1"
	resourcedefaults "k8s.io/kubernetes/pkg/apis/resource/v1"
	schedulingdefaults "k8s.io/kubernetes/pkg/apis/scheduling/v1beta1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/creation"
)

// Default fills in what an API server fills in. It must come before workloads are expanded: the hash of a template covers its defaults.
func Default(set *objects.Set) {
	each(set, coredefaults.SetObjectDefaults_Node)
	each(set, coredefaults.SetObjectDefaults_Namespace)
	each(set, coredefaults.SetObjectDefaults_PersistentVolume)
	each(set, coredefaults.SetObjectDefaults_PersistentVolumeClaim)
	each(set, coredefaults.SetObjectDefaults_ReplicationController)
	each(set, appsdefaults.SetObjectDefaults_Deployment)
	each(set, appsdefaults.SetObjectDefaults_ReplicaSet)
	each(set, appsdefaults.SetObjectDefaults_StatefulSet)
	each(set, appsdefaults.SetObjectDefaults_DaemonSet)
	each(set, batchdefaults.SetObjectDefaults_Job)
	each(set, batchdefaults.SetObjectDefaults_CronJob)
	each(set, resourcedefaults.SetObjectDefaults_ResourceClaim)
	each(set, resourcedefaults.SetObjectDefaults_ResourceSlice)
	each(set, schedulingdefaults.SetObjectDefaults_PodGroup)
	nameAll(set)
}

// defaultDaemon gives the template what its pods will get. A template as such gets less: no requests from limits, for one.
func defaultDaemon(set *appsv1.DaemonSet) {
	pod := &corev1.Pod{Spec: set.Spec.Template.Spec}
	coredefaults.SetObjectDefaults_Pod(pod)
	creation.Request(pod)
	set.Spec.Template.Spec = pod.Spec
}

func each[T any, P interface {
	*T
	client.Object
}](set *objects.Set, change func(*T)) {
	for _, object := range objects.Of[P](set) {
		change(object)
	}
}

// nameAll gives names to pods that only have the beginning of one.
func nameAll(set *objects.Set) {
	taken := map[types.NamespacedName]bool{}
	pods := objects.Of[*corev1.Pod](set)
	for _, pod := range pods {
		taken[client.ObjectKeyFromObject(pod)] = true
	}
	next := map[types.NamespacedName]int{}
	for _, pod := range pods {
		for pod.Name == "" {
			base := types.NamespacedName{Namespace: pod.Namespace, Name: pod.GenerateName}
			key := types.NamespacedName{Namespace: pod.Namespace, Name: fmt.Sprintf("%s%d", pod.GenerateName, next[base])}
			next[base]++
			if !taken[key] {
				taken[key] = true
				pod.Name = key.Name
			}
		}
	}
}

// Options of Complete.
type Options struct {
	MaxPods int64 // of nodes that do not say how many pods they take
}

// Complete does what admission plugins, kubelets and the namespace controller do, for pods that workloads have made too. It returns
// what it could not know.
func Complete(set *objects.Set, o Options) (warnings []string) {
	each(set, coredefaults.SetObjectDefaults_Pod)
	each(set, creation.Request) // of the pod as a whole
	each(set, creation.Select)
	each(set, defaultDaemon)
	warnings = prioritize(set)
	settleClasses(set)
	addNamespaces(set)
	for _, pod := range objects.Of[*corev1.Pod](set) {
		if pod.UID == "" { // plugins tell pods apart by it
			pod.UID = types.UID(pod.Namespace + "/" + pod.Name)
		}
	}
	for _, claim := range objects.Of[*resourceapi.ResourceClaim](set) {
		if claim.UID == "" { // so does the allocator with claims
			claim.UID = types.UID(claim.Namespace + "/" + claim.Name)
		}
	}
	for _, node := range objects.Of[*corev1.Node](set) {
		metav1.SetMetaDataLabel(&node.ObjectMeta, corev1.LabelHostname, cmp.Or(node.Labels[corev1.LabelHostname], node.Name))
		if _, told := node.Status.Allocatable[corev1.ResourcePods]; !told {
			node.Status.Allocatable[corev1.ResourcePods] = *resource.NewQuantity(o.MaxPods, resource.DecimalSI)
		}
	}
	return warnings
}

// prioritize gives pods the value of their priority class.
func prioritize(set *objects.Set) (warnings []string) {
	classes := map[string]*schedulingv1.PriorityClass{
		"system-node-critical":    {Value: 2_000_001_000},
		"system-cluster-critical": {Value: 2_000_000_000},
	}
	var preset *schedulingv1.PriorityClass
	for _, class := range objects.Of[*schedulingv1.PriorityClass](set) {
		classes[class.Name] = class
		if class.GlobalDefault && (preset == nil || class.Value < preset.Value) { // of several, the API server takes the least
			preset = class
		}
	}
	missing := map[string]int{}
	for _, pod := range objects.Of[*corev1.Pod](set) {
		if pod.Spec.Priority != nil {
			continue
		}
		class := classes[pod.Spec.PriorityClassName]
		if pod.Spec.PriorityClassName == "" {
			class = preset
		} else if class == nil {
			missing[pod.Spec.PriorityClassName]++
		}
		pod.Spec.Priority = new(int32(0))
		if class != nil {
			pod.Spec.Priority = new(class.Value)
			pod.Spec.PreemptionPolicy = cmp.Or(pod.Spec.PreemptionPolicy, class.PreemptionPolicy)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		warnings = append(warnings, fmt.Sprintf("PriorityClass %q of %d pods is not given; they count with priority 0", name, missing[name]))
	}
	return warnings
}

// settleClasses gives claims without a storage class the default one: of several the newest, as the API server does.
func settleClasses(set *objects.Set) {
	classes := slices.DeleteFunc(objects.Of[*storagev1.StorageClass](set), func(class *storagev1.StorageClass) bool {
		return class.Annotations["storageclass.kubernetes.io/is-default-class"] != "true" &&
			class.Annotations["storageclass.beta.kubernetes.io/is-default-class"] != "true"
	})
	if len(classes) == 0 {
		return
	}
	preset := slices.MinFunc(classes, func(a, b *storagev1.StorageClass) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, claim := range objects.Of[*corev1.PersistentVolumeClaim](set) {
		if claim.Spec.StorageClassName == nil && claim.Annotations[corev1.BetaStorageClassAnnotation] == "" {
			claim.Spec.StorageClassName = new(preset.Name)
		}
	}
}

// addNamespaces adds the namespaces that pods are in: selectors of namespaces would not match them otherwise.
func addNamespaces(set *objects.Set) {
	known := map[string]bool{}
	for _, namespace := range objects.Of[*corev1.Namespace](set) {
		known[namespace.Name] = true
	}
	for _, pod := range objects.Of[*corev1.Pod](set) {
		if known[pod.Namespace] {
			continue
		}
		known[pod.Namespace] = true
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: pod.Namespace}}
		coredefaults.SetObjectDefaults_Namespace(namespace)
		set.Add(namespace)
	}
}
