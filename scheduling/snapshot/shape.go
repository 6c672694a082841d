// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Shape is what pods have in common that are equal to kube-scheduler: what a plugin says of one it says of all. Two pods of
// one Shapes have equal shapes if and only if they have the same *Shape.
type Shape struct {
	Pod *corev1.Pod // the first of them that was seen
	// info is what the framework derives from a pod (selectors, requests). It costs fifty times more than placing the pod, so it
	// is derived once for all of a shape.
	info fwk.PodInfo
}

// Affinity returns the required affinity terms, as the framework reads them.
func (s *Shape) Affinity() []fwk.AffinityTerm { return s.info.GetRequiredAffinityTerms() }

// AntiAffinity returns the required anti-affinity terms, as the framework reads them.
func (s *Shape) AntiAffinity() []fwk.AffinityTerm { return s.info.GetRequiredAntiAffinityTerms() }

// Preferences returns the preferred affinity and anti-affinity terms, as the framework reads them.
func (s *Shape) Preferences() (affinity, antiAffinity []fwk.WeightedAffinityTerm) {
	return s.info.GetPreferredAffinityTerms(), s.info.GetPreferredAntiAffinityTerms()
}

// Resources returns what a node that has such a pod counts as requested.
func (s *Shape) Resources() fwk.Resource { return s.info.CalculateResource().Resource }

// Shapes sorts pods by shape. It may be used by several goroutines, and by several snapshots.
type Shapes struct {
	mu     sync.Mutex
	byText map[string]*Shape
	byPod  map[*corev1.Pod]*podInfo
}

// NewShapes returns a Shapes that has seen no pod.
func NewShapes() *Shapes {
	return &Shapes{byText: map[string]*Shape{}, byPod: map[*corev1.Pod]*podInfo{}}
}

// forget lets go of a pod that nobody will ask for again.
func (s *Shapes) forget(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byPod, pod)
}

// fresh returns Shapes that know these pods and shapes, and not much else. Pods and shapes that once were would otherwise be kept for ever.
func (s *Shapes) fresh(pods []*corev1.Pod, placed kinds) *Shapes {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.byText)+len(s.byPod) <= 2*len(pods)+1024 {
		return s
	}
	fresh := NewShapes()
	alive := map[*Shape]bool{}
	for shape := range placed.on {
		alive[shape] = true
	}
	for _, pod := range pods {
		if info, known := s.byPod[pod]; known {
			fresh.byPod[pod] = info
			alive[info.shape] = true
		}
	}
	for text, shape := range s.byText {
		if alive[shape] {
			fresh.byText[text] = shape
		}
	}
	return fresh
}

// podInfo is a pod with what the framework derives from its shape.
type podInfo struct {
	pod   *corev1.Pod
	shape *Shape
}

var _ fwk.PodInfo = (*podInfo)(nil)

func (p *podInfo) GetPod() *corev1.Pod { return p.pod }

func (p *podInfo) GetRequiredAffinityTerms() []fwk.AffinityTerm {
	return p.shape.info.GetRequiredAffinityTerms()
}

func (p *podInfo) GetRequiredAntiAffinityTerms() []fwk.AffinityTerm {
	return p.shape.info.GetRequiredAntiAffinityTerms()
}

func (p *podInfo) GetPreferredAffinityTerms() []fwk.WeightedAffinityTerm {
	return p.shape.info.GetPreferredAffinityTerms()
}

func (p *podInfo) GetPreferredAntiAffinityTerms() []fwk.WeightedAffinityTerm {
	return p.shape.info.GetPreferredAntiAffinityTerms()
}

func (p *podInfo) CalculateResource() fwk.PodResource { return p.shape.info.CalculateResource() }

// Of returns the pod's shape.
func (s *Shapes) Of(pod *corev1.Pod) (*Shape, error) {
	info, err := s.of(pod)
	if err != nil {
		return nil, err
	}
	return info.shape, nil
}

func (s *Shapes) of(pod *corev1.Pod) (*podInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if info, known := s.byPod[pod]; known {
		return info, nil
	}
	text, err := appendShape(make([]byte, 0, 512), pod)
	if err != nil {
		return nil, fmt.Errorf("reading the shape of pod %q: %w", keyOf(pod), err)
	}
	shape, known := s.byText[string(text)]
	if !known {
		// Like kube-scheduler: a selector that cannot be read matches nothing, and is no reason to ignore the pod.
		info, _ := framework.NewPodInfo(pod)
		info.CalculateResource() // the framework computes it lazily and without a lock
		shape = &Shape{Pod: pod, info: info}
		s.byText[string(text)] = shape
	}
	if pod.UID == "" { // the framework tells pods on a node apart by UID; pods that do not exist yet have none
		seen := new(*pod)
		seen.UID = types.UID(keyOf(pod).String())
		return &podInfo{seen, shape}, nil // and nobody will ask for them again
	}
	info := &podInfo{pod, shape}
	s.byPod[pod] = info
	return info, nil
}

