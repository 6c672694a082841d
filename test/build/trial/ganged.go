// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	schedulingv1beta1 "k8s.io/api/scheduling/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// Gangs returns the names of the demands that the gangs of a Ganged trial draw from.
func Gangs() []string { return slices.Sorted(maps.Keys(gangs)) }

// Ganged is Wide with workloads of which enough pods start together or none. It is for schedulers with the feature gate GenericWorkload.
func Ganged(seed uint64) *Trial {
	s := Wide(seed)
	r := rand.New(rand.NewPCG(seed, 31))
	names := Gangs()
	for w := range 1 + r.IntN(3) {
		s.gang(r, w, names[r.IntN(len(names))])
	}
	return s
}

// gang adds a workload with a pod group; some of its pods run already where there are nodes.
func (s *Trial) gang(r *rand.Rand, w int, name string) {
	app, size := fmt.Sprintf("gang-%d", w), 2+r.IntN(6)
	cpu, memory := fmt.Sprintf("%dm", 50*(1+r.IntN(60))), fmt.Sprintf("%dMi", 64*(1+r.IntN(80)))
	demand := demand{r: r, s: s, app: app, choice: r.IntN(100)}
	priority := int32(demand.choice % 3) //nolint:gosec // it is less than 3
	ofGroup := priority
	if demand.choice%10 == 9 { // a mistake, over which kube-scheduler starts none
		ofGroup++
	}
	s.Objects.PodGroups = append(s.Objects.PodGroups, &schedulingv1beta1.PodGroup{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
		Spec: schedulingv1beta1.PodGroupSpec{
			Priority: &ofGroup,
			SchedulingPolicy: schedulingv1beta1.PodGroupSchedulingPolicy{Gang: &schedulingv1beta1.GangSchedulingPolicy{
				MinCount: int32(pick(r, size, size, size-1, 1, size+1)), //nolint:gosec // it is less than 10
			}},
		},
	})
	for i := range size {
		demand.i = i
		p := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(cpu).Memory(memory).Priority(priority).With(func(pod *corev1.Pod) {
			pod.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &app}
			pod.Spec.PreemptionPolicy = new(corev1.PreemptNever) // kube-scheduler wants it to be the same for all
		})
		if len(s.Objects.Nodes) > 0 && i%5 == 4 {
			s.Objects.Pods = append(s.Objects.Pods, p.On(s.Objects.Nodes[i%len(s.Objects.Nodes)].Name).Obj())
			continue
		}
		for _, part := range gangs[name] {
			part(p, demand)
		}
		pod := p.Obj()
		s.KindOf[pod.Name] = name
		s.Pods, s.Objects.Pods = append(s.Pods, pod), append(s.Objects.Pods, pod)
	}
}

// gangs are what the pods of a gang demand, by what it is called in figures. Only of each other: kube-scheduler tries the pods of a gang in the
// order in which they came, once, and starts none if one of them waits for a pod of somebody else. None is spread: kube-scheduler counts mates
// that are nominated to a domain as if they were there, and then finds it too full for the first of them.
var gangs = map[string][]func(*build.Pod, demand){
	"gang":                                   {},
	"gang + tolerated taint":                 {tolerant},
	"gang + host anti-affinity":              {hostApart, tolerant},
	"gang + affinity on one node":            {nearOnNode},
	"gang + affinity in the zone":            {nearInZone},
	"gang + host port":                       {hostPort},
	"gang + host port + bound volume":        {hostPort, boundVolume},
	"gang + bound volume":                    {boundVolume},
	"gang + bound volume + host apart":       {boundVolume, hostApart},
	"gang + affinity in the zone, and ports": {nearInZone, hostPort},
	"gang + preference + tolerated taint":    {apartSoftly, tolerant},
}

// GangOf returns the name of the pod's group, and nothing if it has none.
func GangOf(pod *corev1.Pod) string {
	if pod.Spec.SchedulingGroup == nil || pod.Spec.SchedulingGroup.PodGroupName == nil {
		return ""
	}
	return *pod.Spec.SchedulingGroup.PodGroupName
}

// Turns are the steps in their order, those of each gang together.
func Turns(steps []Step) (turns [][]Step) {
	at := map[string]int{}
	for _, step := range steps {
		gang := GangOf(step.Pod)
		if turn, met := at[gang]; met && gang != "" {
			turns[turn] = append(turns[turn], step)
			continue
		}
		at[gang] = len(turns)
		turns = append(turns, []Step{step})
	}
	return turns
}
