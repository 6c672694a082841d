// Copyright The VPSie Autoscaler Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Disruption is one decision to remove machines, with or without replacing them. It is carried out step by step, survives
// restarts and stays as the record of what was done and why.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=dis,categories=vpsie
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Removed",type=string,JSONPath=`.status.removed`
// +kubebuilder:printcolumn:name="Launched",type=string,JSONPath=`.status.launched`
// +kubebuilder:printcolumn:name="Savings/h",type=string,JSONPath=`.spec.savingsPerHour`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Disruption struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the decision.
	// +required
	Spec DisruptionSpec `json:"spec,omitzero"`
	// status is how far it was carried out.
	// +optional
	Status DisruptionStatus `json:"status,omitempty,omitzero"`
}

// DisruptionList is a list of Disruptions.
// +kubebuilder:object:root=true
type DisruptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Disruption `json:"items"`
}

// DisruptionReason says why machines are removed.
// +kubebuilder:validation:Enum=Empty;Expired;Drifted;Unhealthy;Cheaper
type DisruptionReason string

// The reasons for which machines are removed.
const (
	// ReasonEmpty: no workload pod is left.
	ReasonEmpty DisruptionReason = "Empty"
	// ReasonExpired: older than expireAfter.
	ReasonExpired DisruptionReason = "Expired"
	// ReasonDrifted: no longer what the NodeGroup asks for.
	ReasonDrifted DisruptionReason = "Drifted"
	// ReasonUnhealthy: the Node has been broken for too long.
	ReasonUnhealthy DisruptionReason = "Unhealthy"
	// ReasonCheaper: the same pods cost less on other machines.
	ReasonCheaper DisruptionReason = "Cheaper"
)

