// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"
)

// fit says why a pod does not fit beside the others, in a kubelet's words, or nil. A scheduler that
// respects allocatable never gets to see it; one that does not is found out here.
func fit(allocatable corev1.ResourceList, others []*corev1.Pod, pod *corev1.Pod) *rejection {
	used := corev1.ResourceList{corev1.ResourcePods: *resource.NewQuantity(int64(len(others)), resource.DecimalSI)}
	for _, other := range others {
		for name, amount := range resourcehelper.PodRequests(other, resourcehelper.PodResourcesOptions{}) {
			sum := used[name]
			sum.Add(amount)
			used[name] = sum
		}
	}
	asked := resourcehelper.PodRequests(pod, resourcehelper.PodResourcesOptions{})
	asked[corev1.ResourcePods] = *resource.NewQuantity(1, resource.DecimalSI)
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		want, has, taken := asked[name], allocatable[name], used[name]
		if want.IsZero() {
			continue
		}
		total := taken.DeepCopy()
		total.Add(want)
		if total.Cmp(has) > 0 {
			return &rejection{
				reason: "OutOf" + string(name),
				message: fmt.Sprintf("Node didn't have enough resource: %s, requested: %s, used: %s, capacity: %s",
					name, want.String(), taken.String(), has.String()),
			}
		}
	}
	return nil
}

// podNetwork is divided among the machines, 254 pods each.
const (
	podNetwork   = "10.128.0.0/9"
	machineBits  = 24
	machineCount = 1 << (machineBits - 9)
)

// podRange is the pod addresses of the nth machine. They repeat after 32,768 machines.
func podRange(nth int) netip.Prefix {
	address := netip.MustParsePrefix(podNetwork).Addr().As4()
	offset := nth % machineCount
	address[1] += byte(offset >> 8)  // below 128
	address[2] = byte(offset & 0xff) // below 256
	return netip.PrefixFrom(netip.AddrFrom4(address), machineBits)
}

// addresses hands out a machine's pod addresses, the one that was free the longest first.
type addresses struct {
	free []netip.Addr
	all  netip.Prefix
}

func newAddresses(all netip.Prefix) *addresses {
	a := &addresses{all: all}
	for address := all.Addr().Next(); all.Contains(address.Next()); address = address.Next() {
		a.free = append(a.free, address)
	}
	return a
}

// take returns an address, or nothing when all are used, which 110 pods cannot do.
func (a *addresses) take() string {
	if len(a.free) == 0 {
		return ""
	}
	address := a.free[0]
	a.free = a.free[1:]
	return address.String()
}

// release takes an address back. Addresses that take did not give, such as the machine's own, are
// not its business.
func (a *addresses) release(text string) {
	address, err := netip.ParseAddr(text)
	if err == nil && a.all.Contains(address) && !slices.Contains(a.free, address) {
		a.free = append(a.free, address)
	}
}
