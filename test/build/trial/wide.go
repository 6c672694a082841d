// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package trial

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/vpsieinc/vpsie-k8s-autoscaler/test/build"
)

// Kinds returns the names of the demands that a Wide trial draws from: of every kind that kube-scheduler's default profile filters on.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// Wide is Plain with further workloads, each with a demand of one of the Kinds. One in four also has preferences and choices.
func Wide(seed uint64) *Trial {
	s := Plain(seed)
	if seed%4 == 0 {
		s.AddPolicies(seed)
		for i := range s.Groups { // kube-scheduler knows of no share, and binds where the plan would not
			s.Groups[i].NodeGroup.Spec.MaxWorkloadShare = nil
		}
	}
	r := rand.New(rand.NewPCG(seed, 17))
	s.Objects.Namespaces = append(s.Objects.Namespaces,
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"team": "shop"}}})
	s.Objects.CSIDrivers = []*storagev1.CSIDriver{build.MakeCSIDriver(build.VPSieDriver).Obj()}
	s.Objects.StorageClasses = []*storagev1.StorageClass{
		build.MakeStorageClass("vpsie", build.VPSieDriver).Obj(),
		build.MakeStorageClass("vpsie-ams", build.VPSieDriver).AllowedTopology("region", "dc-ams").Obj(),
		build.MakeStorageClass("by-hand", "kubernetes.io/no-provisioner").Obj(),
	}
	for _, node := range s.Objects.Nodes {
		node.Labels["region"] = "dc-" + node.Labels[corev1.LabelTopologyZone]
		s.Objects.CSINodes = append(s.Objects.CSINodes, build.MakeCSINode(node.Name).Driver(build.VPSieDriver, 7, "region").Obj())
	}
	names := Kinds()
	for w := range 1 + r.IntN(3) {
		s.add(r, w, names[r.IntN(len(names))])
	}
	return s
}

// add adds a workload of one kind; some of its pods run already where there are nodes.
func (s *Trial) add(r *rand.Rand, w int, kind string) {
	app := fmt.Sprintf("wide-%d", w)
	cpu, memory := fmt.Sprintf("%dm", 50*(1+r.IntN(30))), fmt.Sprintf("%dMi", 64*(1+r.IntN(40)))
	demand := demand{r: r, s: s, app: app, other: pick(r, app, "app-0", "wide-0"), choice: r.IntN(100)}
	for i := range 1 + r.IntN(8) {
		demand.i = i
		p := build.MakePod(fmt.Sprintf("%s-%d", app, i)).Label("app", app).CPU(cpu).Memory(memory).Priority(int32(demand.choice % 3))
		if len(s.Objects.Nodes) > 0 && i%4 == 3 { // an older one, from before the demand
			s.Objects.Pods = append(s.Objects.Pods, p.On(s.Objects.Nodes[i%len(s.Objects.Nodes)].Name).With(resized).Obj())
			continue
		}
		kinds[kind](p, demand)
		pod := p.Obj()
		s.KindOf[pod.Name] = kind
		s.Pods, s.Objects.Pods = append(s.Pods, pod), append(s.Objects.Pods, pod)
	}
}

// resized makes a running pod look as if it had been resized in place from more than it requests now: the kubelet has not given the
// difference back yet, so it still counts.
func resized(pod *corev1.Pod) {
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", AllocatedResources: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("900m"), corev1.ResourceMemory: resource.MustParse("1Gi"),
	}}}
}

// demand is what a kind may want to know.
type demand struct {
	r          *rand.Rand
	s          *Trial
	app, other string
	choice     int // the same for all pods of the workload
	i          int // of the pod
}

// anyNode names a node, which there may be none of.
func (d demand) anyNode() string { return fmt.Sprintf("node-%d", d.choice%5) }