// DisruptionSpec is a decision. Only approved ever changes.
//
// +kubebuilder:validation:XValidation:rule="self.reason == oldSelf.reason && self.nodeGroup == oldSelf.nodeGroup && self.savingsPerHour == oldSelf.savingsPerHour && self.remove == oldSelf.remove && has(self.launch) == has(oldSelf.launch) && (!has(self.launch) || self.launch == oldSelf.launch) && has(self.pods) == has(oldSelf.pods) && (!has(self.pods) || self.pods == oldSelf.pods)",message="spec is immutable except for approved; delete the Disruption to have another decision made"
// +kubebuilder:validation:XValidation:rule="oldSelf.approved != 'Yes' || self.approved == 'Yes'",fieldPath=".approved",message="approved cannot be taken back; delete the Disruption to stop it"
// +kubebuilder:validation:XValidation:rule="!has(self.launch) || self.launch.all(l, !self.remove.exists(r, r.vpsieNode == l.name))",fieldPath=".launch",message="launch must not name a VPSieNode that remove names; give the replacement a name of its own"
type DisruptionSpec struct {
	// reason says why machines are removed.
	// +required
	Reason DisruptionReason `json:"reason,omitempty"`
	// nodeGroup names the pool whose budget this decision uses.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	NodeGroup string `json:"nodeGroup,omitempty"`
	// remove are the machines that go.
	// +required
	// +listType=map
	// +listMapKey=vpsieNode
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Remove []Removal `json:"remove,omitempty"`
	// launch are the machines that come first. Empty: a plain removal.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Launch []Replacement `json:"launch,omitempty"`
	// savingsPerHour is what the decision saves per hour, the controller's --node-cost of each machine included; it may be negative for
	// machines that must be replaced.
	// +required
	// +kubebuilder:validation:Pattern=`^-?[0-9]{1,9}(\.[0-9]{1,9})?$`
	// +kubebuilder:validation:MaxLength=20
	SavingsPerHour string `json:"savingsPerHour,omitempty"`
	// pods are up to 200 pods (namespace/name) that have to move.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=200
	// +kubebuilder:validation:items:MaxLength=317
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9-]+/[a-z0-9.-]+$`
	Pods []string `json:"pods,omitempty"`
	// approved is Yes or No. A decision of a NodeGroup with approval Required is written with No and waits for Yes.
	// +optional
	// +kubebuilder:default=No
	// +kubebuilder:validation:Enum=Yes;No
	Approved Approval `json:"approved,omitempty"`
}

// RemovedNames returns what status.removed holds: the first machines that go, and how many more.
func (s *DisruptionSpec) RemovedNames() string {
	names := make([]string, 0, len(s.Remove))
	for _, removal := range s.Remove {
		names = append(names, removal.VPSieNode)
	}
	return firstNames(names)
}

// LaunchedNames returns what status.launched holds: the first machines that come, and how many more.
func (s *DisruptionSpec) LaunchedNames() string {
	names := make([]string, 0, len(s.Launch))
	for _, launch := range s.Launch {
		names = append(names, launch.Name)
	}
	return firstNames(names)
}

// firstNames joins at most three names, which with 63 characters each stay below the bound of the status fields.
func firstNames(names []string) string {
	const shown = 3
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// Approval says whether a decision may be carried out.
type Approval string

// The two approvals.
const (
	ApprovedYes Approval = "Yes"
	ApprovedNo  Approval = "No"
)

// Removal is a machine that goes.
type Removal struct {
	// vpsieNode names the VPSieNode.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	VPSieNode string `json:"vpsieNode,omitempty"`
	// uid is the VPSieNode's, so that a namesake is never removed in its place.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
	// node names its Node.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Node string `json:"node,omitempty"`
	// offering is the name of its size.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Offering string `json:"offering,omitempty"`
	// pricePerHour is what it costs.
	// +optional
	PricePerHour Price `json:"pricePerHour,omitempty"`
}

// Replacement is a machine that comes.
type Replacement struct {
	// name is the name of the VPSieNode that is created.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
	// spec is its spec.
	// +required
	Spec VPSieNodeSpec `json:"spec,omitzero"`
}

// DisruptionPhase is how far a decision was carried out.
// +kubebuilder:validation:Enum=Proposed;Approved;Launching;Draining;Verifying;Succeeded;RolledBack;Rejected
type DisruptionPhase string

// The phases of a decision.
const (
	// DisruptionProposed: written down, not yet allowed.
	DisruptionProposed DisruptionPhase = "Proposed"
	// DisruptionApproved: allowed, about to be checked once more.
	DisruptionApproved DisruptionPhase = "Approved"
	// DisruptionLaunching: the leaving nodes are tainted, replacements are on their way.
	DisruptionLaunching DisruptionPhase = "Launching"
	// DisruptionDraining: pods are being evicted.
	DisruptionDraining DisruptionPhase = "Draining"
	// DisruptionVerifying: the machines were released; their disappearance and the pods' new places are being checked.
	DisruptionVerifying DisruptionPhase = "Verifying"
	// DisruptionSucceeded: done.
	DisruptionSucceeded DisruptionPhase = "Succeeded"
	// DisruptionRolledBack: a step failed; taints are off again and unused replacements released.
	DisruptionRolledBack DisruptionPhase = "RolledBack"
	// DisruptionRejected: no longer right when it was to be carried out; nothing was touched.
	DisruptionRejected DisruptionPhase = "Rejected"
)

// Finished says whether nothing more will happen.
func (p DisruptionPhase) Finished() bool {
	return p == DisruptionSucceeded || p == DisruptionRolledBack || p == DisruptionRejected
}

// DisruptionStatus is how far a decision was carried out.
type DisruptionStatus struct {
	// phase is how far the decision was carried out.
	// +optional
	Phase DisruptionPhase `json:"phase,omitempty"`
	// message is the reason of a rejection or a rollback, or what is being waited for.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Message string `json:"message,omitempty"`
	// removed names the first machines of spec.remove and counts the others, for people: a printer column shows no more than the first entry of a list.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Removed string `json:"removed,omitempty"`
	// launched names the first machines of spec.launch and counts the others, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Launched string `json:"launched,omitempty"`
	// startedAt is when the first machine was touched.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// finishedAt is when nothing more was to be done.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// conditions hold Ready: True once the decision was carried out.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GetConditions returns the conditions to read and set.
func (d *Disruption) GetConditions() *[]metav1.Condition { return &d.Status.Conditions }
