// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VPSieNode is one machine, ordered or running. Deleting it drains the Node and releases the machine.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=vn,categories=vpsie
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.status.offering`
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.status.nodeName`
// +kubebuilder:printcolumn:name="Price/h",type=string,JSONPath=`.status.pricePerHour`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Group",type=string,JSONPath=`.spec.nodeGroup`,priority=1
// +kubebuilder:printcolumn:name="Created-For",type=string,JSONPath=`.spec.creationReason`,priority=1
// +kubebuilder:printcolumn:name="VPSie-ID",type=string,JSONPath=`.status.instanceID`,priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must be at most 63 characters, because a label of the Node holds it; choose a shorter one"
type VPSieNode struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the machine that is wanted. It never changes.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is immutable; delete the VPSieNode and let its NodeGroup order another machine"
	Spec VPSieNodeSpec `json:"spec,omitzero"`
	// status is what became of it.
	// +optional
	Status VPSieNodeStatus `json:"status,omitempty,omitzero"`
}

// VPSieNodeList is a list of VPSieNodes.
// +kubebuilder:object:root=true
type VPSieNodeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VPSieNode `json:"items"`
}

// VPSieNodeSpec is the machine that is wanted.
type VPSieNodeSpec struct {
	// nodeGroup names the NodeGroup that the machine belongs to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	NodeGroup string `json:"nodeGroup,omitempty"`
	// offerings are the sizes that would do, cheapest first. The first that VPSie can deliver is bought.
	// +required
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Offerings []OfferingChoice `json:"offerings,omitempty"`
	// datacenter is the identifier of the datacenter.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Datacenter string `json:"datacenter,omitempty"`
	// labels are put on the Node when it registers, beside those that the offering implies.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	// +kubebuilder:validation:XValidation:rule="self.all(k, !format.labelValue().validate(self[k]).hasValue())",message="labels must have values that are empty or at most 63 letters, digits, '-', '_' or '.', starting and ending with a letter or digit"
	Labels Labels `json:"labels,omitempty"`
	// annotations are put on the Node when it registers.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations Annotations `json:"annotations,omitempty"`
	// taints are put on the Node when it registers.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=20
	Taints []Taint `json:"taints,omitempty"`
	// startupTaints are put on the Node when it registers and are removed by somebody else.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +listMapKey=effect
	// +kubebuilder:validation:MaxItems=20
	StartupTaints []Taint `json:"startupTaints,omitempty"`
	// resources are what the pods that this machine was ordered for request together.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Resources corev1.ResourceList `json:"resources,omitempty"`
	// creationReason says what caused the order.
	// +required
	CreationReason CreationReason `json:"creationReason,omitempty"`
	// terminationGracePeriod bounds the drain. Left out: it waits for ever.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}([.][0-9]{1,9})?s)?$') && duration(self) >= duration('1s') && duration(self) <= duration('720h')",message="terminationGracePeriod must be a duration from 1s to 720h, such as 1h; leave it out for a drain that waits for ever"
	TerminationGracePeriod *metav1.Duration `json:"terminationGracePeriod,omitempty"`
	// expireAfter is the age at which the machine is replaced. Left out: never.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=34
	// +kubebuilder:validation:XValidation:rule="self != '' && self.matches('^([0-9]{1,6}h)?([0-9]{1,7}m)?([0-9]{1,8}([.][0-9]{1,9})?s)?$') && duration(self) >= duration('5m') && duration(self) <= duration('87600h')",message="expireAfter must be a duration from 5m to 87600h, such as 720h; leave it out for machines that never expire"
	ExpireAfter *metav1.Duration `json:"expireAfter,omitempty"`
}

// OfferingChoice is one size that would do.
type OfferingChoice struct {
	// id is VPSie's identifier of the size.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id,omitempty"`
	// name is VPSie's name of the size.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Name string `json:"name,omitempty"`
	// pricePerHour is its price when the plan was made.
	// +required
	PricePerHour Price `json:"pricePerHour,omitempty"`
	// capacity is the cpu and memory that is sold.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Capacity corev1.ResourceList `json:"capacity,omitempty"`
	// allocatable is what is expected to be left for pods.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	// labels are what the offering implies for the Node: instance type, category, zone and the like.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels Labels `json:"labels,omitempty"`
}

// VPSieNodePhase is where a machine stands in its life.
// +kubebuilder:validation:Enum=Pending;Provisioning;Provisioned;Joining;Ready;Terminating;Deleting;Failed
type VPSieNodePhase string

