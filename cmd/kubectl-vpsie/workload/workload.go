// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

// Package workload turns Deployments, StatefulSets, Jobs and their like into the pods, and the claims, that their controllers would make
// and that are not there yet. It expects objects as an API server stores them, and changes none of them.
package workload

import (
	"fmt"
	"hash/fnv"
	"maps"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/dump"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/cmd/kubectl-vpsie/objects"
)

// Kinds returns one object of each kind that Expand knows.
func Kinds() []client.Object {
	return []client.Object{
		&appsv1.Deployment{}, &appsv1.ReplicaSet{}, &appsv1.StatefulSet{}, &appsv1.DaemonSet{},
		&batchv1.Job{}, &batchv1.CronJob{}, &corev1.ReplicationController{},
	}
}

// Expand adds to the set the pods that are missing. Pods in the set that belong to a workload count for it, so that what a cluster
// printed is not doubled.
func Expand(set *objects.Set) error {
	e := &expander{set: set, names: map[types.NamespacedName]bool{}, owned: map[owner][]*corev1.Pod{}, parents: map[owner]int{}, claims: map[types.NamespacedName]bool{}}
	e.index()
	for _, deployment := range objects.Of[*appsv1.Deployment](set) {
		e.deployment(deployment)
	}
	for _, replicas := range objects.Of[*appsv1.ReplicaSet](set) {
		e.replicas(identify(replicas, appsv1.SchemeGroupVersion.WithKind("ReplicaSet")), &replicas.Spec.Template, ptr.Deref(replicas.Spec.Replicas, 1))
	}
	for _, replicas := range objects.Of[*corev1.ReplicationController](set) {
		if replicas.Spec.Template != nil {
			e.replicas(identify(replicas, corev1.SchemeGroupVersion.WithKind("ReplicationController")), replicas.Spec.Template, ptr.Deref(replicas.Spec.Replicas, 1))
		}
	}
	for _, stateful := range objects.Of[*appsv1.StatefulSet](set) {
		e.statefulSet(stateful)
	}
	for _, job := range objects.Of[*batchv1.Job](set) {
		e.job(identify(job, batchv1.SchemeGroupVersion.WithKind("Job")), &job.Spec, &job.Status)
	}
	for _, cron := range objects.Of[*batchv1.CronJob](set) {
		e.cronJob(cron)
	}
	for _, daemons := range objects.Of[*appsv1.DaemonSet](set) {
		if err := e.daemonSet(daemons); err != nil {
			return err
		}
	}
	return nil
}

type expander struct {
	set     *objects.Set
	names   map[types.NamespacedName]bool // of pods
	claims  map[types.NamespacedName]bool
	owned   map[owner][]*corev1.Pod // that run or wait to run
	parents map[owner]int           // how many ReplicaSets or Jobs there are of a Deployment or CronJob
}

// owner names a workload. Identifiers are not compared: manifests that people write have none.
type owner struct{ kind, namespace, name string }

// parent is a workload as its pods refer to it.
type parent struct {
	owner
	reference metav1.OwnerReference
}

func identify(object client.Object, kind schema.GroupVersionKind) parent {
	reference := *metav1.NewControllerRef(object, kind)
	if reference.UID == "" {
		reference.UID = types.UID(strings.ToLower(kind.Kind) + "/" + object.GetNamespace() + "/" + object.GetName())
	}
	return parent{owner{kind.Kind, object.GetNamespace(), object.GetName()}, reference}
}

func (e *expander) index() {
	for _, pod := range objects.Of[*corev1.Pod](e.set) {
		e.names[client.ObjectKeyFromObject(pod)] = true
		controller := metav1.GetControllerOfNoCopy(pod)
		if controller == nil || pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		e.own(owner{controller.Kind, pod.Namespace, controller.Name}, pod)
		// The ReplicaSet between a Deployment and its pods need not be there.
		if name, ok := strings.CutSuffix(controller.Name, "-"+pod.Labels[appsv1.DefaultDeploymentUniqueLabelKey]); ok && controller.Kind == "ReplicaSet" {
			e.own(owner{"Deployment", pod.Namespace, name}, pod)
		}
	}
	for _, replicas := range objects.Of[*appsv1.ReplicaSet](e.set) {
		e.adopt(replicas)
	}
	for _, job := range objects.Of[*batchv1.Job](e.set) {
		e.adopt(job)
	}
	for _, claim := range objects.Of[*corev1.PersistentVolumeClaim](e.set) {
		e.claims[client.ObjectKeyFromObject(claim)] = true
	}
}

func (e *expander) own(by owner, pod *corev1.Pod) { e.owned[by] = append(e.owned[by], pod) }

func (e *expander) adopt(child client.Object) {
	if controller := metav1.GetControllerOfNoCopy(child); controller != nil {
		e.parents[owner{controller.Kind, child.GetNamespace(), controller.Name}]++
	}
}

// deployment makes the pods of a Deployment's one ReplicaSet. Where its ReplicaSets are in the set, they make them.
func (e *expander) deployment(deployment *appsv1.Deployment) {
	self := identify(deployment, appsv1.SchemeGroupVersion.WithKind("Deployment"))
	if e.parents[self.owner] > 0 {
		return
	}
	hash := hashOf(&deployment.Spec.Template)
	replicas := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: deployment.Namespace, Name: deployment.Name + "-" + hash}}
	template := deployment.Spec.Template
	template.Labels = with(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey, hash)
	child := identify(replicas, appsv1.SchemeGroupVersion.WithKind("ReplicaSet"))
	e.replicate(child, &template, int(ptr.Deref(deployment.Spec.Replicas, 1))-len(e.owned[self.owner]))
}

func (e *expander) replicas(self parent, template *corev1.PodTemplateSpec, wanted int32) {
	e.replicate(self, template, int(wanted)-len(e.owned[self.owner]))
}

// replicate makes pods that differ in their names only, and share everything else.
func (e *expander) replicate(self parent, template *corev1.PodTemplateSpec, count int) {
	for number := 0; count > 0; number++ {
		name := fmt.Sprintf("%s-%d", self.name, number)
		if e.names[types.NamespacedName{Namespace: self.namespace, Name: name}] {
			continue
		}
		e.add(e.pod(self, template, name))
		count--
	}
}

// pod makes a pod of a template. What the pod refers to is the template's.
func (e *expander) pod(self parent, template *corev1.PodTemplateSpec, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: self.namespace, Name: name, Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{self.reference},
		},
		Spec:   template.Spec,
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

func (e *expander) add(pod *corev1.Pod) {
	e.names[client.ObjectKeyFromObject(pod)] = true
	e.set.Add(pod)
}

// hashOf is the hash that the Deployment controller puts into names and labels.
func hashOf(template *corev1.PodTemplateSpec) string {
	hash := fnv.New32a()
	fmt.Fprintf(hash, "%v", dump.ForHash(*template))
	return rand.SafeEncodeString(fmt.Sprint(hash.Sum32()))
}

// with returns a copy of the labels with one more.
func with(labels map[string]string, key, value string) map[string]string {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return labels
}
