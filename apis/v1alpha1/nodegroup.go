// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodeGroup is a pool of machines that share a template and bounds. Any number of sizes may be mixed in it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=ng,categories=vpsie
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyNodes`
// +kubebuilder:printcolumn:name="Cost/h",type=string,JSONPath=`.status.costPerHour`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Min",type=integer,JSONPath=`.spec.minNodes`,priority=1
// +kubebuilder:printcolumn:name="Max",type=integer,JSONPath=`.spec.maxNodes`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 40",message="metadata.name must be at most 40 characters, because the names of VPSieNodes start with it; choose a shorter one"
type NodeGroup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the user wants of this pool.
	// +required
	Spec NodeGroupSpec `json:"spec,omitzero"`
	// status is what the controller last saw of this pool.
	// +optional
	Status NodeGroupStatus `json:"status,omitempty,omitzero"`
}

// NodeGroupList is a list of NodeGroups.
// +kubebuilder:object:root=true
type NodeGroupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []NodeGroup `json:"items"`
}

// NodeGroupSpec is what the user wants of a pool.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minNodes) || !has(self.maxNodes) || self.minNodes <= self.maxNodes",fieldPath=".minNodes",message="minNodes must not be greater than maxNodes; lower minNodes or raise maxNodes"
// +kubebuilder:validation:XValidation:rule="!has(self.minNodes) || !has(self.limits) || !has(self.limits.nodes) || self.minNodes <= self.limits.nodes",fieldPath=".minNodes",message="minNodes must not be greater than limits.nodes; lower minNodes or raise limits.nodes"
// +kubebuilder:validation:XValidation:rule="!has(self.maxNodes) || !has(self.limits) || !has(self.limits.nodes) || self.maxNodes <= self.limits.nodes",fieldPath=".maxNodes",message="maxNodes must not be greater than limits.nodes; lower maxNodes or raise limits.nodes"
type NodeGroupSpec struct {
	// template is what every machine of this pool looks like to the scheduler.
	// +optional
	// +kubebuilder:default={}
	Template NodeTemplate `json:"template,omitempty,omitzero"`

	// minNodes is the number of machines that are kept even when nothing runs on them.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	MinNodes *int32 `json:"minNodes,omitempty"`

	// maxNodes is the number of machines that serve at the same time, at most. Left out: only limits bound the pool.
	// Replacements that are started before the machines they replace have gone may exceed it, up to limits.nodes.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	MaxNodes *int32 `json:"maxNodes,omitempty"`

	// limits are sums over the whole pool that are never exceeded, not even by replacements.
	// +optional
	Limits *NodeGroupLimits `json:"limits,omitempty"`

	// weight orders pools that could hold the same pods at the same price: the greater weight is taken first.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Weight *int32 `json:"weight,omitempty"`

	// maxWorkloadShare is the share of one workload's pods, in percent, that one machine of this pool may hold, at most. A workload is the
	// pods of one controller (a ReplicaSet, a StatefulSet, a Job); those that run and those that wait count. One pod is always allowed.
	// It bounds what is planned: pods that kube-scheduler itself places beyond it stay. Left out: any share.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxWorkloadShare *int32 `json:"maxWorkloadShare,omitempty"`

	// preferencePrice is what this pool pays per hour, at most, for each pod that gets what it prefers at a weight of 100, and proportionally
	// less or more for other weights: preferred node affinity, preferred pod affinity and anti-affinity count their weight, a topology
	// spread with ScheduleAnyway counts 100 and a PreferNoSchedule taint 150. Left out: preferences only choose among plans that
	// cost the same.
	// +optional
	PreferencePrice *Price `json:"preferencePrice,omitempty"`

	// headroom is spare room that is kept free for pods that do not exist yet.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Headroom []Headroom `json:"headroom,omitempty"`

	// disruption says when and how fast machines of this pool may be removed or replaced.
	// +optional
	// +kubebuilder:default={}
	Disruption DisruptionRules `json:"disruption,omitempty,omitzero"`

	// vpsie says where machines are bought. What is left out is discovered from the account.
	// +optional
	VPSie VPSieSettings `json:"vpsie,omitempty,omitzero"`

	// paused is Provisioning (no machine is added), Disruption (no machine is removed), All, or None.
	// +optional
	// +kubebuilder:default=None
	Paused PauseMode `json:"paused,omitempty"`
}

// PauseMode says which half of the work on a pool is suspended.
// +kubebuilder:validation:Enum=None;Provisioning;Disruption;All
type PauseMode string

// The halves of the work on a pool that can be suspended.
const (
	PauseNone         PauseMode = "None"
	PauseProvisioning PauseMode = "Provisioning"
	PauseDisruption   PauseMode = "Disruption"
	PauseAll          PauseMode = "All"
)

// NodeTemplate is what every machine of a pool looks like to the scheduler.
//
// +kubebuilder:validation:XValidation:rule="!has(self.taints) || !has(self.startupTaints) || self.taints.all(t, !self.startupTaints.exists(s, s.key == t.key && s.effect == t.effect))",fieldPath=".startupTaints",message="startupTaints must not repeat the key and effect of an entry of taints, because a Node carries each only once; remove one of the two"
type NodeTemplate struct {
	// labels are put on every Node of this pool.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.labelValue().validate(self[k]).hasValue())",message="labels must have values that are empty or at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
	// +kubebuilder:validation:XValidation:rule="self.all(k, !k.startsWith('autoscaler.vpsie.com/') && !(k in ['kubernetes.io/hostname','kubernetes.io/arch','kubernetes.io/os','node.kubernetes.io/instance-type','topology.kubernetes.io/region','topology.kubernetes.io/zone']))",message="labels must not have keys under autoscaler.vpsie.com/ nor hostname, arch, os, instance-type, region or zone, because the controller and the kubelet set those; remove them"
	Labels Labels `json:"labels,omitempty"`

	// annotations are put on every Node of this pool.
	// +optional
	// +kubebuilder:validation:MaxProperties=50
	// +kubebuilder:validation:XValidation:rule="self.all(k, !(k in ['autoscaler.vpsie.com/creation-reason','autoscaler.vpsie.com/vps-id','autoscaler.vpsie.com/pods']))",message="annotations must not have the keys creation-reason, vps-id or pods of autoscaler.vpsie.com/, because the controller sets those; remove them"
	Annotations Annotations `json:"annotations,omitempty"`

	// taints are on every Node of this pool for as long as it lives.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:XValidation:rule="self.all(t, !t.key.startsWith('autoscaler.vpsie.com/') && !t.key.startsWith('node.kubernetes.io/'))",message="taints must not have keys under autoscaler.vpsie.com/ or node.kubernetes.io/, because the controllers set those; remove them"
	Taints []Taint `json:"taints,omitempty"`

	// startupTaints are put on a Node when it registers and are removed by somebody else (a CNI, a driver); pods are
	// planned as if they were not there, and the Node is not initialized before they are gone.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:XValidation:rule="self.all(t, !t.key.startsWith('autoscaler.vpsie.com/') && !t.key.startsWith('node.kubernetes.io/'))",message="startupTaints must not have keys under autoscaler.vpsie.com/ or node.kubernetes.io/, because the controllers set those; remove them"
	StartupTaints []Taint `json:"startupTaints,omitempty"`

	// requirements narrow the offerings that may be bought, as node selector requirements over the labels of an offering.
	// All of them must hold.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=30
	Requirements []Requirement `json:"requirements,omitempty"`

	// terminationGracePeriod bounds a drain: when it is over, pods that are still there are deleted even against their
	// PodDisruptionBudget or do-not-disrupt annotation. Left out: a drain waits for ever.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}([.][0-9]{1,9})?s)?$') && duration(self) >= duration('1s') && duration(self) <= duration('720h')",message="terminationGracePeriod must be a duration from 1s to 720h, such as 1h; leave it out for a drain that waits for ever"
	TerminationGracePeriod *metav1.Duration `json:"terminationGracePeriod,omitempty"`

	// expireAfter is the age at which a machine is replaced. Left out: never.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}([.][0-9]{1,9})?s)?$') && duration(self) >= duration('5m') && duration(self) <= duration('87600h')",message="expireAfter must be a duration from 5m to 87600h, such as 720h; leave it out for machines that never expire"
	ExpireAfter *metav1.Duration `json:"expireAfter,omitempty"`

	// reserved is what the kubelet and the system keep for themselves on every machine; it is subtracted from the size of an
	// offering until a Node of that offering has shown the true figure. Left out: cpu 100m, memory 256Mi.
	// +optional
	Reserved *Reservation `json:"reserved,omitempty"`

	// maxPods is the number of pods that the kubelet of such a machine admits.
	// +optional
	// +kubebuilder:default=110
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxPods *int32 `json:"maxPods,omitempty"`
}

// Taint is a taint on a Node, as in core/v1 but bounded.
type Taint struct {
	// key is the taint's key.
	// +required
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule="!format.qualifiedName().validate(self).hasValue()",message="key must be a name of at most 63 letters, digits, '-', '_' or '.', after an optional DNS name and '/', such as team or example.com/team"
	Key string `json:"key,omitempty"`
	// value is the taint's value.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="!format.labelValue().validate(self).hasValue()",message="value must be empty or at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
	Value string `json:"value,omitempty"`
	// effect is NoSchedule (new pods stay away), PreferNoSchedule (they avoid it) or NoExecute (running pods leave too).
	// +required
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect corev1.TaintEffect `json:"effect,omitempty"`
}

// Reservation is what the kubelet and the system keep for themselves.
type Reservation struct {
	// cpu is kept from pods, in cores.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1000')) <= 0",message="cpu must be an amount from 0 to 1000, such as 100m"
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// memory is kept from pods, in bytes.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1Pi')) <= 0",message="memory must be an amount from 0 to 1Pi, such as 256Mi"
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// Price is an amount of the account's currency per hour, as a decimal with up to nine places.
// +kubebuilder:validation:MaxLength=19
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,9}([.][0-9]{1,9})?$')",message="must be a price such as 0.0333: digits, and a point with at most nine digits if needed"
type Price string

// NodeGroupLimits are sums over a whole pool that are never exceeded.
type NodeGroupLimits struct {
	// cpu bounds the sum of the machines' cores.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1M')) <= 0",message="cpu must be an amount from 0 to 1M, such as 64"
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// memory bounds the sum of the machines' memory.
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1Ei')) <= 0",message="memory must be an amount from 0 to 1Ei, such as 256Gi"
	Memory *resource.Quantity `json:"memory,omitempty"`
	// nodes bounds the number of machines, replacements included.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=5000
	Nodes *int32 `json:"nodes,omitempty"`
	// costPerHour bounds the sum of the machines' prices per hour, in the account's currency, without the controller's --node-cost.
	// +optional
	CostPerHour *Price `json:"costPerHour,omitempty"`
}

// Headroom is room for a number of pods of one shape, kept free so that such pods start without waiting for a machine.
//
// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self.cpu)) || !isQuantity(string(self.memory)) || quantity(string(self.cpu)).isGreaterThan(quantity('0')) || quantity(string(self.memory)).isGreaterThan(quantity('0'))",message="cpu and memory must not both be zero; say what one such pod requests"
type Headroom struct {
	// name tells shapes apart.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// replicas is the number of such pods that must always find room.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Replicas *int32 `json:"replicas,omitempty"`
	// cpu is requested by each of them.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1000')) <= 0",message="cpu must be an amount from 0 to 1000, such as 500m"
	CPU *resource.Quantity `json:"cpu,omitempty"`
	// memory is requested by each of them.
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self)) && quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('1Pi')) <= 0",message="memory must be an amount from 0 to 1Pi, such as 1Gi"
	Memory *resource.Quantity `json:"memory,omitempty"`
}

// VPSieSettings say where machines are bought.
type VPSieSettings struct {
	// clusterID is VPSie's identifier of this managed cluster. Left out: discovered. Nothing is bought for a NodeGroup that names another
	// cluster than the one that the controller works on.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ClusterID string `json:"clusterID,omitempty"`
	// projectID is the number of the cluster's project, as VPSie shows it with the cluster's node groups. Left out: whichever it is. Machines
	// are always bought in the cluster's project; nothing is bought for a NodeGroup that names another.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ProjectID string `json:"projectID,omitempty"`
	// datacenter is the identifier or the name of a datacenter. Left out: the cluster's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Datacenter string `json:"datacenter,omitempty"`
	// offerings are the identifiers or names of the sizes that may be bought. Left out: all that meet template.requirements.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=64
	Offerings []string `json:"offerings,omitempty"`
}

// NodeGroupStatus is what the controller last saw of a pool.
type NodeGroupStatus struct {
	// nodes is the number of VPSieNodes of this pool that are not Failed and for which machines may be ordered.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes int32 `json:"nodes"`
	// readyNodes is the number of them that are Ready.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReadyNodes int32 `json:"readyNodes"`
	// failedNodes is the number of VPSieNodes that failed and wait to be cleaned up.
	// +optional
	// +kubebuilder:validation:Minimum=0
	FailedNodes int32 `json:"failedNodes"`
	// resources is the sum of the machines' cpu and memory.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Resources corev1.ResourceList `json:"resources,omitempty"`
	// offerings is the number of offerings that meet the constraints.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Offerings int32 `json:"offerings"`
	// costPerHour is what the machines cost per hour: their prices, and for each what the controller's --node-cost says.
	// +optional
	CostPerHour Price `json:"costPerHour,omitempty"`
	// lowerBoundPerHour is a cost below which, at today's prices, no set of allowed machines could hold the pods that run here or wait for
	// machines of this pool, its headroom and minNodes; the controller's --node-cost is in it for each machine. It is found anew every few
	// minutes and may be above costPerHour for as long, while machines are on order, and where machines were bought at lower prices. It is
	// a bound, not a plan: what keeps these pods apart or where they are may cost more.
	// +optional
	LowerBoundPerHour Price `json:"lowerBoundPerHour,omitempty"`
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are Managed, CloudReady, OfferingsFound, BudgetsRead, WithinLimits and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GetConditions returns the conditions to read and set.
func (g *NodeGroup) GetConditions() *[]metav1.Condition { return &g.Status.Conditions }

// Managed says whether the controller acts on this pool.
func (g *NodeGroup) Managed() bool { return g.Labels[ManagedLabel] == ManagedValue }