// The phases of a machine.
const (
	// PhasePending: nothing was ordered yet.
	PhasePending VPSieNodePhase = "Pending"
	// PhaseProvisioning: ordered, not yet recognised in VPSie's inventory.
	PhaseProvisioning VPSieNodePhase = "Provisioning"
	// PhaseProvisioned: recognised in the inventory, the Node has not joined.
	PhaseProvisioned VPSieNodePhase = "Provisioned"
	// PhaseJoining: the Node joined and is not initialized.
	PhaseJoining VPSieNodePhase = "Joining"
	// PhaseReady: pods may run.
	PhaseReady VPSieNodePhase = "Ready"
	// PhaseTerminating: the Node is being drained.
	PhaseTerminating VPSieNodePhase = "Terminating"
	// PhaseDeleting: VPSie was told to release the machine.
	PhaseDeleting VPSieNodePhase = "Deleting"
	// PhaseFailed: it will never become a Node; kept for a while so that the reason can be read.
	PhaseFailed VPSieNodePhase = "Failed"
)

// VPSieNodeStatus is what became of a machine.
type VPSieNodeStatus struct {
	// phase is where the machine stands in its life.
	// +optional
	Phase VPSieNodePhase `json:"phase,omitempty"`
	// order is the record that is written before VPSie is asked for a machine, so that a crash or a lost reply is never
	// followed by a second order.
	// +optional
	Order *OrderRecord `json:"order,omitempty"`
	// refusals are offerings that VPSie could not deliver to this VPSieNode, with the reason.
	// +optional
	// +listType=map
	// +listMapKey=offering
	// +kubebuilder:validation:MaxItems=32
	Refusals []Refusal `json:"refusals,omitempty"`
	// instanceID is VPSie's identifier of the machine.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	InstanceID string `json:"instanceID,omitempty"`
	// hostname is the name that VPSie gave to the machine.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Hostname string `json:"hostname,omitempty"`
	// offering is the name of the size that was bought.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Offering string `json:"offering,omitempty"`
	// pricePerHour is the price of that size.
	// +optional
	PricePerHour Price `json:"pricePerHour,omitempty"`
	// providerID is spec.providerID of the Node.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	ProviderID string `json:"providerID,omitempty"`
	// nodeName names the Node that the machine joined as.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`
	// allocatable is what the Node offers to pods; until it joined, what is expected.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Allocatable corev1.ResourceList `json:"allocatable,omitempty"`
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions are Launched, Registered, Initialized, Ready and Disrupting. Drifted and Consolidatable are kept for decisions to come: nothing
	// sets them yet.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// OrderState says what is known of an order.
// +kubebuilder:validation:Enum=Recorded;Accepted;Unknown
type OrderState string

// The states of an order.
const (
	// OrderRecorded: about to be sent. After a restart this may mean sent or not sent.
	OrderRecorded OrderState = "Recorded"
	// OrderAccepted: VPSie said yes.
	OrderAccepted OrderState = "Accepted"
	// OrderUnknown: sent, and the reply was lost.
	OrderUnknown OrderState = "Unknown"
)

// OrderRecord is written before VPSie is asked for a machine.
type OrderRecord struct {
	// offering is the identifier of the size that is ordered.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Offering string `json:"offering,omitempty"`
	// state is what is known of the order.
	// +required
	State OrderState `json:"state,omitempty"`
	// time is when the record was written, and once its outcome is noted, when that was: what is waited for is counted from there.
	// +required
	Time metav1.MicroTime `json:"time,omitempty,omitzero"`
	// attempt counts the orders for this VPSieNode; each after the first follows a refusal.
	// +required
	// +kubebuilder:validation:Minimum=1
	Attempt int32 `json:"attempt,omitempty"`
	// seen are the machines that were in the inventory before the order and belonged to no VPSieNode. None of them can be the one ordered.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=64
	Seen []string `json:"seen,omitempty"`
}

// Refusal is an offering that VPSie could not deliver.
type Refusal struct {
	// offering is the identifier of the size.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Offering string `json:"offering,omitempty"`
	// message is why.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// Barred says whether nothing is ordered for the VPSieNode before a person changes something about its NodeGroup: it stands for no machine.
func (n *VPSieNode) Barred() bool {
	if n.Status.Phase == PhaseFailed || n.Status.Order != nil || n.Status.InstanceID != "" {
		return false
	}
	for _, c := range n.Status.Conditions {
		if c.Type != ConditionLaunched || c.Status != metav1.ConditionFalse {
			continue
		}
		switch c.Reason {
		case ReasonNodeGroupMissing, ReasonNodeGroupNotManaged, ReasonNodeGroupPaused, ReasonLimitReached, ReasonClusterMismatch:
			return true
		}
	}
	return false
}

// GetConditions returns the conditions to read and set.
func (n *VPSieNode) GetConditions() *[]metav1.Condition { return &n.Status.Conditions }