// ShapeOf returns the shape of a pod that is on a node of a snapshot.
func ShapeOf(pod fwk.PodInfo) (*Shape, bool) {
	info, ours := pod.(*podInfo)
	if !ours {
		return nil, false
	}
	return info.shape, true
}

// appendShape writes down everything of a pod that a plugin may read. What differs between twins without meaning anything (the
// volume of the service account's token, the host name) is left out.
func appendShape(text []byte, pod *corev1.Pod) ([]byte, error) {
	text = appendText(text, pod.Namespace)
	text = appendMap(text, pod.Labels)
	if pod.DeletionTimestamp != nil {
		text = appendText(text, "leaving") // a spread does not count it
	}
	spec := pod.Spec
	spec.NodeName, spec.Hostname = "", ""
	spec.InitContainers, spec.Containers, spec.EphemeralContainers = nil, nil, nil
	spec.Overhead, spec.Resources = nil, nil
	spec.Volumes = slices.DeleteFunc(slices.Clone(spec.Volumes), meaningless)
	if slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Ephemeral != nil }) {
		text = appendText(text, pod.Name) // its claims are named after it
	}
	rest, err := spec.Marshal()
	if err != nil {
		return nil, err
	}
	text = appendText(text, string(rest))
	text = appendQuantities(text, pod.Spec.Overhead)
	if text, err = appendResources(text, pod.Spec.Resources); err != nil {
		return nil, err
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		text = binary.AppendUvarint(text, uint64(len(containers)))
		for i := range containers {
			if text, err = appendContainer(text, &containers[i]); err != nil {
				return nil, err
			}
		}
	}
	return appendStatus(text, &pod.Status)
}

func meaningless(v corev1.Volume) bool {
	return v.Projected != nil || v.ConfigMap != nil || v.Secret != nil || v.EmptyDir != nil || v.DownwardAPI != nil || v.HostPath != nil
}

func appendContainer(text []byte, c *corev1.Container) ([]byte, error) {
	text, err := appendResources(appendText(text, c.Name), &c.Resources)
	if err != nil {
		return nil, err
	}
	if len(c.Ports) == 0 && c.RestartPolicy == nil && len(c.RestartPolicyRules) == 0 && len(c.ResizePolicy) == 0 && c.SecurityContext == nil {
		return append(text, 0), nil
	}
	bare := corev1.Container{
		Ports: c.Ports, ResizePolicy: c.ResizePolicy, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules,
		SecurityContext: c.SecurityContext,
	}
	rest, err := bare.Marshal()
	return appendText(text, string(rest)), err
}

// appendStatus writes what plugins read of a status: claims, and what a resize in place has allocated.
func appendStatus(text []byte, status *corev1.PodStatus) ([]byte, error) {
	for _, claim := range status.ResourceClaimStatuses {
		rest, err := claim.Marshal()
		if err != nil {
			return nil, err
		}
		text = appendText(text, string(rest))
	}
	for _, condition := range status.Conditions {
		if condition.Type == corev1.PodResizePending || condition.Type == corev1.PodResizeInProgress {
			text = appendText(appendText(text, string(condition.Type)), condition.Reason)
		}
	}
	text = appendQuantities(text, status.AllocatedResources)
	var err error
	if text, err = appendResources(text, status.Resources); err != nil {
		return nil, err
	}
	for _, containers := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses} {
		for i := range containers {
			c := &containers[i]
			if c.Resources == nil && len(c.AllocatedResources) == 0 {
				continue
			}
			text = appendQuantities(appendText(text, c.Name), c.AllocatedResources)
			if text, err = appendResources(text, c.Resources); err != nil {
				return nil, err
			}
		}
	}
	return text, nil
}

func appendResources(text []byte, r *corev1.ResourceRequirements) ([]byte, error) {
	if r == nil {
		return append(text, 0), nil
	}
	text = appendQuantities(appendQuantities(append(text, 1), r.Requests), r.Limits)
	for _, claim := range r.Claims {
		rest, err := claim.Marshal()
		if err != nil {
			return nil, err
		}
		text = appendText(text, string(rest))
	}
	return text, nil
}

func appendQuantities(text []byte, list corev1.ResourceList) []byte {
	text = binary.AppendUvarint(text, uint64(len(list)))
	var room [4]corev1.ResourceName
	names := room[:0]
	for name := range list {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		quantity := list[name]
		text = appendText(text, string(name))
		text = binary.AppendVarint(text, quantity.Value()) // whole and thousandths: kube-scheduler reads no more of it
		text = binary.AppendVarint(text, quantity.MilliValue())
	}
	return text
}

func appendMap(text []byte, m map[string]string) []byte {
	text = binary.AppendUvarint(text, uint64(len(m)))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		text = appendText(appendText(text, key), m[key])
	}
	return text
}

// appendText writes a text with its length, so that no two sequences of texts look the same.
func appendText(text []byte, s string) []byte {
	return append(binary.AppendUvarint(text, uint64(len(s))), s...)
}