// kinds are the demands, by what they are called in figures.
var kinds = map[string]func(*build.Pod, demand){
	"node affinity with alternatives": func(p *build.Pod, _ demand) {
		p.NodeAffinity("example.com/absent", "a").OrNodeAffinity(corev1.LabelTopologyZone, "ams", "mars").Tolerate("team")
	},
	"node affinity by name":          func(p *build.Pod, d demand) { p.OnlyOn(d.anyNode()) },
	"node affinity away from a name": func(p *build.Pod, d demand) { p.NeverOn(d.anyNode()) },
	"spread with minDomains": func(p *build.Pod, d demand) {
		p.Spread(corev1.LabelHostname, d.app).Constraint(func(c *corev1.TopologySpreadConstraint) { c.MinDomains = new(int32(3)) })
	},
	"spread that ignores node affinity": func(p *build.Pod, d demand) {
		p.Spread(corev1.LabelTopologyZone, d.app).NodeSelector(corev1.LabelTopologyZone, "hel").Constraint(
			func(c *corev1.TopologySpreadConstraint) {
				c.MaxSkew, c.NodeAffinityPolicy = 3, new(corev1.NodeInclusionPolicyIgnore)
			})
	},
	"spread that honours taints": func(p *build.Pod, d demand) {
		p.Spread(corev1.LabelTopologyZone, d.app).Constraint(func(c *corev1.TopologySpreadConstraint) {
			c.NodeTaintsPolicy = new(corev1.NodeInclusionPolicyHonor)
		})
	},
	"spread with matchLabelKeys": func(p *build.Pod, d demand) {
		p.Label("version", []string{"old", "new"}[d.i%2]).Spread(corev1.LabelHostname, d.app).Constraint(
			func(c *corev1.TopologySpreadConstraint) { c.MatchLabelKeys = []string{"version"} })
	},
	"spread over zones and nodes": func(p *build.Pod, d demand) {
		p.Spread(corev1.LabelTopologyZone, d.app).Spread(corev1.LabelHostname, d.app).Constraint(
			func(c *corev1.TopologySpreadConstraint) { c.MaxSkew = 2 })
	},
	"affinity to another namespace": func(p *build.Pod, d demand) {
		d.s.neighbour()
		p.Near(corev1.LabelTopologyZone, "till").AffinityTerm(func(t *corev1.PodAffinityTerm) {
			t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "shop"}}
		})
	},
	"anti-affinity to every namespace": func(p *build.Pod, d demand) {
		d.s.neighbour()
		p.Apart(corev1.LabelHostname, "till").AntiAffinityTerm(func(t *corev1.PodAffinityTerm) { t.NamespaceSelector = &metav1.LabelSelector{} })
	},
	"anti-affinity of the others": func(p *build.Pod, d demand) {
		if d.i%2 == 0 {
			p.Apart(corev1.LabelHostname, d.app).With(func(pod *corev1.Pod) { pod.Labels["app"] = "loner-" + d.app })
		}
	},
	"anti-affinity per zone": func(p *build.Pod, d demand) { p.Apart(corev1.LabelTopologyZone, d.app) },
	"affinity on one node":   func(p *build.Pod, d demand) { p.Near(corev1.LabelHostname, d.app) },
	"host port": func(p *build.Pod, d demand) {
		p.HostPort(int32(8080 + d.choice%2))
	},
	"host port of one address": func(p *build.Pod, d demand) {
		p.HostPort(9090).With(func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Ports[0].HostIP = []string{"10.0.0.1", "10.0.0.2", "0.0.0.0"}[d.i%3]
		})
	},
	"host port of a sidecar": func(p *build.Pod, _ demand) { p.Sidecar("proxy", "100m", "64Mi", 15001) },
	"sidecar and a large init container": func(p *build.Pod, d demand) {
		p.Sidecar("proxy", "200m", "128Mi", 0).InitContainer("migrate", fmt.Sprintf("%dm", 500+20*d.choice), "1Gi")
	},
	"pod overhead":       func(p *build.Pod, _ demand) { p.Overhead("250m", "512Mi") },
	"pod-level requests": func(p *build.Pod, _ demand) { p.PodLevel("1500m", "3Gi") },
	"local disk": func(p *build.Pod, d demand) {
		p.Request(corev1.ResourceEphemeralStorage, fmt.Sprintf("%dGi", 1+d.choice/4))
	},
	"extended resource of a node": func(p *build.Pod, d demand) {
		for i, node := range d.s.Objects.Nodes {
			if i%2 == 0 {
				node.Status.Allocatable["example.com/licence"] = resource.MustParse("2")
				node.Status.Capacity["example.com/licence"] = resource.MustParse("2")
			}
		}
		p.Request("example.com/licence", "1")
	},
	"bound volume": func(p *build.Pod, d demand) {
		name := fmt.Sprintf("data-%s-%d", d.app, d.i)
		d.s.volume(build.MakePV(name, "vpsie").In("region", pick(d.r, "dc-hel", "dc-ams")).BoundTo(name))
		d.s.claim(build.MakePVC(name, "vpsie").BoundTo(name))
		p.Claim(name)
	},
	"volume to be made": func(p *build.Pod, d demand) {
		for v := range 1 + d.choice%4 {
			name := fmt.Sprintf("new-%s-%d-%d", d.app, d.i, v)
			d.s.claim(build.MakePVC(name, "vpsie"))
			p.Claim(name)
		}
	},
	"volume to be made in an allowed topology": func(p *build.Pod, d demand) {
		name := fmt.Sprintf("ams-%s-%d", d.app, d.i)
		d.s.claim(build.MakePVC(name, "vpsie-ams"))
		p.Claim(name).Tolerate("team")
	},
	"volume made by hand": func(p *build.Pod, d demand) {
		name := fmt.Sprintf("hand-%s-%d", d.app, d.i)
		if d.i%3 != 2 { // there is one less for every three
			d.s.volume(build.MakePV(name, "by-hand").In(corev1.LabelTopologyZone, pick(d.r, "hel", "ams")))
		}
		d.s.claim(build.MakePVC(name, "by-hand"))
		p.Claim(name)
	},
	"volume of one pod at a time": func(p *build.Pod, d demand) {
		name := fmt.Sprintf("own-%s-%d", d.app, d.i/2)
		if d.i%2 == 0 {
			d.s.volume(build.MakePV(name, "vpsie").In("region", "dc-hel").BoundTo(name).Mode(corev1.ReadWriteOncePod))
			d.s.claim(build.MakePVC(name, "vpsie").BoundTo(name).Mode(corev1.ReadWriteOncePod))
		}
		p.Claim(name)
	},
	"device claim": func(p *build.Pod, d demand) {
		name := fmt.Sprintf("gpu-%s-%d", d.app, d.i)
		d.s.devices()
		d.s.Objects.ResourceClaims = append(d.s.Objects.ResourceClaims, build.MakeResourceClaim(name, "gpu"))
		p.DeviceClaim(name)
	},
	"scheduling gate": func(p *build.Pod, d demand) {
		if d.i%2 == 0 {
			p.With(func(pod *corev1.Pod) {
				pod.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "example.com/quota"}}
			})
		}
	},
	"another scheduler": func(p *build.Pod, d demand) {
		if d.i%2 == 0 {
			p.With(func(pod *corev1.Pod) { pod.Spec.SchedulerName = "somebody-else" })
		}
	},
}

