// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"fmt"
	"slices"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// nextRun names the Job that stands for the next run of a CronJob.
const nextRun = "next"

// job makes the pods that a Job runs at the same time.
func (e *expander) job(self parent, spec *batchv1.JobSpec, status *batchv1.JobStatus) {
	finished := slices.ContainsFunc(status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
	if finished || ptr.Deref(spec.Suspend, false) {
		return
	}
	count := int(ptr.Deref(spec.Parallelism, 1))
	if spec.Completions != nil {
		count = min(count, int(*spec.Completions-status.Succeeded))
	}
	template := spec.Template
	template.Labels = with(template.Labels, batchv1.JobNameLabel, self.name)
	template.Labels["job-name"] = self.name // as it was called before
	template.Labels[batchv1.ControllerUidLabel] = string(self.reference.UID)
	template.Labels["controller-uid"] = string(self.reference.UID)
	count -= len(e.owned[self.owner])
	if ptr.Deref(spec.CompletionMode, batchv1.NonIndexedCompletion) != batchv1.IndexedCompletion {
		e.replicate(self, &template, count)
		return
	}
	running := map[string]bool{}
	for _, pod := range e.owned[self.owner] {
		running[pod.Labels[batchv1.JobCompletionIndexAnnotation]] = true
	}
	for number := 0; count > 0; number++ {
		index := strconv.Itoa(number)
		if running[index] {
			continue
		}
		pod := e.pod(self, &template, fmt.Sprintf("%s-%s", self.name, index))
		pod.Labels = with(pod.Labels, batchv1.JobCompletionIndexAnnotation, index)
		pod.Annotations = with(pod.Annotations, batchv1.JobCompletionIndexAnnotation, index)
		e.add(pod)
		count--
	}
}

// cronJob makes the pods of one run, as if it began now: that is the room it needs. Where a Job of it is in the set, that is its run.
func (e *expander) cronJob(cron *batchv1.CronJob) {
	self := identify(cron, batchv1.SchemeGroupVersion.WithKind("CronJob"))
	if ptr.Deref(cron.Spec.Suspend, false) || e.parents[self.owner] > 0 {
		return
	}
	run := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: cron.Namespace, Name: cron.Name + "-" + nextRun}}
	e.job(identify(run, batchv1.SchemeGroupVersion.WithKind("Job")), &cron.Spec.JobTemplate.Spec, &batchv1.JobStatus{})
}
