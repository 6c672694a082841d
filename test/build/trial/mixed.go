// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// Mixes returns the names of the demands that a Mixed trial draws from, each of several kinds at once.
func Mixes() []string { return slices.Sorted(maps.Keys(mixes)) }

// Mixed is Wide with further workloads, each with a demand of one of the Mixes. What a single demand never shows is that two of them disagree: a
// volume ties a pod to a zone that its spread leaves no room in, or a device to the one node that its anti-affinity forbids.
func Mixed(seed uint64) *Trial {
	s := Wide(seed)
	r := rand.New(rand.NewPCG(seed, 23))
	names := Mixes()
	for w := range 1 + r.IntN(3) {
		s.mix(r, w, names[r.IntN(len(names))])
	}
	return s
}

// mix adds a workload of several demands; some of its pods run already where there are nodes.
func (s *Trial) mix(r *rand.Rand, w int, name string) {
	app := fmt.Sprintf("mix-%d", w)
	cpu, memory := fmt.Sprintf("%dm", 50*(1+r.IntN(30))), fmt.Sprintf("%dMi", 64*(1+r.IntN(40)))
	demand := demand{r: r, s: s, app: app, other: pick(r, "app-0", "wide-0", "mix-0"), choice: r.IntN(100)}
	priority := func(int) int32 { return int32(demand.choice % 3) } //nolint:gosec // it is less than 3
	for i := range 2 + r.IntN(7) {
		demand.i = i
		p := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(cpu).Memory(memory).Priority(priority(i))
		if len(s.Objects.Nodes) > 0 && i%4 == 3 { // an older one, from before the demand
			s.Objects.Pods = append(s.Objects.Pods, p.On(s.Objects.Nodes[i%len(s.Objects.Nodes)].Name).Obj())
			continue
		}
		for _, part := range mixes[name] {
			part(p, demand)
		}
		pod := p.Obj()
		s.KindOf[pod.Name] = name
		s.Pods, s.Objects.Pods = append(s.Pods, pod), append(s.Objects.Pods, pod)
	}
}

// The parts of mixes.
var (
	newVolume   = kinds["volume to be made"]
	amsVolume   = kinds["volume to be made in an allowed topology"]
	boundVolume = kinds["bound volume"]
	handVolume  = kinds["volume made by hand"]
	ownVolume   = kinds["volume of one pod at a time"]
	device      = kinds["device claim"]
	hostPort    = kinds["host port"]
	minDomains  = kinds["spread with minDomains"]
)

func sharedVolume(p *build.Pod, d demand) {
	name := "shared-" + d.app
	if d.i == 0 {
		d.s.claim(build.MakePVC(name, "vpsie").Mode(corev1.ReadWriteMany))
	}
	p.Claim(name)
}

func sharedDevice(p *build.Pod, d demand) {
	name := fmt.Sprintf("gpu-%s-%d", d.app, d.i/2)
	d.s.devices()
	if d.i%2 == 0 {
		d.s.Objects.ResourceClaims = append(d.s.Objects.ResourceClaims, build.MakeResourceClaim(name, "gpu"))
	}
	p.DeviceClaim(name)
}

func deviceResource(p *build.Pod, d demand) {
	d.s.devices()
	p.Request("example.com/gpu", "1")
}

func hostSpread(p *build.Pod, d demand) { p.Spread(corev1.LabelHostname, d.app) }
func zoneSpread(p *build.Pod, d demand) { p.Spread(corev1.LabelTopologyZone, d.app) }
func hostApart(p *build.Pod, d demand)  { p.Apart(corev1.LabelHostname, d.app) }
func zoneApart(p *build.Pod, d demand)  { p.Apart(corev1.LabelTopologyZone, d.other) }
func nearOther(p *build.Pod, d demand)  { p.Near(corev1.LabelTopologyZone, d.other) }
func nearOnNode(p *build.Pod, d demand) { p.Near(corev1.LabelHostname, d.app) }
func nearInZone(p *build.Pod, d demand) { p.Near(corev1.LabelTopologyZone, d.app) }
func tolerant(p *build.Pod, _ demand)   { p.Tolerate("team") }
func priorities(p *build.Pod, d demand) { p.Priority(int32(d.i % 3)) } //nolint:gosec // it is less than 3
func apartSoftly(p *build.Pod, d demand) {
	p.With(func(pod *corev1.Pod) { prefer(pod, 2, d.app, d.other) })
}

// spreadWithOthers counts the pods of another workload as well, which are not bound to be even.
func spreadWithOthers(p *build.Pod, d demand) {
	p.Label("family", "f").Spread(corev1.LabelTopologyZone, d.app).Constraint(func(c *corev1.TopologySpreadConstraint) {
		c.MaxSkew, c.LabelSelector = 2, &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{d.app, d.other}},
		}}
	})
}

// mixes are demands of several kinds at once, by what they are called in figures.
var mixes = map[string][]func(*build.Pod, demand){
	"new volume + host spread":                       {newVolume, hostSpread},
	"new volume + host anti-affinity":                {newVolume, hostApart, tolerant},
	"new volume + zone spread + host anti-affinity":  {newVolume, zoneSpread, hostApart},
	"new volume + spread that counts others":         {newVolume, spreadWithOthers},
	"new volume + affinity on one node":              {newVolume, nearOnNode},
	"new volume in one zone + zone spread":           {amsVolume, zoneSpread},
	"new volume + preference + priorities":           {newVolume, apartSoftly, priorities},
	"new volume + host spread + priorities":          {newVolume, hostSpread, priorities},
	"bound volume + host spread":                     {boundVolume, hostSpread},
	"bound volume + zone spread":                     {boundVolume, zoneSpread},
	"bound volume + zone anti-affinity + host port":  {boundVolume, zoneApart, hostPort},
	"volume by hand + host anti-affinity":            {handVolume, hostApart},
	"volume by hand + zone spread + priorities":      {handVolume, zoneSpread, priorities},
	"volume by hand + affinity in the zone":          {handVolume, nearInZone},
	"volume of one pod + host spread":                {ownVolume, hostSpread},
	"shared volume + host spread":                    {sharedVolume, hostSpread, tolerant},
	"shared volume + affinity on one node":           {sharedVolume, nearOnNode},
	"zone spread + affinity + host port":             {zoneSpread, nearOther, hostPort},
	"zone spread + host port + priorities":           {zoneSpread, hostPort, priorities},
	"host spread with minDomains + affinity":         {minDomains, nearOther},
	"host spread + zone anti-affinity + priorities":  {hostSpread, zoneApart, priorities},
	"spread that counts others + host anti-affinity": {spreadWithOthers, hostApart},
	"device + host spread":                           {device, hostSpread},
	"device + host anti-affinity":                    {device, hostApart, tolerant},
	"device + new volume":                            {device, newVolume, tolerant},
	"device + zone spread + priorities":              {device, zoneSpread, priorities},
	"shared device + host port":                      {sharedDevice, hostPort, tolerant},
	"device resource + host anti-affinity":           {deviceResource, hostApart, tolerant},
	"device resource + bound volume":                 {deviceResource, boundVolume},
}
