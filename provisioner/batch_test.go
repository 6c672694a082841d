// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package provisioner

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func pods(count int) []*corev1.Pod {
	var result []*corev1.Pod
	for i := range count {
		result = append(result, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("pod-", i), UID: types.UID(fmt.Sprint("uid-", i))}})
	}
	return result
}

func TestBatch(t *testing.T) {
	type seen struct {
		after time.Duration // since noon
		pods  int
		want  time.Duration
	}
	cases := map[string][]seen{
		"without pods there is nothing to wait for": {{0, 0, 0}},
		"a lone pod waits for the idle time":        {{0, 1, time.Second}, {time.Second, 1, 0}},
		"each new pod starts the idle time again": {
			{0, 1, time.Second}, {900 * time.Millisecond, 2, time.Second}, {1500 * time.Millisecond, 2, 400 * time.Millisecond}, {1900 * time.Millisecond, 2, 0},
		},
		"a stream of pods is cut after the longest wait": {
			{0, 1, time.Second}, {9500 * time.Millisecond, 2, 500 * time.Millisecond}, {10 * time.Second, 3, 0},
		},
		"pods that were planned for do not wait again": {{0, 2, time.Second}, {time.Second, 2, 0}, {5 * time.Second, 2, 0}},
		"a newcomer beside them does":                  {{0, 2, time.Second}, {time.Second, 2, 0}, {5 * time.Second, 3, time.Second}},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBatch(time.Second, 10*time.Second)
			for i, step := range steps {
				if got := b.observe(noon.Add(step.after), pods(step.pods)); got != step.want {
					t.Errorf("step %d: wait %s, want %s", i, got, step.want)
				}
			}
		})
	}
}
