// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package scheduling

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/scheduling/snapshot"
)

// It is inside the package, where test/build cannot be imported: which pods share a class shows nowhere outside, but a class too many costs
// time, and one too few makes wrong plans.
func TestTwinsShareAClass(t *testing.T) {
	pod := func(name string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "web"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "main", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}},
			}}},
		}
		change(p)
		return p
	}
	main := func(p *corev1.Pod) *corev1.Container { return &p.Spec.Containers[0] }
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		twins  bool
	}{
		"nothing but the name":       {func(*corev1.Pod) {}, true},
		"what runs in the container": {func(p *corev1.Pod) { main(p).Image = "other"; main(p).Env = []corev1.EnvVar{{Name: "A"}} }, true},
		"the service account's volume": {func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access-x7f", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}}
		}, true},
		"the host name": {func(p *corev1.Pod) { p.Spec.Hostname = "web-1" }, true},
		"an annotation": {func(p *corev1.Pod) { p.Annotations = map[string]string{"a": "b"} }, true},
		"the same request in other words": {func(p *corev1.Pod) {
			main(p).Resources.Requests["cpu"] = resource.MustParse("1000m")
		}, true},
		"the request":   {func(p *corev1.Pod) { main(p).Resources.Requests["cpu"] = resource.MustParse("2") }, false},
		"the priority":  {func(p *corev1.Pod) { p.Spec.Priority = ptr.To[int32](1) }, false},
		"a label":       {func(p *corev1.Pod) { p.Labels["app"] = "db" }, false},
		"the namespace": {func(p *corev1.Pod) { p.Namespace = "other" }, false},
		"a host port":   {func(p *corev1.Pod) { main(p).Ports = []corev1.ContainerPort{{HostPort: 80}} }, false},
		"a toleration":  {func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Key: "a"}} }, false},
		"a claim": {func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}}
		}, false},
		"overhead":          {func(p *corev1.Pod) { p.Spec.Overhead = corev1.ResourceList{"cpu": resource.MustParse("1")} }, false},
		"user namespaces":   {func(p *corev1.Pod) { p.Spec.HostUsers = new(false) }, false},
		"an init container": {func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{{Name: "init"}} }, false},
		"a soft preference": {func(p *corev1.Pod) {
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{TopologyKey: "a"}}
		}, false},
		"a node that is gone": {func(p *corev1.Pod) { p.Spec.NodeName = "gone" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			classes, err := classify(snapshot.NewShapes(), []*corev1.Pod{pod("a", func(*corev1.Pod) {}), pod("b", c.change)})
			if err != nil {
				t.Fatal(err)
			}
			if got := len(classes) == 1; got != c.twins {
				t.Errorf("pods that differ by %s are in one class: %v", name, got)
			}
		})
	}
}

func TestEphemeralVolumesMakeEveryPodItsOwnClass(t *testing.T) {
	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{
			{Name: "scratch", VolumeSource: corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{}}},
		}}}
	}
	classes, err := classify(snapshot.NewShapes(), []*corev1.Pod{pod("a"), pod("b")})
	if err != nil || len(classes) != 2 {
		t.Errorf("their claims are named after them: %d classes, %v", len(classes), err)
	}
}