// neighbour makes a pod run in another namespace, where there is a node.
func (s *Trial) neighbour() {
	running := slices.ContainsFunc(s.Objects.Pods, func(p *corev1.Pod) bool { return p.Name == "till" })
	if len(s.Objects.Nodes) > 0 && !running {
		s.Objects.Pods = append(s.Objects.Pods, build.MakePod("till").Namespace("shop").Label("app", "till").On(s.Objects.Nodes[0].Name).Obj())
	}
}

// devices gives two of them to the first node, which other machines of an offering will look like. They are also offered as a resource.
func (s *Trial) devices() {
	if len(s.Objects.DeviceClasses) > 0 {
		return
	}
	class := build.MakeDeviceClass("gpu", "gpu.example.com")
	class.Spec.ExtendedResourceName = new("example.com/gpu")
	s.Objects.DeviceClasses = append(s.Objects.DeviceClasses, class)
	if len(s.Objects.Nodes) > 0 {
		metav1.SetMetaDataLabel(&s.Objects.Nodes[0].ObjectMeta, corev1.LabelInstanceTypeStable, "Professional")
		s.Objects.ResourceSlices = append(s.Objects.ResourceSlices, devicesOf(s.Objects.Nodes[0].Name))
	}
}

func devicesOf(node string) *resourceapi.ResourceSlice {
	return build.MakeResourceSlice(node, "gpu.example.com", "gpu-0", "gpu-1")
}

func (s *Trial) volume(v *build.PV) {
	s.Objects.PersistentVolumes = append(s.Objects.PersistentVolumes, v.Obj())
}

func (s *Trial) claim(c *build.PVC) {
	s.Objects.PersistentVolumeClaims = append(s.Objects.PersistentVolumeClaims, c.Obj())
}
