// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package hollow

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	nodeutil "k8s.io/component-helpers/node/util"
)

const podsPerNode = 110

// readiness says whether the machine's network, and with it the node, is ready.
type readiness bool

const (
	ready    readiness = true
	notReady readiness = false
)

// newNode is the Node as a worker of the cloud registers it: without a label, a taint or a provider
// ID of ours, and not ready yet.
func newNode(machine Machine, version string, now time.Time) *corev1.Node {
	name := NodeName(machine.Name)
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{
			Name: name,
			Labels: map[string]string{
				corev1.LabelHostname:   name,
				corev1.LabelOSStable:   "linux",
				corev1.LabelArchStable: "amd64",
			},
		},
		Status: corev1.NodeStatus{
			Capacity:    capacity(machine),
			Allocatable: allocatable(machine),
			Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: machine.IP},
				{Type: corev1.NodeHostName, Address: name},
			},
			Conditions: conditions(nil, notReady, now),
			NodeInfo:   nodeInfo(name, version),
		},
	}
}

func nodeInfo(name, version string) corev1.NodeSystemInfo {
	id := func(of string) string { return uuid.NewSHA1(uuid.NameSpaceDNS, []byte(of+"."+name)).String() }
	return corev1.NodeSystemInfo{
		MachineID:               id("machine"),
		SystemUUID:              id("system"),
		BootID:                  id("boot"),
		KernelVersion:           "6.1.0-hollow",
		OSImage:                 "Hollow Linux",
		ContainerRuntimeVersion: "hollow://1.0.0",
		KubeletVersion:          version,
		OperatingSystem:         "linux",
		Architecture:            "amd64",
	}
}

func capacity(machine Machine) corev1.ResourceList {
	return corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(machine.CPU), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(int64(machine.MemoryMB)<<20, resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(int64(machine.DiskGB)<<30, resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(podsPerNode, resource.DecimalSI),
	}
}

// reserved is what system and kubelet keep of a machine.
func reserved() corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("256Mi")}
}

// allocatable is capacity without what is reserved, and never negative.
func allocatable(machine Machine) corev1.ResourceList {
	left := capacity(machine)
	for name, keep := range reserved() {
		amount := left[name]
		amount.Sub(keep)
		if amount.Sign() < 0 {
			amount = *resource.NewQuantity(0, amount.Format)
		}
		left[name] = amount
	}
	return left
}

// conditions are what a kubelet says of its node. A condition that keeps its status keeps the time
// since when it has it.
func conditions(old []corev1.NodeCondition, network readiness, now time.Time) []corev1.NodeCondition {
	readyCondition := corev1.NodeCondition{
		Type: corev1.NodeReady, Status: corev1.ConditionTrue,
		Reason: "KubeletReady", Message: "kubelet is posting ready status",
	}
	if network == notReady {
		readyCondition.Status, readyCondition.Reason = corev1.ConditionFalse, "KubeletNotReady"
		readyCondition.Message = "container runtime network not ready"
	}
	said := []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse,
			Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse,
			Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse,
			Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		readyCondition,
	}
	for i := range said {
		said[i].LastHeartbeatTime = metav1.NewTime(now)
		said[i].LastTransitionTime = metav1.NewTime(now)
		_, before := nodeutil.GetNodeCondition(&corev1.NodeStatus{Conditions: old}, said[i].Type)
		if before != nil && before.Status == said[i].Status {
			said[i].LastTransitionTime = before.LastTransitionTime
		}
	}
	return said
}

// changed says whether the API server has other conditions than desired, as after the node
// controller declared them unknown.
func changed(has, desired []corev1.NodeCondition) bool {
	for _, want := range desired {
		_, condition := nodeutil.GetNodeCondition(&corev1.NodeStatus{Conditions: has}, want.Type)
		if condition == nil || condition.Status != want.Status || condition.Reason != want.Reason {
			return true
		}
	}
	return false
}

// nodePatch names only the fields of the status that are set: an empty nodeInfo, which the type
// always encodes, would wipe the one that is there.
func nodePatch(status corev1.NodeStatus) ([]byte, error) {
	fields := map[string]any{"conditions": status.Conditions}
	if status.Capacity != nil {
		fields["capacity"] = status.Capacity
		fields["allocatable"] = status.Allocatable
		fields["addresses"] = status.Addresses
		fields["nodeInfo"] = status.NodeInfo
	}
	patch, err := json.Marshal(map[string]any{"status": fields})
	if err != nil {
		return nil, fmt.Errorf("encoding the status of a node: %w", err)
	}
	return patch, nil
}
